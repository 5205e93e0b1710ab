//! Counting the leases that this member gives while it leads, by who runs the attempt.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use prometheus::IntCounterVec;

use super::Families;
use super::labels::OTHER;

/// Members that have series of their own; the rest are counted together. As many as a list of members may name.
const MAX_MEMBERS: usize = inquisitor_conductor::MAX_PEERS;

/// Leases by member.
pub(super) struct Leases {
    given: IntCounterVec,
    lost: IntCounterVec,
    known: Mutex<BTreeSet<String>>,
}

impl Leases {
    pub(super) fn new(add: &Families<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            given: add.counters(
                "inquisitor_step_leases_total",
                "Attempts at steps that this member leased while it led, by the member that runs them.",
                &["member"],
            )?,
            lost: add.counters(
                "inquisitor_step_leases_lost_total",
                "Leased attempts that were lost with the member that ran them, and were leased anew.",
                &["member"],
            )?,
            known: Mutex::default(),
        })
    }

    pub(super) fn given(&self, member: &str) {
        self.given.with_label_values(&[self.label(member)]).inc();
    }

    pub(super) fn lost(&self, member: &str) {
        self.lost.with_label_values(&[self.label(member)]).inc();
    }

    /// Make the series of a member appear.
    pub(super) fn appear(&self, member: &str) {
        let label = self.label(member);
        self.given.with_label_values(&[label]);
        self.lost.with_label_values(&[label]);
    }

    fn label<'m>(&self, member: &'m str) -> &'m str {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(member) {
            return member;
        }
        if known.len() >= MAX_MEMBERS {
            return OTHER;
        }
        known.insert(member.to_owned());
        member
    }
}
