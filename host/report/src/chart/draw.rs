//! Drawing: frames, lines, points and bars.

use inquisitor_findings::finding::Estimate;
use inquisitor_findings::format;

use super::MAX_BINS;
use super::axis::{Axis, Tick};
use super::data::{Chosen, Pairs, Point, thinned};
use super::svg::{Anchor, HEIGHT, Svg, WIDTH};
use crate::text;

/// Colours that are told apart with any colour vision and in print (after Okabe and Ito).
const COLORS: &[&str] =
    &["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999"];
/// The colour of the estimate.
const ESTIMATE: &str = "#000000";

const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = HEIGHT - 64.0;
/// Bars when nothing asks for another number, however many readings there are.
const MAX_DEFAULT_BINS: usize = 60;

fn color(position: usize) -> &'static str {
    COLORS[position % COLORS.len()]
}

fn with_unit(quantity: &str, unit: &str) -> String {
    if unit == "1" || unit.is_empty() { quantity.to_owned() } else { format!("{quantity} in {unit}") }
}

/// Title, axes and grid.
fn frame(svg: &mut Svg, title: &str, x: (&str, &[Tick]), y: (&str, &[Tick])) {
    svg.text((LEFT, 26.0), Anchor::Start, "title", &cut(title, 90));
    for tick in y.1 {
        svg.line((LEFT, tick.at), (RIGHT, tick.at), "grid");
        svg.text((LEFT - 8.0, tick.at + 4.0), Anchor::End, "small", &tick.label);
    }
    for tick in x.1 {
        svg.line((tick.at, BOTTOM), (tick.at, BOTTOM + 5.0), "axis");
        svg.text((tick.at, BOTTOM + 20.0), Anchor::Middle, "small", &tick.label);
    }
    svg.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis");
    svg.line((LEFT, TOP), (LEFT, BOTTOM), "axis");
    svg.text((RIGHT, BOTTOM + 40.0), Anchor::End, "small", &cut(x.0, 90));
    svg.text((RIGHT, 26.0), Anchor::End, "small", &cut(y.0, 40));
}

/// A text that fits; the reports hold it whole.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// A chart that says why it is empty.
fn nothing(title: &str, why: &str) -> String {
    let mut svg = Svg::new();
    svg.text((LEFT, 26.0), Anchor::Start, "title", &cut(title, 90));
    svg.text((WIDTH / 2.0, HEIGHT / 2.0), Anchor::Middle, "", &cut(why, 110));
    svg.finish(title, 0)
}

/// Least and greatest of finite values; none of none.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// Seconds from one moment to another.
fn seconds(from: i64, to: i64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let nanoseconds = (i128::from(to) - i128::from(from)) as f64;
    nanoseconds / 1e9
}

