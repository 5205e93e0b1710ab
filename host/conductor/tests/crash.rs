//! Kill -9 in the midst of work: whatever was acknowledged is there afterwards, and the ledger is whole.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use inquisitor_conductor::InquiryFilter;
use inquisitor_engine::journal::Journal;
use inquisitor_ledger::{Checkpoint, verify_export};
use support::*;

/// Names the directory that the child works in; set by the parent alone.
const CHILD_DIR: &str = "INQUISITOR_TEST_CRASH_DIR";
const CHILD_ROUND: &str = "INQUISITOR_TEST_CRASH_ROUND";

/// The child: runs inquiries until it is killed, and says which steps of them were acknowledged. Does nothing when run as a
/// test.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let round = std::env::var(CHILD_ROUND).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let conductor = open(&PathBuf::from(dir)).await;
        let manifest = manifest(&conductor).await;
        let workers = (0..8).map(|worker| {
            let (conductor, manifest, round) = (&conductor, &manifest, &round);
            async move {
                for inquiry in 0.. {
                    let id = format!("{round}-{worker}-{inquiry}");
                    done(conductor, submit(&id, manifest, plan("n", 1))).await;
                    println!("ack submitted {id}");
                    let token = leased(conductor, &id, 0, 1).await;
                    done(conductor, record(&id, 0, token, readings(f64::from(inquiry)), true)).await;
                    println!("ack recorded {id}");
                    done(conductor, conclude(&id, &id)).await;
                    println!("ack concluded {id}");
                }
            }
        });
        futures::future::join_all(workers).await;
    });
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut acknowledged: Vec<(String, String)> = Vec::new();
    let mut noted: Vec<Checkpoint> = vec![Checkpoint::empty()];
    // Some kills come before the state was ever synced, the last ones after it was.
    for (round, acks) in [1, 40, 900, 3500].into_iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, &data)
            .env(CHILD_ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = 0;
        // A line may share its row with what the test harness prints.
        let mut take = |line: String, acknowledged: &mut Vec<(String, String)>| {
            if let Some(ack) = line.split_once("ack ").map(|(_, ack)| ack)
                && let Some((what, id)) = ack.split_once(' ')
            {
                acknowledged.push((what.to_owned(), id.to_owned()));
                seen += 1;
            }
            seen
        };
        for line in lines.by_ref() {
            if take(line, &mut acknowledged) >= acks {
                break;
            }
        }
        child.kill().unwrap();
        // What it still said before it died was acknowledged as well.
        for line in lines {
            take(line, &mut acknowledged);
        }
        child.wait().unwrap();
        assert!(seen >= acks, "the child ended by itself after {seen} acknowledgements");

        let conductor = open(&data).await;
        for (what, id) in &acknowledged {
            let inquiry =
                conductor.inquiry(id).await.unwrap().unwrap_or_else(|| panic!("{what} {id} is lost"));
            match what.as_str() {
                "submitted" => {}
                "recorded" => assert!(inquiry.steps[&0].record.is_some(), "record of {id} is lost"),
                "concluded" => assert!(inquiry.status.verdict().is_some(), "end of {id} is lost"),
                other => panic!("{other}"),
            }
        }
        let mut export = Vec::new();
        let checkpoint = conductor.export_ledger(&mut export).unwrap();
        for earlier in &noted {
            let lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            assert_eq!(verify_export(lines, Some(earlier)).unwrap(), checkpoint);
        }
        assert!(checkpoint.size as usize >= acknowledged.len());
        let (status, listed) = (
            conductor.status().await.unwrap(),
            conductor.inquiries(&InquiryFilter::default(), None, 1000).await.unwrap(),
        );
        conductor.shutdown().await;

        let conductor = open(&data).await;
        assert_eq!(conductor.checkpoint_at(checkpoint.size).await.unwrap(), checkpoint);
        assert_eq!(conductor.checkpoint().await.unwrap().size, checkpoint.size);
        assert_eq!(conductor.inquiries(&InquiryFilter::default(), None, 1000).await.unwrap(), listed);
        let again = conductor.status().await.unwrap();
        // A member that comes to lead in a new term adds an empty entry, which the hash takes in.
        if again.applied_index == status.applied_index {
            assert_eq!(again.state_hash, status.state_hash);
        }
        conductor.shutdown().await;
        noted.push(checkpoint);
    }
}
