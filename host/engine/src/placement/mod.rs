//! Where attempts at steps run: here, or at an executor elsewhere.
//!
//! The driver of an inquiry leases each step in the name of the executor that is to run it, has the attempt run there, and
//! records what it brought. The driver alone records, under the token of the lease, so an executor that was given up and goes
//! on working changes nothing. What an executor is, and how it is reached, is its own business: a member of the cluster today.
//! It needs the journal that the driver has, and nothing else is assumed of it.
//!
//! [`Executor`] is the seam. [`Pool`] knows the executors and chooses; `hosted.rs` is the other side, an attempt that somebody
//! else leased to this host.

mod hosted;
mod pool;
mod subjects;

use std::sync::Arc;

use async_trait::async_trait;
use inquisitor_runtime::request::LogLine;
use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::journal::{BlobDigest, InquiryId, StepRecord, Token};

pub use self::pool::Pool;
pub(crate) use self::pool::{Own, Place};
pub(crate) use self::subjects::Subjects;

/// An attempt that is leased to an executor. The executor knows the plan, and what the tenant allows, from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The inquiry.
    pub inquiry: InquiryId,
    /// Position of the step in its plan.
    pub step: usize,
    /// Which observation of the step.
    pub round: u32,
    /// The lease.
    pub token: Token,
    /// State that the instrument kept in an earlier step.
    pub state: Option<BlobDigest>,
    /// The span that the attempt belongs to, as [`Propagation`] writes it down.
    pub trace: Option<String>,
}

/// The attempt brought no record: its executor cannot be reached, has stopped, or cannot keep what it has. Says nothing of the
/// instrument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Lost {
    /// Why, in words for the log.
    pub reason: String,
}

impl Lost {
    /// Lost for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Hears what an instrument says. Must not block.
pub type Ear = Arc<dyn Fn(Said) + Send + Sync>;

/// One who runs attempts that a driver leased to it.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Run an attempt to its end. The failure of the instrument is a record too. All blobs that the record names are in the
    /// journal when it is returned. `ear` hears what the instrument says meanwhile. Dropping the future ends the attempt.
    ///
    /// # Errors
    /// When there will be no record; another executor may have the step then.
    async fn run(&self, assignment: &Assignment, ear: Ear) -> Result<StepRecord, Lost>;
}

/// An executor that says how much it would take.
pub trait Worker: Executor {
    /// What it would take now.
    ///
    /// # Errors
    /// Why it takes nothing, in words for the log.
    fn offer(&self) -> Result<Offer, String>;
}

/// How much an executor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Attempts that it runs at once.
    pub places: u32,
    /// Of these, how many are taken by others than the one who is told.
    pub busy: u32,
}

/// Carries traces from one host to another. The default carries none.
pub trait Propagation: Send + Sync {
    /// The current span, as a `traceparent` of the W3C.
    fn current(&self) -> Option<String> {
        None
    }

    /// Make a span that has not begun the child of one that [`Propagation::current`] wrote down. What makes no sense is left
    /// out.
    fn adopt(&self, span: &tracing::Span, parent: &str) {
        let _ = (span, parent);
    }
}

/// Carries none.
pub struct Untraced;

impl Propagation for Untraced {}

/// What an instrument says while it runs, on its way from the executor to the driver. All else that an executor observes is
/// its own: calls are counted where they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// How far it is.
    Progress {
        /// 0 to 1.
        fraction: f64,
        /// What is being done.
        message: String,
    },
    /// A log line.
    Log(LogLine),
}

impl Said {
    /// What an event says, where it is of this kind.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::StepProgress { fraction, message, .. } => {
                Some(Self::Progress { fraction: *fraction, message: message.clone() })
            }
            Event::StepLog { line, .. } => Some(Self::Log(line.clone())),
            _ => None,
        }
    }

    /// The event of the step of this name.
    pub fn into_event(self, step: String) -> Event {
        match self {
            Self::Progress { fraction, message } => Event::StepProgress { step, fraction, message },
            Self::Log(line) => Event::StepLog { step, line },
        }
    }
}

#[cfg(test)]
mod tests;
