//! What a guest says: log lines and its standard streams, cut, escaped, counted and bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::request::{Listener, LogLevel, LogLine};

/// Bytes of one line's text that are kept.
pub(crate) const MAX_LINE: usize = 8 << 10;
/// Attributes of one line that are kept, as in the contract.
pub(crate) const MAX_ATTRIBUTES: usize = 32;
/// Bytes of one attribute's name or value that are kept.
const MAX_ATTRIBUTE: usize = 1 << 10;
/// Bytes that each line counts beside its text, so that empty lines are bounded too.
const LINE_OVERHEAD: u64 = 64;

/// The lines of one session. Shared with the guest's standard streams.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Mutex<Book>>);

struct Book {
    lines: Vec<LogLine>,
    left: u64,
    dropped: u64,
    listener: Option<Arc<dyn Listener>>,
}

impl Logs {
    pub(crate) fn new(listener: Option<Arc<dyn Listener>>) -> Self {
        Self(Arc::new(Mutex::new(Book { lines: Vec::new(), left: 0, dropped: 0, listener })))
    }

    /// A call begins: it may say this many bytes.
    pub(crate) fn begin(&self, bytes: u64) {
        self.book().left = bytes;
    }

    /// One line. The text may be of any length and content.
    pub(crate) fn line(&self, level: LogLevel, message: &str, attributes: Vec<(String, String)>) {
        let mut book = self.book();
        if book.left == 0 {
            book.dropped += 1;
            return;
        }
        let line = LogLine { level, message: escape(message, MAX_LINE), attributes };
        let attributes: usize = line.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = (line.message.len() + attributes) as u64 + LINE_OVERHEAD;
        if bytes > book.left {
            // What comes after is dropped too, so that the kept lines have no gap in them.
            book.left = 0;
            book.dropped += 1;
            return;
        }
        book.left -= bytes;
        if let Some(listener) = &book.listener {
            listener.log(&line);
        }
        book.lines.push(line);
    }

    /// Count a line that was not even looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.book().left == 0
    }

    /// The last line, where the guest gave it as an error: what an instrument says before it traps.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.book().lines.last().filter(|line| line.level == LogLevel::Error).map(|line| line.message.clone())
    }

    /// Lines dropped over the limit.
    pub(crate) fn dropped(&self) -> u64 {
        self.book().dropped
    }

    /// The lines, leaving none.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut self.book().lines)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and value of an attribute, cut and escaped.
pub(crate) fn attribute(name: &str, value: &str) -> (String, String) {
    (escape(name, MAX_ATTRIBUTE), escape(value, MAX_ATTRIBUTE))
}

/// The text with control characters escaped (a line break in the middle, too: what is logged is one line), cut at a
/// number of bytes, with a mark where it was cut.
pub(crate) fn escape(text: &str, bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes));
    for character in text.trim_end_matches(['\n', '\r']).chars() {
        // Bidirectional overrides make a terminal show another text than is there.
        let hidden = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let start = out.len();
        if (character.is_control() && character != '\t') || hidden {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        if out.len() > bytes {
            out.truncate(start);
            out.push('…');
            break;
        }
    }
    out
}

/// Bytes of a standard stream, split into lines.
pub(crate) struct Lines {
    logs: Logs,
    level: LogLevel,
    rest: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(logs: Logs, level: LogLevel) -> Self {
        Self { logs, level, rest: Vec::new() }
    }

    /// More bytes. A line longer than is kept counts as ended there.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = bytes.split_at(end);
            self.push(line);
            self.end();
            bytes = &after[1..];
        }
        self.push(bytes);
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE + 1).saturating_sub(self.rest.len());
        self.rest.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end(&mut self) {
        self.logs.line(self.level, &String::from_utf8_lossy(&self.rest), Vec::new());
        self.rest.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(logs: &Logs) -> Vec<String> {
        logs.take().into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn lines_are_split_wherever_the_writes_are() {
        let logs = Logs::new(None);
        logs.begin(1 << 20);
        let mut lines = Lines::new(logs.clone(), LogLevel::Info);
        for part in ["one\ntw", "o\r", "\n\nth", "ree"] {
            lines.write(part.as_bytes());
        }
        drop(lines);
        assert_eq!(messages(&logs), ["one", "two", "", "three"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_held_in_bounds() {
        let logs = Logs::new(None);
        logs.begin(1 << 20);
        let mut lines = Lines::new(logs.clone(), LogLevel::Info);
        for _ in 0..100 {
            lines.write(&[b'x'; 4096]);
            assert!(lines.rest.len() <= MAX_LINE + 1);
        }
        drop(lines);
        let message = messages(&logs).remove(0);
        assert_eq!(message.len(), MAX_LINE + '…'.len_utf8());
    }

    #[test]
    fn what_is_over_the_limit_is_counted() {
        let logs = Logs::new(None);
        logs.begin(200);
        for _ in 0..10 {
            logs.line(LogLevel::Info, "0123456789", Vec::new());
        }
        assert_eq!(logs.take().len(), 2);
        assert_eq!(logs.dropped(), 8);
        logs.begin(200);
        logs.line(LogLevel::Info, "the next call", Vec::new());
        assert_eq!(logs.take().len(), 1);
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(escape("a\u{1b}[31mred\u{202e}x\ty\nz\n", 100), "a\\u{1b}[31mred\\u{202e}x\ty\\nz");
        assert_eq!(escape("äöü", 4), "äö…");
    }
}
