//! Everything that goes to standard output, in one place: text for people, or one JSON or YAML document.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serde::Serialize;

use crate::args::{Color, Global, Output};
use crate::client::ClientError;

/// Print a text as it is, with a newline at its end.
///
/// # Errors
/// When standard output is closed; a reader that has seen enough (`| head`) is no error.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write(format!("{text}{newline}").as_bytes())
}

/// Print a result: as the document that programs read, or as what `text` makes of it for people.
///
/// # Errors
/// When it cannot be encoded, `text` fails, or standard output is closed.
pub(crate) fn result<T: Serialize>(
    output: Output,
    value: &T,
    text: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    match output {
        Output::Text => self::text(&text()?),
        Output::Json => json(value),
        Output::Yaml => yaml(value),
    }
}

/// Print a value as the document that programs read.
///
/// # Errors
/// When it cannot be encoded or standard output is closed.
pub(crate) fn document<T: Serialize>(output: Output, value: &T) -> anyhow::Result<()> {
    if output == Output::Yaml { yaml(value) } else { json(value) }
}

fn yaml<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let document = serde_saphyr::to_string(value).context("encoding the result")?;
    text(&String::from_utf8_lossy(&of_strangers(document.as_bytes(), std::io::stdout().is_terminal())))
}

/// Print a value as indented JSON.
///
/// # Errors
/// When the value cannot be encoded or standard output is closed.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    text(&without_controls(serde_json::to_string_pretty(value).context("encoding the result")?))
}

/// Print a value as JSON in one line.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn json_line(value: &serde_json::Value) -> anyhow::Result<()> {
    text(&without_controls(value.to_string()))
}

/// The same JSON without what it allows in texts and terminals obey or hide: late control characters, and marks that turn the
/// direction of writing or cannot be seen. They are written as escapes.
fn without_controls(json: String) -> String {
    if !json.chars().any(is_no_text) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_no_text(c) {
            // Writing to a text never fails.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// What JSON allows unescaped and is no text. The first 32 characters it never allows.
fn is_no_text(c: char) -> bool {
    // JSON has broken its own lines by now, so of the first 32 only line ends are here.
    c != '\n' && matches!(inquisitor_report::printable(c.encode_utf8(&mut [0; 4])), Cow::Owned(_))
}

/// Print a piece of what strangers wrote as it is; on a terminal as mere text, since it may hold what a terminal obeys.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn strangers(bytes: &[u8]) -> anyhow::Result<()> {
    write(&of_strangers(bytes, std::io::stdout().is_terminal()))
}

fn of_strangers(bytes: &[u8], on_terminal: bool) -> Cow<'_, [u8]> {
    if !on_terminal {
        return Cow::Borrowed(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text
        .split_inclusive(['\n', '\t'])
        .flat_map(|piece| {
            let end = piece.len() - usize::from(piece.ends_with(['\n', '\t']));
            let (words, end) = piece.split_at(end);
            [inquisitor_report::printable(words.trim_end_matches('\r')).into_owned(), end.to_owned()]
        })
        .collect();
    Cow::Owned(shown.into_bytes())
}

/// Print a finding for people.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn finding(global: &Global, summary: &inquisitor_report::Summary<'_>) -> anyhow::Result<()> {
    text(&inquisitor_report::console_summary(summary, width(), color_stdout(global)))
}

/// Print the error that a command ended with as the document that programs read, unless one was printed before.
pub(crate) fn error_document(output: Output, error: &anyhow::Error) {
    if output == Output::Text || PRINTED.load(Ordering::Relaxed) {
        return;
    }
    let mut value = serde_json::json!({ "error": format!("{error:#}") });
    if let Some(ClientError::Problem(problem)) = error.downcast_ref() {
        value["problem"] = serde_json::json!(problem);
    }
    // The error itself was said on standard error; where standard output is closed there is nothing to add.
    let _ = document(output, &value);
}

/// Whether anything went to standard output, so that there is never a second document.
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Say that the caller writes to standard output by itself.
pub(crate) fn begun() {
    PRINTED.store(true, Ordering::Relaxed);
}

/// Print bytes as they are.
///
/// # Errors
/// When standard output is closed.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
    PRINTED.store(true, Ordering::Relaxed);
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}

/// Print a line to standard error.
pub(crate) fn note(line: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Whether to colour what goes to standard output.
pub(crate) fn color_stdout(global: &Global) -> bool {
    color(global, std::io::stdout().is_terminal())
}

/// Whether to colour what goes to standard error.
pub(crate) fn color_stderr(global: &Global) -> bool {
    color(global, std::io::stderr().is_terminal())
}

fn color(global: &Global, terminal: bool) -> bool {
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Columns of the terminal, within what is comfortable to read.
pub(crate) fn width() -> usize {
    usize::from(console::Term::stdout().size().1).clamp(60, 110)
}

/// Columns of the terminal as it is.
pub(crate) fn terminal_width() -> u16 {
    console::Term::stdout().size().1.max(20)
}

/// The word that the API has for a value of a few.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A size as people write it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_nothing_that_a_terminal_obeys_and_says_the_same() {
        let value = serde_json::json!({ "name": "a\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\u{feff}ü\u{fffd}" });
        let printed = without_controls(value.to_string());
        assert_eq!(inquisitor_report::printable(&printed), printed);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }

    #[test]
    fn what_strangers_wrote_is_mere_text_on_a_terminal_and_whole_elsewhere() {
        let bytes = "a: \u{1b}]0;x\u{7}\r\n\tb: \u{9b}\n".as_bytes();
        assert_eq!(of_strangers(bytes, false), bytes);
        let shown = String::from_utf8(of_strangers(bytes, true).into_owned()).unwrap();
        assert_eq!(shown, "a: \u{fffd}]0;x\u{fffd}\n\tb: \u{fffd}\n");
    }
}
