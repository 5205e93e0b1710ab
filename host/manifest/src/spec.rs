//! What an inquiry asks for, as typed values: the one internal form of both spellings of a manifest.
//!
//! These types hold only what has been checked; [`crate::parse`] is the way in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Parameters of an instrument, a step, a source: a JSON object whose schema belongs to its consumer.
pub type Parameters = Map<String, Value>;

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Schema version as written, `X.Y` or `X.Y.Z`.
    pub version: String,
    /// Identifier, unique among a tenant's manifests.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The tenant named in the manifest, if any.
    pub tenant: Option<String>,
    /// The type of inquiry (`COMPLIANCE`, …) that a tenant's policy allows or not.
    pub kind: Option<String>,
    /// Author, time, description, tags.
    pub metadata: Metadata,
    /// What to do, in which order.
    pub protocol: Protocol,
    /// Where the data come from; none where the instruments have their own.
    pub substrate: Option<Substrate>,
    /// The instruments; at least one, ids unique.
    pub instruments: Vec<Instrument>,
    /// Concurrency, retries, time limits.
    pub execution: Execution,
    /// Checks before the first step.
    pub preflight: Vec<PreflightCheck>,
    /// Axioms that readings must satisfy.
    pub falsification: Falsification,
    /// How readings are combined.
    pub arbitration: Arbitration,
    /// The question of state over time, if one is asked.
    pub belief: Option<Belief>,
    /// Statistical tests and charts.
    pub analysis: Analysis,
    /// Artifacts to write.
    pub reporting: Reporting,
    /// Limits of each call of an instrument.
    pub limits: Limits,
    /// Access that the inquiry asks for on behalf of its instruments.
    pub capabilities: Capabilities,
}

/// Who made the manifest and what for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Author; required in the wrapped spelling, empty where the Kubernetes spelling names none.
    pub author: String,
    /// RFC 3339 time of creation, as written.
    pub created: Option<String>,
    /// What the inquiry is for.
    pub description: Option<String>,
    /// Tags for search.
    pub tags: Vec<String>,
    /// Labels of the Kubernetes spelling.
    pub labels: BTreeMap<String, String>,
}

/// The order of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// How phases and steps are ordered.
    #[serde(rename = "type")]
    pub kind: ProtocolKind,
    /// Phases in the order of the manifest; at least one.
    pub phases: Vec<Phase>,
}

/// How phases and steps are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolKind {
    /// Phases in order, steps in order.
    Sequential,
    /// All steps at once, save where `depends_on` holds one back.
    Parallel,
    /// Only `depends_on` orders.
    Dag,
    /// Phases in order, the steps of a phase at once unless `depends_on`.
    Hybrid,
}

/// A phase: a plain name, or a name with steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The phase's name.
    pub name: String,
    /// Its steps; none for a phase given as a plain name, whose meaning follows from the name.
    pub steps: Option<Vec<Step>>,
}

/// A step of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the manifest.
    pub name: String,
    /// `measurement`, `diagnostic`, `calibration`, `analysis`, `reporting`, or a word of the author's own.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the instrument; none means every declared one (for steps that observe).
    pub instrument: Option<String>,
    /// Parameters of the step.
    pub parameters: Parameters,
    /// Names of steps that must be done before.
    pub depends_on: Vec<String>,
    /// Whether the failure of this step ends the inquiry.
    pub break_on_failure: bool,
}

/// Where the data come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Substrate {
    /// A seeded generator.
    Synthetic {
        /// Name of the generator.
        generator: String,
        /// Its parameters.
        parameters: Parameters,
    },
    /// A file of the host.
    File {
        /// Path as written; relative paths are relative to the manifest's folder.
        path: String,
        /// Format, delimiter, header, types.
        parameters: Parameters,
    },
}

