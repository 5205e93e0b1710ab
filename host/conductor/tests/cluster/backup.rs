//! A cluster that is backed up from a member that lacks blobs, and restored as another one.

use inquisitor_conductor::{restore, verify};
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
    done(old.member(&asked), install(&report, "1.0.0", None)).await;
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
    new.grace = std::time::Duration::from_millis(200);
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
