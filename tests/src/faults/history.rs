//! What clients saw, kept until it is compared with what the members have.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inquisitor_ledger::{Checkpoint, Hash};

use super::report::Counts;

/// Violations that are kept with their text; the rest are counted.
const MOST_TEXTS: usize = 40;

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// Something acknowledged is not there, or did not come to its end.
    Lost,
    /// Something was done or recorded twice.
    Doubled,
    /// A linearizable read missed what was acknowledged or read before it began.
    Stale,
    /// Something was acknowledged while less than a majority was connected.
    WithoutQuorum,
    /// A member's ledger is not what was seen of it before, or not what another one has.
    Ledger,
    /// Two members have another state at the same index.
    Drift,
    /// What must work does not: a cluster that is whole takes nothing, or an answer makes no sense.
    Unusable,
}

impl Violation {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Stale => "stale",
            Self::WithoutQuorum => "acknowledged without a quorum",
            Self::Ledger => "ledger",
            Self::Drift => "drift",
            Self::Unusable => "unusable",
        }
    }
}

/// An answer that took a submission in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledgement {
    pub(super) sent: Instant,
    pub(super) answered: Instant,
    pub(super) member: usize,
}

/// An inquiry that was acknowledged.
struct Noted {
    manifest: String,
    /// Whether a linearizable read has seen its end.
    has_ended: bool,
}

/// Everything that clients saw, shared by them.
#[derive(Default)]
pub(super) struct History(Mutex<State>);

#[derive(Default)]
struct State {
    inquiries: BTreeMap<String, Noted>,
    /// Ids in the order in which they were acknowledged.
    order: Vec<String>,
    acknowledgements: Vec<Acknowledgement>,
    checkpoints: BTreeMap<u64, (Hash, String)>,
    /// Size of the largest ledger that a linearizable read has brought.
    newest: u64,
    /// Hash of the state at an index, and who said so first.
    states: BTreeMap<u64, (String, String)>,
    counts: Counts,
    violations: BTreeMap<Violation, u64>,
    texts: Vec<String>,
}

