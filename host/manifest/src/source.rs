//! The text of a manifest and positions in it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A stretch of the text, in bytes from its beginning; the end is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

/// A place for people: both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Every how many characters the byte offset is noted in a text that is not plain ASCII. A look-up walks at most this
/// many characters, so a file in one long line stays linear.
const CHECKPOINT: usize = 64;

/// A named text with an index from characters and bytes to lines.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: String,
    text: Arc<str>,
    line_starts: Vec<u32>,
    /// Byte offset of every [`CHECKPOINT`]th character of the body; empty where a character is a byte.
    checkpoints: Vec<u32>,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let mut line_starts = vec![0];
        line_starts
            .extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1));
        let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let checkpoints = if body.is_ascii() {
            Vec::new()
        } else {
            body.char_indices().step_by(CHECKPOINT).map(|(at, _)| at as u32).collect()
        };
        Self { name: name.to_owned(), text: text.into(), line_starts, checkpoints }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text without a byte order mark: what the YAML parser sees.
    pub(crate) fn body(&self) -> &str {
        &self.text[self.mark()..]
    }

    fn mark(&self) -> usize {
        if self.text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
    }

    /// Byte offset in the text of a character of the body; the end for one beyond it.
    pub(crate) fn byte_of_char(&self, index: usize) -> usize {
        let body = self.body();
        let at = if self.checkpoints.is_empty() {
            index.min(body.len())
        } else {
            match self.checkpoints.get(index / CHECKPOINT) {
                Some(&from) => {
                    let from = from as usize;
                    let rest = &body[from..];
                    from + rest.char_indices().nth(index % CHECKPOINT).map_or(rest.len(), |(at, _)| at)
                }
                None => body.len(),
            }
        };
        self.mark() + at
    }

    /// The text of a stretch; empty for one that is not in the text.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line that holds a byte, without its end, as a stretch; and its number from 1.
    pub(crate) fn line(&self, byte: usize) -> (usize, Span) {
        let number = self.line_starts.partition_point(|start| *start as usize <= byte).max(1);
        let mut start = self.line_starts[number - 1] as usize;
        if number == 1 {
            start = self.mark();
        }
        let end = self.line_starts.get(number).map_or(self.text.len(), |next| *next as usize - 1);
        let end = if end > start && self.text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end };
        (number, Span { start, end: end.max(start) })
    }

    pub(crate) fn position(&self, byte: usize) -> Position {
        let (line, span) = self.line(byte);
        let before = self.text.get(span.start..byte.max(span.start)).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }

    /// The part of a stretch that lies on its first line, without blanks at its end.
    pub(crate) fn first_line(&self, span: Span) -> Span {
        let (_, line) = self.line(span.start);
        let end = span.end.min(line.end).max(span.start);
        let kept = self.slice(Span { start: span.start, end }).trim_end().len();
        Span { start: span.start, end: span.start + kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_skip_the_byte_order_mark() {
        let source = Source::new("f", "\u{feff}aé: x\r\nb: ü\n");
        assert_eq!(source.position(3), Position { line: 1, column: 1 });
        let x = source.text().find('x').unwrap();
        assert_eq!(source.position(x), Position { line: 1, column: 5 });
        let u = source.text().find('ü').unwrap();
        assert_eq!(source.position(u), Position { line: 2, column: 4 });
        assert_eq!(source.position(source.text().len()), Position { line: 3, column: 1 });
        assert_eq!(source.slice(source.line(x).1), "aé: x");
    }

    #[test]
    fn characters_map_to_bytes_beyond_checkpoints() {
        let text = "aé€😀".repeat(100);
        let source = Source::new("f", &text);
        for (index, (byte, _)) in text.char_indices().enumerate() {
            assert_eq!(source.byte_of_char(index), byte);
        }
        assert_eq!(source.byte_of_char(10_000), text.len());
    }
}
