//! What an inquiry says of itself while it runs. Events are for eyes; what counts is in the journal.

use inquisitor_runtime::request::LogLine;
use serde::Serialize;

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
        /// Attempt, from 1.
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
    /// A step got its one record.
    StepRecorded {
        /// Name of the step.
        step: String,
        /// Readings it brought; none if it failed or was skipped.
        readings: Option<usize>,
        /// Why it failed or was skipped.
        failure: Option<String>,
        /// Milliseconds that the last attempt took.
        took_ms: u64,
    },
    /// The inquiry has ended, with a finding or without.
    Ended,
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
