//! Diagnostics for people: each with its source line, underlined.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::parsed::Parsed;
use crate::source::{Source, Span};

/// With or without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Plain text.
    Plain,
    /// ANSI colours.
    Coloured,
}

/// Bytes of a source line that are shown. A JSON manifest may be one line of megabytes.
const MAX_SHOWN: usize = 160;
/// Bytes shown before the fault where the line is cut.
const SHOWN_BEFORE: usize = 60;

/// Every diagnostic with its source line underlined, and a last line with the counts.
///
/// `diagnostics` are those of `parsed`, or those of compiling it, or both merged.
pub fn render(parsed: &Parsed, diagnostics: &Diagnostics, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut out = String::new();
    for diagnostic in diagnostics {
        out.push_str(&one(parsed.source(), diagnostic, &renderer));
        out.push_str("\n\n");
    }
    if diagnostics.omitted() > 0 {
        out.push_str(&format!("and {} more\n", diagnostics.omitted()));
    }
    out.push_str(&format!("{}: {}\n", parsed.name(), diagnostics.summary()));
    out
}

fn one(source: &Source, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let label = match diagnostic.path.as_str() {
        "" => None,
        path => Some(path),
    };
    let place = Place { line: diagnostic.line, column: diagnostic.column, span: diagnostic.span };
    let mut group = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.name())
        .elements(Vec::<Origin<'_>>::new());
    group = snippet(group, source, place, label);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let mut groups = vec![group];
    if let Some(related) = &diagnostic.related {
        let place = Place { line: related.line, column: related.column, span: related.span };
        let group = Group::with_title(Level::NOTE.secondary_title(related.message.as_str()));
        groups.push(snippet(group, source, place, None));
    }
    renderer.render(&groups)
}

#[derive(Clone, Copy)]
struct Place {
    line: usize,
    column: usize,
    span: Span,
}

/// The line with the fault underlined. Only what is shown of it is handed over, so that the cost does not grow with the
/// file; where that is not all of the line, the renderer cannot know the column and is told it.
fn snippet<'a>(group: Group<'a>, source: &'a Source, place: Place, label: Option<&'a str>) -> Group<'a> {
    let (_, line) = source.line(place.span.start);
    let shown = window(source, line, place.span.start);
    let text = source.slice(shown);
    let start = place.span.start.clamp(shown.start, shown.end) - shown.start;
    let end = place.span.end.clamp(shown.start, shown.end) - shown.start;
    let annotation = AnnotationKind::Primary.span(start..end.max(start)).label(label.map(Cow::Borrowed));
    let snippet = Snippet::source(text).line_start(place.line).annotation(annotation);
    if shown == line {
        return group.element(snippet.path(source.name()));
    }
    let origin = Origin::path(source.name()).line(place.line).char_column(place.column);
    group.element(origin).element(snippet)
}

/// The part of a line around a byte.
fn window(source: &Source, line: Span, at: usize) -> Span {
    if line.end - line.start <= MAX_SHOWN {
        return line;
    }
    let boundary = |mut byte: usize| {
        while !source.text().is_char_boundary(byte) {
            byte += 1;
        }
        byte.min(line.end)
    };
    let start = boundary(at.saturating_sub(SHOWN_BEFORE).max(line.start));
    Span { start, end: boundary((start + MAX_SHOWN).min(line.end)) }
}
