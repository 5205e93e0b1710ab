//! What a caller gives for a session, and what it gets back beside the result.

use std::sync::Arc;
use std::time::Duration;

use inquisitor_findings::reading::Observation;
use inquisitor_manifest::spec::Parameters;
use inquisitor_substrate::batch::Source;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::outcome::Failure;

/// Everything that a session may use. Nothing is there that is not here.
#[derive(Clone)]
pub struct SessionRequest {
    /// Parameters of the session, secrets resolved.
    pub parameters: Parameters,
    /// Facts of the inquiry.
    pub facts: Facts,
    /// Limits of each call.
    pub limits: Limits,
    /// Access granted.
    pub grants: Grants,
    /// The data; none where the inquiry has no substrate.
    pub substrate: Option<Arc<dyn Source>>,
    /// Bytes kept from an earlier step.
    pub state: Option<Vec<u8>>,
    /// Where time and randomness come from.
    pub nondeterminism: Nondeterminism,
    /// Ends the session's calls early.
    pub cancel: CancellationToken,
    /// Hears of log lines and progress as they come.
    pub listener: Option<Arc<dyn Listener>>,
}

/// Facts of the inquiry that the guest may know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Identifier of the inquiry.
    pub inquiry: String,
    /// Name of the step.
    pub step: String,
    /// Identifier of the instrument.
    pub instrument: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// When the step was started, nanoseconds since the Unix epoch.
    pub started: i64,
}

/// Limits of each call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of linear memory, all memories of the component together.
    pub memory: u64,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Core instances.
    pub instances: u32,
    /// Wall time of one call.
    pub wall: Duration,
    /// Fuel of one call; none means CPU is bounded by wall time alone.
    pub fuel: Option<u64>,
    /// Calls to the host in one call of the guest.
    pub host_calls: u64,
    /// Bytes of log lines that are kept in one call; more are counted and dropped.
    pub log_bytes: u64,
    /// Readings in one observation.
    pub readings: u64,
    /// Bytes of one result.
    pub result_bytes: u64,
    /// Bytes of kept state and of a checkpoint.
    pub state_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            table_elements: 100_000,
            instances: 100,
            wall: Duration::from_secs(30),
            fuel: None,
            host_calls: 1_000_000,
            log_bytes: 256 << 10,
            readings: 1_000_000,
            result_bytes: 64 << 20,
            state_bytes: 1 << 20,
        }
    }
}

/// Access granted to one session. The default grants nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grants {
    /// Authorities (`host:port`) for outgoing HTTP.
    pub http: Vec<String>,
    /// Addresses (`host:port`) for outgoing TCP.
    pub tcp: Vec<String>,
    /// Directories, seen by the guest under the same absolute path.
    pub files: Vec<inquisitor_manifest::spec::FileGrant>,
}

/// Where time and randomness come from.
#[derive(Debug, Clone, Default)]
pub enum Nondeterminism {
    /// The host's clocks; random bytes from a generator seeded with this.
    #[default]
    Live,
    /// The host's clocks; random bytes from a generator with this seed.
    Seeded([u8; 32]),
    /// All that an earlier session observed, so that the same component comes to the same bytes.
    Recorded(Arc<Transcript>),
}

/// What a session observed of time and randomness, enough to run it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transcript {
    /// Seed of the random generator.
    pub seed: [u8; 32],
    /// Wall-clock readings in the order in which the guest made them, nanoseconds since the Unix epoch.
    pub wall_clock: Vec<i64>,
    /// Monotonic readings in the order in which the guest made them, nanoseconds since the session was opened.
    pub monotonic_clock: Vec<u64>,
    /// SHA-256 over all substrate batches in the order in which the guest pulled them, lower-case hex; empty if none.
    pub substrate_digest: String,
    /// Answers of the network, digests in the order in which they came. Empty where nothing was granted.
    pub network: Vec<String>,
    /// Whether the record is whole. A guest that reads clocks more often than the bound, or uses TCP or files, cannot be
    /// replayed from it.
    pub complete: bool,
}

/// Resources that a session used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Nanoseconds of wall time in calls.
    pub wall: u64,
    /// Fuel consumed, where fuel was asked for.
    pub fuel: Option<u64>,
    /// Largest linear memory, bytes.
    pub peak_memory: u64,
    /// Calls to the host.
    pub host_calls: u64,
    /// Rows pulled from the substrate.
    pub rows: u64,
    /// Log lines dropped over the limit.
    pub dropped_log_lines: u64,
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Every detail.
    Trace,
    /// For the author.
    Debug,
    /// For the operator, all is well.
    Info,
    /// Odd.
    Warn,
    /// Failed.
    Error,
}

/// A line that a guest logged, or wrote to stdout (info) or stderr (warn).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// Text, control characters escaped, cut at 8 KiB.
    pub message: String,
    /// Attributes as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

/// Hears of what a session says while it runs. Must not block.
pub trait Listener: Send + Sync {
    /// A log line within the limits.
    fn log(&self, line: &LogLine);
    /// Progress, 0 to 1.
    fn progress(&self, fraction: f64, message: &str);
}

/// All that one session brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The observation, or why there is none.
    pub result: Result<Observation, Failure>,
    /// Log lines, in order.
    pub logs: Vec<LogLine>,
    /// Resources used.
    pub usage: Usage,
    /// What the guest observed of time and randomness.
    pub transcript: Transcript,
    /// State to keep, if the guest stored any.
    pub state: Option<Vec<u8>>,
    /// What was asked for and refused, as `tcp 10.0.0.5:502`; the guest may have got over it.
    pub denials: Vec<String>,
}
