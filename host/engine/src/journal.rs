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

use crate::drive::is_continuous;
use crate::gating::{Access, Bounds, KeyRecord, Origin, PluginRecord, Tenant};

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
        /// Folder that relative paths of the manifest are relative to; none for one that may read no files.
        base_dir: Option<String>,
        /// The tenant that it belongs to, with what that tenant allowed when it was submitted.
        bounds: Box<Bounds>,
        /// Who asked for it.
        origin: Origin,
        /// A second submission under the same key of the same tenant is the first one, if its manifest is the same too.
        idempotency_key: Option<String>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Give a step to an executor.
    Lease {
        /// The inquiry.
        inquiry: InquiryId,
        /// Position of the step in the plan.
        step: usize,
        /// Which observation of the step: 0 for the first. Only the observing steps of a continuous inquiry have more; a
        /// round later than the last recorded one begins the step anew, and rounds in between were missed.
        round: u32,
        /// Attempt, from 1, counted over all rounds; must be one more than the last.
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
        /// The round that was leased.
        round: u32,
        /// The fencing token that the lease gave.
        token: Token,
        /// How the attempt ended.
        record: Box<StepRecord>,
        /// Whether the step gets no further attempt.
        is_final: bool,
    },
    /// Keep the finding of a continuous inquiry as it stands. Replaces the one before; the ledger names both.
    Update {
        /// The inquiry.
        inquiry: InquiryId,
        /// The finding.
        finding: Box<Finding>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Ask for an inquiry to end: one that runs once is aborted, a continuous one concludes with what it has.
    Cancel {
        /// The inquiry.
        inquiry: InquiryId,
        /// Nanoseconds since the Unix epoch.
        at: i64,
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
    /// Make a change that somebody was allowed to make; the decision and the change are recorded together or not at all.
    /// Where the change is refused, the decision is recorded all the same. Not nested.
    Authorized {
        /// The decision.
        access: Box<Access>,
        /// The change.
        change: Box<Command>,
    },
    /// Record a decision that changes nothing: a refusal, most of all.
    Decide {
        /// The decision.
        access: Box<Access>,
    },
    /// Add a tenant.
    CreateTenant {
        /// The tenant.
        tenant: Box<Tenant>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Replace a tenant's description and policy. Inquiries that were submitted before keep their bounds.
    UpdateTenant {
        /// The tenant.
        tenant: Box<Tenant>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Remove a tenant, its keys and its plugins; refused while it has inquiries that have not ended. Its ended inquiries
    /// stay readable for those who see all tenants.
    RemoveTenant {
        /// Its name.
        tenant: String,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Add a key.
    CreateKey {
        /// The key, without its secret.
        key: Box<KeyRecord>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Revoke a key. It stays listed.
    RevokeKey {
        /// Its id.
        id: String,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Add a plugin whose component is a stored blob. The same digest again is already done; another digest under a name and
    /// version that the same tenant or everybody has is refused.
    InstallPlugin {
        /// The plugin.
        plugin: Box<PluginRecord>,
        /// Nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Remove a plugin; refused while an inquiry that has not ended was planned with it.
    RemovePlugin {
        /// Its digest.
        digest: String,
        /// The tenant that it belongs to; none for one that everybody has.
        tenant: Option<String>,
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
    /// The idempotency key was used before for the same manifest; nothing changed. This is the inquiry it made.
    Earlier(InquiryId),
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
    /// The idempotency key was used for another manifest.
    #[error("the idempotency key was used for another manifest, which became inquiry {inquiry}")]
    IdempotencyKeyReused {
        /// The inquiry that it made.
        inquiry: InquiryId,
    },
    /// Another manifest of the same id is running for this tenant.
    #[error(
        "another manifest with the id `{id}` is running as inquiry {inquiry}; cancel it first or choose another id"
    )]
    ManifestIdInUse {
        /// The manifest's id.
        id: String,
        /// The inquiry that is running.
        inquiry: InquiryId,
    },
    /// There is no such tenant.
    #[error("there is no tenant `{tenant}`")]
    NoSuchTenant {
        /// The name asked for.
        tenant: String,
    },
    /// There is a tenant of this name.
    #[error("there is a tenant `{tenant}` already")]
    TenantExists {
        /// The name.
        tenant: String,
    },
    /// A tenant of this name was removed; what it left in the ledger is nobody else's.
    #[error("the name `{tenant}` was that of a tenant that is removed and stays its own; take another")]
    TenantRemoved {
        /// The name.
        tenant: String,
    },
    /// The tenant has inquiries that have not ended, or is the one that always exists.
    #[error("the tenant `{tenant}` cannot be removed: {reason}")]
    TenantInUse {
        /// The name.
        tenant: String,
        /// What holds it.
        reason: String,
    },
    /// There is no such key.
    #[error("there is no key {id}")]
    NoSuchKey {
        /// The id asked for.
        id: String,
    },
    /// The key's id or secret is taken; draw another.
    #[error("the key is taken")]
    KeyTaken,
    /// There is no such plugin.
    #[error("there is no plugin {plugin}")]
    NoSuchPlugin {
        /// What was asked for.
        plugin: String,
    },
    /// The name and version belong to other bytes.
    #[error("{name} {version} is another component, {digest}; a new component needs a new version")]
    VersionTaken {
        /// The plugin's name.
        name: String,
        /// Its version.
        version: String,
        /// The digest that has them.
        digest: String,
    },
    /// An inquiry that has not ended was planned with the plugin.
    #[error("the plugin is in use by inquiry {inquiry}, which has not ended")]
    PluginInUse {
        /// One of them.
        inquiry: InquiryId,
    },
    /// There are as many as there may be.
    #[error("there are {limit} {what} already, and no more are possible")]
    TooMany {
        /// What is counted.
        what: String,
        /// How many there may be.
        limit: usize,
    },
    /// Only the observing steps of a continuous inquiry have more than one round, and rounds only go on.
    #[error("round {asked} of the step cannot follow round {last}")]
    RoundOutOfOrder {
        /// The round asked for.
        asked: u32,
        /// The last one.
        last: u32,
    },
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
    /// The tenant, and what it allowed when the inquiry was submitted.
    pub bounds: Bounds,
    /// Who asked for it.
    pub origin: Origin,
    /// When it was submitted.
    pub submitted: i64,
    /// When somebody asked for it to end, if anybody did.
    pub cancel_requested: Option<i64>,
    /// How far it is.
    pub status: Status,
    /// The last finding of a continuous inquiry that has not ended.
    pub interim: Option<Interim>,
    /// Steps that were leased or recorded, by position in the plan.
    pub steps: BTreeMap<usize, StepState>,
}

/// What must be known of an inquiry to give it its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// Whether some of its steps are observed again and again.
    pub continuous: bool,
    /// Whether it has not ended.
    pub running: bool,
    /// Whether somebody asked for its end.
    pub cancel_requested: bool,
}

impl From<Inquiry> for Outline {
    fn from(inquiry: Inquiry) -> Self {
        Self {
            continuous: is_continuous(&inquiry.plan),
            running: inquiry.status == Status::Running,
            cancel_requested: inquiry.cancel_requested.is_some(),
            tenant: inquiry.bounds.tenant,
        }
    }
}

/// The finding of a continuous inquiry as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interim {
    /// The finding.
    pub finding: Finding,
    /// When it was drawn.
    pub at: i64,
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
    /// The round of the last lease; 0 save for the observing steps of a continuous inquiry.
    pub round: u32,
    /// Rounds that were never leased because their time had passed.
    pub missed: u64,
    /// Failed attempts of this round before the final one, oldest first.
    pub earlier: Vec<StepRecord>,
    /// The one final record of this round.
    pub record: Option<StepRecord>,
    /// Final records of earlier rounds, oldest first, as many as the plan's `execution.history` keeps.
    pub history: Vec<(u32, StepRecord)>,
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

    /// The inquiry in outline. A journal that keeps it apart need not read the whole.
    async fn outline(&self, id: &str) -> Result<Option<Outline>, JournalError> {
        Ok(self.inquiry(id).await?.map(Outline::from))
    }

    /// Ids of the inquiries that have not ended, oldest first.
    async fn unfinished(&self) -> Result<Vec<InquiryId>, JournalError>;

    /// Position and root of the ledger.
    async fn checkpoint(&self) -> Result<Checkpoint, JournalError>;

    /// Keep a blob; durable when this returns.
    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobDigest, JournalError>;

    /// Read a blob, checked against its digest.
    async fn blob(&self, digest: &str) -> Result<Vec<u8>, JournalError>;
}
