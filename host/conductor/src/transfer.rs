//! Handing leadership over.
//!
//! openraft has no way to do this but to let the successor stand for election, and members refuse to vote for anybody within
//! an election timeout of hearing their leader. The leader itself has heard none since it was elected, so where its vote and
//! the successor's own are a majority, as among three, the change takes two round trips. In larger clusters the leader falls
//! silent, and the successor stands as soon as the others are free to vote, which is before they would stand themselves.
//! Meanwhile nothing is proposed: the successor must have the whole log.

use std::time::Duration;

use inquisitor_peer::Class;
use openraft::ServerState;
use tokio::time::{sleep, timeout};

use crate::network::links::{Links, Question};
use crate::network::wire::{self, Target};
use crate::node::{Node, Running};

/// How long a hand-over may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// By how much the leader has certainly ceased to refuse others.
const MARGIN: Duration = Duration::from_millis(20);
/// Voters among whom the leader and its successor are a majority.
const SMALL_CLUSTER: usize = 3;

/// Where leadership went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handed {
    /// To the successor.
    Over,
    /// To another one, that stood for election at the same moment.
    Elsewhere,
}

/// Hands over to the voter of this name, or to the one that is furthest. Waits until somebody else leads.
pub(crate) async fn transfer(node: &Node, running: &Running, to: Option<&str>) -> Result<Handed, String> {
    let links = node.links().map_err(|error| error.to_string())?;
    if to == Some(links.local.name().as_str()) {
        return Ok(Handed::Over);
    }
    let _changing = node.changing_members.lock().await;
    let target = successor(running, to)?;
    let handed_over = timeout(DEADLINE, async {
        let _held = running.proposer.hold().await;
        hand_over(links, running, &target).await
    });
    let handed_over = handed_over.await;
    running.raft.runtime_config().heartbeat(true);
    handed_over.unwrap_or_else(|_| Err(format!("{target} did not come to lead within {DEADLINE:?}")))
}

fn successor(running: &Running, to: Option<&str>) -> Result<Target, String> {
    let metrics = running.metrics();
    let matched = |voter: &Target| metrics.replication.as_ref().and_then(|all| *all.get(&voter.id)?);
    let voters = running.other_voters();
    match to {
        Some(name) => {
            let named = voters.into_iter().find(|voter| voter.member.name == name);
            named.ok_or_else(|| format!("`{name}` is no other voter of the cluster"))
        }
        None => voters.into_iter().max_by_key(matched).ok_or_else(|| "there is no other voter".to_owned()),
    }
}

async fn hand_over(links: &Links, running: &Running, target: &Target) -> Result<Handed, String> {
    let timeout = links.config.election_timeout;
    let mut metrics = running.raft.metrics();
    let stopped = |_| "this member has stopped".to_owned();
    let caught_up = metrics.wait_for(|metrics| {
        let matched = metrics.replication.as_ref().and_then(|all| *all.get(&target.id)?);
        metrics.state != ServerState::Leader || matched.map(|id| id.index) >= metrics.last_log_index
    });
    caught_up.await.map_err(stopped)?;
    let at_once = running.membership().voter_ids().count() <= SMALL_CLUSTER;
    if at_once {
        let elected = running.raft.with_raft_state(openraft::RaftState::vote_last_modified).await;
        let elected = elected.map_err(|error| error.to_string())?;
        let left =
            elected.map_or(Duration::ZERO, |elected| (timeout + MARGIN).saturating_sub(elected.elapsed()));
        sleep(left).await;
    } else {
        running.raft.runtime_config().heartbeat(false);
    }
    let elect = wire::Elect { at_once };
    let question = Question::new(wire::ELECT, &elect, timeout);
    let told = links.ask::<()>(running.id, target, Class::Consensus, &question).await;
    told.map_err(|error| error.to_string())?;
    let led =
        metrics.wait_for(|metrics| metrics.state != ServerState::Leader && metrics.current_leader.is_some());
    let leader = led.await.map_err(stopped)?.current_leader;
    Ok(if leader == Some(target.id) { Handed::Over } else { Handed::Elsewhere })
}
