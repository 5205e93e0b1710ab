//! The summary that a terminal shows: the answer first, then what it rests on, aligned and in at most `width` columns.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use inquisitor_findings::finding::{BeliefFinding, Finding, Verdict};
use inquisitor_findings::format;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::{self, count, printable};
use crate::{StepOutcome, Summary};

/// Narrower than this nothing can be aligned.
const MIN_WIDTH: usize = 40;
/// Wider than this no line is read at a glance.
const MAX_WIDTH: usize = 120;
/// Columns of a name; longer ones are cut.
const MAX_NAME: usize = 32;
/// Lines of one section; the rest is counted. The reports have them all.
const MAX_LINES: usize = 12;
/// Columns that the lines of a section are set in.
const INDENT: usize = 2;

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// The finding as a person reads it at a glance, in lines of at most `width` columns (40 to 120; a single word that
/// is longer stays whole). Colours are ANSI sequences, and only where `color` asks for them; nothing is said by
/// colour alone. No text of a manifest or a plugin brings a control character of its own.
pub fn console_summary(input: &Summary<'_>, width: usize, color: bool) -> String {
    let mut page = Page { text: String::new(), width: width.clamp(MIN_WIDTH, MAX_WIDTH), color };
    let finding = input.finding;
    head(&mut page, input);
    estimates(&mut page, finding);
    belief(&mut page, input);
    tests(&mut page, finding);
    observations(&mut page, finding);
    exclusions(&mut page, finding);
    failures(&mut page, input.steps);
    foot(&mut page, input);
    page.text
}

/// Text in the making.
struct Page {
    text: String,
    width: usize,
    color: bool,
}

/// A piece of a line in one style.
type Piece = (Style, String);

fn plain(text: impl Into<String>) -> Piece {
    (PLAIN, text.into())
}

impl Page {
    /// A line of pieces after an indent; what does not fit goes on, indented by `hang`.
    fn line(&mut self, indent: usize, hang: usize, pieces: &[Piece]) {
        self.text.push_str(&" ".repeat(indent));
        let mut column = indent;
        // Width of the blanks that stand before the next word, and whether the line has a word yet.
        let (mut blanks, mut is_empty) = (0, true);
        for (style, piece) in pieces {
            // Words of one style in one row share one sequence.
            let mut run = String::new();
            for part in piece.split_inclusive(' ') {
                let word = part.trim_end_matches(' ');
                if !word.is_empty() {
                    let word_width = word.width();
                    let fits = is_empty || column + blanks + word_width <= self.width;
                    if fits && !run.is_empty() {
                        run.push_str(&" ".repeat(blanks));
                        column += blanks;
                    } else {
                        self.styled(*style, &std::mem::take(&mut run));
                        let (line_break, gap) = if fits { ("", blanks) } else { ("\n", hang) };
                        self.text.push_str(line_break);
                        self.text.push_str(&" ".repeat(gap));
                        column = if fits { column + gap } else { gap };
                    }
                    run.push_str(word);
                    column += word_width;
                    (blanks, is_empty) = (0, false);
                }
                blanks += part.len() - word.len();
            }
            self.styled(*style, &run);
        }
        self.text.push('\n');
    }

    fn styled(&mut self, style: Style, text: &str) {
        if self.color && style != PLAIN && !text.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{style}{text}{style:#}");
        } else {
            self.text.push_str(text);
        }
    }

    fn section(&mut self, name: &str, note: &str) {
        self.text.push('\n');
        self.line(0, INDENT, &[(BOLD, name.to_owned()), (DIM, format!("  {note}"))]);
    }

    /// Says how many lines of a section are left out.
    fn rest(&mut self, total: usize, one: &str, many: &str) {
        if total > MAX_LINES {
            let more = count(total - MAX_LINES, one, many);
            self.line(INDENT, INDENT, &[(DIM, format!("and {more} more"))]);
        }
    }
}

/// A name of at most [`MAX_NAME`] columns.
fn name(text: &str) -> String {
    let text = printable(text);
    if text.width() <= MAX_NAME {
        return text.into_owned();
    }
    let mut cut = String::new();
    let mut columns = 0;
    for c in text.chars() {
        columns += c.width().unwrap_or(0);
        if columns >= MAX_NAME {
            break;
        }
        cut.push(c);
    }
    cut + "…"
}

