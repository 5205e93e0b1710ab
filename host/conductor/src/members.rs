//! Who belongs to the cluster: joining, settling in, and leaving.
//!
//! A member that is not yet what it should be, a voter at its own address, asks the leader again and again, and the leader
//! takes it one step further each time it is asked:
//! 1. a learner, that is replicated to and does not count. Refused where a member of this name still answers.
//! 2. Once it has caught up with the log and holds every blob that its state names: a voter, in place of the disk that had
//!    its name before, if there was one, in one change of the membership (joint consensus).
//!
//! Nothing has to be remembered in between, so any of the two may stop and any other may come to lead at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use inquisitor_peer::{Class, PeerIdentity};
use openraft::ChangeMembers;
use tokio::time::{Instant, sleep};

use crate::config::CAUGHT_UP;
use crate::error::{ConductorError, chain};
use crate::identity::show_id;
use crate::network::links::{Links, Question};
use crate::network::wire::{self, ChangeReply, Join, JoinReply, MemberChange, Target};
use crate::node::{Node, Running, Stage};
use crate::raft::{Member, Membership, StoredMembership};
use crate::transfer::{self, Handed};

/// How long the leader may take to answer: it waits for commits, and for signs of life.
const JOIN_DEADLINE: Duration = Duration::from_secs(20);
/// Between two requests of a member that is not settled.
const PAUSE: Duration = Duration::from_millis(300);

/// Whether somebody asks for himself.
pub(crate) fn is_own(peer: &PeerIdentity, from: u64, join: &Join) -> bool {
    join.id == from && join.member.name == peer.name.as_str()
}

/// What this member asks the leader for.
fn request(node: &Node, links: &Links, is_ready: bool) -> Join {
    let id = node.identity().node_id;
    let member = Member { name: links.local.name().to_string(), address: links.address() };
    Join { id, member, is_ready }
}

/// Asks members of a cluster, one after the other, to take this one in. The cluster's id, or what is in the way.
pub(crate) async fn ask_to_join(
    node: &Node,
    links: &Links,
    members: &[Target],
) -> Result<uuid::Uuid, String> {
    let join = request(node, links, false);
    let mut asked = BTreeSet::new();
    let mut next: Vec<Target> = members.iter().rev().filter(|one| one.id != join.id).cloned().collect();
    let mut problem = "no other member of the cluster is known".to_owned();
    while let Some(target) = next.pop() {
        if !asked.insert(target.id) {
            continue;
        }
        match ask(links, &join, &target).await {
            Ok(JoinReply::Welcome { cluster }) => return Ok(cluster),
            Ok(JoinReply::NotLeader(leader)) => {
                problem = "it has no leader now".to_owned();
                next.extend(leader);
            }
            Ok(JoinReply::Refused(why)) => return Err(why),
            Err(why) => problem = why,
        }
    }
    Err(problem)
}

async fn ask(links: &Links, join: &Join, target: &Target) -> Result<JoinReply, String> {
    let question = Question::new(wire::JOIN, join, JOIN_DEADLINE);
    links.ask(join.id, target, Class::Request, &question).await.map_err(|error| error.to_string())
}

