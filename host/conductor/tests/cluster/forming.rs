//! Members find each other and form one cluster, whatever the order.

use std::time::Duration;

use futures::future::join_all;
use inquisitor_conductor::{Conductor, ConductorConfig};
use inquisitor_engine::journal::Journal;

use crate::harness::*;
use crate::support::*;

fn waits_for(member: &Conductor, expected: &str) -> bool {
    member.obstacles().iter().any(|obstacle| obstacle.contains(expected))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_cluster_comes_of_every_order_of_starts() {
    let orders = [
        ["a", "b", "c"],
        ["a", "c", "b"],
        ["b", "a", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["c", "b", "a"],
    ];
    join_all(orders.map(async |order| {
        let mut cluster = Cluster::new(&THREE);
        cluster.start(order[0]).await;
        let missing = cluster.member(order[0]);
        until("it waits for the others", async || waits_for(missing, "waits for ")).await;
        cluster.start(order[1]).await;
        let last = format!("waits for {}", order[2]);
        until("it waits for the last", async || waits_for(cluster.member(order[1]), &last)).await;
        cluster.start(order[2]).await;
        cluster.formed().await;
        cluster.submit(order[2], "q").await;
        cluster.agree().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_forms_the_cluster_after_a_while_and_who_is_late_is_replicated_to() {
    let mut cluster = Cluster::new(&THREE);
    cluster.grace = Duration::from_millis(300);
    cluster.start("a").await;
    until("it waits", async || waits_for(cluster.member("a"), "waits for b, c")).await;
    // Restarted before there is a cluster.
    cluster.kill("a");
    cluster.start("a").await;
    cluster.start("b").await;
    cluster.leader().await;
    cluster.submit("a", "before").await;
    // Restarted before all members were ever there.
    for name in ["a", "b"] {
        cluster.kill(name);
    }
    for name in ["b", "a"] {
        cluster.start(name).await;
    }
    cluster.submit("b", "after").await;
    cluster.start("c").await;
    cluster.formed().await;
    cluster.agree().await;
    assert!(cluster.has("c", "before").await && cluster.has("c", "after").await);
    assert_eq!(cluster.status("c").await.members.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_different_lists_form_nothing_and_show_both() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.grace = Duration::from_millis(100);
    cluster.start("a").await;
    cluster.list = vec!["a".into(), "b".into(), "d".into()];
    cluster.start("b").await;
    let both = "`b` lists other members, a=a.test:4321,b=b.test:4321,d=d.test:4321, than this one, \
                a=a.test:4321,b=b.test:4321;";
    until("a shows both lists", async || waits_for(cluster.member("a"), both)).await;
    until("b as well", async || waits_for(cluster.member("b"), "`a` lists other members")).await;
    for name in ["a", "b"] {
        let status = cluster.status(name).await;
        assert_eq!((status.role, status.cluster.as_str(), status.last_log_index), ("joining", "", None));
    }
    cluster.shutdown("b").await;
    cluster.list = vec!["a".into(), "b".into()];
    cluster.start("b").await;
    cluster.formed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_becomes_three_and_keeps_what_it_has() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.start("a").await;
    cluster.formed().await;
    cluster.submit("a", "alone").await;
    let first = cluster.status("a").await;
    cluster.shutdown("a").await;

    cluster.list = THREE.map(str::to_owned).to_vec();
    for name in ["b", "c"] {
        cluster.start(name).await;
    }
    until("the new ones wait for the first", async || waits_for(cluster.member("c"), "waits for a")).await;
    cluster.start("a").await;
    cluster.formed().await;
    until("three voters", async || {
        cluster.status("a").await.members.iter().filter(|one| one.voter).count() == 3
    })
    .await;
    cluster.agree().await;
    assert_eq!(cluster.status("b").await.cluster, first.cluster);
    assert!(cluster.has("c", "alone").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_alone_becomes_the_first_of_three() {
    let mut cluster = Cluster::new(&THREE);
    let config = ConductorConfig { cluster: None, ..cluster.config("a") };
    let alone = Conductor::open(config).await.unwrap();
    let manifest = alone.put_blob(b"manifest".to_vec()).await.unwrap();
    done(&alone, submit("alone", &manifest, plan("n", 1))).await;
    let before = alone.status().await.unwrap();
    alone.shutdown().await;
    for name in ["b", "a", "c"] {
        cluster.start(name).await;
    }
    until("three voters", async || {
        let members = cluster.status("a").await.members;
        members.len() == 3 && members.iter().all(|one| one.voter && !one.address.is_empty())
    })
    .await;
    cluster.formed().await;
    cluster.agree().await;
    let after = cluster.status("a").await;
    assert_eq!((after.node_id, after.cluster), (before.node_id, before.cluster));
    assert!(cluster.has("c", "alone").await);
    assert!(cluster.member("b").sizes().await.unwrap().blobs == 1, "a voter holds what its state names");
}

#[tokio::test]
async fn a_member_must_be_in_its_list_and_have_a_port() {
    let mut cluster = Cluster::new(&["a", "b"]);
    let config = cluster.config("c");
    let error = Conductor::open(config).await.err().unwrap().to_string();
    assert!(error.contains("`c`, is not in it; it has a=a.test:4321,b=b.test:4321"), "{error}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = cluster.config("a");
    config.cluster.as_mut().unwrap().listen = taken.local_addr().unwrap();
    let error = Conductor::open(config).await.err().unwrap().to_string();
    assert!(error.contains("cannot listen for other members on 127.0.0.1:"), "{error}");

    let mut config = cluster.config("a");
    config.cluster.as_mut().unwrap().heartbeat = Duration::from_secs(1);
    let error = Conductor::open(config).await.err().unwrap().to_string();
    assert!(error.contains("three heartbeats"), "{error}");
}
