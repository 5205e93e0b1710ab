//! What the engine needs of a conductor: commands that are durable before they are answered, and reads of what they made.
//!
//! The engine knows no Raft. A conductor turns each [`Command`] into a committed, deterministic change; the engine only
//! sees whether it was accepted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use inquisitor_findings::finding::{Finding, Verdict};
use inquisitor_findings::reading::Observation;
use inquisitor_manifest::plan::Plan;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::Usage;
use serde::{Deserialize, Serialize};

/// Identifier of an inquiry: a UUIDv7 in its usual text form.
pub type InquiryId = String;

/// SHA-256 of a blob, lower-case hex.
pub type BlobDigest = String;

/// A change of state. Every wall-clock value is stamped by the proposer, so that applying is deterministic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Accept an inquiry.
    Submit {
        /// Identifier, drawn by the proposer.
        inquiry: InquiryId,
        /// The compiled plan.
        plan: Box<Plan>,
        /// The manifest's text, as a blob.
        manifest: BlobDigest,
        /// Folder that relative paths of the manifest are relative to; none for one that came over the network.
        base_dir: Option<String>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Give a step to an executor.
    Lease {
        /// The inquiry.
        inquiry: InquiryId,
        /// Position of the step in the plan.
        step: usize,
        /// Attempt, from 1; must be one more than the last.
        attempt: u32,
        /// Who runs it.
        executor: String,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Record the end of an attempt. Refused unless it comes from the holder of the lease.
    Record {
        /// The inquiry.
        inquiry: InquiryId,
        /// Position of the step in the plan.
        step: usize,
        /// The fencing token that the lease gave.
        token: Token,
        /// How the attempt ended.
        record: Box<StepRecord>,
        /// Whether the step gets no further attempt.
        is_final: bool,
    },
    /// End an inquiry with its finding.
    Conclude {
        /// The inquiry.
        inquiry: InquiryId,
        /// The finding.
        finding: Box<Finding>,
        /// The reports written, name and blob.
        artifacts: Vec<(String, BlobDigest)>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// End an inquiry that failed or was cancelled, without a finding.
    Abort {
        /// The inquiry.
        inquiry: InquiryId,
        /// Why it ends.
        reason: Abort,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
}

/// Why an inquiry ended without a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "abort", rename_all = "snake_case")]
pub enum Abort {
    /// Somebody asked for it.
    Cancelled,
    /// The time limit of the whole inquiry was reached.
    TimedOut,
    /// A preflight check did not pass.
    Preflight {
        /// Which and why.
        message: String,
    },
    /// A step with `break_on_failure` failed.
    Broken {
        /// Name of the step.
        step: String,
        /// Why it failed.
        message: String,
    },
}

/// Proof of holding a step: attempt number and term. Ordered; a later lease has a greater token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    /// Term of the leader that gave the lease.
    pub term: u64,
    /// Attempt, from 1.
    pub attempt: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The readings, or why there are none. Steps without an instrument have an empty observation.
    pub result: StepResult,
    /// Resources used.
    pub usage: Usage,
    /// What the component could observe, as a blob; none for steps without an instrument.
    pub transcript: Option<BlobDigest>,
    /// Log lines, as a blob; none where there were none.
    pub logs: Option<BlobDigest>,
    /// State that the instrument wants kept for its next step, as a blob.
    pub state: Option<BlobDigest>,
    /// What was asked for and refused.
    pub denials: Vec<String>,
    /// Nanoseconds since the Unix epoch.
    pub started: i64,
    /// Nanoseconds since the Unix epoch.
    pub ended: i64,
}

impl StepRecord {
    /// The record of a step that called no instrument.
    pub fn without_call(result: StepResult, started: i64, ended: i64) -> Self {
        Self {
            result,
            usage: Usage::default(),
            transcript: None,
            logs: None,
            state: None,
            denials: Vec::new(),
            started,
            ended,
        }
    }
}

/// Readings of an attempt, or why there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// Readings that lie in the record itself: small sets.
    Inline(Observation),
    /// Readings in a blob (JSON of [`Observation`]): sets whose JSON is larger than [`MAX_INLINE_READINGS_BYTES`].
    Blob {
        /// The blob.
        digest: BlobDigest,
        /// How many readings it holds.
        readings: usize,
    },
    /// The attempt failed.
    Failed(Failure),
    /// The step was never run, because one that it depends on failed or the inquiry ended before.
    Skipped {
        /// Which and why.
        reason: String,
    },
}

/// Bytes of readings, as JSON, that lie in the log entry itself; more go to a blob.
pub const MAX_INLINE_READINGS_BYTES: usize = 16 << 10;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// The change was made.
    Done,
    /// The change was made; this is the lease's token.
    Leased(Token),
    /// It had been made before; nothing changed.
    AlreadyDone,
    /// It may not be made; nothing changed.
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such inquiry.
    #[error("there is no inquiry {inquiry}")]
    NoSuchInquiry {
        /// The id asked for.
        inquiry: String,
    },
    /// There is no such step.
    #[error("the plan has no step {step}")]
    NoSuchStep {
        /// The position asked for.
        step: usize,
    },
    /// The id is taken by another inquiry.
    #[error("the inquiry id is taken")]
    IdTaken,
    /// The inquiry has ended.
    #[error("the inquiry has ended")]
    Ended,
    /// The step has its final record.
    #[error("the step has been recorded")]
    StepDone,
    /// The token is not the step's current lease.
    #[error("the lease was lost to another executor")]
    LeaseLost,
    /// The attempt number does not follow the last one.
    #[error("attempt {asked} does not follow attempt {last}")]
    AttemptOutOfOrder {
        /// The attempt asked for.
        asked: u32,
        /// The last attempt leased.
        last: u32,
    },
    /// A step is not recorded yet, so the inquiry cannot conclude.
    #[error("step {step} is not recorded yet")]
    StepsMissing {
        /// Position of the first one.
        step: usize,
    },
}

