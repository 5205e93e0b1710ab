//! Handing over, leaving and being added.

use inquisitor_conductor::ConductorError;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_goes_where_it_is_sent_and_a_leader_that_stops_hands_it_over() {
    let mut cluster = Cluster::three().await;
    let (old, new) = (cluster.leader().await, cluster.follower().await);
    let asked = cluster.others(&old).into_iter().find(|name| *name != new).unwrap();
    let leads = cluster.member(&new).leads();
    cluster.member(&asked).transfer_leader(Some(&new)).await.unwrap();
    assert_eq!(cluster.leader().await, new);
    let mut leads = leads;
    soon("whoever watches is told", leads.wait_for(|leads| *leads)).await.unwrap();
    let error = cluster.member(&asked).transfer_leader(Some("nobody")).await.unwrap_err();
    assert!(matches!(&error, ConductorError::Cluster(problem) if problem.contains("`nobody`")), "{error}");

    cluster.shutdown(&new).await;
    let mut roles = Vec::new();
    for name in cluster.members.keys() {
        roles.push(cluster.status(name).await.role);
    }
    assert!(roles.contains(&"leader"), "handed over before the stop was done: {roles:?}");
    let next = cluster.leader().await;
    cluster.submit(&next, "q").await;
    cluster.start(&new).await;
    cluster.formed().await;
    cluster.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_five_leadership_is_handed_over_as_well() {
    let names = ["a", "b", "c", "d", "e"];
    let mut cluster = Cluster::new(&names);
    for name in names {
        cluster.start(name).await;
    }
    cluster.formed().await;
    let new = cluster.follower().await;
    let leader = cluster.leader().await;
    cluster.member(&leader).transfer_leader(Some(&new)).await.unwrap();
    assert_eq!(cluster.leader().await, new);
    // Two of five may go.
    for name in cluster.others(&new).into_iter().take(2) {
        cluster.kill(&name);
    }
    cluster.submit(&new, "q").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_added_by_starting_it_and_removed_by_name() {
    let mut cluster = Cluster::three().await;
    cluster.submit("a", "q").await;
    cluster.list.push("d".into());
    cluster.start("d").await;
    until("four voters", async || {
        cluster.status("a").await.members.iter().filter(|one| one.voter).count() == 4
    })
    .await;
    cluster.formed().await;
    cluster.agree().await;
    assert!(cluster.has("d", "q").await);

    let asked = cluster.follower().await;
    let leader = cluster.leader().await;
    let error = cluster.member(&asked).remove_member(&leader).await.unwrap_err().to_string();
    assert!(error.contains("hand leadership over first"), "{error}");
    if leader == "d" {
        cluster.member("d").transfer_leader(Some("a")).await.unwrap();
    }
    cluster.member("a").remove_member("d").await.unwrap();
    assert_eq!(cluster.status("a").await.members.len(), 3);
    until("it knows", async || {
        cluster
            .member("d")
            .obstacles()
            .iter()
            .any(|obstacle| obstacle.contains("was removed from the cluster"))
    })
    .await;
    cluster.shutdown("d").await;
    cluster.formed().await;

    let status = cluster.status(&cluster.leader().await).await;
    assert!(status.members.iter().all(|member| member.voter && member.lag.is_some()), "{status:?}");
}
