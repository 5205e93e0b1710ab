//! What the parts of a running member share: who it is, its stores, its Raft once that has started, and the ways to others.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use openraft::ServerState;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::blobs::Blobs;
use crate::database::Store;
use crate::error::ConductorError;
use crate::fetch::Transfers;
use crate::identity::Identity;
use crate::log::Shared;
use crate::network::links::Links;
use crate::network::wire::Target;
use crate::propose::Proposer;
use crate::raft::{Metrics, Raft, StoredMembership};
use crate::reads::Rounds;
use crate::state::Published;
use crate::steps::Slot;

/// How far a member is in becoming one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looks for the others; a new disk.
    Forming(String),
    /// Asks to be taken in.
    Joining(String),
    /// Takes part, or is alone.
    Member,
    /// The cluster has removed it.
    Removed,
}

impl Stage {
    /// What keeps the member from taking part.
    pub(crate) fn obstacle(&self) -> Option<String> {
        match self {
            Self::Forming(what) => Some(format!("forming the cluster: {what}")),
            Self::Joining(what) => Some(format!("joining the cluster: {what}")),
            Self::Member => None,
            Self::Removed => Some(
                "this member was removed from the cluster; add it again with an empty data directory"
                    .to_owned(),
            ),
        }
    }
}

/// What exists once Raft has started.
pub(crate) struct Running {
    pub(crate) id: u64,
    pub(crate) raft: Raft,
    pub(crate) proposer: Proposer,
    /// For reads where this member leads.
    pub(crate) rounds: Rounds,
    /// For reads where another one does; none where this member is alone.
    pub(crate) asking: Option<Rounds>,
}

/// A member.
pub(crate) struct Node {
    identity: Mutex<Identity>,
    running: OnceLock<Running>,
    started: watch::Sender<bool>,
    leads: watch::Sender<bool>,
    stage: watch::Sender<Stage>,
    pub(crate) state: Arc<Store>,
    pub(crate) blobs: Blobs,
    pub(crate) transfers: Transfers,
    pub(crate) published: Published,
    /// None where the member is alone.
    pub(crate) links: Option<Arc<Links>>,
    /// Who runs attempts at steps here that the leader leases to this member.
    pub(crate) worker: Slot,
    /// Taken for every change of the membership, which must not overlap.
    pub(crate) changing_members: tokio::sync::Mutex<()>,
    /// Written by who sweeps blobs away, read by who needs all that the state named at some moment.
    pub(crate) sweeping: Arc<tokio::sync::RwLock<()>>,
}

impl Node {
    pub(crate) fn new(
        identity: Identity,
        state: Arc<Store>,
        blobs: Blobs,
        published: Published,
        links: Option<Arc<Links>>,
    ) -> Self {
        Self {
            identity: Mutex::new(identity),
            running: OnceLock::new(),
            started: watch::Sender::new(false),
            leads: watch::Sender::new(false),
            stage: watch::Sender::new(Stage::Member),
            state,
            blobs,
            transfers: Transfers::default(),
            published,
            links,
            worker: Slot::default(),
            changing_members: tokio::sync::Mutex::default(),
            sweeping: Arc::default(),
        }
    }

    /// Who the member is.
    pub(crate) fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raft, once it has started.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// Raft has started. Once only.
    pub(crate) fn start(&self, running: Running, log: Arc<Shared>) {
        let (leads, mut metrics) = (self.leads.clone(), running.raft.server_metrics());
        tokio::spawn(async move {
            loop {
                let state = {
                    let metrics = metrics.borrow_and_update();
                    log.observe(&metrics);
                    metrics.state
                };
                leads.send_if_modified(|there| {
                    let now = state == ServerState::Leader;
                    std::mem::replace(there, now) != now
                });
                // Ends with Raft.
                if metrics.changed().await.is_err() {
                    break;
                }
            }
            leads.send_replace(false);
        });
        if self.running.set(running).is_err() {
            tracing::error!("consensus was started twice");
        }
        self.started.send_replace(true);
    }

