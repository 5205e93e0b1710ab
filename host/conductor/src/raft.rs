//! The types that openraft is set up with.

use std::collections::BTreeSet;

use bytes::Bytes;
use inquisitor_engine::journal::Applied;
use serde::{Deserialize, Serialize};

use crate::waiting::Waiting;

/// Format of the commands in the log; see [`crate::change`].
pub(crate) const COMMAND_FORMAT: u16 = 1;

/// Commands that are committed together, as one log entry: openraft 0.9 makes an entry durable before it takes in the
/// next, so that a group commit has to happen before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Format of the changes. A member that does not know it stops, for it must not skip what others applied.
    pub(crate) format: u16,
    /// Each an encoded [`crate::change::Change`].
    pub(crate) changes: Vec<Bytes>,
    /// Who waits for the answers here; not in the log.
    #[serde(skip)]
    pub(crate) waiting: Waiting,
}

/// What became of a batch's commands, in their order; empty for an entry that holds none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answers(pub(crate) Vec<Applied>);

/// A member as all members know it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its name; stays the same when its disk is replaced, while the id changes.
    pub(crate) name: String,
    /// `host:port` of its Raft port; empty for a member without one.
    pub(crate) address: String,
}

openraft::declare_raft_types!(
    /// The conductor's Raft.
    pub(crate) TypeConfig:
        D = Batch,
        R = Answers,
        NodeId = u64,
        Node = Member,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = tokio::fs::File,
);

pub(crate) type Entry = openraft::Entry<TypeConfig>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, Member>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, Member>;
pub(crate) type Snapshot = openraft::Snapshot<TypeConfig>;
pub(crate) type Raft = openraft::Raft<TypeConfig>;
pub(crate) type Metrics = openraft::RaftMetrics<u64, Member>;
pub(crate) type ServerMetrics = openraft::metrics::RaftServerMetrics<u64, Member>;
pub(crate) type Membership = openraft::Membership<u64, Member>;

/// Whether these members are a majority of the voters; in joint consensus, of the old ones and of the new ones.
pub(crate) fn is_majority(membership: &Membership, ids: &BTreeSet<u64>) -> bool {
    let sets = membership.get_joint_config();
    !sets.is_empty() && sets.iter().all(|voters| 2 * voters.intersection(ids).count() > voters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_one_of_the_old_and_of_the_new_voters() {
        let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<u64>>();
        let plain = Membership::new(vec![set(&[1, 2, 3])], ());
        assert!(is_majority(&plain, &set(&[1, 3])) && !is_majority(&plain, &set(&[1, 4, 5])));
        let joint = Membership::new(vec![set(&[1, 2, 3]), set(&[1, 2, 4])], ());
        assert!(is_majority(&joint, &set(&[1, 2])) && !is_majority(&joint, &set(&[1, 3])));
        assert!(!is_majority(&Membership::new(vec![], ()), &set(&[1])));
    }
}
