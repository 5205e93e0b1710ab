//! The finding: the answer to an inquiry, with how sure it is and why.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to an inquiry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The answer in a word.
    pub verdict: Verdict,
    /// Why, in sentences; the most important first. Never empty.
    pub reasons: Vec<String>,
    /// One for each quantity that could be estimated, in the order of first appearance.
    pub estimates: Vec<Estimate>,
    /// Quantities that have readings but no estimate, with the reason.
    pub undetermined: Vec<Undetermined>,
    /// Readings that violated an axiom; at most [`MAX_LISTED_EXCLUSIONS`], in order of instrument, step and position.
    pub exclusions: Vec<Exclusion>,
    /// For each axiom and instrument, how many readings it excluded. Complete even where `exclusions` is cut.
    pub exclusion_counts: Vec<ExclusionCount>,
    /// What is believed of the state over time, where the manifest asks.
    pub belief: Option<BeliefFinding>,
    /// Results of the statistical tests, in the manifest's order.
    pub tests: Vec<TestResult>,
    /// What each instrument contributed, in the manifest's order.
    pub instruments: Vec<InstrumentSummary>,
    /// Readings that are not numbers, such as presence events and texts: counts and last values.
    pub observations: Vec<Categorical>,
}

/// How many excluded readings a finding lists one by one; the rest are counted.
pub const MAX_LISTED_EXCLUSIONS: usize = 1000;

/// The answer in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// What the inquiry asserts holds, or, where it asserts nothing, its quantities have been determined.
    Verified,
    /// Too little is left to say.
    Inconclusive,
    /// What the inquiry asserts does not hold.
    Falsified,
}

/// The estimate of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Name of the quantity.
    pub quantity: String,
    /// UCUM code of every figure here.
    pub unit: String,
    /// The estimate.
    pub value: f64,
    /// Standard uncertainty (k = 1).
    pub standard_uncertainty: f64,
    /// Coverage factor of the expanded uncertainty.
    pub coverage_factor: f64,
    /// `coverage_factor · standard_uncertainty`.
    pub expanded_uncertainty: f64,
    /// Interval that the method gives in its own right (Marzullo, Brooks–Iyengar), lower and upper end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Name of the method.
    pub method: String,
    /// Readings that entered.
    pub readings: usize,
    /// What each instrument put in, in the manifest's order.
    pub contributions: Vec<Contribution>,
    /// How well the instruments agree, where more than one contributed.
    pub heterogeneity: Option<Heterogeneity>,
    /// Over time, where the readings have times: one value for each moment with readings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub course: Vec<Moment>,
}

/// The estimate at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// The estimate.
    pub value: f64,
    /// Standard uncertainty.
    pub standard_uncertainty: f64,
    /// Instruments that contributed.
    pub instruments: usize,
}

/// What one instrument put into an estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contribution {
    /// Id of the instrument.
    pub instrument: String,
    /// The instrument's own value.
    pub value: f64,
    /// Its standard uncertainty.
    pub standard_uncertainty: f64,
    /// Its share of the estimate; the shares sum to 1.
    pub weight: f64,
    /// Its readings that entered.
    pub readings: usize,
    /// Whether its value is compatible with the estimate: within twice the combined uncertainty.
    pub agrees: bool,
}

/// How well instruments agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heterogeneity {
    /// Cochran's Q.
    pub q: f64,
    /// Degrees of freedom.
    pub degrees_of_freedom: usize,
    /// Probability of a Q as large or larger if the instruments agree.
    pub p_value: f64,
    /// Share of the variation that is between instruments, 0 to 1.
    pub i_squared: f64,
    /// Variance between instruments.
    pub tau_squared: f64,
    /// Birge ratio, √(Q / ν).
    pub birge_ratio: f64,
}

/// A quantity without an estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Undetermined {
    /// Name of the quantity.
    pub quantity: String,
    /// Why there is none.
    pub reason: String,
}

/// A reading that an axiom excluded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exclusion {
    /// Id of the instrument.
    pub instrument: String,
    /// Name of the step.
    pub step: String,
    /// Position of the reading in the step's observation: readings first, then the rows of each series.
    pub index: usize,
    /// Name of the quantity.
    pub quantity: String,
    /// The reading's value, in `unit`; none where it is not a number.
    pub value: Option<f64>,
    /// UCUM code of the reading's unit.
    pub unit: String,
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// Position of the axiom in the manifest, from 0; none for `minimum_confidence`.
    pub axiom: Option<usize>,
    /// The axiom in words, as `temperature within [-273.15, 100] Cel`.
    pub rule: String,
    /// How far beyond the axiom it lies, in the axiom's unit; none where the axiom has no distance.
    pub margin: Option<f64>,
}

/// How many readings of an instrument an axiom excluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExclusionCount {
    /// Id of the instrument.
    pub instrument: String,
    /// Position of the axiom in the manifest; none for `minimum_confidence`.
    pub axiom: Option<usize>,
    /// The axiom in words.
    pub rule: String,
    /// Readings excluded.
    pub readings: usize,
}

/// What is believed of the state over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BeliefFinding {
    /// The decided state, or none: UNDECIDED.
    pub decision: Option<String>,
    /// The state that the inquiry asserts.
    pub asserted: String,
    /// Probability that the asserted state held at every moment of the record.
    pub held_throughout: f64,
    /// Probability of each state at the last moment, in the manifest's order.
    pub final_probabilities: Vec<(String, f64)>,
    /// Stretches of time in which a state other than the asserted one is decided.
    pub departures: Vec<Departure>,
    /// Moments that entered.
    pub moments: usize,
}

/// A stretch of time in another state than the asserted one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Departure {
    /// The state.
    pub state: String,
    /// First moment, nanoseconds since the Unix epoch.
    pub from: i64,
    /// Last moment.
    pub until: i64,
    /// Largest probability of the state in the stretch.
    pub probability: f64,
    /// The most extreme estimate in the stretch.
    pub extreme: f64,
}

/// Result of a statistical test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TestResult {
    /// Name of the test, as in the manifest.
    pub test: String,
    /// The quantity it speaks of.
    pub quantity: String,
    /// The groups compared.
    pub groups: Vec<String>,
    /// Figures by their usual names (`f`, `p_value`, `df_between`, …), in the order in which they are usually given.
    pub figures: Vec<(String, f64)>,
    /// Why the test could not be run; figures are empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The result in a sentence.
    pub conclusion: String,
}

/// What one instrument contributed to the inquiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstrumentSummary {
    /// Id of the instrument.
    pub instrument: String,
    /// Readings it gave.
    pub readings: usize,
    /// Readings excluded.
    pub excluded: usize,
}

/// Readings that are not numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Categorical {
    /// Id of the instrument.
    pub instrument: String,
    /// Name of the quantity.
    pub quantity: String,
    /// How many readings.
    pub readings: usize,
    /// The most frequent values as text with their counts, at most ten, the most frequent first.
    pub values: Vec<(String, usize)>,
}
