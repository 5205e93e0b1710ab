//! Keys as they come from options and files: never printed, not even by accident.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, Serializer};

/// What is shown in place of a secret.
const STRUCK_OUT: &str = "[secret]";

/// Bytes of a key file that are read at most.
const MAX_BYTES: u64 = 4096;

/// A key. Its text is only had by asking for it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Read a key file: one key, spaces and newlines around it left out.
    ///
    /// # Errors
    /// When it cannot be read, is empty or too large.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        use std::io::Read as _;
        let named = || format!("the key file {}", path.display());
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .with_context(|| format!("cannot read {}", named()))?;
        if text.len() as u64 > MAX_BYTES {
            bail!("{} is larger than {MAX_BYTES} bytes; one key is meant", named());
        }
        match text.trim() {
            "" => bail!("{} is empty", named()),
            key => Ok(Self(key.to_owned())),
        }
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(STRUCK_OUT)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(STRUCK_OUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_struck_out_of_everything_that_is_printed() {
        let secret: Secret = "hunter22".parse().unwrap();
        assert_eq!(format!("{secret:?}"), STRUCK_OUT);
        assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{STRUCK_OUT}\""));
        assert_eq!(secret.expose(), "hunter22");
    }

    #[test]
    fn a_key_file_loses_its_newline_and_must_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "inq_abc\r\n").unwrap();
        assert_eq!(Secret::read(&file).unwrap().expose(), "inq_abc");
        std::fs::write(&file, "\n").unwrap();
        assert!(Secret::read(&file).unwrap_err().to_string().ends_with("is empty"));
    }
}
