//! Three hosts of the real binary as one cluster: any of them answers, one may be lost, and nothing that was acknowledged is.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use inquisitor_tests::cluster::Cluster;
use inquisitor_tests::{fixture, plugin};
use serde_json::Value;

/// An inquiry of one step, with a name of its own.
fn manifest(id: &str, plugin: &str) -> String {
    format!(
        "version: '1.0'\nid: {id}\nname: A question\nmetadata: {{author: tests}}\nprotocol: {{type: sequential, phases: [execution]}}\ninstruments: [{{type: {plugin}, id: one}}]\n"
    )
}

/// Submit through a member; the id that was acknowledged.
fn submit(cluster: &Cluster, member: usize, id: &str, plugin: &str) -> String {
    let file = cluster.folder().join(format!("{id}.yaml"));
    std::fs::write(&file, manifest(id, plugin)).unwrap();
    let submitted = cluster.run(member, ["submit", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(submitted.code, 0, "{}\n{}", submitted.stderr, cluster.log(member));
    submitted.json()["id"].as_str().unwrap().to_owned()
}

/// Every member has applied the same, its ledger is the same, and no step was recorded twice.
fn agree(cluster: &Cluster, members: &[usize]) {
    let states = cluster.until("members with the same state", || {
        let states: Vec<(Value, Value)> = members
            .iter()
            .map(|member| {
                let status = cluster.status(*member)?;
                Some((status["applied_index"].clone(), status["state_hash"].clone()))
            })
            .collect::<Option<_>>()?;
        states.iter().all(|(index, _)| *index == states[0].0).then_some(states)
    });
    for (index, hash) in &states {
        assert_eq!((index, hash), (&states[0].0, &states[0].1), "drift");
    }
    let mut roots = BTreeMap::new();
    for member in members {
        let export = cluster.run(*member, ["ledger", "export"]);
        assert_eq!(export.code, 0, "{}", export.stderr);
        let file = cluster.folder().join(format!("ledger-{member}.jsonl"));
        std::fs::write(&file, &export.stdout).unwrap();
        assert_eq!(cluster.run(*member, ["ledger", "verify", file.to_str().unwrap()]).code, 0);
        let mut seen = BTreeSet::new();
        for line in export.stdout.lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            if entry["kind"] == "step-recorded" && entry["body"]["final"] == true {
                let step = (entry["inquiry"].to_string(), entry["body"]["step"].to_string());
                assert!(seen.insert(step), "recorded twice: {entry}");
            }
            // One ledger is the beginning of the other: the same entry at the same index.
            if let Some(index) = entry["index"].as_u64() {
                let there = roots.entry(index).or_insert_with(|| line.to_owned());
                assert_eq!(there, line, "two ledgers");
            }
        }
    }
}

#[test]
fn any_member_answers_and_what_was_acknowledged_survives_the_loss_of_one() {
    let mut cluster = Cluster::start(3);
    let mut ids: Vec<String> =
        (0..3).map(|member| submit(&cluster, member, &format!("first-{member}"), "echo")).collect();
    for member in 0..3 {
        cluster.until_concluded(member, &ids);
    }
    agree(&cluster, &[0, 1, 2]);

    // The leader is killed: the other two go on, and take what comes.
    let leader = cluster.leader();
    cluster.kill(leader);
    let others: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
    for member in &others {
        ids.push(submit(&cluster, *member, &format!("second-{member}"), "echo"));
    }
    cluster.until_concluded(others[1], &ids);
    agree(&cluster, &others);

    // It comes back and knows what happened meanwhile.
    cluster.start_member(leader);
    cluster.until_ready(leader);
    cluster.until_concluded(leader, &ids);
    agree(&cluster, &[0, 1, 2]);

    // Without a quorum nothing is acknowledged, and a local read still says what lies here.
    let (first, second) = (others[0], others[1]);
    cluster.kill(first);
    cluster.kill(second);
    let hello = fixture("hello-world.yaml");
    let refused = cluster.run(leader, ["submit", hello.to_str().unwrap(), "--retry-for", "0s", "-o", "json"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stdout.contains("unavailable") || refused.stderr.contains("unavailable"), "{refused:?}");
    cluster.start_member(first);
    cluster.start_member(second);
    for member in 0..3 {
        cluster.until_ready(member);
    }
    cluster.until_concluded(second, &ids);
    agree(&cluster, &[0, 1, 2]);
}

#[test]
fn an_upload_is_on_a_majority_before_it_is_acknowledged() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let taker = (leader + 1) % 3;
    let component = inquisitor_tests::test_component("plain");
    let pushed = cluster.run(taker, ["plugin", "push", component.to_str().unwrap(), "-o", "json"]);
    assert_eq!(pushed.code, 0, "{}\n{}", pushed.stderr, cluster.log(taker));
    let name = pushed.json()["name"].as_str().unwrap().to_owned();
    // The one that took it is gone, with its disk.
    cluster.kill(taker);
    cluster.lose_disk(taker);
    let other = (leader + 2) % 3;
    let id = cluster.until("a member that has the plugin", || {
        let listed = cluster.run(other, ["plugin", "list", "-o", "json"]);
        listed.stdout.contains(&name).then(|| submit(&cluster, other, "uploaded", &name))
    });
    cluster.until("the end of the inquiry", || {
        let shown = cluster.run(other, ["inquiry", "show", &id, "-o", "json"]);
        let shown: Value = serde_json::from_str(&shown.stdout).ok()?;
        (shown["status"] != "running").then_some(())
    });
    // A new disk under the old name takes the place of the old one, and gets everything.
    cluster.start_member(taker);
    cluster.until_ready(taker);
    cluster.until("a cluster of three voters", || {
        let members = cluster.status(other)?["members"].as_array()?.clone();
        (members.len() == 3 && members.iter().all(|member| member["voter"] == true)).then_some(())
    });
    agree(&cluster, &[0, 1, 2]);
}

#[test]
fn a_rolling_restart_loses_nothing() {
    let mut cluster = Cluster::start(3);
    let mut ids = Vec::new();
    for member in 0..3 {
        // What a stopping member is asked first.
        let handed = cluster.run(member, ["raft", "transfer-leader", "--wait", "20s"]);
        assert_eq!(handed.code, 0, "{}", handed.stderr);
        cluster.stop(member);
        ids.push(submit(&cluster, (member + 1) % 3, &format!("rolling-{member}"), "echo"));
        cluster.start_member(member);
        cluster.until_ready(member);
    }
    let members = cluster.run(0, ["raft", "members"]);
    assert!(members.stdout.contains("host-2") && members.stdout.contains("leader"), "{}", members.stdout);
    cluster.until_concluded(0, &ids);
    agree(&cluster, &[0, 1, 2]);
}

#[test]
fn a_plugin_that_everybody_has_runs_whoever_took_the_inquiry() {
    let cluster = Cluster::start(3);
    let probe = plugin("echo");
    let again = cluster.run(1, ["plugin", "push", probe.to_str().unwrap()]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let ids: Vec<String> =
        (0..6).map(|number| submit(&cluster, number % 3, &format!("shared-{number}"), "echo")).collect();
    cluster.until_concluded(2, &ids);
}

/// An inquiry of so many steps, four at once, each of which takes so long.
fn slow_manifest(id: &str, steps: usize, delay_ms: u64) -> String {
    let mut text = format!(
        "version: '1.0'\nid: {id}\nname: A long question\nmetadata: {{author: tests}}\nexecution: {{concurrency: {{max_workers: 4}}}}\ninstruments: [{{type: echo, id: one, parameters: {{response_delay_ms: {delay_ms}}}}}]\nprotocol:\n  type: parallel\n  phases:\n    - name: execution\n      steps:\n"
    );
    for step in 0..steps {
        writeln!(text, "        - {{name: s{step}, type: measurement, instrument: one, parameters: {{message: m{step}}}}}")
            .unwrap();
    }
    text
}

/// Submit inquiries of slow steps through all members in turn.
fn submit_slow(cluster: &Cluster, members: &[usize], name: &str, inquiries: usize) -> Vec<String> {
    (0..inquiries)
        .map(|number| {
            let id = format!("{name}-{number}");
            let file = cluster.folder().join(format!("{id}.yaml"));
            std::fs::write(&file, slow_manifest(&id, STEPS, 800)).unwrap();
            let member = members[number % members.len()];
            let submitted = cluster.run(member, ["submit", file.to_str().unwrap(), "-o", "json"]);
            assert_eq!(submitted.code, 0, "{}\n{}", submitted.stderr, cluster.log(member));
            submitted.json()["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

const STEPS: usize = 12;

/// The ledger's leases and final records of these inquiries: executors, and whether every step was recorded.
fn leases(cluster: &Cluster, member: usize, ids: &[String]) -> (BTreeMap<String, usize>, usize) {
    let export = cluster.run(member, ["ledger", "export"]);
    assert_eq!(export.code, 0, "{}", export.stderr);
    let (mut executors, mut recorded) = (BTreeMap::new(), 0);
    for line in export.stdout.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        if !entry["inquiry"].as_str().is_some_and(|inquiry| ids.iter().any(|id| id == inquiry)) {
            continue;
        }
        if entry["kind"] == "step-leased" {
            *executors.entry(entry["body"]["executor"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        recorded += usize::from(entry["kind"] == "step-recorded" && entry["body"]["final"] == true);
    }
    (executors, recorded)
}

/// Wait until a member runs steps that were leased to it.
fn until_it_runs_steps(cluster: &Cluster, member: usize) {
    cluster.until("steps that run on a follower", || {
        let metrics = inquisitor_tests::server::get(cluster.address(member), "/metrics")?;
        let running =
            metrics.lines().find_map(|line| line.strip_prefix("inquisitor_leased_steps_running "))?;
        (running != "0").then_some(())
    });
}

#[test]
fn steps_run_on_every_member_and_go_on_elsewhere_when_one_is_lost() {
    let mut cluster = Cluster::start(3);
    let all = [0, 1, 2];
    let ids = submit_slow(&cluster, &all, "spread", 3);
    cluster.until_concluded(1, &ids);
    let (executors, recorded) = leases(&cluster, 0, &ids);
    assert_eq!(executors.keys().collect::<Vec<_>>(), ["host-0", "host-1", "host-2"], "{executors:?}");
    assert_eq!(recorded, 3 * STEPS);
    agree(&cluster, &all);

    // A follower is killed while it runs steps.
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let ids = submit_slow(&cluster, &[leader], "follower-lost", 3);
    until_it_runs_steps(&cluster, follower);
    cluster.kill(follower);
    cluster.until_concluded(leader, &ids);
    assert_eq!(leases(&cluster, leader, &ids).1, 3 * STEPS);
    let others: Vec<usize> = all.into_iter().filter(|member| *member != follower).collect();
    agree(&cluster, &others);
    cluster.start_member(follower);
    cluster.until_ready(follower);

    // The leader is killed while the others run its steps.
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let ids = submit_slow(&cluster, &[leader], "leader-lost", 3);
    until_it_runs_steps(&cluster, follower);
    cluster.kill(leader);
    cluster.until_concluded(follower, &ids);
    assert_eq!(leases(&cluster, follower, &ids).1, 3 * STEPS);
    cluster.start_member(leader);
    cluster.until_ready(leader);
    agree(&cluster, &all);
}

#[test]
fn a_member_that_stops_finishes_its_steps_and_one_that_is_silent_loses_them() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let (stops, silent) = ((leader + 1) % 3, (leader + 2) % 3);
    let ids = submit_slow(&cluster, &[leader], "stops", 3);
    until_it_runs_steps(&cluster, stops);
    cluster.stop(stops);
    cluster.until_concluded(leader, &ids);
    assert_eq!(leases(&cluster, leader, &ids).1, 3 * STEPS);
    assert!(!cluster.log(stops).contains("are handed back"), "{}", cluster.log(stops));
    cluster.start_member(stops);
    cluster.until_ready(stops);

    let leader = cluster.leader();
    let silent = if silent == leader { stops } else { silent };
    let ids = submit_slow(&cluster, &[leader], "silent", 3);
    until_it_runs_steps(&cluster, silent);
    cluster.signal(silent, "STOP");
    cluster.until_concluded(leader, &ids);
    let (executors, recorded) = leases(&cluster, leader, &ids);
    assert_eq!(recorded, 3 * STEPS);
    assert!(executors.values().sum::<usize>() > 3 * STEPS, "some were leased anew: {executors:?}");
    cluster.signal(silent, "CONT");
    agree(&cluster, &[0, 1, 2]);
}
