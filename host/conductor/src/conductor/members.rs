//! The cluster as this member sees it, and what an operator can have it do.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::Conductor;
use crate::error::ConductorError;
use crate::identity::show_id;
use crate::network::wire::MemberChange;
use crate::node::{Running, Stage};

/// A member of the cluster as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Its id, 16 hexadecimal digits; changes with its disk.
    pub node_id: String,
    /// Where others reach it; empty for a member that is alone.
    pub address: String,
    /// Whether it counts; a learner is replicated to and does not.
    pub voter: bool,
    /// Whether it leads, as far as is known.
    pub leader: bool,
    /// Index of the last log entry that it is known to hold; none unless the member that was asked leads.
    pub matched_index: Option<u64>,
    /// How many entries it is behind; none unless the member that was asked leads.
    pub lag: Option<u64>,
    /// Milliseconds since it last answered the member that was asked; none where it was never asked or never answered.
    pub last_contact_ms: Option<u64>,
    /// Why it did not answer since.
    pub problem: Option<String>,
}

/// How old a read of this member's own state may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Staleness {
    /// Milliseconds since this member heard its leader, or a majority where it leads itself; none where it never did.
    pub last_contact_ms: Option<u64>,
    /// Index of the last log entry applied here.
    pub applied_index: Option<u64>,
}

impl Conductor {
    /// Waits until all that was committed before the call is applied here: what is read after this is as new as the question,
    /// on any member. Commits nothing; those that ask at the same time share the work.
    ///
    /// # Errors
    /// When no leader and majority answered within five seconds.
    pub async fn linearize(&self) -> Result<(), ConductorError> {
        self.node.linearize().await
    }

    /// How old a read of this member's own state may be.
    pub fn staleness(&self) -> Staleness {
        let applied_index = *self.node.published.applied.borrow();
        let last_contact_ms = self.node.running().and_then(|running| self.last_contact(running));
        Staleness { last_contact_ms, applied_index }
    }

    /// Milliseconds since this member knew that somebody, perhaps itself, leads.
    pub(super) fn last_contact(&self, running: &Running) -> Option<u64> {
        let metrics = running.metrics();
        if running.leads() {
            let is_alone = running.other_voters().is_empty();
            return if is_alone { Some(0) } else { metrics.millis_since_quorum_ack };
        }
        Some(millis(self.node.links.as_ref()?.contacts.leader()?.elapsed()))
    }

    /// Whether somebody leads whom this member has heard lately.
    pub(super) fn has_leader(&self, running: &Running) -> bool {
        let patience =
            self.node.links.as_ref().map_or(Duration::MAX, |links| 2 * links.config.election_timeout);
        running.has_stopped().is_none()
            && running.leader().is_some()
            && self.last_contact(running).is_some_and(|contact| u128::from(contact) <= patience.as_millis())
    }

    /// Whether this member is a cluster of its own, that nobody else can join.
    pub fn is_alone(&self) -> bool {
        self.node.links.is_none()
    }

    /// Whether this member leads; changes with it. For what only one member at a time should do, such as driving inquiries:
    /// two may believe so for a moment, and what the one that does not proposes is refused by its tokens.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.node.leads()
    }

    /// What keeps this member from being of use, in words for people; nothing where all is well. Costs nothing.
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles: Vec<String> = self.node.stage().obstacle().into_iter().collect();
        let Some(running) = self.node.running() else { return obstacles };
        if let Some(error) = running.has_stopped() {
            obstacles.push(format!("this member has stopped: {error}"));
        } else if self.node.stage() == Stage::Member && !self.has_leader(running) {
            obstacles.push(self.no_leader(running));
        }
        obstacles
    }

    /// Says who does not answer, as that is why there is no leader.
    fn no_leader(&self, running: &Running) -> String {
        let Some(links) = &self.node.links else { return "there is no leader".to_owned() };
        let problems: Vec<String> =
            running.other_voters().iter().filter_map(|other| links.contacts.of(other.id).problem).collect();
        match problems.is_empty() {
            true => "there is no leader".to_owned(),
            false => format!("there is no leader: {}", problems.join("; ")),
        }
    }

    /// The members of the cluster as this one sees them, by name. Costs nothing.
    pub fn members(&self) -> Vec<MemberStatus> {
        let Some(running) = self.node.running() else { return Vec::new() };
        let metrics = running.metrics();
        let membership = metrics.membership_config.membership();
        let status = |id: u64, member: &crate::raft::Member| {
            let contact = self.node.links.as_ref().map(|links| links.contacts.of(id)).unwrap_or_default();
            let matched_index = match id == running.id && running.leads() {
                true => metrics.last_log_index,
                false => metrics.replication.as_ref().and_then(|all| *all.get(&id)?).map(|id| id.index),
            };
            let lag = running.leads().then(|| {
                // Of nothing, one that has nothing lacks nothing.
                let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
                next(metrics.last_log_index).saturating_sub(next(matched_index))
            });
            MemberStatus {
                name: member.name.clone(),
                node_id: show_id(id),
                address: member.address.clone(),
                voter: membership.voter_ids().any(|voter| voter == id),
                leader: metrics.current_leader == Some(id),
                matched_index,
                lag,
                last_contact_ms: contact.heard.map(|heard| millis(heard.elapsed())),
                problem: contact.problem,
            }
        };
        let mut members: Vec<_> = membership.nodes().map(|(id, member)| status(*id, member)).collect();
        members.sort_by(|a, b| (&a.name, &a.node_id).cmp(&(&b.name, &b.node_id)));
        members
    }

    /// Removes a member from the cluster, whether or not it lives. What only it held is lost with it. A member is added by
    /// starting it with a list that names others of the cluster.
    ///
    /// # Errors
    /// When there is no such member, it leads, or no leader and majority answered.
    pub async fn remove_member(&self, name: &str) -> Result<(), ConductorError> {
        self.node.change_members(MemberChange::Remove(name.to_owned())).await
    }

    /// Hands leadership over to the member of this name, or to the one that is furthest. Commands wait meanwhile, up to a
    /// second or so.
    ///
    /// # Errors
    /// When there is no such voter, it did not come to lead, or there is no leader.
    pub async fn transfer_leader(&self, to: Option<&str>) -> Result<(), ConductorError> {
        self.node.change_members(MemberChange::Transfer(to.map(str::to_owned))).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
