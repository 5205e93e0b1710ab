//! Charts as SVG: readings of the instruments, what was excluded, and the estimate.
//!
//! | chart | parameters | shows |
//! |---|---|---|
//! | `time_series` | `quantity`, `instruments`, `title` | values over time, a line for each instrument; the estimate with its expanded uncertainty; excluded readings as crosses |
//! | `scatter_plot` | the same, or `x` and `y` (quantities) | values over time as points, or one quantity against another, read by the same instrument at the same moment |
//! | `histogram` | `quantity`, `instruments`, `bins`, `title` | how often values occur, the instruments stacked |
//!
//! Without `quantity`, the first one that has numbers is shown. Values are in the unit of the finding's estimate, or in
//! that of the first reading. A series has at most [`MAX_POINTS`] points: of more, the extremes of equal stretches are
//! drawn, so that no excursion is lost, and the legend says so.

mod axis;
mod data;
mod draw;
mod svg;

use inquisitor_findings::finding::Finding;
use inquisitor_findings::reading::Observed;
use inquisitor_manifest::spec::{ChartKind, Visualization};

use self::data::Chosen;
use crate::parameters::Reader;
use crate::{ReportError, chart_file_name};
use inquisitor_manifest::ParameterProblem;

/// Points of a series that are drawn.
pub const MAX_POINTS: usize = 2000;
/// Instruments with a series of their own; more cannot be told apart by their colours. The legend counts the rest.
pub const MAX_SERIES: usize = 20;
/// Bars of a histogram.
pub const MAX_BINS: usize = 200;

/// Parameters of a chart.
#[derive(Debug, Clone, PartialEq, Default)]
struct Options {
    title: Option<String>,
    quantity: Option<String>,
    instruments: Option<Vec<String>>,
    /// Quantities of the two axes.
    axes: Option<(String, String)>,
    bins: Option<usize>,
}

fn options(visualization: &Visualization) -> Result<Options, Vec<ParameterProblem>> {
    let known: &[&str] = match visualization.kind {
        ChartKind::TimeSeries => &["title", "quantity", "instruments"],
        ChartKind::ScatterPlot => &["title", "quantity", "instruments", "x", "y"],
        ChartKind::Histogram => &["title", "quantity", "instruments", "bins"],
    };
    let mut reader = Reader::new(&visualization.parameters, known);
    let mut options = Options {
        title: reader.text("title"),
        quantity: reader.text("quantity"),
        instruments: reader.texts("instruments"),
        axes: None,
        bins: None,
    };
    match visualization.kind {
        ChartKind::TimeSeries => {}
        ChartKind::ScatterPlot => match (reader.text("x"), reader.text("y")) {
            (None, None) => {}
            (Some(x), Some(y)) => options.axes = Some((x, y)),
            (Some(_), None) => reader.problem("x", "needs `y` beside it, the quantity of the other axis"),
            (None, Some(_)) => reader.problem("y", "needs `x` beside it, the quantity of the other axis"),
        },
        ChartKind::Histogram => options.bins = reader.whole("bins", 1, MAX_BINS),
    }
    if options.axes.is_some() && options.quantity.is_some() {
        reader.problem("quantity", "does not go with `x` and `y`");
    }
    reader.finish(options)
}

/// What is wrong with the parameters of a chart; empty where nothing is. For checks before an inquiry runs.
pub fn check_chart(visualization: &Visualization) -> Vec<ParameterProblem> {
    options(visualization).err().unwrap_or_default()
}

/// Draws a chart: an SVG document. A chart without data says so.
///
/// # Errors
/// When a parameter is wrong.
pub fn chart(
    visualization: &Visualization,
    finding: &Finding,
    observed: &[Observed],
) -> Result<String, ReportError> {
    let options = options(visualization).map_err(ReportError::Parameters)?;
    let chosen = Chosen::new(&options, finding, observed);
    let title = heading(visualization.kind, &options, &chosen);
    Ok(match visualization.kind {
        ChartKind::TimeSeries => draw::over_time(&title, &chosen, true),
        ChartKind::ScatterPlot => match &options.axes {
            None => draw::over_time(&title, &chosen, false),
            Some((x, y)) => draw::pairs(&title, &data::Pairs::new(x, y, &options, finding, observed)),
        },
        ChartKind::Histogram => draw::histogram(&title, &chosen, options.bins),
    })
}

/// The chart's title: the one given, or what it shows.
pub(crate) fn title(
    visualization: &Visualization,
    finding: &Finding,
    observed: &[Observed],
) -> Result<String, ReportError> {
    let options = options(visualization).map_err(ReportError::Parameters)?;
    Ok(heading(visualization.kind, &options, &Chosen::new(&options, finding, observed)))
}

fn heading(kind: ChartKind, options: &Options, chosen: &Chosen<'_>) -> String {
    match (&options.title, kind, &options.axes) {
        (Some(title), _, _) => title.clone(),
        (None, _, Some((x, y))) => format!("{y} against {x}"),
        (None, ChartKind::TimeSeries | ChartKind::ScatterPlot, None) => {
            format!("{} over time", chosen.quantity)
        }
        (None, ChartKind::Histogram, None) => format!("Distribution of {}", chosen.quantity),
    }
}

/// Names of the files of charts in the manifest's order: a name that an earlier chart has is numbered.
pub(crate) fn chart_file_names(visualizations: &[Visualization]) -> Vec<String> {
    let mut names = Vec::with_capacity(visualizations.len());
    for (position, visualization) in visualizations.iter().enumerate() {
        let name = chart_file_name(visualization.kind);
        let earlier =
            visualizations[..position].iter().filter(|other| other.kind == visualization.kind).count();
        names.push(match (earlier, name.strip_suffix(".svg")) {
            (1.., Some(stem)) => format!("{stem}-{}.svg", earlier + 1),
            _ => name,
        });
    }
    names
}
