//! Everything that goes to standard output, in one place: text for people, or one JSON or YAML document.

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
    text(&serde_saphyr::to_string(value).context("encoding the result")?)
}

/// Print a value as indented JSON.
///
/// # Errors
/// When the value cannot be encoded or standard output is closed.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    text(&serde_json::to_string_pretty(value).context("encoding the result")?)
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
