//! A cluster that is backed up from a member that lacks blobs, and restored as another one.

use std::time::Duration;

use inquisitor_conductor::{Backup, restore, verify};
use inquisitor_engine::journal::Journal;

use crate::harness::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_any_member_becomes_a_cluster_that_others_join() {
    let mut old = Cluster::three().await;
    let asked = old.follower().await;
    for number in 0..5 {
        old.submit(&asked, &format!("q{number}")).await;
    }
    let report = old.member(&asked).put_blob(vec![5; 3 << 20]).await.unwrap();
    accepted(old.member(&asked), install(&report, "1.0.0", None)).await;
    // What the member lacks it gets from another.
    let taken = old.take_disk(&asked);
    let file = taken.path().join("data/blobs").join(&report[..2]).join(&report[2..]);
    old.give_disk(&asked, taken);
    until("the blob is here", async || file.exists()).await;
    std::fs::remove_file(&file).unwrap();
    let mut backup = old.member(&asked).backup(1).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    let manifest = verify(bytes.as_slice(), None).unwrap().manifest;
    assert_eq!((manifest.inquiries, manifest.member.as_str()), (5, asked.as_str()));

    let mut new = Cluster::new(&THREE);
    new.grace = Duration::from_millis(200);
    let disk = tempfile::tempdir().unwrap();
    let restored = restore(bytes.as_slice(), &disk.path().join("data"), None).unwrap();
    new.give_disk("a", disk);
    new.start("a").await;
    new.formed().await;
    assert_eq!(new.status("a").await.cluster, restored.cluster.to_string());
    for name in ["b", "c"] {
        new.start(name).await;
    }
    until("three voters", async || {
        new.status("a").await.members.iter().filter(|member| member.voter).count() == 3
    })
    .await;
    new.formed().await;
    new.agree().await;
    for name in THREE {
        let status = new.status(name).await;
        assert_eq!(status.cluster, restored.cluster.to_string());
        assert!(new.has(name, "q4").await);
        assert_eq!(new.member(name).blob(&report).await.unwrap(), vec![5; 3 << 20]);
    }
    // The restored member is no longer needed.
    new.kill("a");
    new.submit("b", "after").await;
    // And the old cluster knows nothing of all this.
    old.submit(&asked, "q5").await;
    old.agree().await;
    assert!(!new.has("c", "q5").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_member_and_those_of_the_old_cluster_refuse_each_other() {
    let mut cluster = Cluster::three().await;
    cluster.submit("a", "q").await;
    let mut backup = cluster.member("a").backup(1).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    drop(backup);
    let before = cluster.status("b").await.cluster;
    cluster.shutdown("a").await;
    cluster.lose_disk("a");
    let disk = tempfile::tempdir().unwrap();
    let restored = restore(bytes.as_slice(), &disk.path().join("data"), None).unwrap();
    cluster.give_disk("a", disk);
    // In the place of the old one, with the same list and secret, while the others run.
    cluster.start("a").await;
    until("it leads its own cluster", async || cluster.status("a").await.role == "leader").await;
    cluster.submit("a", "new").await;
    cluster.submit("b", "old").await;
    assert_eq!(cluster.status("a").await.cluster, restored.cluster.to_string());
    assert_eq!(cluster.status("b").await.cluster, before);
    assert!(!cluster.has("b", "new").await && !cluster.has("a", "old").await);
    assert_eq!(cluster.status("a").await.members.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_survivor_does_not_know_to_be_committed_is_left_out_unless_it_is_asked_for() {
    let mut cluster = Cluster::three().await;
    let leader = cluster.leader().await;
    cluster.submit(&leader, "q").await;
    cluster.agree().await;
    for other in cluster.others(&leader) {
        cluster.kill(&other);
    }
    let before = cluster.status(&leader).await.last_log_index;
    let member = cluster.members[&leader].clone();
    let manifest = inquisitor_ledger::Hash::digest(b"manifest").to_string();
    let proposing =
        tokio::spawn(async move { member.propose(submit("late", &manifest, plan("n", 1))).await.is_ok() });
    until("it is in the log", async || cluster.status(&leader).await.last_log_index > before).await;
    proposing.abort();
    assert!(proposing.await.is_err(), "nothing is committed without a majority");
    cluster.shutdown(&leader).await;
    let disk = cluster.take_disk(&leader);
    for uncommitted in [false, true] {
        let data = disk.path().join("data");
        let (mut backup, left_out) = Backup::of_directory(&data, uncommitted, 1).await.unwrap();
        assert_eq!(left_out == 0, uncommitted, "{left_out}");
        let mut bytes = Vec::new();
        while let Some(piece) = backup.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        let new = disk.path().join(format!("new-{uncommitted}"));
        restore(bytes.as_slice(), &new, None).unwrap();
        let alone = open(&new).await;
        assert!(alone.inquiry("q").await.unwrap().is_some());
        assert_eq!(alone.inquiry("late").await.unwrap().is_some(), uncommitted);
    }
}