/// Values over time: lines with the estimate, or points.
pub(super) fn over_time(title: &str, chosen: &Chosen<'_>, with_lines: bool) -> String {
    let estimate = chosen.estimate.filter(|estimate| with_lines && !estimate.course.is_empty());
    let course = estimate.map(course).unwrap_or_default();
    let times = chosen.all_points().map(|point| point.time).chain(course.iter().map(|one| one.0));
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return nothing(title, &format!("there are no readings of {} that are numbers", chosen.quantity));
    };
    // Excluded readings may lie so far off that the others would be one flat line.
    let of_kept = chosen.series.iter().flat_map(|series| &series.points).map(|point| point.value);
    let of_kept = of_kept.chain(course.iter().flat_map(|one| [one.1 - one.2, one.1 + one.2]));
    let (low, high) =
        range(of_kept).or_else(|| range(chosen.all_points().map(|point| point.value))).unwrap_or((0.0, 1.0));
    let x = Axis::new(0.0, seconds(first, last), LEFT, RIGHT);
    let y = Axis::new(low, high, BOTTOM, TOP).rounded();
    let place = |point: &Point| (x.at(seconds(first, point.time)), y.at(point.value));

    let mut svg = Svg::new();
    let x_name = format!("time (UTC), from {}", text::time(first));
    frame(
        &mut svg,
        title,
        (&x_name, &x.moments(first)),
        (&with_unit(&chosen.quantity, &chosen.unit), &y.numbers()),
    );
    if let (Some(_), false) = (estimate, course.is_empty()) {
        let at = |time: i64, value: f64| (x.at(seconds(first, time)), y.at(value));
        let upper = course.iter().map(|(time, value, expanded)| at(*time, value + expanded));
        let lower = course.iter().rev().map(|(time, value, expanded)| at(*time, value - expanded));
        svg.polygon(&upper.chain(lower).collect::<Vec<_>>(), "band");
    }
    let mut lines = 0;
    for (position, series) in chosen.series.iter().enumerate() {
        let points = thinned(&series.points, |point| point.value);
        let places: Vec<(f64, f64)> = points.iter().map(place).collect();
        if with_lines && places.len() > 1 {
            svg.polyline(&places, "series", color(position));
        } else {
            places.iter().for_each(|at| svg.circle(*at, 2.5, color(position)));
        }
        // At the edge where they lie beyond it.
        for point in &series.excluded {
            let (at_x, at_y) = place(point);
            svg.cross((at_x, at_y.clamp(TOP, BOTTOM)));
        }
        let label = legend(&series.instrument, series.points.len(), points.len(), series.excluded.len());
        svg.legend(lines, &label, |svg, at| svg.circle(at, 5.0, color(position)));
        lines += 1;
    }
    if let (Some(estimate), false) = (estimate, course.is_empty()) {
        let places: Vec<(f64, f64)> =
            course.iter().map(|(time, value, _)| (x.at(seconds(first, *time)), y.at(*value))).collect();
        if places.len() > 1 {
            svg.polyline(&places, "estimate", ESTIMATE);
        } else {
            places.iter().for_each(|at| svg.circle(*at, 4.0, ESTIMATE));
        }
        let k = format::plain(estimate.coverage_factor);
        let label = format!("estimate ({}) and its expanded uncertainty (k = {k})", estimate.method);
        svg.legend(lines, &label, |svg, (at_x, at_y)| {
            svg.polyline(&[(at_x - 10.0, at_y), (at_x + 10.0, at_y)], "estimate", ESTIMATE);
        });
        lines += 1;
    }
    lines += notes(&mut svg, lines, chosen);
    svg.finish(title, lines)
}

/// The course of an estimate: time, value, expanded uncertainty.
fn course(estimate: &Estimate) -> Vec<(i64, f64, f64)> {
    let moments = thinned(&estimate.course, |moment| moment.value);
    let expanded = |uncertainty: f64| estimate.coverage_factor * uncertainty;
    moments.iter().map(|moment| (moment.time, moment.value, expanded(moment.standard_uncertainty))).collect()
}

fn legend(instrument: &str, readings: usize, drawn: usize, excluded: usize) -> String {
    let mut label = format!("{}: {}", cut(instrument, 60), text::count(readings, "reading", "readings"));
    if drawn < readings {
        label.push_str(", drawn by the extremes of equal stretches");
    }
    if excluded > 0 {
        label.push_str(&format!(", {excluded} excluded (crosses)"));
    }
    label
}

/// Says what is not drawn; gives the number of lines.
fn notes(svg: &mut Svg, line: usize, chosen: &Chosen<'_>) -> usize {
    let mut notes = Vec::new();
    if chosen.left_out > 0 {
        notes.push(format!("{} more not drawn", text::count(chosen.left_out, "instrument", "instruments")));
    }
    if chosen.incomparable > 0 {
        let readings = text::count(chosen.incomparable, "reading", "readings");
        notes.push(format!("{readings} not drawn: their units do not convert to {}", chosen.unit));
    }
    for (position, note) in notes.iter().enumerate() {
        svg.legend(line + position, &cut(note, 110), |_, _| {});
    }
    notes.len()
}

