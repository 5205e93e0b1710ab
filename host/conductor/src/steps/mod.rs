//! Attempts at steps that the leader leases to other members.
//!
//! The leader asks a member to run an attempt with one request, and its answer is a stream of frames for as long as the attempt
//! lasts: a sign of life every second, what the instrument says, and at last the record. The stream is the lease: where nothing
//! came for [`STEP_LEASE`], the leader takes the attempt for lost and leases the step anew, and where the leader lets go of the
//! stream or leads no more, the member ends the attempt. Only the leader records, under the token of the lease, so what a
//! member does that was given up changes nothing.
//!
//! `ask` is the leader's side, `answer` the other members', `frame` what goes between them.

pub(crate) mod answer;
pub(crate) mod ask;
mod frame;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use inquisitor_engine::placement::Worker;

/// How long a member that runs an attempt may be silent before the leader takes the attempt for lost.
pub const STEP_LEASE: Duration = Duration::from_secs(5);

/// How often it gives a sign of life.
const BEAT: Duration = Duration::from_secs(1);

/// Attempts that a member is given at once, whatever it offers: they share a connection, of which others need streams too.
const MAX_GIVEN: u32 = 192;

/// Who runs attempts on this member, where somebody does.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<Weak<dyn Worker>>>);

impl Slot {
    pub(crate) fn set(&self, worker: &Arc<dyn Worker>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(worker));
    }

    /// # Errors
    /// When nobody does.
    fn worker(&self) -> Result<Arc<dyn Worker>, String> {
        let there = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        there.and_then(|worker| worker.upgrade()).ok_or_else(|| "it runs no steps yet".to_owned())
    }
}