/// Text filled up to a width on its right.
fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Text filled up to a width on its left.
fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// Columns of the widest text.
fn widest<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(|text| text.width()).max().unwrap_or(0)
}

fn head(page: &mut Page, input: &Summary<'_>) {
    let finding = input.finding;
    let (style, mark) = match finding.verdict {
        Verdict::Verified => (GOOD, "✓"),
        Verdict::Inconclusive => (DOUBTFUL, "?"),
        Verdict::Falsified => (BAD, "✗"),
    };
    let verdict = format!("{mark} {}", text::verdict(finding.verdict));
    let indent = verdict.width() + 2;
    let title = printable(input.name).into_owned();
    page.line(0, indent, &[(style.bold(), verdict), (BOLD, format!("  {title}"))]);
    for reason in finding.reasons.iter().take(3) {
        page.line(INDENT, INDENT, &[plain(printable(reason))]);
    }
    let more = finding.reasons.len().saturating_sub(3);
    if more > 0 {
        let more =
            format!("and {}; see the sections below", count(more, "further reason", "further reasons"));
        page.line(INDENT, INDENT, &[(DIM, more)]);
    }
}

fn estimates(page: &mut Page, finding: &Finding) {
    if finding.estimates.is_empty() && finding.undetermined.is_empty() {
        return;
    }
    page.section("Estimates", "value ± expanded uncertainty; weight of each instrument");
    let shown = &finding.estimates[..finding.estimates.len().min(MAX_LINES)];
    let names: Vec<String> = shown.iter().map(|estimate| name(&estimate.quantity)).collect();
    let values: Vec<String> =
        shown.iter().map(|estimate| printable(&text::value(estimate)).into_owned()).collect();
    // Quantities and the instruments under them share their columns.
    let of_instruments = |estimate: &inquisitor_findings::finding::Estimate| -> Vec<(String, String)> {
        let k = estimate.coverage_factor;
        let contributions = estimate.contributions.iter().take(MAX_LINES);
        contributions
            .map(|one| {
                let value = text::plus_minus(one.value, k * one.standard_uncertainty, &estimate.unit);
                (name(&one.instrument), printable(&value).into_owned())
            })
            .collect()
    };
    let instruments: Vec<Vec<(String, String)>> = shown.iter().map(of_instruments).collect();
    let inner = instruments.iter().flatten();
    let undetermined: Vec<String> =
        finding.undetermined.iter().take(MAX_LINES).map(|one| name(&one.quantity)).collect();
    let name_width = widest(names.iter())
        .max(widest(undetermined.iter()))
        .max(widest(inner.clone().map(|(name, _)| name)) + INDENT);
    let value_width = widest(values.iter()).max(widest(inner.map(|(_, value)| value)));
    for (((estimate, name), value), instruments) in shown.iter().zip(&names).zip(&values).zip(&instruments) {
        let k = format!("  (k = {})", format::plain(estimate.coverage_factor));
        let method =
            format!("  {}, {}", printable(&estimate.method), count(estimate.readings, "reading", "readings"));
        page.line(
            INDENT,
            INDENT + name_width + 2,
            &[
                plain(padded(name, name_width)),
                plain("  "),
                (BOLD, padded(value, value_width)),
                plain(k),
                (DIM, method),
            ],
        );
        if let Some(interval) = text::interval(estimate) {
            page.line(
                2 * INDENT,
                2 * INDENT,
                &[(DIM, format!("interval of the method {}", printable(&interval)))],
            );
        }
        for ((instrument, value), one) in instruments.iter().zip(&estimate.contributions) {
            let (style, agreement) = if one.agrees { (GOOD, "✓ agrees") } else { (BAD, "✗ differs") };
            page.line(
                2 * INDENT,
                INDENT + name_width + 2,
                &[
                    plain(padded(instrument, name_width - INDENT)),
                    plain("  "),
                    plain(padded(value, value_width)),
                    plain(format!("  {}  ", right(&text::percent(one.weight), 5))),
                    (style, agreement.to_owned()),
                ],
            );
        }
        let more = estimate.contributions.len().saturating_sub(MAX_LINES);
        if more > 0 {
            page.line(
                2 * INDENT,
                2 * INDENT,
                &[(DIM, format!("and {}", count(more, "instrument", "instruments")))],
            );
        }
        if let Some(between) = &estimate.heterogeneity
            && between.p_value < 0.05
        {
            let p = format::p_value(between.p_value);
            page.line(
                2 * INDENT,
                2 * INDENT,
                &[(
                    DOUBTFUL,
                    format!("! the instruments differ by more than their uncertainties explain ({p})"),
                )],
            );
        }
    }
    page.rest(finding.estimates.len(), "quantity", "quantities");
    for (one, name) in finding.undetermined.iter().zip(&undetermined) {
        let why = format!("not determined: {}", printable(&one.reason));
        page.line(
            INDENT,
            INDENT + name_width + 2,
            &[plain(padded(name, name_width)), plain("  "), (DOUBTFUL, why)],
        );
    }
    page.rest(finding.undetermined.len(), "quantity", "quantities");
}

