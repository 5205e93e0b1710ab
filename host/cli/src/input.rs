//! Reading what the user names: files, standard input, JSON on the command line.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use inquisitor_manifest::spec::Parameters;

/// Bytes of text that are read at most from a file or standard input.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// A text with the name to show for it and the folder that its relative paths start from.
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) folder: PathBuf,
}

/// Read a text file, or standard input for `-`.
///
/// # Errors
/// When it cannot be read, is too large, or is not UTF-8.
pub(crate) fn text(path: &Path) -> anyhow::Result<Text> {
    let current = std::env::current_dir().context("the current folder is gone")?;
    if path == Path::new("-") {
        let text = read(std::io::stdin().lock()).context("cannot read standard input")?;
        return Ok(Text { name: "<stdin>".to_owned(), text, folder: current });
    }
    let name = path.display().to_string();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
    let text = read(file).with_context(|| format!("cannot read {name}"))?;
    let folder = current.join(path.parent().unwrap_or(Path::new("")));
    Ok(Text { name, text, folder })
}

fn read(reader: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        bail!("it is larger than {} MiB", MAX_TEXT_BYTES >> 20);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => bail!("it is not UTF-8 text: byte {} is not valid", error.utf8_error().valid_up_to()),
    }
}

/// Parameters given as JSON, or as `@FILE` with JSON in it.
///
/// # Errors
/// When the file cannot be read, or the text is not a JSON object.
pub(crate) fn parameters(option: &str, given: &str) -> anyhow::Result<Parameters> {
    let text = match given.strip_prefix('@') {
        Some(path) => text(Path::new(path))?.text,
        None => given.to_owned(),
    };
    match serde_json::from_str(&text) {
        Ok(serde_json::Value::Object(parameters)) => Ok(parameters),
        Ok(other) => bail!("{option}: a JSON object is meant, as {{\"name\": 1}}; this is {other}"),
        Err(error) => bail!("{option}: not valid JSON: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_must_be_an_object() {
        let error = parameters("--params", "[1]").unwrap_err().to_string();
        assert!(error.starts_with("--params: a JSON object is meant"), "{error}");
        assert!(parameters("--params", "{").unwrap_err().to_string().contains("not valid JSON"));
        assert_eq!(parameters("--params", r#"{"a": 1}"#).unwrap()["a"], 1);
    }

    #[test]
    fn text_that_is_not_utf8_says_where() {
        let error = read(&b"ab\xff"[..]).unwrap_err().to_string();
        assert!(error.contains("byte 2"), "{error}");
    }
}
