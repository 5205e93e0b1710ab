//! Tables for people: aligned columns without borders. Cells come from strangers and are made printable.

use std::io::IsTerminal as _;

use comfy_table::{CellAlignment, ContentArrangement, presets};
use inquisitor_report::printable;

use crate::print;

/// Rows under a line of headings.
pub(crate) struct Table {
    table: comfy_table::Table,
}

impl Table {
    /// A table with these headings. On a terminal long cells are broken so that each row fits; elsewhere a row is a line.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self::with_width(headings, std::io::stdout().is_terminal().then(print::terminal_width))
    }

    fn with_width(headings: &[&str], width: Option<u16>) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_header(headings.iter().map(|heading| heading.to_uppercase()));
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        Self { table }
    }

    /// Numbers stand at the right.
    pub(crate) fn right(mut self, column: usize) -> Self {
        if let Some(column) = self.table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        self
    }

    /// Add a row. An empty cell is shown as a hyphen, so that columns can be told apart by programs too.
    pub(crate) fn row<I: IntoIterator<Item = S>, S: AsRef<str>>(&mut self, cells: I) {
        let shown = |cell: S| match printable(cell.as_ref()).trim() {
            "" => "-".to_owned(),
            text => text.to_owned(),
        };
        self.table.add_row(cells.into_iter().map(shown).collect::<Vec<_>>());
    }

    /// The text, or `none` where there are no rows.
    pub(crate) fn text(&self, none: &str) -> String {
        if self.table.is_empty() {
            return none.to_owned();
        }
        // The first column is padded as all are; at the margin that is not wanted.
        let unpadded = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
        let lines: Vec<String> = self.table.lines().map(unpadded).collect();
        lines.join("\n")
    }
}

/// Names and values, one pair in a line, values aligned.
pub(crate) fn fields(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:width$}  {}\n", printable(value));
    pairs.iter().filter(|(_, value)| !value.is_empty()).map(line).collect()
}

/// A time of the API (RFC 3339) to the second.
pub(crate) fn time(text: &str) -> String {
    text.parse::<jiff::Timestamp>()
        .map_or_else(|_| text.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_and_what_a_stranger_wrote_is_only_text() {
        let mut table = Table::with_width(&["name", "steps"], None).right(1);
        table.row(["a", "7"]);
        table.row(["a longer \u{1b}[31mname\n", "1000"]);
        table.row(["", "1"]);
        insta::assert_snapshot!(table.text("none"), @r"
        NAME                STEPS
        a                       7
        a longer �[31mname   1000
        -                       1
        ");
        assert_eq!(Table::with_width(&["name"], None).text("no keys"), "no keys");
    }

    #[test]
    fn a_narrow_terminal_breaks_cells_and_no_line() {
        let mut table = Table::with_width(&["name", "what"], Some(40));
        table
            .row(["0190b2f0-0000-7000-8000-000000000000", "a text that is longer than the terminal is wide"]);
        assert!(table.text("").lines().all(|line| line.len() <= 40), "{}", table.text(""));
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time("2026-11-24T19:31:55.123456789Z"), "2026-11-24 19:31:55Z");
        assert_eq!(time("soon"), "soon");
    }
}
