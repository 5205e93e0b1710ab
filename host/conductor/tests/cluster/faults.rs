//! Crashes and cuts: nothing acknowledged is lost, nothing is done twice, and who was away does not disturb the others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inquisitor_conductor::ConductorError;
use inquisitor_engine::journal::{Applied, Command, Journal, JournalError};

use crate::harness::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_takes_commands_and_shows_them_and_a_killed_leader_is_replaced() {
    let mut cluster = Cluster::three().await;
    for name in THREE {
        cluster.submit(name, name).await;
        assert!(cluster.has(name, name).await, "whoever was answered finds what was made");
    }
    for round in 0..2 {
        let leader = cluster.leader().await;
        let before = cluster.member(&leader).checkpoint().await.unwrap();
        cluster.kill(&leader);
        let survivor = cluster.members.keys().next().unwrap().clone();
        cluster.submit(&survivor, &format!("round {round}")).await;
        let root = cluster.member(&survivor).checkpoint_at(before.size).await.unwrap().root.to_string();
        assert_eq!(root, before.root, "the ledger of before is the beginning of the one of after");
        cluster.start(&leader).await;
        cluster.formed().await;
        cluster.agree().await;
    }
    for name in THREE {
        for inquiry in ["a", "b", "c", "round 0", "round 1"] {
            assert!(cluster.has(name, inquiry).await, "{name} lacks {inquiry}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_after_linearize_are_as_new_as_the_question_on_every_member() {
    let cluster = Cluster::three().await;
    for number in 0..30 {
        let (writer, reader) = (THREE[number % 3], THREE[(number + 1) % 3]);
        let inquiry = format!("q{number}");
        cluster.submit(writer, &inquiry).await;
        let readers = (0..8).map(|_| cluster.member(reader).linearize());
        for read in futures::future::join_all(readers).await {
            read.unwrap();
        }
        assert!(cluster.has(reader, &inquiry).await, "{reader} does not see what {writer} was told");
    }
    let staleness = cluster.member("a").staleness();
    assert!(staleness.last_contact_ms.is_some() && staleness.applied_index.is_some(), "{staleness:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_recorded_once_however_often_connections_break() {
    let cluster = Cluster::three().await;
    let follower = cluster.follower().await;
    let leader = cluster.leader().await;
    let stop = Arc::new(AtomicBool::new(false));
    let breaker = {
        let (net, stop, follower, leader) =
            (cluster.net.clone(), stop.clone(), follower.clone(), leader.clone());
        tokio::spawn(async move {
            let mut pause = tokio::time::interval(Duration::from_millis(15));
            while !stop.load(Ordering::Relaxed) {
                pause.tick().await;
                net.break_connections(&follower, &leader);
            }
        })
    };
    let member = cluster.member(&follower);
    let decide = |number: usize| Command::Decide {
        access: Box::new(access("inquiry.read", &format!("r{number}"), false)),
    };
    let mut acknowledged = BTreeSet::new();
    for number in 0..60 {
        // One that got no answer at all may be recorded or not, but not twice.
        match member.propose(decide(number)).await {
            Ok(applied) => {
                assert_eq!(applied, Applied::Done);
                acknowledged.insert(format!("r{number}"));
            }
            Err(JournalError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    breaker.await.unwrap();
    assert!(acknowledged.len() >= 30, "{} of 60 were acknowledged", acknowledged.len());
    cluster.agree().await;
    let mut recorded: Vec<String> = entries(member, 0)
        .await
        .into_iter()
        .filter(|entry| entry.kind == "access-decided")
        .map(|entry| entry.body["resource"].as_str().unwrap().to_owned())
        .collect();
    let count = recorded.len();
    recorded.sort();
    recorded.dedup();
    assert_eq!(recorded.len(), count, "some were recorded twice");
    assert!(acknowledged.iter().all(|one| recorded.contains(one)), "an acknowledged one is lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_follows_when_it_is_back() {
    let cluster = Cluster::three().await;
    let old = cluster.leader().await;
    let old_id = cluster.status(&old).await.node_id;
    cluster.submit(&old, "before").await;
    let manifest = cluster.member(&old).put_blob(b"manifest".to_vec()).await.unwrap();
    cluster.net.isolate(&old, &THREE, true);
    let lost = cluster.member(&old).propose(submit("lost", &manifest, plan("n", 1)));
    let others = cluster.others(&old);
    let (lost, ()) = tokio::join!(lost, async {
        let other = others[0].as_str();
        until("the others have a new leader", async || {
            let status = cluster.status(other).await;
            status.has_leader && status.leader.is_some_and(|id| id != old_id)
        })
        .await;
        cluster.submit(other, "meanwhile").await;
    });
    assert!(matches!(lost, Err(JournalError::Unavailable(_))), "{lost:?}");
    let read = cluster.member(&old).linearize().await;
    assert!(matches!(read, Err(ConductorError::Consensus(_))), "{read:?}");
    let obstacles = cluster.member(&old).obstacles();
    assert!(obstacles.iter().any(|obstacle| obstacle.contains("there is no leader")), "{obstacles:?}");

    cluster.net.isolate(&old, &THREE, false);
    cluster.formed().await;
    cluster.agree().await;
    assert!(cluster.has(&old, "meanwhile").await);
    assert!(!cluster.has(&old, "lost").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_stops_all_the_same() {
    let mut cluster = Cluster::three().await;
    let old = cluster.leader().await;
    let manifest = cluster.member(&old).put_blob(b"manifest".to_vec()).await.unwrap();
    cluster.net.isolate(&old, &THREE, true);
    let member = cluster.members[&old].clone();
    let asked = tokio::spawn(async move { member.propose(submit("lost", &manifest, plan("n", 1))).await });
    until("it is in its log", async || {
        let status = cluster.status(&old).await;
        status.last_log_index > status.applied_index
    })
    .await;
    cluster.shutdown(&old).await;
    let answer = soon("an answer", asked).await.unwrap();
    assert!(matches!(answer, Err(JournalError::Unavailable(_))), "{answer:?}");
    let next = cluster.leader().await;
    cluster.submit(&next, "next").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_does_not_disturb_the_leader() {
    let cluster = Cluster::three().await;
    let (leader, away) = (cluster.leader().await, cluster.follower().await);
    let term = cluster.status(&leader).await.term;
    cluster.net.isolate(&away, &THREE, true);
    until("it notices", async || !cluster.status(&away).await.has_leader).await;
    // Long enough for it to have stood for election several times, had it been let.
    for number in 0..40 {
        cluster.submit(&leader, &format!("q{number}")).await;
    }
    cluster.net.isolate(&away, &THREE, false);
    cluster.formed().await;
    cluster.agree().await;
    let status = cluster.status(&leader).await;
    assert_eq!((status.role, status.term), ("leader", term));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lags_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::new(&THREE);
    cluster.snapshot_every = 20;
    for name in THREE {
        cluster.start(name).await;
    }
    cluster.formed().await;
    let (leader, away) = (cluster.leader().await, cluster.follower().await);
    cluster.kill(&away);
    for number in 0..100 {
        cluster.submit(&leader, &format!("q{number}")).await;
    }
    until("the log is purged", async || {
        cluster.status(&leader).await.purged_index.is_some_and(|index| index > 40)
    })
    .await;
    cluster.start(&away).await;
    cluster.formed().await;
    cluster.agree().await;
    assert!(cluster.has(&away, "q0").await && cluster.has(&away, "q99").await);
    assert!(cluster.status(&away).await.snapshot_index.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_larger_than_a_heartbeat_carries_is_replicated() {
    let cluster = Cluster::three().await;
    let follower = cluster.follower().await;
    let member = cluster.member(&follower);
    let manifest = member.put_blob(b"manifest".to_vec()).await.unwrap();
    let mut large = plan("large", 1);
    large.tags = (0..64).map(|number| format!("{number}").repeat(64 << 10)).collect();
    // What the ledger says of it is small; the plan has some megabytes.
    accepted(member, submit("large", &manifest, large)).await;
    cluster.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_were_all_killed_elect_anew_and_have_what_was_acknowledged() {
    let mut cluster = Cluster::three().await;
    let leader = cluster.leader().await;
    cluster.submit(&leader, "before").await;
    let term = cluster.status(&leader).await.term;
    for name in THREE {
        cluster.kill(name);
    }
    for name in THREE {
        cluster.start(name).await;
    }
    cluster.formed().await;
    // Others may have more of the old term than its leader has on disk, so that it must not go on in it.
    let leader = cluster.leader().await;
    assert!(cluster.status(&leader).await.term > term);
    cluster.submit(&leader, "after").await;
    cluster.agree().await;
    for name in THREE {
        assert!(cluster.has(name, "before").await && cluster.has(name, "after").await, "{name}");
    }
}
