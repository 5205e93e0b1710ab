//! What each report contains.

use inquisitor_findings::finding::{Estimate, Finding};
use inquisitor_findings::format;
use inquisitor_findings::reading::Observed;
use inquisitor_manifest::spec::{Axiom, Center, StateRange, Substrate};

use crate::chart::{self, chart, chart_file_names};
use crate::document::{Block, Document, Table};
use crate::text::{self, count};
use crate::{ReportError, ReportInput, console_summary};

/// Columns of the summary where it is part of a report.
const CONSOLE_WIDTH: usize = 100;

/// One page for who decides: the answer, why, the figures, and how to check it.
pub(crate) fn executive_summary(title: &str, input: &ReportInput<'_>) -> Document {
    let mut blocks = head(title, input);
    reasons(&mut blocks, input.finding);
    estimates(&mut blocks, input.finding);
    belief(&mut blocks, input);
    provenance(&mut blocks, input);
    Document { title: title.to_owned(), blocks }
}

/// Everything that the finding holds.
pub(crate) fn detailed_report(
    title: &str,
    input: &ReportInput<'_>,
    observed: &[Observed],
) -> Result<Document, ReportError> {
    let finding = input.finding;
    let mut blocks = head(title, input);
    reasons(&mut blocks, finding);
    estimates(&mut blocks, finding);
    contributions(&mut blocks, finding);
    belief(&mut blocks, input);
    charts(&mut blocks, input, observed)?;
    tests(&mut blocks, finding);
    observations(&mut blocks, finding);
    axioms(&mut blocks, input);
    exclusion_counts(&mut blocks, finding);
    exclusions(&mut blocks, finding);
    instruments(&mut blocks, input);
    steps(&mut blocks, input);
    source(&mut blocks, input);
    provenance(&mut blocks, input);
    Ok(Document { title: title.to_owned(), blocks })
}

/// The question, its answer, and the evidence.
pub(crate) fn compliance_report(title: &str, input: &ReportInput<'_>) -> Document {
    let finding = input.finding;
    let mut blocks = head(title, input);
    blocks.push(heading("Question"));
    blocks.push(Block::Paragraph(question(input)));
    blocks.push(heading("Answer"));
    blocks.push(Block::Paragraph(compliance_answer(input)));
    reasons(&mut blocks, finding);
    belief(&mut blocks, input);
    estimates(&mut blocks, finding);
    axioms(&mut blocks, input);
    exclusion_counts(&mut blocks, finding);
    instruments(&mut blocks, input);
    steps(&mut blocks, input);
    provenance(&mut blocks, input);
    Document { title: title.to_owned(), blocks }
}

/// What `inquisitor run` prints, as a document.
pub(crate) fn console(title: &str, input: &ReportInput<'_>) -> Document {
    let blocks = vec![
        Block::Heading(1, title.to_owned()),
        Block::Code(console_summary(&input.summary(), CONSOLE_WIDTH, false)),
    ];
    Document { title: title.to_owned(), blocks }
}

fn heading(text: &str) -> Block {
    Block::Heading(2, text.to_owned())
}

fn head(title: &str, input: &ReportInput<'_>) -> Vec<Block> {
    vec![Block::Heading(1, title.to_owned()), Block::Verdict(text::verdict(input.finding.verdict))]
}

fn reasons(blocks: &mut Vec<Block>, finding: &Finding) {
    blocks.push(heading("Reasons"));
    blocks.push(Block::List(finding.reasons.clone()));
}

/// Adds a table under a heading, unless it is empty.
fn table(blocks: &mut Vec<Block>, title: &str, header: Vec<(&'static str, bool)>, rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        blocks.push(heading(title));
        blocks.push(Block::Table(Table { header, rows }));
    }
}

fn estimates(blocks: &mut Vec<Block>, finding: &Finding) {
    let row = |estimate: &Estimate| {
        vec![
            estimate.quantity.clone(),
            text::value(estimate),
            format::plain(estimate.coverage_factor),
            text::interval(estimate).unwrap_or_default(),
            estimate.method.clone(),
            estimate.contributions.len().to_string(),
            estimate.readings.to_string(),
        ]
    };
    let header = vec![
        ("Quantity", false),
        ("Value ± expanded uncertainty", true),
        ("k", true),
        ("Interval of the method", true),
        ("Method", false),
        ("Instruments", true),
        ("Readings", true),
    ];
    table(blocks, "Estimates", header, finding.estimates.iter().map(row).collect());
    let rows =
        finding.undetermined.iter().map(|one| vec![one.quantity.clone(), one.reason.clone()]).collect();
    table(blocks, "Not determined", vec![("Quantity", false), ("Reason", false)], rows);
}