    /// Waits for Raft.
    ///
    /// # Errors
    /// When it has not started by then; says why.
    pub(crate) async fn running_by(&self, deadline: Instant) -> Result<&Running, ConductorError> {
        let mut started = self.started.subscribe();
        let _ = timeout_at(deadline, started.wait_for(|started| *started)).await;
        self.running().ok_or_else(|| {
            let obstacle = self.stage.borrow().obstacle();
            ConductorError::Cluster(obstacle.unwrap_or_else(|| "this member is still starting".to_owned()))
        })
    }

    /// Whether this member leads; changes with it.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.borrow().clone()
    }

    /// Notes how far the member is; logs what is new.
    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.send_if_modified(|there| {
            let is_new = *there != stage;
            if is_new {
                match stage.obstacle() {
                    Some(obstacle) => tracing::info!("{obstacle}"),
                    None => tracing::info!("this member takes part in the cluster"),
                }
                *there = stage;
            }
            is_new
        });
    }

    /// The ways to others, for what only a member of a cluster does.
    pub(crate) fn links(&self) -> Result<&Arc<Links>, ConductorError> {
        self.links.as_ref().ok_or_else(|| {
            ConductorError::Cluster("this member is alone; start it with a list of members".to_owned())
        })
    }
}

impl Running {
    pub(crate) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow().clone()
    }

    // What follows reads the metrics that its users wait for: openraft updates its three kinds one after the other.
    pub(crate) fn membership(&self) -> Arc<StoredMembership> {
        self.raft.server_metrics().borrow().membership_config.clone()
    }

    pub(crate) fn leads(&self) -> bool {
        self.has_stopped().is_none() && self.raft.server_metrics().borrow().state == ServerState::Leader
    }

    /// Why Raft has stopped, if it has.
    pub(crate) fn has_stopped(&self) -> Option<String> {
        self.raft.metrics().borrow().running_state.as_ref().err().map(ToString::to_string)
    }

    /// Who leads, as far as this member knows; it may be gone.
    pub(crate) fn leader(&self) -> Option<Target> {
        leader_of(&self.raft)
    }

    /// Rounds of reads that ask the leader.
    pub(crate) fn asking(&self) -> Result<&Rounds, String> {
        self.asking.as_ref().ok_or_else(|| "this member is alone and does not lead".to_owned())
    }

    /// Waits until a leader is known.
    pub(crate) async fn leader_by(&self, deadline: Instant) -> Option<Target> {
        let mut metrics = self.raft.server_metrics();
        loop {
            if let Some(leader) = self.leader() {
                return Some(leader);
            }
            match timeout_at(deadline, metrics.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return None,
            }
        }
    }

    /// All other voters.
    pub(crate) fn other_voters(&self) -> Vec<Target> {
        let membership = self.membership();
        let membership = membership.membership();
        let others = membership.voter_ids().filter(|id| *id != self.id);
        others.filter_map(|id| Some(Target { id, member: membership.get_node(&id)?.clone() })).collect()
    }

    /// Waits until the log is applied up to an index.
    pub(crate) async fn applied_by(
        &self,
        published: &Published,
        index: Option<u64>,
        deadline: Instant,
    ) -> bool {
        let mut applied = published.applied.subscribe();
        matches!(timeout_at(deadline, applied.wait_for(|applied| *applied >= index)).await, Ok(Ok(_)))
    }
}

/// Who leads, as far as this member knows; it may be gone.
pub(crate) fn leader_of(raft: &Raft) -> Option<Target> {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow();
    let id = metrics.current_leader?;
    let member = metrics.membership_config.membership().get_node(&id)?.clone();
    Some(Target { id, member })
}

/// A part of a duration that is drawn anew each time, so that members do not do the same at the same moment.
pub(crate) fn jitter(upto: Duration) -> Duration {
    // A random UUID's first half is as random as is needed here.
    let random = uuid::Uuid::new_v4().as_u64_pair().0 >> 32;
    upto.mul_f64(random as f64 / 2_f64.powi(32))
}
