//! Blobs that nothing names go, and no others.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use inquisitor_conductor::{Conductor, MIN_SWEEP_AGE, Swept};
use inquisitor_engine::journal::{Command, Journal};
use support::*;

fn file(data: &Path, digest: &str) -> PathBuf {
    data.join("blobs").join(&digest[..2]).join(&digest[2..])
}

/// Dates a blob back by a day.
fn age(data: &Path, digest: &str) {
    let file = std::fs::File::options().append(true).open(file(data, digest)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
}

/// The same directory in a process that remembers nothing.
async fn reopened(conductor: Conductor, data: &Path) -> Conductor {
    conductor.shutdown().await;
    open(data).await
}

async fn blob(conductor: &Conductor, text: &str) -> String {
    conductor.put_blob(text.as_bytes().to_vec()).await.unwrap()
}

#[tokio::test]
async fn what_the_state_names_stays_and_the_rest_goes_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let component = blob(&conductor, "component").await;
    let mut named = vec![manifest(&conductor).await, component.clone()];
    done(&conductor, submit("q", &named[0], continuous(1, &component))).await;
    let uploaded = blob(&conductor, "uploaded").await;
    done(&conductor, install(&uploaded, "1.0.0", None)).await;
    named.push(uploaded);
    let pruned = blob(&conductor, "transcript of round 0").await;
    let kept = blob(&conductor, "transcript of round 1").await;
    for (round, transcript) in [(0, &pruned), (1, &kept)] {
        let token = match conductor.propose(lease_round("q", 0, round, round + 1)).await.unwrap() {
            inquisitor_engine::journal::Applied::Leased(token) => token,
            other => panic!("{other:?}"),
        };
        let mut with = readings(1.0);
        with.transcript = Some(transcript.clone());
        done(&conductor, record_round("q", 0, round, token, with, true)).await;
    }
    named.push(kept);
    let report = blob(&conductor, "report").await;
    done(&conductor, submit("r", &named[0], plan("n", 0))).await;
    let conclude = Command::Conclude {
        inquiry: "r".into(),
        finding: Box::new(finding("well")),
        artifacts: vec![("report.html".into(), report.clone())],
        at: 1,
    };
    done(&conductor, conclude).await;
    named.push(report);
    let forgotten = blob(&conductor, "forgotten").await;
    let young = blob(&conductor, "young").await;
    for digest in named.iter().chain([&pruned, &forgotten]) {
        age(&data, digest);
    }
    let conductor = reopened(conductor, &data).await;

    let too_soon = conductor.sweep_blobs(MIN_SWEEP_AGE - Duration::from_secs(1)).await.unwrap_err();
    assert!(too_soon.to_string().contains("ask for 3600 or more"), "{too_soon}");
    let before = conductor.sizes().await.unwrap();
    let bytes = ("transcript of round 0".len() + "forgotten".len()) as u64;
    assert_eq!(conductor.sweep_blobs(MIN_SWEEP_AGE).await.unwrap(), Swept { deleted: 2, bytes });
    let after = conductor.sizes().await.unwrap();
    assert_eq!((after.blobs, after.blob_bytes), (before.blobs - 2, before.blob_bytes - bytes));
    for digest in named.iter().chain([&young]) {
        conductor.blob(digest).await.unwrap();
    }
    for digest in [&pruned, &forgotten] {
        assert!(!file(&data, digest).exists());
    }
    assert_eq!(conductor.sweep_blobs(MIN_SWEEP_AGE).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn what_is_put_or_named_again_is_young() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let put = blob(&conductor, "put again").await;
    let named = blob(&conductor, "named by a command that is refused").await;
    age(&data, &put);
    age(&data, &named);
    assert_eq!(conductor.sweep_blobs(MIN_SWEEP_AGE).await.unwrap(), Swept::default(), "just put");
    let conductor = reopened(conductor, &data).await;
    blob(&conductor, "put again").await;
    // Who names it may do so again with success a moment later.
    refusal(&conductor, install(&named, "1.0.0", Some("nobody"))).await;
    assert_eq!(conductor.sweep_blobs(MIN_SWEEP_AGE).await.unwrap(), Swept::default());
    age(&data, &named);
    assert_eq!(conductor.sweep_blobs(MIN_SWEEP_AGE).await.unwrap().deleted, 1);
}

#[tokio::test]
async fn what_an_interrupted_write_left_goes_too_and_strangers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let folder = file(&data, &blob(&conductor, "x").await).parent().unwrap().to_owned();
    for name in [".incoming-abc", "notes.txt"] {
        std::fs::write(folder.join(name), "half").unwrap();
        let file = std::fs::File::options().append(true).open(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
    }
    assert_eq!(conductor.sweep_blobs(MIN_SWEEP_AGE).await.unwrap(), Swept { deleted: 1, bytes: 4 });
    assert!(folder.join("notes.txt").exists());
    assert_eq!(conductor.sizes().await.unwrap().blobs, 1);
}