/// An instrument as declared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instrument {
    /// `name`, `name@version` or `name@sha256:…` of an installed plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// Unique in the manifest.
    pub id: String,
    /// Where the plugin comes from; `internal` is the host's own catalogue.
    pub provider: String,
    /// Parameters of the session.
    pub parameters: Parameters,
    /// Interval in nanoseconds at which a continuous inquiry observes it.
    pub probe_interval: Option<u64>,
}

/// How steps are run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// How many steps run at once, 1 to 100.
    pub max_workers: u32,
    /// Attempts for a step, 1 to 10.
    pub max_attempts: u32,
    /// Attempt `n + 1` waits `backoff_factor · 2^(n-1)` seconds, 0.1 to 10.
    pub backoff_factor: f64,
    /// Time limit of one attempt in seconds.
    pub attempt_timeout: Option<u64>,
    /// Time limit of the whole inquiry in seconds.
    pub timeout: Option<u64>,
    /// Observations of each step of a continuous inquiry that are kept and weighed, 1 to [`MAX_HISTORY`]. Older ones leave
    /// their digests in the ledger.
    pub history: u32,
}

/// The largest `execution.history`.
pub const MAX_HISTORY: u32 = 10_000;
/// `execution.history` where the manifest does not say.
pub const DEFAULT_HISTORY: u32 = 256;

impl Default for Execution {
    fn default() -> Self {
        Self {
            max_workers: 1,
            max_attempts: 1,
            backoff_factor: 1.0,
            attempt_timeout: None,
            timeout: None,
            history: DEFAULT_HISTORY,
        }
    }
}

/// A check before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreflightCheck {
    /// Every instrument's plugin loads and opens.
    InstrumentAvailability,
    /// The substrate opens and gives its columns.
    SubstrateAccessibility,
    /// The host has capacity for the inquiry now.
    RateLimitCapacity,
}

/// Axioms that readings must satisfy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Falsification {
    /// In the order of the manifest.
    pub axioms: Vec<Axiom>,
}

/// One axiom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "axiom", rename_all = "snake_case")]
pub enum Axiom {
    /// The value lies within bounds, both inclusive.
    Bounds {
        /// The quantity it speaks of.
        quantity: String,
        /// UCUM code of the bounds' unit; none means the reading's own.
        unit: Option<String>,
        /// Lower bound.
        min: Option<f64>,
        /// Upper bound.
        max: Option<f64>,
    },
    /// Readings of one instrument do not change faster than this.
    Rate {
        /// The quantity it speaks of.
        quantity: String,
        /// UCUM code of the rate's numerator; none means the reading's own.
        unit: Option<String>,
        /// Largest change.
        max_rate: f64,
        /// In this time, in nanoseconds.
        per: u64,
    },
    /// Instruments agree with each other.
    Agreement {
        /// The quantity it speaks of.
        quantity: String,
        /// UCUM code of the distance; none means the reading's own.
        unit: Option<String>,
        /// Largest distance from the centre.
        agree_within: f64,
        /// What the centre is.
        of: Center,
    },
    /// A CEL expression over the reading and its neighbours is true.
    Expression {
        /// The expression.
        expression: String,
    },
}

/// The centre from which disagreement is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Center {
    /// Median of the instruments.
    Median,
    /// Mean of the instruments.
    Mean,
}

/// How readings are combined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arbitration {
    /// The method.
    pub method: Method,
    /// How many instruments may lie, f.
    pub max_faulty: u32,
    /// Readings below this confidence do not count, 0 to 1.
    pub minimum_confidence: f64,
}

impl Default for Arbitration {
    fn default() -> Self {
        Self { method: Method::WeightedMean, max_faulty: 0, minimum_confidence: 0.0 }
    }
}

/// A method of arbitration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Inverse-variance weights, or confidence where no uncertainty is given.
    WeightedMean,
    /// Median.
    Median,
    /// Huber's M-estimator.
    Huber,
    /// Random effects after DerSimonian and Laird.
    DersimonianLaird,
    /// Marzullo's interval intersection.
    Marzullo,
    /// Brooks and Iyengar's hybrid of agreement and fusion.
    BrooksIyengar,
}

