//! Everything that goes to standard output, in one place: text for people, or one JSON document.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serde::Serialize;

use crate::args::{Color, Global, Output};

/// Print a text as it is, with a newline at its end.
///
/// # Errors
/// When standard output is closed; a reader that has seen enough (`| head`) is no error.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    write(format!("{text}{newline}").as_bytes())
}

/// Print a value as indented JSON.
///
/// # Errors
/// When the value cannot be encoded or standard output is closed.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    text(&serde_json::to_string_pretty(value).context("encoding the result")?)
}

/// Print the error that a command ended with as the document of `--output json`, unless one was printed before.
pub(crate) fn json_error(output: Output, error: &anyhow::Error) {
    if output == Output::Json && !PRINTED.load(Ordering::Relaxed) {
        // The error itself was said on standard error; where standard output is closed there is nothing to add.
        let _ = json(&serde_json::json!({ "error": format!("{error:#}") }));
    }
}

/// Whether anything went to standard output, so that there is never a second JSON document.
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

/// A size as people write it.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
