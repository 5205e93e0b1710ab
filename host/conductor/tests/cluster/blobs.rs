//! Blobs are on a majority before anything names them, and come from whoever has them.

use inquisitor_engine::journal::{Journal, JournalError};

use crate::harness::*;
use crate::support::*;

async fn holders(cluster: &Cluster) -> usize {
    let mut holders = 0;
    for member in cluster.members.values() {
        holders += usize::from(member.sizes().await.unwrap().blobs > 0);
    }
    holders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_on_a_majority_when_it_is_acknowledged_and_comes_back_everywhere() {
    let cluster = Cluster::three().await;
    let small = b"small".to_vec();
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    for blob in [small, large] {
        let digest = cluster.member("b").put_blob(blob.clone()).await.unwrap();
        assert!(holders(&cluster).await >= 2);
        for name in THREE {
            assert!(cluster.member(name).blob(&digest).await.unwrap() == blob, "{name}");
        }
    }
    until("all hold both", async || {
        let mut blobs = Vec::new();
        for member in cluster.members.values() {
            blobs.push(member.sizes().await.unwrap().blobs);
        }
        blobs == [2, 2, 2]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_majority_acknowledges_no_blob() {
    let cluster = Cluster::three().await;
    cluster.net.isolate("a", &THREE, true);
    let put = soon("an answer", cluster.member("a").put_blob(b"x".to_vec())).await;
    let Err(JournalError::Unavailable(problem)) = put else { panic!("{put:?}") };
    assert!(problem.contains("is not held by a majority") && problem.contains("`b`"), "{problem}");
    assert_eq!(holders(&cluster).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_may_name_what_another_member_has_and_not_what_nobody_has() {
    let mut cluster = Cluster::three().await;
    cluster.kill("c");
    let manifest = cluster.member("a").put_blob(b"manifest".to_vec()).await.unwrap();
    cluster.start("c").await;
    cluster.formed().await;
    accepted(cluster.member("c"), submit("q", &manifest, plan("n", 1))).await;
    assert_eq!(holders(&cluster).await, 3, "whoever names a blob has it");
    let nowhere = "ab".repeat(32);
    let refused = cluster.member("c").propose(submit("r", &nowhere, plan("n", 1))).await;
    let Err(JournalError::Blob { digest, message }) = refused else { panic!("{refused:?}") };
    assert_eq!(digest, nowhere);
    assert!(message.contains("no other member gave it"), "{message}");
}