/// A question of state over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// The states; the first is the one that the inquiry asserts.
    pub states: Vec<String>,
    /// The quantity that tells the states apart.
    pub quantity: String,
    /// For each state that is described by one: the range of the quantity.
    pub ranges: BTreeMap<String, StateRange>,
    /// Probability of going from one state to another between observations. What a row lacks is the probability to stay.
    pub transition: BTreeMap<String, BTreeMap<String, f64>>,
    /// Probability from which a state counts as decided, above 0.5 and up to 1.
    pub decide_at: f64,
}

/// The range of a quantity in a state, both ends inclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRange {
    /// Lower end.
    pub min: Option<f64>,
    /// Upper end.
    pub max: Option<f64>,
    /// UCUM code of the range's unit; none means the readings' own.
    pub unit: Option<String>,
}

/// Statistical tests and charts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Analysis {
    /// Tests in the order of the manifest.
    pub statistical: Vec<StatisticalTest>,
    /// Charts in the order of the manifest.
    pub visualizations: Vec<Visualization>,
}

/// A statistical test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatisticalTest {
    /// Which test.
    pub test: TestKind,
    /// Ids of the instruments to compare; empty means all that have readings.
    pub groups: Vec<String>,
    /// Parameters of the test, such as `quantity` and `alpha`.
    pub parameters: Parameters,
}

/// Which statistical test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestKind {
    /// Means of the groups with their confidence intervals.
    MeanComparison,
    /// Student's or Welch's t-test of two groups, or of one against a value.
    TTest,
    /// One-way analysis of variance.
    Anova,
    /// Pearson's correlation of two groups.
    Correlation,
    /// Least-squares line.
    Regression,
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visualization {
    /// Which chart.
    #[serde(rename = "type")]
    pub kind: ChartKind,
    /// Parameters of the chart, such as `quantity` and `bins`.
    pub parameters: Parameters,
}

/// Which chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Values over time, one line for each instrument.
    TimeSeries,
    /// Values as points.
    ScatterPlot,
    /// Distribution of values.
    Histogram,
}

/// Artifacts to write.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Reporting {
    /// What to write.
    pub artifacts: Vec<Artifact>,
    /// Where to write it, beside the host's artifact store.
    pub destinations: Vec<Destination>,
}

/// A report to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Which report.
    #[serde(rename = "type")]
    pub kind: ArtifactKind,
    /// In which format.
    pub format: ArtifactFormat,
    /// Parameters of the report, such as `title`.
    pub parameters: Parameters,
}

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// One page for who decides.
    ExecutiveSummary,
    /// Everything.
    DetailedReport,
    /// What `inquisitor run` prints.
    ConsoleSummary,
    /// The compliance question, its answer and the evidence.
    ComplianceReport,
}

/// Format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactFormat {
    /// CommonMark.
    Markdown,
    /// A page of HTML that needs nothing else.
    Html,
    /// JSON.
    Json,
}

/// Where to write artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Destination {
    /// A folder of the host.
    File {
        /// Path as written; relative paths are relative to the manifest's folder.
        path: String,
        /// Parameters of the destination.
        parameters: Parameters,
    },
}

/// Limits of each call of an instrument; the tenant and the host cap them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory in bytes.
    pub memory: Option<u64>,
    /// Instructions, roughly; asks for a deterministic budget of CPU.
    pub fuel: Option<u64>,
    /// Wall time of a call in nanoseconds.
    pub wall: Option<u64>,
}

/// Access that the inquiry asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Authorities (`host:port`) for outgoing HTTP.
    pub http: Vec<String>,
    /// Addresses (`host:port`) for outgoing TCP.
    pub tcp: Vec<String>,
    /// Directories of the host.
    pub files: Vec<FileGrant>,
}

/// A directory that instruments may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// Absolute path, seen by the instrument under the same name.
    pub path: String,
    /// Whether writing is refused.
    pub read_only: bool,
}