/// Keeps this member what it should be, a voter at its own address. Never ends.
pub(crate) async fn settle(node: Arc<Node>, links: Arc<Links>) {
    let Some(running) = node.running() else { return };
    let mut metrics = running.raft.server_metrics();
    let mut is_ready = false;
    // A new disk was let in, and is in none of the memberships that it hears of first: they are older.
    let mut is_new = node.stage() != Stage::Member;
    loop {
        let standing = standing(&running.membership(), running.id, &links.address());
        is_new &= matches!(standing, Standing::Unknown | Standing::Stranger);
        match standing {
            Standing::Settled => {
                node.set_stage(Stage::Member);
                if std::mem::take(&mut is_ready) && !hold_all(&node, &links).await {
                    // What came to be named since the first time is on a majority of the old voters.
                    tracing::warn!("blobs may be missing; they are fetched when they are needed");
                }
            }
            Standing::Stranger if is_new => node.set_stage(Stage::Joining("catching up".to_owned())),
            Standing::Stranger => node.set_stage(Stage::Removed),
            Standing::Unknown => {}
            Standing::Unsettled => {
                let problem = unsettled(&node, &links, running, is_ready).await;
                node.set_stage(Stage::Joining(problem.unwrap_or_else(|| "catching up".to_owned())));
                if is_ready || !hold_all(&node, &links).await {
                    sleep(PAUSE).await;
                } else {
                    is_ready = true;
                }
                continue;
            }
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// How a member stands in a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No membership is known yet.
    Unknown,
    /// A voter at the right address.
    Settled,
    /// A learner, or at another address.
    Unsettled,
    /// Not in it.
    Stranger,
}

fn standing(membership: &StoredMembership, id: u64, address: &str) -> Standing {
    let membership = membership.membership();
    if membership.nodes().next().is_none() {
        return Standing::Unknown;
    }
    let is_voter = membership.voter_ids().any(|voter| voter == id);
    match membership.get_node(&id) {
        None => Standing::Stranger,
        Some(member) if is_voter && member.address == address => Standing::Settled,
        Some(_) => Standing::Unsettled,
    }
}

/// Applies what is committed by now and fetches every blob that it names; whether all of that is here. The members may take
/// commands all the while: what is committed later is not waited for.
async fn hold_all(node: &Node, links: &Links) -> bool {
    if node.linearize().await.is_err() {
        return false;
    }
    match node.backfill(links).await {
        Ok(missing) => missing == 0,
        Err(error) => {
            tracing::warn!(error = chain(&error), "blobs that the state names cannot be looked for");
            false
        }
    }
}

/// One request to the leader; what is in the way, if anything is.
async fn unsettled(node: &Arc<Node>, links: &Links, running: &Running, is_ready: bool) -> Option<String> {
    let join = request(node, links, is_ready);
    let Some(leader) = running.leader() else { return Some("no leader is known".to_owned()) };
    let reply = match leader.id == running.id {
        true => Ok(admit(node, &join).await),
        false => ask(links, &join, &leader).await,
    };
    match reply {
        Ok(JoinReply::Welcome { .. }) => None,
        Ok(JoinReply::NotLeader(_)) => Some("the leader has changed".to_owned()),
        Ok(JoinReply::Refused(why)) | Err(why) => Some(why),
    }
}

/// The leader's side: takes a member one step further.
pub(crate) async fn admit(node: &Node, join: &Join) -> JoinReply {
    let Some(running) = node.running() else { return JoinReply::NotLeader(None) };
    if !running.leads() {
        return JoinReply::NotLeader(running.leader());
    }
    let Some(cluster) = *node.published.cluster.borrow() else {
        return JoinReply::Refused("the cluster has not begun yet".to_owned());
    };
    let _changing = node.changing_members.lock().await;
    match advance(node, running, join).await {
        Ok(()) => JoinReply::Welcome { cluster },
        Err(problem) => JoinReply::Refused(problem),
    }
}

async fn advance(node: &Node, running: &Running, join: &Join) -> Result<(), String> {
    let stored = running.membership();
    let membership = stored.membership();
    let Some(there) = membership.get_node(&join.id) else {
        refuse_live(node, running, membership, &join.member.name).await?;
        tracing::info!(member = join.member.name, id = show_id(join.id), "a new disk joins the cluster");
        let added = running.raft.add_learner(join.id, join.member.clone(), false).await;
        return added.map(drop).map_err(|error| error.to_string());
    };
    if *there != join.member {
        let nodes = BTreeMap::from([(join.id, join.member.clone())]);
        let moved = running.raft.change_membership(ChangeMembers::SetNodes(nodes), true).await;
        return moved.map(drop).map_err(|error| error.to_string());
    }
    let is_voter = membership.voter_ids().any(|id| id == join.id);
    if is_voter || !join.is_ready || !has_caught_up(running, join.id) {
        return Ok(());
    }
    let replaced = namesakes(membership, join);
    let mut voters: BTreeSet<u64> = membership.voter_ids().filter(|id| !replaced.contains(id)).collect();
    voters.insert(join.id);
    tracing::info!(member = join.member.name, id = show_id(join.id), "the new disk becomes a voter");
    // Those that are left out are removed.
    let changed = running.raft.change_membership(voters, false).await;
    changed.map(drop).map_err(|error| error.to_string())?;
    // A disk that was lost before it became a voter.
    let learners: BTreeSet<u64> =
        replaced.into_iter().filter(|id| membership.learner_ids().any(|one| one == *id)).collect();
    if !learners.is_empty() {
        let removed = running.raft.change_membership(ChangeMembers::RemoveNodes(learners), false).await;
        removed.map(drop).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The other disks of the same name.
fn namesakes(membership: &Membership, join: &Join) -> BTreeSet<u64> {
    membership
        .nodes()
        .filter(|(id, member)| **id != join.id && member.name == join.member.name)
        .map(|(id, _)| *id)
        .collect()
}

fn has_caught_up(running: &Running, id: u64) -> bool {
    let metrics = running.metrics();
    let matched = metrics.replication.as_ref().and_then(|all| *all.get(&id)?).map(|id| id.index);
    matched.is_some_and(|matched| metrics.last_log_index.unwrap_or_default() <= matched + CAUGHT_UP)
}

/// Refuses a new disk while another one of its name answers. The leader talks to each member with every heartbeat, so one
/// that lives is heard within this short wait.
async fn refuse_live(
    node: &Node,
    running: &Running,
    membership: &Membership,
    name: &str,
) -> Result<(), String> {
    let old: Vec<u64> =
        membership.nodes().filter(|(_, member)| member.name == name).map(|(id, _)| *id).collect();
    if old.is_empty() {
        return Ok(());
    }
    let in_use = || {
        Err(format!(
            "the name `{name}` is in use by a member that answers; give this one another name, or stop that one first"
        ))
    };
    let Ok(links) = node.links() else { return in_use() };
    let begun = Instant::now();
    loop {
        let heard =
            |id: &u64| *id == running.id || links.contacts.of(*id).heard.is_some_and(|heard| heard >= begun);
        if old.iter().any(heard) {
            return in_use();
        }
        if begun.elapsed() >= 2 * links.config.election_timeout {
            return Ok(());
        }
        sleep(links.config.heartbeat).await;
    }
}

/// Makes a change of the membership on this member, if it leads.
pub(crate) async fn change_here(node: &Node, change: &MemberChange) -> ChangeReply {
    let Some(running) = node.running().filter(|running| running.leads()) else {
        return ChangeReply::NotLeader;
    };
    let changed = match change {
        MemberChange::Remove(name) => remove(node, running, name).await.map(|()| ChangeReply::Done),
        MemberChange::Transfer(to) => {
            let handed = transfer::transfer(node, running, to.as_deref()).await;
            handed.map(|handed| match handed {
                Handed::Elsewhere if to.is_some() => ChangeReply::NotLeader,
                Handed::Over | Handed::Elsewhere => ChangeReply::Done,
            })
        }
    };
    changed.unwrap_or_else(ChangeReply::Refused)
}

async fn remove(node: &Node, running: &Running, name: &str) -> Result<(), String> {
    let _changing = node.changing_members.lock().await;
    let stored = running.membership();
    let membership = stored.membership();
    let named: BTreeSet<u64> =
        membership.nodes().filter(|(_, member)| member.name == name).map(|(id, _)| *id).collect();
    if named.is_empty() {
        return Err(format!("there is no member `{name}`"));
    }
    if named.contains(&running.id) {
        return Err(format!("`{name}` leads; hand leadership over first"));
    }
    let is_voter = |id: &u64| membership.voter_ids().any(|voter| voter == *id);
    let (voters, learners): (BTreeSet<u64>, BTreeSet<u64>) = named.iter().partition(|id| is_voter(id));
    for change in [ChangeMembers::RemoveVoters(voters), ChangeMembers::RemoveNodes(learners)] {
        let is_empty = match &change {
            ChangeMembers::RemoveVoters(ids) | ChangeMembers::RemoveNodes(ids) => ids.is_empty(),
            _ => false,
        };
        if !is_empty {
            running.raft.change_membership(change, false).await.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

impl Node {
    /// Has the leader make a change of the membership.
    ///
    /// # Errors
    /// When there is no leader, or it refuses.
    pub(crate) async fn change_members(&self, change: MemberChange) -> Result<(), ConductorError> {
        let deadline = Instant::now() + JOIN_DEADLINE;
        let running = self.running_by(deadline).await?;
        while let Some(leader) = running.leader_by(deadline).await {
            let reply = if leader.id == running.id {
                change_here(self, &change).await
            } else {
                let question = Question::new(wire::CHANGE_MEMBERS, &change, JOIN_DEADLINE);
                let asked = self.links()?.ask(running.id, &leader, Class::Request, &question).await;
                asked.map_err(|error| ConductorError::Consensus(error.to_string()))?
            };
            match reply {
                ChangeReply::Done => {
                    // So that whoever asked sees it here; it is done in any case. Metrics are told once Raft's loop has come
                    // round, which it has when it answers the next question.
                    let _ = self.linearize().await;
                    let _ = running.raft.with_raft_state(|_| ()).await;
                    return Ok(());
                }
                ChangeReply::Refused(problem) => return Err(ConductorError::Cluster(problem)),
                ChangeReply::NotLeader if Instant::now() + PAUSE >= deadline => break,
                ChangeReply::NotLeader => sleep(PAUSE).await,
            }
        }
        Err(ConductorError::Consensus("there is no leader that stays in office; try again".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, address: &str) -> Member {
        Member { name: name.into(), address: address.into() }
    }

    #[test]
    fn a_member_stands_as_the_membership_says() {
        let nodes = BTreeMap::from([(1, member("a", "a:1")), (2, member("b", "b:1"))]);
        let voters = vec![BTreeSet::from([1])];
        let stored = StoredMembership::new(None, Membership::new(voters, nodes));
        assert_eq!(standing(&StoredMembership::default(), 1, "a:1"), Standing::Unknown);
        assert_eq!(standing(&stored, 1, "a:1"), Standing::Settled);
        assert_eq!(standing(&stored, 1, "a:2"), Standing::Unsettled);
        assert_eq!(standing(&stored, 2, "b:1"), Standing::Unsettled);
        assert_eq!(standing(&stored, 3, "c:1"), Standing::Stranger);
    }

    #[test]
    fn a_new_disk_replaces_all_others_of_its_name() {
        let nodes = BTreeMap::from([(1, member("a", "")), (2, member("b", "")), (3, member("a", "x"))]);
        let membership = Membership::new(vec![BTreeSet::from([1, 2])], nodes);
        let join = Join { id: 3, member: member("a", "x"), is_ready: true };
        assert_eq!(namesakes(&membership, &join), BTreeSet::from([1]));
    }
}