/// One quantity against another.
pub(super) fn pairs(title: &str, pairs: &Pairs) -> String {
    let all = || pairs.series.iter().flat_map(|(_, points)| points);
    let ranges = (range(all().map(|point| point.0)), range(all().map(|point| point.1)));
    let (Some((left, right)), Some((low, high))) = ranges else {
        let why = format!("no instrument read {} and {} at the same moment", pairs.x, pairs.y);
        return nothing(title, &why);
    };
    let x = Axis::new(left, right, LEFT, RIGHT).rounded();
    let y = Axis::new(low, high, BOTTOM, TOP).rounded();
    let mut svg = Svg::new();
    let x_name = with_unit(&pairs.x, &pairs.x_unit);
    let y_name = with_unit(&pairs.y, &pairs.y_unit);
    frame(&mut svg, title, (&x_name, &x.numbers()), (&y_name, &y.numbers()));
    for (position, (instrument, points)) in pairs.series.iter().enumerate() {
        let drawn = thinned(points, |point| point.1);
        drawn.iter().for_each(|point| svg.circle((x.at(point.0), y.at(point.1)), 2.5, color(position)));
        let label = legend(instrument, points.len(), drawn.len(), 0);
        svg.legend(position, &label, |svg, at| svg.circle(at, 5.0, color(position)));
    }
    svg.finish(title, pairs.series.len())
}

/// How often values occur.
pub(super) fn histogram(title: &str, chosen: &Chosen<'_>, bins: Option<usize>) -> String {
    let kept = || chosen.series.iter().flat_map(|series| &series.points).map(|point| point.value);
    let Some((low, high)) = range(kept()) else {
        return nothing(title, &format!("there are no readings of {} that are numbers", chosen.quantity));
    };
    let bins = bins.unwrap_or_else(|| sturges(kept().count()));
    let x = Axis::new(low, high, LEFT, RIGHT);
    let width = (RIGHT - LEFT) / bins as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bin_of = |value: f64| (((x.at(value) - LEFT) / width) as usize).min(bins - 1);
    let counts: Vec<Vec<u32>> = chosen
        .series
        .iter()
        .map(|series| {
            let mut counts = vec![0; bins];
            series.points.iter().for_each(|point| counts[bin_of(point.value)] += 1);
            counts
        })
        .collect();
    let total = |bin: usize| counts.iter().map(|counts| f64::from(counts[bin])).sum::<f64>();
    let highest = (0..bins).map(total).fold(1.0, f64::max);
    let y = Axis::new(0.0, highest, BOTTOM, TOP).rounded();
    let mut svg = Svg::new();
    // Readings come in whole numbers.
    let y_ticks: Vec<Tick> = y.numbers().into_iter().filter(|tick| !tick.label.contains('.')).collect();
    frame(
        &mut svg,
        title,
        (&with_unit(&chosen.quantity, &chosen.unit), &x.numbers()),
        ("readings", &y_ticks),
    );
    let mut below = vec![0.0; bins];
    for (position, (series, counts)) in chosen.series.iter().zip(&counts).enumerate() {
        for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let from = below[bin];
            below[bin] += f64::from(*count);
            let top = y.at(below[bin]);
            svg.rectangle(
                LEFT + bin as f64 * width + 0.5,
                top,
                (width - 1.0).max(0.5),
                y.at(from) - top,
                color(position),
            );
        }
        let label = legend(&series.instrument, series.points.len(), series.points.len(), 0);
        svg.legend(position, &label, |svg, at| svg.circle(at, 5.0, color(position)));
    }
    let lines = chosen.series.len();
    let lines = lines + notes(&mut svg, lines, chosen);
    svg.finish(title, lines)
}

/// Bars for so many readings (Sturges 1926).
fn sturges(readings: usize) -> usize {
    let bits = usize::BITS - readings.max(1).leading_zeros();
    (bits as usize + 1).clamp(5, MAX_DEFAULT_BINS.min(MAX_BINS))
}
