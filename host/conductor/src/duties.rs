//! What falls to whoever leads: giving the cluster its id, and finishing a change of the membership that a leader before left
//! half done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::change::Proposal;
use crate::network::links::Links;
use crate::node::{Node, Running};

/// Before a duty that could not be done is tried again.
const PAUSE: Duration = Duration::from_millis(300);

/// Does them whenever this member leads. Never ends.
pub(crate) async fn run(node: Arc<Node>, links: Arc<Links>) {
    let Some(running) = node.running() else { return };
    let mut metrics = running.raft.server_metrics();
    loop {
        if running.leads() {
            let membership = running.membership();
            links.contacts.retain(|id| membership.membership().get_node(&id).is_some());
            if let Err(problem) = perform(&node, running).await {
                tracing::warn!(problem, "a leader's duty could not be done; trying again");
                sleep(PAUSE).await;
                continue;
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

async fn perform(node: &Node, running: &Running) -> Result<(), String> {
    if node.published.cluster.borrow().is_none() {
        found(node, running).await?;
    }
    let _changing = node.changing_members.lock().await;
    let stored = running.membership();
    let sets = stored.membership().get_joint_config();
    if let [_, .., voters] = sets.as_slice() {
        let voters: BTreeSet<u64> = voters.clone();
        running.raft.change_membership(voters, false).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Gives the cluster the id that this disk drew, unless a leader before was quicker.
pub(crate) async fn found(node: &Node, running: &Running) -> Result<(), String> {
    let cluster = node.identity().cluster;
    let command = Proposal::Found(cluster).encode().map_err(|error| error.to_string())?;
    running.proposer.propose(command).await.map(drop)
}
