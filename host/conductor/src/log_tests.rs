//! The log of a member of a cluster: what a leader must not forget, and must not take for granted.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{CommittedLeaderId, EntryPayload, ServerState};
use tempfile::TempDir;

use crate::identity::Layout;
use crate::log::RaftLog;
use crate::raft::{Entry, LogId, Membership, ServerMetrics, StoredMembership, Vote};

const SELF: u64 = 7;

fn open(dir: &TempDir) -> RaftLog {
    RaftLog::open(&Layout::prepare(&dir.path().join("data")).unwrap().log).unwrap()
}

fn entry(term: u64, by: u64, index: u64) -> Entry {
    let log_id = LogId::new(CommittedLeaderId::new(term, by), index);
    Entry { log_id, payload: EntryPayload::Blank }
}

#[tokio::test]
async fn a_leader_of_others_that_stopped_does_not_lead_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir);
    let vote = Vote::new_committed(3, SELF);
    log.save_vote(&vote).await.unwrap();
    log.shared().close().unwrap();
    let mut log = open(&dir);
    assert_eq!(log.read_vote().await.unwrap(), Some(vote), "one that is alone leads on");
    log.act_as(8);
    assert_eq!(log.read_vote().await.unwrap(), Some(vote), "another member's office is not touched");
    log.act_as(SELF);
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, SELF)));
}

#[tokio::test]
async fn what_is_truncated_is_not_on_disk_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir);
    let shared = log.shared();
    assert!(shared.durable(0).now_or_never().is_none());
    log.blocking_append((0..5).map(|index| entry(1, SELF, index))).await.unwrap();
    shared.durable(4).await.unwrap();
    assert!(shared.durable(5).now_or_never().is_none());
    log.truncate(entry(1, SELF, 3).log_id).await.unwrap();
    assert_eq!(shared.durable(2).now_or_never(), Some(Ok(())));
    assert!(shared.durable(3).now_or_never().is_none());
    log.blocking_append([entry(2, 8, 3)]).await.unwrap();
    shared.durable(3).await.unwrap();
}

#[tokio::test]
async fn entries_of_a_leader_reach_its_disk_though_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir);
    log.act_as(SELF);
    let vote = Vote::new_committed(1, SELF);
    log.save_vote(&vote).await.unwrap();
    let voters = Membership::new(vec![BTreeSet::from([SELF, 8, 9])], ());
    log.shared().observe(&ServerMetrics {
        id: SELF,
        vote,
        state: ServerState::Leader,
        current_leader: Some(SELF),
        membership_config: Arc::new(StoredMembership::new(None, voters)),
    });
    // Returns at once, as leading.rs says; the disk is asked for by the index.
    log.blocking_append((0..100).map(|index| entry(1, SELF, index))).await.unwrap();
    log.shared().durable(99).await.unwrap();
    log.shared().close().unwrap();
    let mut log = open(&dir);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(entry(1, SELF, 99).log_id));
}