fn contributions(blocks: &mut Vec<Block>, finding: &Finding) {
    let mut rows = Vec::new();
    for estimate in &finding.estimates {
        for one in &estimate.contributions {
            let expanded = estimate.coverage_factor * one.standard_uncertainty;
            rows.push(vec![
                estimate.quantity.clone(),
                one.instrument.clone(),
                text::plus_minus(one.value, expanded, &estimate.unit),
                text::percent(one.weight),
                one.readings.to_string(),
                if one.agrees { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    let header = vec![
        ("Quantity", false),
        ("Instrument", false),
        ("Its own value ± expanded uncertainty", true),
        ("Weight", true),
        ("Readings", true),
        ("Agrees", false),
    ];
    table(blocks, "What each instrument contributed", header, rows);
    let rows = finding
        .estimates
        .iter()
        .filter_map(|estimate| estimate.heterogeneity.map(|between| (estimate, between)))
        .map(|(estimate, between)| {
            vec![
                estimate.quantity.clone(),
                format::significant(between.q, 4),
                between.degrees_of_freedom.to_string(),
                format::p_value(between.p_value).trim_start_matches("p ").trim_start_matches("= ").to_owned(),
                text::percent(between.i_squared),
                format::significant(between.tau_squared, 3),
                format::significant(between.birge_ratio, 3),
            ]
        })
        .collect();
    let header = vec![
        ("Quantity", false),
        ("Cochran's Q", true),
        ("Degrees of freedom", true),
        ("p", true),
        ("I²", true),
        ("τ²", true),
        ("Birge ratio", true),
    ];
    table(blocks, "Agreement of the instruments", header, rows);
}

/// Unit of the quantity that the belief speaks of.
fn belief_unit<'a>(input: &ReportInput<'a>) -> &'a str {
    let quantity = input.plan.belief.as_ref().map(|belief| belief.quantity.as_str());
    let estimate =
        input.finding.estimates.iter().find(|estimate| Some(estimate.quantity.as_str()) == quantity);
    estimate.map_or("1", |estimate| estimate.unit.as_str())
}

fn belief(blocks: &mut Vec<Block>, input: &ReportInput<'_>) {
    let Some(belief) = &input.finding.belief else { return };
    blocks.push(heading("State"));
    let decision = belief.decision.as_deref().unwrap_or("UNDECIDED");
    blocks.push(Block::Paragraph(format!(
        "Decided: {decision}. Asserted: {}, which held throughout with a probability of {}, judged at {}.",
        belief.asserted,
        format::probability_in_words(belief.held_throughout),
        count(belief.moments, "moment", "moments")
    )));
    let rows = belief.final_probabilities.iter();
    let rows = rows.map(|(state, p)| vec![state.clone(), format::probability(*p)]).collect();
    blocks
        .push(Block::Table(Table { header: vec![("State", false), ("Probability at the end", true)], rows }));
    let unit = belief_unit(input);
    let rows = belief
        .departures
        .iter()
        .map(|departure| {
            vec![
                departure.state.clone(),
                text::time(departure.from),
                text::time(departure.until),
                text::with_unit(&format::significant(departure.extreme, 6), unit),
                format::probability(departure.probability),
            ]
        })
        .collect();
    let header = vec![
        ("State", false),
        ("From", false),
        ("Until", false),
        ("Most extreme", true),
        ("Probability", true),
    ];
    table(blocks, "Departures", header, rows);
}

fn charts(
    blocks: &mut Vec<Block>,
    input: &ReportInput<'_>,
    observed: &[Observed],
) -> Result<(), ReportError> {
    let visualizations = &input.plan.analysis.visualizations;
    if visualizations.is_empty() {
        return Ok(());
    }
    blocks.push(heading("Charts"));
    for (visualization, file) in visualizations.iter().zip(chart_file_names(visualizations)) {
        let svg = chart(visualization, input.finding, observed)?;
        blocks.push(Block::Chart { title: chart::title(visualization, input.finding, observed)?, file, svg });
    }
    Ok(())
}

fn tests(blocks: &mut Vec<Block>, finding: &Finding) {
    let rows = finding
        .tests
        .iter()
        .map(|test| {
            let figures: Vec<String> = test
                .figures
                .iter()
                .map(|(name, value)| match name.as_str() {
                    "p_value" => format::p_value(*value),
                    _ => format!("{name} = {}", format::significant(*value, 6)),
                })
                .collect();
            let result = match &test.refused {
                Some(why) => format!("not run: {why}"),
                None => test.conclusion.clone(),
            };
            vec![test.test.clone(), test.quantity.clone(), test.groups.join(", "), figures.join(", "), result]
        })
        .collect();
    let header =
        vec![("Test", false), ("Quantity", false), ("Groups", false), ("Figures", false), ("Result", false)];
    table(blocks, "Statistical tests", header, rows);
}

fn observations(blocks: &mut Vec<Block>, finding: &Finding) {
    let rows = finding
        .observations
        .iter()
        .map(|one| {
            let values: Vec<String> =
                one.values.iter().map(|(value, times)| format!("{value} ({times})")).collect();
            vec![one.instrument.clone(), one.quantity.clone(), one.readings.to_string(), values.join(", ")]
        })
        .collect();
    let header = vec![
        ("Instrument", false),
        ("Quantity", false),
        ("Readings", true),
        ("Most frequent values (times)", false),
    ];
    table(blocks, "Observations that are not numbers", header, rows);
}

fn axioms(blocks: &mut Vec<Block>, input: &ReportInput<'_>) {
    let excluded = |position: usize| -> usize {
        let counts = input.finding.exclusion_counts.iter();
        counts.filter(|one| one.axiom == Some(position)).map(|one| one.readings).sum()
    };
    let axioms = input.plan.falsification.axioms.iter().enumerate();
    let rows = axioms
        .map(|(position, axiom)| {
            vec![(position + 1).to_string(), axiom_in_words(axiom), excluded(position).to_string()]
        })
        .collect();
    table(blocks, "Axioms", vec![("", true), ("What must hold", false), ("Readings excluded", true)], rows);
}

fn axiom_in_words(axiom: &Axiom) -> String {
    let unit = |unit: &Option<String>| unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    match axiom {
        Axiom::Bounds { quantity, unit: code, min, max } => {
            format!("{quantity} {}{}", range_in_words(*min, *max), unit(code))
        }
        Axiom::Rate { quantity, unit: code, max_rate, per } => {
            let seconds = format::plain(std::time::Duration::from_nanos(*per).as_secs_f64());
            let rate = format::plain(*max_rate);
            format!("{quantity} changes by at most {rate}{} in {seconds} s", unit(code))
        }
        Axiom::Agreement { quantity, unit: code, agree_within, of } => {
            let center = match of {
                Center::Median => "median",
                Center::Mean => "mean",
            };
            let distance = format::plain(*agree_within);
            format!("{quantity} lies within {distance}{} of the {center} of the instruments", unit(code))
        }
        Axiom::Expression { expression } => expression.clone(),
    }
}

fn range_in_words(min: Option<f64>, max: Option<f64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("between {} and {}", format::plain(min), format::plain(max)),
        (Some(min), None) => format!("at least {}", format::plain(min)),
        (None, Some(max)) => format!("at most {}", format::plain(max)),
        (None, None) => "any value".to_owned(),
    }
}

fn exclusion_counts(blocks: &mut Vec<Block>, finding: &Finding) {
    let rows = finding
        .exclusion_counts
        .iter()
        .map(|one| {
            let margin = text::largest_margin(&finding.exclusions, &one.instrument, &one.rule);
            vec![
                one.instrument.clone(),
                one.rule.clone(),
                one.readings.to_string(),
                margin.map(|margin| format::significant(margin, 3)).unwrap_or_default(),
            ]
        })
        .collect();
    let header =
        vec![("Instrument", false), ("Rule violated", false), ("Readings", true), ("Largest margin", true)];
    table(blocks, "Excluded readings by rule", header, rows);
}

fn exclusions(blocks: &mut Vec<Block>, finding: &Finding) {
    let rows: Vec<Vec<String>> = finding
        .exclusions
        .iter()
        .map(|one| {
            vec![
                one.instrument.clone(),
                one.step.clone(),
                one.index.to_string(),
                one.quantity.clone(),
                one.value.map(|value| text::with_unit(&format::plain(value), &one.unit)).unwrap_or_default(),
                text::time(one.time),
                one.rule.clone(),
                one.margin.map(|margin| format::significant(margin, 3)).unwrap_or_default(),
            ]
        })
        .collect();
    let listed = rows.len();
    let header = vec![
        ("Instrument", false),
        ("Step", false),
        ("Position", true),
        ("Quantity", false),
        ("Value", true),
        ("Time", false),
        ("Rule violated", false),
        ("Margin", true),
    ];
    table(blocks, "Excluded readings one by one", header, rows);
    let total: usize = finding.exclusion_counts.iter().map(|one| one.readings).sum();
    if total > listed {
        let more = format!("{} more are counted above and not listed.", total - listed);
        blocks.push(Block::Paragraph(more));
    }
}

fn instruments(blocks: &mut Vec<Block>, input: &ReportInput<'_>) {
    let rows = input
        .plan
        .instruments
        .iter()
        .map(|(id, planned)| {
            let summary = input.finding.instruments.iter().find(|summary| summary.instrument == *id);
            let number =
                |count: Option<usize>| count.map_or_else(|| "0".to_owned(), |count| count.to_string());
            vec![
                id.clone(),
                format!("{} {}", planned.plugin, planned.version),
                planned.digest.clone(),
                number(summary.map(|summary| summary.readings)),
                number(summary.map(|summary| summary.excluded)),
            ]
        })
        .collect();
    let header = vec![
        ("Instrument", false),
        ("Plugin", false),
        ("SHA-256", false),
        ("Readings", true),
        ("Excluded", true),
    ];
    table(blocks, "Instruments", header, rows);
}

fn steps(blocks: &mut Vec<Block>, input: &ReportInput<'_>) {
    let rows = input
        .steps
        .iter()
        .map(|step| {
            vec![
                step.step.clone(),
                step.phase.clone(),
                step.instrument.clone().unwrap_or_default(),
                step.outcome.clone(),
                step.attempts.to_string(),
                step.readings.to_string(),
                step.message.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = vec![
        ("Step", false),
        ("Phase", false),
        ("Instrument", false),
        ("Outcome", false),
        ("Attempts", true),
        ("Readings", true),
        ("Message", false),
    ];
    table(blocks, "Steps", header, rows);
}

fn source(blocks: &mut Vec<Block>, input: &ReportInput<'_>) {
    let text = match &input.plan.substrate {
        None => return,
        Some(Substrate::Synthetic { generator, .. }) => format!("Rows of the generator {generator}."),
        Some(Substrate::File { path, .. }) => format!("The file {path}."),
    };
    blocks.push(heading("Data source"));
    blocks.push(Block::Paragraph(text));
}

fn question(input: &ReportInput<'_>) -> String {
    let Some(belief) = &input.plan.belief else {
        return "The manifest asserts no state. It asks for the quantities below, under the axioms below."
            .to_owned();
    };
    let asserted = belief.states.first().map_or("", String::as_str);
    let is = |range: &StateRange| {
        let unit = range.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        format!(", which is {} {}{unit}", belief.quantity, range_in_words(range.min, range.max))
    };
    let range = belief.ranges.get(asserted).map(is).unwrap_or_default();
    format!(
        "Was the state {asserted}{range}, throughout? It counts as decided from a probability of {}.",
        format::plain(belief.decide_at)
    )
}

fn compliance_answer(input: &ReportInput<'_>) -> String {
    let Some(belief) = &input.finding.belief else {
        return format!("{}.", text::verdict(input.finding.verdict));
    };
    let held = format::probability_in_words(belief.held_throughout);
    match &belief.decision {
        Some(state) if *state == belief.asserted => {
            format!("Yes: {state} held throughout with a probability of {held}.")
        }
        Some(_) => format!(
            "No: {} did not hold throughout; there {} below.",
            belief.asserted,
            match belief.departures.len() {
                0 => "are no departures to list".to_owned(),
                1 => "is 1 departure".to_owned(),
                n => format!("are {n} departures"),
            }
        ),
        None => format!("Undecided: {} held throughout with a probability of {held}.", belief.asserted),
    }
}

fn provenance(blocks: &mut Vec<Block>, input: &ReportInput<'_>) {
    let plan = input.plan;
    let mut rows = vec![
        vec!["Inquiry".to_owned(), input.inquiry.to_owned()],
        vec!["Submitted".to_owned(), text::time(input.submitted)],
        vec!["Manifest".to_owned(), plan.manifest_id.clone()],
        vec!["SHA-256 of the manifest".to_owned(), plan.manifest_digest.clone()],
    ];
    if let Some(tenant) = &plan.tenant {
        rows.push(vec!["Tenant".to_owned(), tenant.clone()]);
    }
    if let Some(kind) = &plan.kind {
        rows.push(vec!["Kind".to_owned(), kind.clone()]);
    }
    if let Some((size, root)) = input.checkpoint {
        rows.push(vec!["Entries of the ledger".to_owned(), size.to_string()]);
        rows.push(vec!["Root of the ledger".to_owned(), root.to_owned()]);
    }
    table(blocks, "Provenance", vec![("", false), ("", false)], rows);
    let mut check = format!(
        "To check it: inquisitor replay {} runs every step again from its record and compares the readings",
        input.inquiry
    );
    if input.checkpoint.is_some() {
        check.push_str("; inquisitor ledger verify checks the ledger against the root above");
    }
    blocks.push(Block::Paragraph(check + "."));
}
