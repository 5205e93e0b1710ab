//! The files of log and state stay bounded, however much goes through them.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use inquisitor_conductor::{Conductor, ConductorConfig};
use inquisitor_engine::journal::{Applied, Journal, StepRecord};
use support::*;

/// Bytes of one record.
const RECORD: usize = 128 << 10;
/// Inquiries that are recorded at a time.
const INQUIRIES: usize = 8;
const ROUNDS: u32 = 100;
/// Below this size files are left alone.
const LARGE: u64 = 64 << 20;

fn large(round: u32) -> StepRecord {
    failed(&format!("{round} {}", "x".repeat(RECORD)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_and_pruned_makes_no_file_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let config = ConductorConfig { snapshot_every: 20, ..ConductorConfig::new(dir.path().join("data"), "a") };
    let conductor = Conductor::open(config.clone()).await.unwrap();
    let manifest = manifest(&conductor).await;
    let component = conductor.put_blob(b"component".to_vec()).await.unwrap();
    let ids: Vec<String> = (0..INQUIRIES).map(|number| format!("watch-{number}")).collect();
    for id in &ids {
        done(&conductor, submit(id, &manifest, continuous(2, &component))).await;
    }
    let mut most = conductor.sizes().await.unwrap();
    for round in 0..ROUNDS {
        let rounds = ids.iter().map(async |id| {
            let token = match conductor.propose(lease_round(id, 0, round, round + 1)).await.unwrap() {
                Applied::Leased(token) => token,
                other => panic!("{other:?}"),
            };
            done(&conductor, record_round(id, 0, round, token, large(round), true)).await;
        });
        futures::future::join_all(rounds).await;
        let sizes = conductor.sizes().await.unwrap();
        most.log_bytes = most.log_bytes.max(sizes.log_bytes);
        most.state_bytes = most.state_bytes.max(sizes.state_bytes);
    }
    let written = (RECORD * INQUIRIES * ROUNDS as usize) as u64;
    let sizes = conductor.sizes().await.unwrap();
    println!("{written} bytes written; at most {most:?}; at last {sizes:?}");
    assert!(written > LARGE, "{written} bytes are no test");
    assert!(most.log_bytes <= LARGE && most.state_bytes <= LARGE, "{most:?}");
    assert!(
        sizes.log_used_bytes <= sizes.log_bytes && sizes.state_used_bytes <= sizes.state_bytes,
        "{sizes:?}"
    );
    conductor.shutdown().await;
    let conductor = Conductor::open(config).await.unwrap();
    let kept = conductor.inquiry("watch-0").await.unwrap().unwrap();
    assert_eq!((kept.steps[&0].round, kept.steps[&0].history.len()), (ROUNDS - 1, 1));
}
