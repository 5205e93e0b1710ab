//! Disks that are lost, foreign, or in two places.

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_replaced_by_a_new_one_under_an_id_of_its_own() {
    let mut cluster = Cluster::three().await;
    for number in 0..5 {
        cluster.submit("a", &format!("q{number}")).await;
    }
    for lost in ["c", "a"] {
        let before = cluster.member(lost).identity();
        cluster.kill(lost);
        cluster.lose_disk(lost);
        cluster.start(lost).await;
        cluster.formed().await;
        let after = cluster.member(lost).identity();
        assert_ne!(after.node_id, before.node_id);
        until("the old id is gone", async || {
            let status = cluster.status(lost).await;
            let namesakes: Vec<_> = status.members.iter().filter(|member| member.name == lost).collect();
            namesakes.len() == 1 && namesakes[0].voter && namesakes[0].node_id == status.node_id
        })
        .await;
        cluster.submit(lost, &format!("after {lost}")).await;
        cluster.agree().await;
        assert!(cluster.has(lost, "q0").await);
        // A blob that it never saw is on its disk, as it counts for those that were spread.
        let summary = cluster.member(lost).sizes().await.unwrap();
        assert!(summary.blobs >= 1);
    }
    assert_eq!(cluster.status("b").await.members.len(), 3);
    // The one that came back counts: another may go.
    cluster.kill("b");
    cluster.submit("c", "without b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_disk_is_refused_while_a_member_of_its_name_answers() {
    let mut cluster = Cluster::three().await;
    let follower = cluster.follower().await;
    let disk = cluster.take_disk(&follower);
    let first = cluster.members.remove(&follower).unwrap();
    cluster.start(&follower).await;
    // Both live; others reach the first one.
    cluster.net.listens(&follower, first.peer_address().unwrap());
    let second = cluster.member(&follower);
    until("it is told", async || {
        second.obstacles().iter().any(|obstacle| obstacle.contains("is in use by a member that answers"))
    })
    .await;
    assert_eq!(first.status().await.unwrap().members.len(), 3);
    assert_eq!(second.status().await.unwrap().role, "joining");
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_of_another_cluster_is_refused_with_both_ids() {
    let mut other = Cluster::three().await;
    let foreign = other.status("c").await.cluster;
    other.submit("a", "foreign").await;
    other.agree().await;
    other.kill("c");
    let disk = other.take_disk("c");
    let mut cluster = Cluster::three().await;
    let own = cluster.status("a").await.cluster;
    cluster.kill("c");
    cluster.lose_disk("c");
    cluster.give_disk("c", disk);
    cluster.start("c").await;
    until("it says so", async || {
        let obstacles = cluster.member("c").obstacles().join(" ");
        obstacles.contains(&own) && obstacles.contains(&foreign)
    })
    .await;
    cluster.submit("a", "own").await;
    let status = cluster.status("c").await;
    assert_eq!((status.cluster, status.has_leader), (foreign.clone(), false));
    assert!(!cluster.has("c", "own").await);
    let leader = cluster.leader().await;
    until("the leader says so too", async || {
        let members = cluster.member(&leader).members();
        members.iter().any(|one| one.problem.as_ref().is_some_and(|problem| problem.contains(&foreign)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_a_cluster_does_not_open_without_its_list() {
    let mut cluster = Cluster::three().await;
    cluster.shutdown("a").await;
    let mut config = cluster.config("a");
    config.cluster = None;
    let error = inquisitor_conductor::Conductor::open(config).await.err().unwrap().to_string();
    assert!(
        error.contains("belongs to a member of a cluster of") && error.contains("a") && error.contains("c"),
        "{error}"
    );
    // Nor under another member's name.
    let disk = cluster.take_disk("a");
    cluster.kill("b");
    cluster.lose_disk("b");
    cluster.give_disk("b", disk);
    let config = cluster.config("b");
    let error = inquisitor_conductor::Conductor::open(config).await.err().unwrap().to_string();
    assert!(error.contains("belongs to the member `a`"), "{error}");
}
