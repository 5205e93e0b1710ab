//! A report as blocks of plain text, and its writers. All text is escaped here, and nowhere else can text become markup.

use std::fmt::Write as _;

use crate::text::printable;

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Title of the page.
    pub title: String,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// A piece of a report. Every text is plain: what looks like markup in it is shown as it stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A heading of level 1 to 6.
    Heading(u8, String),
    /// A paragraph.
    Paragraph(String),
    /// The answer, set off; the word chooses the colour in HTML.
    Verdict(&'static str),
    /// A list.
    List(Vec<String>),
    /// A table.
    Table(Table),
    /// Text in a fixed width.
    Code(String),
    /// A chart: its title, the name of its file, and the SVG that HTML shows in place.
    Chart {
        /// Says what it shows.
        title: String,
        /// The file beside the report.
        file: String,
        /// From [`crate::chart()`], which escapes its texts.
        svg: String,
    },
}

/// Rows under a header; every row has as many cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names of the columns, and whether each is set to the right.
    pub header: Vec<(&'static str, bool)>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

/// The style of HTML reports: readable on paper, in a browser's dark mode, and on a telephone.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1,h2,h3{line-height:1.25}h2{margin-top:2rem;border-bottom:1px solid var(--line)}\
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0}\
th,td{padding:.3rem .8rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\
th{background:var(--soft)}td{overflow-wrap:anywhere}.r{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
pre{overflow-x:auto;padding:1rem;background:var(--soft)}\
figure{margin:1.5rem 0}figure svg{max-width:100%;height:auto;background:#fff}\
.verdict{display:inline-block;padding:.2rem .9rem;border-radius:.3rem;color:#fff;font-weight:600;letter-spacing:.05em}\
.VERIFIED,.COMPLIANT{background:#1a7f37}.INCONCLUSIVE,.UNDECIDED{background:#9a6700}.FALSIFIED,.DEVIATION{background:#b42318}";

impl Document {
    /// The report as CommonMark with tables.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for block in &self.blocks {
            if !text.is_empty() {
                text.push('\n');
            }
            // Writing to a string cannot fail.
            let _ = block.markdown(&mut text);
        }
        text
    }

    /// The report as a page that needs nothing else.
    pub fn html(&self) -> String {
        let mut text =
            String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        text.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        // Should a text ever get through as markup, the browser still runs and loads nothing.
        text.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
        let _ = writeln!(
            text,
            "<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            escape_html(&self.title)
        );
        for block in &self.blocks {
            let _ = block.html(&mut text);
        }
        text.push_str("</body>\n</html>\n");
        text
    }
}

impl Block {
    fn markdown(&self, text: &mut String) -> std::fmt::Result {
        match self {
            Self::Heading(level, heading) => {
                writeln!(text, "{} {}", "#".repeat(usize::from(*level)), escape_markdown(heading))
            }
            Self::Paragraph(paragraph) => writeln!(text, "{}", escape_markdown(paragraph)),
            Self::Verdict(word) => writeln!(text, "**{word}**"),
            Self::List(items) => {
                items.iter().try_for_each(|item| writeln!(text, "- {}", escape_markdown(item)))
            }
            Self::Table(table) => table.markdown(text),
            Self::Code(code) => {
                // Indented, since a fence could be closed from within.
                code.lines().try_for_each(|line| {
                    let line = printable(line);
                    if line.is_empty() { writeln!(text) } else { writeln!(text, "    {line}") }
                })
            }
            Self::Chart { title, file, .. } => writeln!(text, "![{}]({file})", escape_markdown(title)),
        }
    }

    fn html(&self, text: &mut String) -> std::fmt::Result {
        match self {
            Self::Heading(level, heading) => writeln!(text, "<h{level}>{}</h{level}>", escape_html(heading)),
            Self::Paragraph(paragraph) => writeln!(text, "<p>{}</p>", escape_html(paragraph)),
            Self::Verdict(word) => writeln!(text, "<p><span class=\"verdict {word}\">{word}</span></p>"),
            Self::List(items) => {
                text.push_str("<ul>\n");
                items.iter().try_for_each(|item| writeln!(text, "<li>{}</li>", escape_html(item)))?;
                writeln!(text, "</ul>")
            }
            Self::Table(table) => table.html(text),
            Self::Code(code) => {
                let lines: Vec<String> = code.lines().map(escape_html).collect();
                writeln!(text, "<pre>{}</pre>", lines.join("\n"))
            }
            Self::Chart { title, svg, .. } => {
                writeln!(text, "<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>", escape_html(title))
            }
        }
    }
}

impl Table {
    fn markdown(&self, text: &mut String) -> std::fmt::Result {
        let names: Vec<&str> = self.header.iter().map(|(name, _)| *name).collect();
        let rules: Vec<&str> =
            self.header.iter().map(|(_, right)| if *right { "---:" } else { "---" }).collect();
        writeln!(text, "| {} |\n|{}|", names.join(" | "), rules.join("|"))?;
        self.rows.iter().try_for_each(|row| {
            let cells: Vec<String> = row.iter().map(|cell| escape_markdown(cell)).collect();
            writeln!(text, "| {} |", cells.join(" | "))
        })
    }

    fn html(&self, text: &mut String) -> std::fmt::Result {
        let class = |right: bool| if right { " class=\"r\"" } else { "" };
        text.push_str("<div class=\"wide\"><table>\n<thead><tr>");
        for (name, right) in &self.header {
            write!(text, "<th{}>{}</th>", class(*right), escape_html(name))?;
        }
        text.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            text.push_str("<tr>");
            for (cell, (_, right)) in row.iter().zip(&self.header) {
                write!(text, "<td{}>{}</td>", class(*right), escape_html(cell))?;
            }
            text.push_str("</tr>\n");
        }
        writeln!(text, "</tbody></table></div>")
    }
}

/// Text of which CommonMark makes nothing but text, in a paragraph, a list item, a heading or a cell.
fn escape_markdown(text: &str) -> String {
    let text = printable(text);
    let text = text.trim();
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for (position, c) in text.char_indices() {
        let rest = &text[position + c.len_utf8()..];
        let is_inner = |c: char| c.is_alphanumeric();
        let is_special = match c {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '&' | '~' | '$' | '^' | '{' | '}' => true,
            // Within a word an underscore is a letter like others; escaping it would only be hard to read.
            '_' => !(is_inner(before) && rest.starts_with(is_inner)),
            // The start of a heading, and its end.
            '#' => before == ' ',
            // The start of a list, a rule, or of an underline of the line before.
            '+' | '-' | '=' => escaped.is_empty(),
            '!' => rest.starts_with('['),
            // A numbered list: digits alone before it, and a blank after it.
            '.' | ')' => {
                (rest.is_empty() || rest.starts_with(' '))
                    && (1..10).contains(&escaped.len())
                    && escaped.bytes().all(|byte| byte.is_ascii_digit())
            }
            // What readers make links of: addresses and mail.
            ':' => rest.starts_with("//"),
            '@' => true,
            _ => false,
        };
        if is_special {
            escaped.push('\\');
        }
        escaped.push(c);
        before = c;
    }
    escaped
}

/// Text of which HTML makes nothing but text, also in an attribute.
pub(crate) fn escape_html(text: &str) -> String {
    let text = printable(text);
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag};

    use super::*;

    /// The text of a markdown document read with every extension there is (but for typographic quotes), and whatever else is in it than paragraphs, headings, lists and tables.
    fn parsed(markdown: &str) -> (String, Vec<String>) {
        let mut text = String::new();
        let mut foreign = Vec::new();
        for event in Parser::new_ext(markdown, Options::all() - Options::ENABLE_SMART_PUNCTUATION) {
            match event {
                Event::Text(part) => text.push_str(&part),
                Event::Start(
                    Tag::Paragraph
                    | Tag::Heading { .. }
                    | Tag::List(None)
                    | Tag::Item
                    | Tag::Table(_)
                    | Tag::TableHead
                    | Tag::TableRow
                    | Tag::TableCell,
                )
                | Event::End(_) => {}
                other => foreign.push(format!("{other:?}")),
            }
        }
        (text, foreign)
    }

    const HOSTILE: &[&str] = &[
        "<script>alert(1)</script>",
        "[a](javascript:alert(1))",
        "![x](http://example.org/x.png)",
        "| a | b |",
        "# heading",
        "- item",
        "1. item",
        "12) item",
        "***",
        "---",
        "===",
        "`code` ~~gone~~ **bold** _slanted_ $x$ ^up^",
        "&lt;b&gt; &amp; \\* \\",
        "<http://example.org> www.example.org a@example.org",
        "> quote",
        "+ plus",
        "[^1]: note",
        "[x]: y",
        "a\n\nb",
        "    indented",
        "{#id .class}",
        "sensor_1_a",
        ": definition",
        "[ ] task",
        "\"quoted\" -- it's",
    ];

    fn assert_plain(text: &str) {
        let blocks = [
            Block::Heading(2, text.to_owned()),
            Block::Paragraph(text.to_owned()),
            Block::List(vec![text.to_owned(), text.to_owned()]),
            Block::Table(Table {
                header: vec![("a", false), ("b", true)],
                rows: vec![vec![text.to_owned(), text.to_owned()]],
            }),
        ];
        for block in blocks {
            let document = Document { title: String::new(), blocks: vec![block.clone()] };
            let markdown = document.markdown();
            let (read, foreign) = parsed(&markdown);
            assert!(foreign.is_empty(), "{foreign:?} in {markdown}");
            let shown = printable(text);
            assert!(read.contains(shown.trim()), "{shown:?} is not in {read:?} of {markdown}");
        }
    }

    #[test]
    fn hostile_texts_stay_texts_in_markdown() {
        HOSTILE.iter().for_each(|text| assert_plain(text));
    }

    #[test]
    fn hostile_texts_stay_texts_in_html() {
        for text in HOSTILE {
            let blocks = vec![
                Block::Heading(1, (*text).to_owned()),
                Block::Paragraph((*text).to_owned()),
                Block::Code((*text).to_owned()),
                Block::Table(Table { header: vec![("a", false)], rows: vec![vec![(*text).to_owned()]] }),
            ];
            let empty =
                Document { title: String::new(), blocks: blocks.iter().map(emptied).collect() }.html();
            let full = Document { title: (*text).to_owned(), blocks }.html();
            let tags = |page: &str| page.matches('<').count();
            assert_eq!(tags(&full), tags(&empty), "{full}");
        }
    }

    fn emptied(block: &Block) -> Block {
        match block {
            Block::Heading(level, _) => Block::Heading(*level, String::new()),
            Block::Paragraph(_) => Block::Paragraph(String::new()),
            Block::Code(_) => Block::Code(String::new()),
            Block::Table(table) => {
                Block::Table(Table { header: table.header.clone(), rows: vec![vec![String::new()]] })
            }
            other => other.clone(),
        }
    }

    #[test]
    fn code_cannot_be_left() {
        let document =
            Document { title: String::new(), blocks: vec![Block::Code("```\n<b>\n\n    # x\n".to_owned())] };
        let markdown = document.markdown();
        let starts = Parser::new(&markdown).filter(|event| matches!(event, Event::Start(_))).count();
        assert_eq!(starts, 1, "{markdown}");
    }

    proptest! {
        #[test]
        fn any_text_stays_text(text in "[ -~äß\n]{1,30}") {
            prop_assume!(!printable(&text).trim().is_empty());
            assert_plain(&text);
        }

        #[test]
        fn marks_stay_text(text in "[-+*_`~#>|<!&=.:@()$^{}\\[\\]\\\\a1 \"']{1,12}") {
            prop_assume!(!printable(&text).trim().is_empty());
            assert_plain(&text);
        }
    }
}
