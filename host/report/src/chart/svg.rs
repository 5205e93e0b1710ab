//! Writing SVG: shapes with numbers of two decimals, and texts that are escaped.

use std::fmt::Write as _;

use crate::document::escape_html;

/// Width of a chart in its own units.
pub(super) const WIDTH: f64 = 960.0;
/// Height of the drawing; the legend lies below it.
pub(super) const HEIGHT: f64 = 420.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 20.0;

/// A document in the making.
pub(super) struct Svg {
    body: String,
}

/// Where a text is anchored.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) fn new() -> Self {
        Self { body: String::new() }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            self.body,
            "<line x1=\"{:.2}\" y1=\"{:.2}\" x2=\"{:.2}\" y2=\"{:.2}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str, color: &str) {
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" class=\"{class}\" stroke=\"{color}\"/>",
            list(points)
        );
    }

    pub(super) fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        let _ = writeln!(self.body, "<polygon points=\"{}\" class=\"{class}\"/>", list(points));
    }

    pub(super) fn circle(&mut self, at: (f64, f64), radius: f64, color: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{:.2}\" cy=\"{:.2}\" r=\"{radius}\" fill=\"{color}\"/>",
            at.0, at.1
        );
    }

    /// A cross, as excluded readings are marked.
    pub(super) fn cross(&mut self, at: (f64, f64)) {
        let (x, y) = at;
        let _ =
            writeln!(self.body, "<path d=\"M{:.2} {:.2}l8 8m0 -8l-8 8\" class=\"cross\"/>", x - 4.0, y - 4.0);
    }

    pub(super) fn rectangle(&mut self, left: f64, top: f64, width: f64, height: f64, color: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{left:.2}\" y=\"{top:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{color}\"/>"
        );
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{:.2}\" y=\"{:.2}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>",
            at.0,
            at.1,
            escape_html(text)
        );
    }

    /// A line of the legend, from 0, with its sample drawn by `sample` around a point.
    pub(super) fn legend(&mut self, line: usize, text: &str, sample: impl FnOnce(&mut Self, (f64, f64))) {
        #[allow(clippy::cast_precision_loss)]
        let y = HEIGHT + LEGEND_LINE * line as f64;
        sample(self, (92.0, y));
        self.text((108.0, y + 4.0), Anchor::Start, "small", text);
    }

    /// The document; `legend_lines` say how high it is, `title` is what screen readers say.
    pub(super) fn finish(self, title: &str, legend_lines: usize) -> String {
        #[allow(clippy::cast_precision_loss)]
        let height = HEIGHT + LEGEND_LINE * legend_lines as f64 + 8.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
            escape_html(title),
            self.body
        )
    }
}

/// Generic families only: what is drawn does not depend on fonts that happen to be installed.
const STYLE: &str = "\
text{font-family:sans-serif;font-size:13px;fill:#333}.title{font-size:17px;font-weight:600}.small{font-size:12px}\
.grid{stroke:#ddd;stroke-width:1}.axis{stroke:#333;stroke-width:1}.series{fill:none;stroke-width:1.5;stroke-linejoin:round}\
.estimate{fill:none;stroke-width:2.5;stroke-dasharray:6 4}.band{fill:#000;fill-opacity:.12}.cross{stroke:#b42318;stroke-width:1.5;fill:none}";

fn list(points: &[(f64, f64)]) -> String {
    let mut text = String::with_capacity(points.len() * 14);
    for (x, y) in points {
        let separator = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{separator}{x:.2},{y:.2}");
    }
    text
}
