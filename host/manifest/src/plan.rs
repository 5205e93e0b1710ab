//! The plan: what a manifest becomes once its instruments are resolved. Self-contained, so that a host can run it
//! without the manifest and without looking anything up by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spec::{
    Analysis, Arbitration, Belief, Capabilities, Execution, Falsification, Limits, Parameters,
    PreflightCheck, Reporting, Substrate,
};

/// A compiled inquiry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The manifest's id.
    pub manifest_id: String,
    /// The manifest's name.
    pub name: String,
    /// SHA-256 of the manifest's text, lower-case hex.
    pub manifest_digest: String,
    /// The tenant named in the manifest, if any.
    pub tenant: Option<String>,
    /// The type of inquiry, if named.
    pub kind: Option<String>,
    /// Tags for search.
    pub tags: Vec<String>,
    /// Instruments by id.
    pub instruments: BTreeMap<String, PlannedInstrument>,
    /// Steps in a topological order: a step depends only on steps before it.
    pub steps: Vec<PlannedStep>,
    /// Where the data come from.
    pub substrate: Option<Substrate>,
    /// Concurrency, retries, time limits.
    pub execution: Execution,
    /// Checks before the first step.
    pub preflight: Vec<PreflightCheck>,
    /// Axioms that readings must satisfy.
    pub falsification: Falsification,
    /// How readings are combined.
    pub arbitration: Arbitration,
    /// The question of state over time.
    pub belief: Option<Belief>,
    /// Statistical tests and charts.
    pub analysis: Analysis,
    /// Artifacts to write.
    pub reporting: Reporting,
    /// Limits of each call.
    pub limits: Limits,
    /// Access asked for.
    pub capabilities: Capabilities,
}

/// An instrument, resolved to the bytes that will run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedInstrument {
    /// The plugin's own name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// Parameters of the session. May hold secret references, never secrets.
    pub parameters: Parameters,
    /// Interval in nanoseconds at which a continuous inquiry observes it.
    pub probe_interval: Option<u64>,
}

/// A step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Unique in the plan.
    pub name: String,
    /// The phase it belongs to.
    pub phase: String,
    /// What it does.
    pub action: Action,
    /// Positions in [`Plan::steps`] of the steps that must be done before; ascending, all smaller than its own.
    pub after: Vec<usize>,
    /// Those of `after` that the manifest names in `depends_on`: if one of them fails or is skipped, this step is skipped.
    /// A step that merely comes later in the order runs all the same.
    pub needs: Vec<usize>,
    /// Whether the failure of this step ends the inquiry.
    pub break_on_failure: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Open the instrument and calibrate it, to see that it can measure.
    SelfTest {
        /// Id of the instrument.
        instrument: String,
    },
    /// Open the instrument, calibrate it and take readings.
    Observe {
        /// Id of the instrument.
        instrument: String,
        /// Parameters of the step.
        parameters: Parameters,
        /// Whether its readings enter the finding; those of diagnostic and calibration steps are only recorded.
        counts: bool,
    },
    /// Run the analysis section; its result is part of the finding.
    Analyze,
    /// Write the artifacts.
    Report,
    /// Close the instruments. Sessions end with their step, so this marks the phase in the ledger.
    Close,
}

impl Action {
    /// Id of the instrument that the step needs, if any.
    pub fn instrument(&self) -> Option<&str> {
        match self {
            Self::SelfTest { instrument } | Self::Observe { instrument, .. } => Some(instrument),
            Self::Analyze | Self::Report | Self::Close => None,
        }
    }
}
