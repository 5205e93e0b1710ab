//! When other members were last heard, and what is wrong with those that are not.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What this member knows of the others from talking to them.
#[derive(Default)]
pub(crate) struct Contacts(Mutex<State>);

#[derive(Default)]
struct State {
    leader: Option<Instant>,
    members: BTreeMap<u64, Contact>,
}

/// What is known of one member.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contact {
    /// When it last answered.
    pub(crate) heard: Option<Instant>,
    /// Why it did not answer since.
    pub(crate) problem: Option<String>,
}

impl Contacts {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A leader that this member follows was heard.
    pub(crate) fn heard_leader(&self) {
        self.lock().leader = Some(Instant::now());
    }

    /// When that was.
    pub(crate) fn leader(&self) -> Option<Instant> {
        self.lock().leader
    }

    /// A member answered.
    pub(crate) fn answered(&self, id: u64) {
        self.lock().members.insert(id, Contact { heard: Some(Instant::now()), problem: None });
    }

    /// A member did not.
    pub(crate) fn failed(&self, id: u64, problem: String) {
        self.lock().members.entry(id).or_default().problem = Some(problem);
    }

    pub(crate) fn of(&self, id: u64) -> Contact {
        self.lock().members.get(&id).cloned().unwrap_or_default()
    }

    /// Forgets members that are none any more.
    pub(crate) fn retain(&self, is_member: impl Fn(u64) -> bool) {
        self.lock().members.retain(|id, _| is_member(*id));
    }
}