fn belief(page: &mut Page, input: &Summary<'_>) {
    let Some(belief) = &input.finding.belief else { return };
    page.section("State", &format!("asserted: {}", name(&belief.asserted)));
    let (style, answer) = answer(belief);
    let is_asserted = belief.decision.as_ref() == Some(&belief.asserted);
    let who = if is_asserted { String::new() } else { format!("{} ", name(&belief.asserted)) };
    let held = text_of_probability(belief.held_throughout);
    let decide_at = input.belief.map(|asked| format!(", decided from {}", format::plain(asked.decide_at)));
    page.line(
        INDENT,
        INDENT,
        &[
            (style.bold(), answer),
            plain(format!(
                "  {who}held throughout with p {held}{}, at {}",
                decide_at.unwrap_or_default(),
                count(belief.moments, "moment", "moments")
            )),
        ],
    );
    let unit = input
        .belief
        .and_then(|asked| input.finding.estimates.iter().find(|estimate| estimate.quantity == asked.quantity))
        .map_or("1", |estimate| estimate.unit.as_str());
    for departure in belief.departures.iter().take(MAX_LINES) {
        let extreme = text::with_unit(&format::significant(departure.extreme, 6), unit);
        let p = text_of_probability(departure.probability);
        page.line(
            INDENT,
            2 * INDENT,
            &[
                (BAD, format!("✗ {}", name(&departure.state))),
                plain(format!("  {}  reaching {}  p {p}", text::span(departure), printable(&extreme))),
            ],
        );
    }
    page.rest(belief.departures.len(), "departure", "departures");
    if belief.decision.is_none() {
        let last: Vec<String> = belief
            .final_probabilities
            .iter()
            .take(MAX_LINES)
            .map(|(state, p)| format!("{} {}", name(state), format::probability(*p)))
            .collect();
        page.line(INDENT, INDENT, &[(DIM, format!("at the end: {}", last.join(", ")))]);
    }
}

fn answer(belief: &BeliefFinding) -> (Style, String) {
    match &belief.decision {
        Some(state) if *state == belief.asserted => (GOOD, name(state)),
        Some(state) => (BAD, name(state)),
        None => (DOUBTFUL, "UNDECIDED".to_owned()),
    }
}

/// `= 0.98` or `> 0.999999`, to follow a `p`.
fn text_of_probability(p: f64) -> String {
    let text = format::probability(p);
    if text.starts_with(['<', '>']) { text } else { format!("= {text}") }
}

fn tests(page: &mut Page, finding: &Finding) {
    if finding.tests.is_empty() {
        return;
    }
    page.section("Tests", "");
    for test in finding.tests.iter().take(MAX_LINES) {
        let of = format!("{} of {}", name(&test.test), name(&test.quantity));
        let (style, result) = match &test.refused {
            Some(why) => (DOUBTFUL, format!("not run: {why}")),
            None => (PLAIN, test.conclusion.clone()),
        };
        page.line(INDENT, 2 * INDENT, &[(BOLD, of), (style, format!("  {}", printable(&result)))]);
        let p = test.figures.iter().find(|(figure, _)| figure == "p_value");
        if let Some((_, p)) = p.filter(|_| test.refused.is_none() && !test.conclusion.contains("p =")) {
            page.line(2 * INDENT, 2 * INDENT, &[(DIM, format::p_value(*p))]);
        }
    }
    page.rest(finding.tests.len(), "test", "tests");
}

