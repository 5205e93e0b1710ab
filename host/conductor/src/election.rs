//! When a member stands for election, and whether the others would have it.
//!
//! openraft stands for election by a timer of its own and asks nobody first: a member that was cut off comes back with a
//! higher term, and the leader that was doing well has to give way. So its timer is off, and this task asks before it lets
//! Raft stand (the Raft thesis calls it Pre-Vote): a majority of the voters must have lost the leader as well, and must not be
//! ahead of this member. A term counts up only where somebody can win.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use inquisitor_peer::Class;
use tokio::time::{Instant, sleep, sleep_until};

use crate::network::links::{Links, Question};
use crate::network::wire::{self, PreVote, PreVoteReply};
use crate::node::{Node, Running, Stage, jitter};
use crate::raft::is_majority;

/// Answers a member that would like to lead.
pub(crate) fn answer(running: &Running, links: &Links, from: u64, asked: &PreVote) -> PreVoteReply {
    let timeout = links.config.election_timeout;
    let has_leader =
        running.leads() || links.contacts.leader().is_some_and(|heard| heard.elapsed() < timeout);
    let is_ahead = running.raft.data_metrics().borrow().last_log > asked.last_log;
    let is_member = running.membership().membership().get_node(&from).is_some();
    // One that was removed hears it only from those who follow a leader and so know better than it does.
    PreVoteReply { granted: !has_leader && !is_ahead, is_member: is_member || !has_leader }
}

/// Stands for election whenever there is no leader and a majority would have this member. Never ends.
pub(crate) async fn run(node: Arc<Node>, links: Arc<Links>) {
    let timeout = links.config.election_timeout;
    let Some(running) = node.running() else { return };
    let mut metrics = running.raft.server_metrics();
    let mut tried = Instant::now();
    // A leader that is the only voter has nobody to wait for.
    let mut patience =
        if running.other_voters().is_empty() { Duration::ZERO } else { timeout + jitter(timeout) };
    loop {
        let is_voter = running.membership().voter_ids().any(|id| id == running.id);
        if running.leads() || !is_voter {
            if metrics.changed().await.is_err() {
                return;
            }
            tried = Instant::now();
            continue;
        }
        let quiet_since = links.contacts.leader().map_or(tried, |heard| heard.max(tried));
        let due = quiet_since + patience;
        if Instant::now() < due {
            if node.stage() == Stage::Removed
                && links.contacts.leader().is_some_and(|heard| heard == quiet_since)
            {
                // Whoever said so knew less than the leader, who was heard again.
                node.set_stage(Stage::Member);
            }
            tokio::select! {
                () = sleep_until(due) => {}
                changed = metrics.changed() => if changed.is_err() { return },
            }
            continue;
        }
        tried = Instant::now();
        patience = timeout + jitter(timeout);
        match would_win(running, &links).await {
            Some(true) => {
                tracing::info!("no leader is heard; this member stands for election");
                if running.raft.trigger().elect().await.is_err() {
                    return;
                }
            }
            Some(false) => {
                // Whoever is behind or alone may ask again soon; the others refuse at no cost.
                sleep(jitter(timeout / 4)).await;
            }
            None => node.set_stage(Stage::Removed),
        }
    }
}

/// Stands for election as soon as a majority would have this member: its leader wants it and has fallen silent.
pub(crate) async fn stand_soon(node: Arc<Node>, links: Arc<Links>) {
    let timeout = links.config.election_timeout;
    let Some(running) = node.running() else { return };
    let begun = Instant::now();
    while begun.elapsed() < 2 * timeout && !running.leads() {
        if would_win(running, &links).await == Some(true) {
            // An error says that Raft has stopped.
            let _ = running.raft.trigger().elect().await;
            return;
        }
        sleep(timeout / 50).await;
    }
}

/// Asks the other voters; none where they say that this member was removed.
async fn would_win(running: &Running, links: &Links) -> Option<bool> {
    let membership = running.membership();
    let mut granted = BTreeSet::from([running.id]);
    let asked = PreVote { last_log: running.raft.data_metrics().borrow().last_log };
    let question = Question::new(wire::PRE_VOTE, &asked, links.config.election_timeout);
    let others = running.other_voters();
    let mut replies: FuturesUnordered<_> = others
        .iter()
        .map(|other| async {
            let reply = links.ask::<PreVoteReply>(running.id, other, Class::Consensus, &question).await;
            (other.id, reply)
        })
        .collect();
    loop {
        if is_majority(membership.membership(), &granted) {
            // One may have been elected while this member asked.
            return Some(!running.leads());
        }
        match replies.next().await {
            Some((id, Ok(reply))) if reply.granted => {
                granted.insert(id);
            }
            Some((_, Ok(reply))) if !reply.is_member => return None,
            Some(_) => {}
            None => return Some(false),
        }
    }
}
