//! The data directory: whose it is, that it can be opened again, and what is kept in it.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;

use inquisitor_conductor::{Conductor, ConductorConfig, ConductorError, InquiryFilter};
use inquisitor_engine::journal::{Journal, JournalError};
use support::*;

async fn refused(dir: &std::path::Path) -> ConductorError {
    match Conductor::open(ConductorConfig::new(dir, "a")).await {
        Ok(_) => panic!("the directory opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_directory_keeps_its_member_and_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let identity = conductor.identity().clone();
    let manifest = manifest(&conductor).await;
    run(&conductor, "q", &manifest, 2).await;
    let (checkpoint, inquiry, status) = (
        conductor.checkpoint().await.unwrap(),
        conductor.inquiry("q").await.unwrap(),
        conductor.status().await.unwrap(),
    );
    assert_eq!((status.role, status.name.as_str()), ("leader", "a"));
    assert_eq!(status.leader.as_ref(), Some(&status.node_id));
    conductor.shutdown().await;

    for name in ["a", "renamed"] {
        let conductor = Conductor::open(ConductorConfig::new(&data, name)).await.unwrap();
        let again = conductor.identity().clone();
        assert_eq!(again.name, name);
        assert_eq!(
            (again.node_id, again.incarnation, again.cluster),
            (identity.node_id, identity.incarnation, identity.cluster)
        );
        assert_eq!(conductor.checkpoint().await.unwrap(), checkpoint);
        assert_eq!(conductor.inquiry("q").await.unwrap(), inquiry);
        assert_eq!(conductor.blob(&manifest).await.unwrap(), b"manifest");
        let now = conductor.status().await.unwrap();
        assert!(now.term >= status.term && now.applied_index >= status.applied_index, "{now:?}");
        conductor.shutdown().await;
    }
}

#[tokio::test]
async fn two_new_directories_are_two_members() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a")).await, open(&dir.path().join("b")).await);
    assert_eq!(a.identity().name, b.identity().name);
    assert_ne!(a.identity().node_id, b.identity().node_id);
    assert_ne!(a.identity().cluster, b.identity().cluster);
}

#[tokio::test]
async fn an_open_directory_is_not_opened_twice() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let error = refused(&data).await;
    assert!(matches!(&error, ConductorError::InUse { dir } if *dir == data), "{error}");
    assert!(error.to_string().contains("held by another process"), "{error}");
    conductor.shutdown().await;
    open(&data).await.shutdown().await;
}

#[tokio::test]
async fn a_directory_of_something_else_or_of_a_newer_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let thesis = dir.path().join("thesis.tex");
    std::fs::write(&thesis, "precious").unwrap();
    let error = refused(dir.path()).await.to_string();
    assert!(error.contains("it holds `thesis.tex`") && error.contains("give an empty directory"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");

    let newer = tempfile::tempdir().unwrap();
    std::fs::write(newer.path().join("inquisitor-data"), "inquisitor data directory, format 2\n").unwrap();
    let error = refused(newer.path()).await.to_string();
    assert!(error.contains("has format 2, this program reads up to format 1"), "{error}");
    std::fs::write(newer.path().join("inquisitor-data"), "something").unwrap();
    assert!(matches!(refused(newer.path()).await, ConductorError::NotOurs { .. }));

    // An empty one, as a mounted volume is, may be taken.
    let volume = tempfile::tempdir().unwrap();
    std::fs::create_dir(volume.path().join("lost+found")).unwrap();
    open(volume.path()).await.shutdown().await;
}

#[tokio::test]
async fn after_shutdown_commands_and_reads_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    conductor.shutdown().await;
    conductor.shutdown().await;
    let error = conductor.propose(submit("q", &manifest, plan("n", 1))).await.unwrap_err();
    assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
    assert!(conductor.inquiry("q").await.unwrap_err().to_string().contains("shut down"));
}

#[tokio::test]
async fn the_log_is_purged_after_a_snapshot_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = ConductorConfig { snapshot_every: 20, ..ConductorConfig::new(&data, "a") };
    let conductor = Conductor::open(config.clone()).await.unwrap();
    let manifest = manifest(&conductor).await;
    for inquiry in 0..12 {
        run(&conductor, &format!("q{inquiry}"), &manifest, 2).await;
    }
    let checkpoint = conductor.checkpoint().await.unwrap();
    let status = loop {
        // Snapshots are made beside the commands; each further command gives consensus a chance to see that one is done.
        let status = conductor.status().await.unwrap();
        if status.purged_index.is_some() {
            break status;
        }
        conductor.propose(lease("nobody", 0, 1)).await.unwrap();
    };
    assert!(status.snapshot_index > Some(19) && status.purged_index < status.snapshot_index, "{status:?}");
    conductor.shutdown().await;

    let conductor = Conductor::open(config).await.unwrap();
    assert_eq!(conductor.checkpoint().await.unwrap(), checkpoint);
    let page = conductor.inquiries(&InquiryFilter::default(), None, 100).await.unwrap();
    assert_eq!(page.items.len(), 12);
    run(&conductor, "more", &manifest, 1).await;
    conductor.shutdown().await;
}

#[tokio::test]
async fn a_lost_file_is_told_and_nothing_waits_or_forgets() {
    for lost in ["state.redb", "raft-log.redb"] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let conductor = open(&data).await;
        let manifest = manifest(&conductor).await;
        run(&conductor, "q", &manifest, 1).await;
        conductor.shutdown().await;
        drop(conductor);
        std::fs::remove_file(data.join(lost)).unwrap();
        let error = refused(&data).await.to_string();
        assert!(error.contains(lost) && error.contains("missing or empty"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_something_else_wrote_to_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let manifest = manifest(&conductor).await;
    run(&conductor, "q", &manifest, 1).await;
    conductor.shutdown().await;
    drop(conductor);
    let file = data.join("raft-log.redb");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4096..].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let error = refused(&data).await.to_string();
    assert!(error.contains("damaged") || error.contains("raft-log.redb"), "{error}");
}