/// An inquiry as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inquiry {
    /// Identifier.
    pub id: InquiryId,
    /// The plan.
    pub plan: Plan,
    /// The manifest's text, as a blob.
    pub manifest: BlobDigest,
    /// Folder that relative paths of the manifest are relative to.
    pub base_dir: Option<String>,
    /// When it was submitted.
    pub submitted: i64,
    /// How far it is.
    pub status: Status,
    /// Steps that were leased or recorded, by position in the plan.
    pub steps: BTreeMap<usize, StepState>,
}

/// How far an inquiry is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// Steps are running or wait.
    Running,
    /// Ended with a finding.
    Concluded {
        /// The finding.
        finding: Box<Finding>,
        /// Reports, name and blob.
        artifacts: Vec<(String, BlobDigest)>,
        /// When.
        at: i64,
    },
    /// Ended without a finding.
    Aborted {
        /// Why.
        reason: Abort,
        /// When.
        at: i64,
    },
}

impl Status {
    /// The verdict, where there is one.
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Concluded { finding, .. } => Some(finding.verdict),
            Self::Running | Self::Aborted { .. } => None,
        }
    }
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    /// The last lease given; its holder alone may record.
    pub token: Token,
    /// Who holds or held it.
    pub executor: String,
    /// Failed attempts before the final one, oldest first.
    pub earlier: Vec<StepRecord>,
    /// The one final record.
    pub record: Option<StepRecord>,
}

/// Position and root of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of entries.
    pub size: u64,
    /// Merkle tree hash (RFC 6962), lower-case hex.
    pub root: String,
}

/// Why the journal gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no leader or no quorum now; the command may or may not be applied later.
    #[error("the cluster cannot commit now: {0}")]
    Unavailable(String),
    /// The store failed.
    #[error("the store failed: {0}")]
    Storage(String),
    /// A blob that is named is not there or does not match its digest.
    #[error("blob {digest}: {message}")]
    Blob {
        /// The digest asked for.
        digest: BlobDigest,
        /// What is wrong.
        message: String,
    },
}

/// The conductor as the engine sees it.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Commit a command. When this returns `Ok`, the change is durable and [`Journal::inquiry`] shows it.
    async fn propose(&self, command: Command) -> Result<Applied, JournalError>;

    /// The inquiry as it stands.
    async fn inquiry(&self, id: &str) -> Result<Option<Inquiry>, JournalError>;

    /// Ids of the inquiries that have not ended, oldest first.
    async fn unfinished(&self) -> Result<Vec<InquiryId>, JournalError>;

    /// Position and root of the ledger.
    async fn checkpoint(&self) -> Result<Checkpoint, JournalError>;

    /// Keep a blob; durable when this returns.
    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobDigest, JournalError>;

    /// Read a blob, checked against its digest.
    async fn blob(&self, digest: &str) -> Result<Vec<u8>, JournalError>;
}
