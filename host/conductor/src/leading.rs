//! When what a leader appends counts as appended: pure.
//!
//! openraft waits for the disk before it sends entries to others, which makes a write take two disks' time. Where every
//! majority needs another member, what a leader appends counts at once, so that it is written and sent at the same time; and
//! no other member's acknowledgement is told to openraft before the entries are on the leader's own disk too
//! ([`crate::network`]). So what is committed is on the disks of a majority, the leader's among them, as before.
//!
//! A leader that crashes may so lose entries that others have under its term. It must never make others under that term, so
//! it does not lead on by itself as openraft would have it ([`crate::log::RaftLog::act_as`]).

use std::collections::BTreeSet;

use crate::raft::{LogId, Membership, Vote, is_majority};

/// What a member of a cluster knows of its own leading.
#[derive(Default)]
pub(crate) struct Leading {
    /// The id that it acts under; none where it is alone.
    id: Option<u64>,
    /// The last membership that is known to be in force under the vote that was saved last.
    membership: Option<Known>,
}

#[derive(Clone, Copy)]
struct Known {
    index: Option<u64>,
    /// Whether every majority has another member than this one.
    needs_others: bool,
}

impl Leading {
    /// The member takes part in a cluster under this id.
    pub(crate) fn act_as(&mut self, id: u64) {
        self.id = Some(id);
    }

    /// Another vote was saved. What a member that follows was sent may be taken back, so it counts no more.
    pub(crate) fn voted(&mut self) {
        self.membership = None;
    }

    /// A membership is in force from its appending on, unless a later one is known.
    pub(crate) fn learn(&mut self, index: Option<u64>, membership: &Membership) {
        let Some(id) = self.id else { return };
        if self.membership.is_none_or(|known| known.index <= index) {
            let needs_others = !is_majority(membership, &BTreeSet::from([id]));
            self.membership = Some(Known { index, needs_others });
        }
    }

    /// Whether an entry counts as appended before it is on disk: this member leads by this vote, made the entry itself under
    /// it, and nothing is committed before another member has it.
    pub(crate) fn counts_at_once(&self, vote: Option<&Vote>, entry: &LogId) -> bool {
        let (Some(id), Some(vote)) = (self.id, vote) else { return false };
        let made_by = entry.leader_id;
        let leads = vote.is_committed() && vote.leader_id.node_id == id;
        let made_here = (made_by.term, made_by.node_id) == (vote.leader_id.term, id);
        leads && made_here && self.membership.is_some_and(|known| known.needs_others)
    }
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;

    use super::*;

    const SELF: u64 = 7;

    fn membership(sets: &[&[u64]]) -> Membership {
        Membership::new(sets.iter().map(|set| set.iter().copied().collect()).collect(), ())
    }

    fn entry(term: u64, by: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term, by), 20)
    }

    fn leading(sets: &[&[u64]]) -> Leading {
        let mut leading = Leading::default();
        leading.act_as(SELF);
        leading.learn(Some(1), &membership(sets));
        leading
    }

    #[test]
    fn only_what_this_leader_made_under_its_vote_counts_at_once() {
        let leading = leading(&[&[7, 8, 9]]);
        let counts = |vote: Vote, entry: LogId| leading.counts_at_once(Some(&vote), &entry);
        assert!(counts(Vote::new_committed(3, SELF), entry(3, SELF)));
        assert!(!counts(Vote::new(3, SELF), entry(3, SELF)), "not elected yet");
        assert!(!counts(Vote::new_committed(3, SELF), entry(2, SELF)), "of an earlier term");
        assert!(!counts(Vote::new_committed(3, SELF), entry(3, 8)), "of another leader");
        assert!(!counts(Vote::new_committed(4, 8), entry(3, SELF)), "sent back by the next leader");
        assert!(!leading.counts_at_once(None, &entry(3, SELF)));
    }

    #[test]
    fn nothing_counts_at_once_where_this_member_is_a_majority_or_it_is_not_known() {
        let vote = Vote::new_committed(3, SELF);
        let counts = |leading: &Leading| leading.counts_at_once(Some(&vote), &entry(3, SELF));
        assert!(!counts(&leading(&[&[7]])));
        assert!(counts(&leading(&[&[7], &[7, 8]])), "both of two sets must agree");
        assert!(counts(&leading(&[&[8, 9]])), "it leads others without a vote of its own");
        let mut leading = leading(&[&[7, 8, 9]]);
        leading.learn(Some(5), &membership(&[&[7]]));
        assert!(!counts(&leading));
        leading.learn(Some(4), &membership(&[&[7, 8, 9]]));
        assert!(!counts(&leading), "an earlier membership changes nothing");
        leading.learn(Some(6), &membership(&[&[7, 8, 9]]));
        assert!(counts(&leading));
        leading.voted();
        assert!(!counts(&leading));
        let mut alone = Leading::default();
        alone.learn(Some(1), &membership(&[&[7, 8, 9]]));
        assert!(!counts(&alone));
    }
}