fn observations(page: &mut Page, finding: &Finding) {
    if finding.observations.is_empty() {
        return;
    }
    page.section("Observations", "readings that are not numbers");
    let shown = &finding.observations[..finding.observations.len().min(MAX_LINES)];
    let labels: Vec<String> =
        shown.iter().map(|one| format!("{}  {}", name(&one.instrument), name(&one.quantity))).collect();
    let width = widest(labels.iter());
    for (one, label) in shown.iter().zip(&labels) {
        let values: Vec<String> = one
            .values
            .iter()
            .take(3)
            .map(|(value, times)| match times {
                1 => quoted(value),
                times => format!("{} ×{times}", quoted(value)),
            })
            .collect();
        let told: usize = one.values.iter().take(3).map(|(_, times)| times).sum();
        let more = one.readings.saturating_sub(told);
        let more = if more > 0 { format!(" and {}", count(more, "other", "others")) } else { String::new() };
        page.line(
            INDENT,
            INDENT + width + 2,
            &[plain(padded(label, width)), plain(format!("  {}", values.join(", "))), (DIM, more)],
        );
    }
    page.rest(finding.observations.len(), "quantity", "quantities");
}

/// A value in quotes, cut where it is long.
fn quoted(value: &str) -> String {
    // A message that an instrument repeats should be read whole; a page of text should not.
    const MAX_VALUE: usize = 60;
    let value = printable(value);
    if value.chars().count() <= MAX_VALUE {
        return format!("“{value}”");
    }
    let cut: String = value.chars().take(MAX_VALUE).collect();
    format!("“{cut}…”")
}

fn exclusions(page: &mut Page, finding: &Finding) {
    let excluded: usize = finding.exclusion_counts.iter().map(|one| one.readings).sum();
    if excluded == 0 {
        return;
    }
    let given: usize = finding.instruments.iter().map(|one| one.readings).sum();
    let of = count(given, "reading", "readings");
    page.section("Excluded", &format!("{excluded} of {of}"));
    let shown = &finding.exclusion_counts[..finding.exclusion_counts.len().min(MAX_LINES)];
    let names: Vec<String> = shown.iter().map(|one| name(&one.instrument)).collect();
    let counts: Vec<String> = shown.iter().map(|one| one.readings.to_string()).collect();
    let (name_width, count_width) = (widest(names.iter()), widest(counts.iter()));
    for ((one, name), count) in shown.iter().zip(&names).zip(&counts) {
        let margin = text::largest_margin(&finding.exclusions, &one.instrument, &one.rule)
            .map(|margin| format!("  by up to {}", format::significant(margin, 3)))
            .unwrap_or_default();
        page.line(
            INDENT,
            INDENT + name_width + count_width + 4,
            &[
                plain(padded(name, name_width)),
                (BAD, format!("  {}", right(count, count_width))),
                plain(format!("  violates {}", printable(&one.rule))),
                (DIM, margin),
            ],
        );
    }
    page.rest(finding.exclusion_counts.len(), "rule", "rules");
}

fn failures(page: &mut Page, steps: &[StepOutcome]) {
    let failed: Vec<&StepOutcome> = steps.iter().filter(|step| !step.is_completed()).collect();
    if failed.is_empty() {
        return;
    }
    page.section("Not completed", &format!("{} of {}", failed.len(), count(steps.len(), "step", "steps")));
    for step in failed.iter().take(MAX_LINES) {
        let attempts = match step.attempts {
            0 => String::new(),
            attempts => format!(" after {}", count(attempts as usize, "attempt", "attempts")),
        };
        let message =
            step.message.as_deref().map(|message| format!(": {}", printable(message))).unwrap_or_default();
        page.line(
            INDENT,
            2 * INDENT,
            &[
                (BAD, format!("✗ {}", name(&step.step))),
                plain(format!("  {}", printable(&step.outcome))),
                (DIM, format!("{attempts}{message}")),
            ],
        );
    }
    page.rest(failed.len(), "step", "steps");
}

fn foot(page: &mut Page, input: &Summary<'_>) {
    page.text.push('\n');
    page.line(0, 9, &[(DIM, format!("Inquiry  {}", printable(input.inquiry)))]);
    if let Some((size, root)) = input.checkpoint {
        let entries = if size == 1 { "entry" } else { "entries" };
        page.line(0, 9, &[(DIM, format!("Ledger   {size} {entries}, root {}", printable(root)))]);
    }
}