impl History {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change what is counted of the fault that is under way.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    /// What was counted since it was taken last.
    pub(super) fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.state().counts)
    }

    /// Something happened that must not.
    pub(super) fn violation(&self, what: Violation, mut text: String) {
        let mut state = self.state();
        *state.violations.entry(what).or_default() += 1;
        if state.texts.len() < MOST_TEXTS {
            text.insert_str(0, &format!("{}: ", what.name()));
            state.texts.push(text);
        }
    }

    /// How often each kind of violation happened, and the first of them in words.
    pub(super) fn violations(&self) -> (BTreeMap<Violation, u64>, Vec<String>) {
        let state = self.state();
        (state.violations.clone(), state.texts.clone())
    }

    /// An inquiry was acknowledged; under a key perhaps not for the first time.
    pub(super) fn acknowledged(&self, id: &str, manifest: &str, how: Acknowledgement) {
        let mut state = self.state();
        state.acknowledgements.push(how);
        if state.inquiries.contains_key(id) {
            return;
        }
        state.counts.acknowledged += 1;
        state.order.push(id.to_owned());
        let noted = Noted { manifest: manifest.to_owned(), has_ended: false };
        state.inquiries.insert(id.to_owned(), noted);
    }

    /// The inquiry that was acknowledged so many before the last one.
    pub(super) fn recent(&self, before: usize) -> Option<String> {
        let state = self.state();
        let index = state.order.len().checked_sub(before + 1)?;
        state.order.get(index).cloned()
    }

    /// A linearizable read saw the end of an inquiry.
    pub(super) fn ended(&self, id: &str) {
        if let Some(noted) = self.state().inquiries.get_mut(id) {
            noted.has_ended = true;
        }
    }

    /// Whether a linearizable read has seen the end of an inquiry.
    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.state().inquiries.get(id).is_some_and(|noted| noted.has_ended)
    }

    /// Ids and manifests of those that were acknowledged after the first so many.
    pub(super) fn since(&self, first: usize) -> Vec<(String, String)> {
        let state = self.state();
        let ids = state.order.get(first..).unwrap_or_default();
        ids.iter().filter_map(|id| Some((id.clone(), state.inquiries.get(id)?.manifest.clone()))).collect()
    }

    /// Size of the largest ledger that a linearizable read has brought.
    pub(super) fn newest(&self) -> u64 {
        self.state().newest
    }

    /// A member said this checkpoint. Where another one was seen for the same size, the ledgers differ.
    pub(super) fn checkpoint(&self, checkpoint: Checkpoint, by: &str, is_linearizable: bool) {
        let differs = {
            let mut state = self.state();
            if is_linearizable {
                state.newest = state.newest.max(checkpoint.size);
            }
            let first =
                state.checkpoints.entry(checkpoint.size).or_insert_with(|| (checkpoint.root, by.to_owned()));
            (first.0 != checkpoint.root).then(|| first.clone())
        };
        if let Some((root, first)) = differs {
            let Checkpoint { size, root: other } = checkpoint;
            self.violation(
                Violation::Ledger,
                format!("of {size} entries {first} has the root {root}, and {by} {other}"),
            );
        }
    }

    /// Checkpoints that were seen of this size and larger.
    pub(super) fn checkpoints_from(&self, size: u64) -> BTreeMap<u64, Hash> {
        self.state().checkpoints.range(size..).map(|(size, (root, _))| (*size, *root)).collect()
    }

    /// A member said this hash of its state. Where another one was seen at the same index, the members have drifted apart.
    pub(super) fn state_hash(&self, index: u64, hash: &str, by: &str) {
        let differs = {
            let mut state = self.state();
            let first = state.states.entry(index).or_insert_with(|| (hash.to_owned(), by.to_owned()));
            (first.0 != hash).then(|| first.clone())
        };
        if let Some((other, first)) = differs {
            self.violation(
                Violation::Drift,
                format!("at index {index} {first} has the state {other}, and {by} {hash}"),
            );
        }
    }

    /// How many indexes' states were seen.
    pub(super) fn states(&self) -> usize {
        self.state().states.len()
    }

    /// The longest time without an acknowledgement between two moments.
    pub(super) fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let mut moments: Vec<Instant> = {
            let state = self.state();
            // They are noted about in order: what was answered before lies before, give or take some.
            let moments = state.acknowledgements.iter().rev().map(|one| one.answered);
            moments
                .take_while(|at| *at + Duration::from_secs(30) >= from)
                .filter(|at| (from..to).contains(at))
                .collect()
        };
        moments.extend([from, to]);
        moments.sort();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Whether each of so many members has acknowledged something that was sent to it since this moment.
    pub(super) fn acknowledged_by_all(&self, members: usize, since: Instant) -> bool {
        let state = self.state();
        let recent = state.acknowledgements.iter().rev().take_while(|one| one.answered >= since);
        let mut by = vec![false; members];
        for one in recent.filter(|one| one.sent >= since) {
            by[one.member] = true;
        }
        by.iter().all(|acknowledged| *acknowledged)
    }

    /// Whether any member has acknowledged something that was sent since this moment.
    pub(super) fn acknowledged_since(&self, since: Instant) -> bool {
        let state = self.state();
        state
            .acknowledgements
            .iter()
            .rev()
            .take_while(|one| one.answered >= since)
            .any(|one| one.sent >= since)
    }

    /// Find what was acknowledged while less than a majority was connected.
    ///
    /// What was sent in that time must not be acknowledged in it: nothing can be committed. What was sent before may have been
    /// committed before, and its answer may be on its way for as long as `edge`: from the leader to the member that was asked,
    /// through that one, and to a client that shares the machine's cores with all of them.
    pub(super) fn check_window(&self, from: Instant, to: Instant, edge: Duration) {
        let found: Vec<Acknowledgement> = {
            let state = self.state();
            let within =
                state.acknowledgements.iter().filter(|one| one.answered >= from && one.answered < to);
            within.filter(|one| one.sent >= from || one.answered >= from + edge).copied().collect()
        };
        for one in found {
            let since = |at: Instant| at.saturating_duration_since(from).as_millis();
            self.violation(
                Violation::WithoutQuorum,
                format!(
                    "member {} acknowledged {} ms after the majority was lost what was sent after {} ms",
                    one.member,
                    since(one.answered),
                    since(one.sent)
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(history: &History, id: &str, sent: Instant, answered: Instant) {
        history.acknowledged(id, id, Acknowledgement { sent, answered, member: 0 });
    }

    #[test]
    fn what_is_acknowledged_in_a_window_without_a_quorum_is_found() {
        let (history, begin) = (History::default(), Instant::now());
        let after = |ms: u64| begin + Duration::from_millis(ms);
        at(&history, "before", begin, after(90));
        at(&history, "on its way", after(50), after(150));
        at(&history, "much later", after(90), after(650));
        at(&history, "sent within", after(110), after(120));
        at(&history, "afterwards", after(500), after(900));
        history.check_window(after(100), after(800), Duration::from_millis(500));
        let (kinds, texts) = history.violations();
        assert_eq!(kinds, BTreeMap::from([(Violation::WithoutQuorum, 2)]), "{texts:?}");
        assert!(texts[0].contains("550 ms") && texts[1].contains("20 ms"), "{texts:?}");
    }

    #[test]
    fn the_longest_gap_counts_the_edges() {
        let (history, begin) = (History::default(), Instant::now());
        let after = |ms: u64| begin + Duration::from_millis(ms);
        for ms in [5, 300, 310, 320] {
            at(&history, &ms.to_string(), begin, after(ms));
        }
        assert_eq!(history.longest_gap(after(10), after(330)), Duration::from_millis(290));
        assert_eq!(history.longest_gap(after(310), after(900)), Duration::from_millis(580));
    }

    #[test]
    fn two_roots_of_one_size_and_two_states_of_one_index_are_found() {
        let history = History::default();
        for root in [[1; 32], [1; 32], [2; 32]] {
            history.checkpoint(Checkpoint { size: 3, root: Hash(root) }, "a", false);
        }
        for hash in ["x", "x", "y"] {
            history.state_hash(7, hash, "a");
        }
        let (kinds, _) = history.violations();
        assert_eq!(kinds, BTreeMap::from([(Violation::Ledger, 1), (Violation::Drift, 1)]));
    }
}
