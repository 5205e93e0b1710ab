//! How a call to a component may end. Every limit has a name of its own; nothing is a generic error.

use serde::{Deserialize, Serialize};

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Failure {
    /// The instrument refused a parameter.
    #[error("invalid parameter at `{pointer}`: {message}")]
    InvalidParameters {
        /// JSON Pointer into the parameters.
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// What the instrument depends on is not there; the only failure that is worth another attempt by itself.
    #[error("unavailable: {message}")]
    Unavailable {
        /// What is not there.
        message: String,
        /// Nanoseconds to wait before it is worth another try.
        retry_after: Option<u64>,
    },
    /// The instrument gave up.
    #[error("failed: {message}")]
    Failed {
        /// Why.
        message: String,
    },
    /// The code trapped.
    #[error("trapped: {message}")]
    Trap {
        /// The trap and the top of the guest's stack.
        message: String,
    },
    /// Linear memory would have grown over the limit.
    #[error("memory limit: {limit} bytes allowed, {asked} needed")]
    MemoryLimit {
        /// Bytes allowed.
        limit: u64,
        /// Bytes asked for.
        asked: u64,
    },
    /// A table would have grown over the limit.
    #[error("table limit: {limit} elements allowed, {asked} needed")]
    TableLimit {
        /// Elements allowed.
        limit: u64,
        /// Elements asked for.
        asked: u64,
    },
    /// The component has or would make more instances, memories or tables than allowed.
    #[error("instance limit: {message}")]
    InstanceLimit {
        /// What there were too many of.
        message: String,
    },
    /// The call took longer than allowed.
    #[error("wall-time limit of {limit_ms} ms")]
    WallLimit {
        /// Milliseconds allowed.
        limit_ms: u64,
    },
    /// The fuel was used up.
    #[error("fuel limit of {limit}")]
    FuelLimit {
        /// Units allowed.
        limit: u64,
    },
    /// The guest's stack was used up.
    #[error("stack limit of {limit} bytes")]
    StackLimit {
        /// Bytes allowed.
        limit: u64,
    },
    /// The guest called the host more often than allowed.
    #[error("host-call limit of {limit}")]
    HostCallLimit {
        /// Calls allowed.
        limit: u64,
    },
    /// The result, or an argument to the host, is larger than allowed.
    #[error("{what} limit: {limit} allowed, {asked} given")]
    ResultLimit {
        /// What was too large: `readings`, `result bytes`, `log bytes`, …
        what: String,
        /// Allowed.
        limit: u64,
        /// Given.
        asked: u64,
    },
    /// The guest asked for what was not granted and did not get over it.
    #[error("capability denied: {asked}")]
    CapabilityDenied {
        /// What it asked for, as `tcp 10.0.0.5:502`.
        asked: String,
    },
    /// The guest called `exit`.
    #[error("exited with code {code}")]
    Exited {
        /// The exit code.
        code: i32,
    },
    /// The instrument broke the contract: a reading that is not finite, an unknown quantity, a unit that is missing.
    #[error("contract violation: {message}")]
    ContractViolation {
        /// What, in which reading.
        message: String,
    },
    /// The inquiry no longer wants the answer.
    #[error("cancelled")]
    Cancelled,
    /// The host itself failed; says nothing about the plugin.
    #[error("host failure: {message}")]
    Host {
        /// What failed.
        message: String,
    },
}

impl Failure {
    /// Short name for metrics and the ledger, as `memory-limit`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidParameters { .. } => "invalid-parameters",
            Self::Unavailable { .. } => "unavailable",
            Self::Failed { .. } => "failed",
            Self::Trap { .. } => "trap",
            Self::MemoryLimit { .. } => "memory-limit",
            Self::TableLimit { .. } => "table-limit",
            Self::InstanceLimit { .. } => "instance-limit",
            Self::WallLimit { .. } => "wall-limit",
            Self::FuelLimit { .. } => "fuel-limit",
            Self::StackLimit { .. } => "stack-limit",
            Self::HostCallLimit { .. } => "host-call-limit",
            Self::ResultLimit { .. } => "result-limit",
            Self::CapabilityDenied { .. } => "capability-denied",
            Self::Exited { .. } => "exited",
            Self::ContractViolation { .. } => "contract-violation",
            Self::Cancelled => "cancelled",
            Self::Host { .. } => "host",
        }
    }

    /// Whether another attempt may succeed: the instrument says so, the time ran out, or the host failed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::WallLimit { .. } | Self::Host { .. })
    }
}
