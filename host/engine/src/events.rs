//! What an inquiry says of itself while it runs. Events are for eyes and for counting; what counts is in the journal.
//!
//! Texts in events are bounded and hold no secrets.

use inquisitor_findings::finding::Verdict;
use inquisitor_runtime::request::{LogLine, Usage};
use serde::Serialize;

use crate::journal::Abort;

/// Something that happened in an inquiry.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Work on the inquiry starts, or goes on after an interruption.
    Started {
        /// Steps in the plan.
        steps: usize,
        /// Steps that were recorded before.
        recorded: usize,
    },
    /// An attempt at a step starts.
    StepStarted {
        /// Name of the step.
        step: String,
        /// Id of its instrument, if it has one.
        instrument: Option<String>,
        /// Who runs it.
        executor: String,
        /// Which observation of the step: 0 save in continuous inquiries.
        round: u32,
        /// Attempt, from 1, counted over all rounds.
        attempt: u32,
    },
    /// The instrument says how far it is.
    StepProgress {
        /// Name of the step.
        step: String,
        /// 0 to 1.
        fraction: f64,
        /// What is being done.
        message: String,
    },
    /// The instrument says something.
    StepLog {
        /// Name of the step.
        step: String,
        /// What it says.
        line: LogLine,
    },
    /// An attempt at a step with an instrument has ended, one that the circuit breaker or a refusal kept from its plugin
    /// included. Preflight checks are not among them.
    Called {
        /// Name of the step.
        step: String,
        /// Id of the instrument.
        instrument: String,
        /// The plugin's own name.
        plugin: String,
        /// Its version.
        version: String,
        /// `completed`, or the name of the failure, such as `memory-limit`.
        outcome: &'static str,
        /// Nanoseconds that it took, waiting for a free place left out.
        took_ns: u64,
        /// What it used: fuel, memory, calls to the host.
        usage: Usage,
        /// Which observation of the step.
        round: u32,
        /// Attempt, from 1.
        attempt: u32,
    },
    /// An attempt failed and another will follow.
    StepRetried {
        /// Name of the step.
        step: String,
        /// The attempt that failed.
        attempt: u32,
        /// Why, in a sentence.
        failure: String,
        /// Milliseconds until the next attempt.
        wait_ms: u64,
    },
    /// An attempt brought no record because its executor was lost, and another will follow. The instrument had no part in
    /// it.
    StepLost {
        /// Name of the step.
        step: String,
        /// Who ran it.
        executor: String,
        /// Which observation of the step.
        round: u32,
        /// The attempt that was lost.
        attempt: u32,
        /// Why, in a sentence.
        reason: String,
    },
    /// A step got its one record, of this round.
    StepRecorded {
        /// Name of the step.
        step: String,
        /// Which observation of the step.
        round: u32,
        /// Readings it brought; none if it failed or was skipped.
        readings: Option<usize>,
        /// Why it failed or was skipped.
        failure: Option<String>,
        /// Milliseconds that the last attempt took.
        took_ms: u64,
    },
    /// The time of rounds had passed before they could be leased.
    Missed {
        /// Name of the step.
        step: String,
        /// How many rounds.
        rounds: u64,
    },
    /// A continuous inquiry has a new finding.
    Updated {
        /// Its verdict.
        verdict: Verdict,
    },
    /// The inquiry has ended, with a finding or without.
    Ended {
        /// How.
        ending: Ending,
        /// Milliseconds since it was submitted.
        took_ms: u64,
    },
}

/// How an inquiry ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// With a finding.
    Concluded {
        /// Its verdict.
        verdict: Verdict,
    },
    /// Without one.
    Aborted {
        /// Why.
        reason: Abort,
    },
}

impl Ending {
    /// A short name, for metrics: `verified`, `inconclusive`, `falsified`, `cancelled`, `timed-out`, `preflight`, `broken`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Concluded { verdict: Verdict::Verified } => "verified",
            Self::Concluded { verdict: Verdict::Inconclusive } => "inconclusive",
            Self::Concluded { verdict: Verdict::Falsified } => "falsified",
            Self::Aborted { reason: Abort::Cancelled } => "cancelled",
            Self::Aborted { reason: Abort::TimedOut } => "timed-out",
            Self::Aborted { reason: Abort::Preflight { .. } } => "preflight",
            Self::Aborted { reason: Abort::Broken { .. } } => "broken",
        }
    }
}

/// Hears of events. Must not block: it is called from within the work.
pub trait Observer: Send + Sync {
    /// Something happened in the inquiry with this id.
    fn event(&self, inquiry: &str, event: Event);
}

/// Hears nothing.
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: &str, _: Event) {}
}
