//! The directory of declared manifests: what lies there runs, and what is taken away ends.
//!
//! Every member reads its own directory and shows it under `/v1/manifests`; the leader alone makes what runs the same.
//! [`plan`](mod@plan) decides what is to be done and is the place to start reading; [`files`] and `look` read the directory, [`check`]
//! the manifests, `past` remembers what ran before, `reconcile` and `act` do what the plan says.

mod act;
mod check;
mod files;
mod look;
mod past;
mod plan;
mod reconcile;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use inquisitor_engine::journal::InquiryId;
use inquisitor_manifest::Diagnostic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use reconcile::start;

/// How a declared file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its inquiry runs.
    Running,
    /// Its inquiry has ended, and that is as it should be.
    Ended,
    /// Its inquiry is to be submitted; `message` says what for it waits.
    Pending,
    /// It cannot be used; `message` and `diagnostics` say why. What ran for it before goes on.
    Broken,
}

impl State {
    pub(crate) const ALL: [Self; 4] = [Self::Running, Self::Ended, Self::Pending, Self::Broken];

    /// The word in the API and in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Pending => "pending",
            Self::Broken => "broken",
        }
    }
}

/// How the declared manifests stood at the last look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    /// Whether this member is the one that acts.
    pub(crate) leads: bool,
    /// What is wrong with the directory as a whole.
    pub(crate) problem: Option<String>,
    /// When the directory was last read, nanoseconds since the Unix epoch.
    pub(crate) looked: Option<i64>,
    /// By file name.
    pub(crate) files: BTreeMap<String, Declaration>,
}

/// How one file stands.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub(crate) state: State,
    pub(crate) tenant: Option<String>,
    pub(crate) manifest_id: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) inquiry: Option<InquiryId>,
    pub(crate) message: Option<String>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
}

/// How the declared manifests stand, for whoever asks.
#[derive(Default)]
pub(crate) struct Declared(RwLock<Arc<Board>>);

impl Declared {
    /// As of the last look.
    pub(crate) fn board(&self) -> Arc<Board> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, board: Board) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(board);
    }
}
