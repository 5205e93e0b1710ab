//! The conductor: opens the stores, starts Raft, and answers the engine.

mod cluster;
mod members;
mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use members::{MemberStatus, Staleness};
pub use queries::{RaftStatus, StoreSizes};

use async_trait::async_trait;
use inquisitor_engine::journal::{
    Applied, BlobDigest, Checkpoint, Command, Inquiry, InquiryId, Journal, JournalError, Outline,
};
use inquisitor_engine::placement::{Pool, Worker};
use openraft::ServerState;
use openraft::error::{InitializeError, RaftError};
use tokio::time::timeout;

use crate::backup::Backup;
use crate::blobs::Blobs;
use crate::change::{self, Proposal};
use crate::compact;
use crate::config::ConductorConfig;
use crate::database::Store;
use crate::error::{ConductorError, chain};
use crate::identity::{Identity, Layout};
use crate::list;
use crate::log::{RaftLog, Shared};
use crate::logged;
use crate::network::Network;
use crate::node::{Node, Running};
use crate::propose::Proposer;
use crate::raft::{Member, Raft};
use crate::read::{self, Small};
use crate::reads::Rounds;
use crate::snapshot;
use crate::state::{self, StateMachine, blocking};
use crate::steps;
use crate::sweep::{self, Swept};

/// How long opening waits for a member that is alone to lead and to apply what is in its log. Only damage or a disk that hangs
/// take longer: at most a few thousand batches are applied again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long stopping waits for commands that were taken in.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Steps from which a plan is encoded on a thread that may block: about a millisecond of work.
const LARGE_PLAN: usize = 250;

/// A member of the cluster, and the journal of the engine in the same process.
///
/// Dropping it stops the member at once, as a crash would; [`Conductor::shutdown`] takes leave.
pub struct Conductor {
    node: Arc<Node>,
    log: Arc<Shared>,
    files: Files,
    /// None where the member is alone.
    cluster: Option<cluster::Tasks>,
}

/// Places in the data directory that are used while the member runs.
struct Files {
    log: PathBuf,
    state: PathBuf,
    snapshots: PathBuf,
}

/// What was opened on the disk.
struct Opened {
    log_store: RaftLog,
    state: Arc<Store>,
    machine: StateMachine,
    identity: Identity,
    blobs: Blobs,
    files: Files,
    /// The file of the last snapshot.
    snapshot: PathBuf,
}

/// What Raft is started with.
struct Parts {
    config: Arc<openraft::Config>,
    log_store: RaftLog,
    machine: StateMachine,
    snapshot: PathBuf,
}

impl Parts {
    /// Starts Raft under the id that the disk acts under.
    async fn start(self, node: &Node) -> Result<(), ConductorError> {
        let id = node.identity().node_id;
        if node.links.is_some() {
            self.log_store.act_as(id);
        }
        let log = self.log_store.shared();
        let network = Network { id, links: node.links.clone(), log: log.clone() };
        let raft = Raft::new(id, self.config, network, self.log_store, self.machine)
            .await
            .map_err(|error| ConductorError::Consensus(format!("cannot start: {error}")))?;
        let proposer = Proposer::start(raft.clone(), self.snapshot);
        let rounds = Rounds::of_leader(raft.clone());
        let asking = node.links.clone().map(|links| Rounds::of_follower(id, raft.clone(), links));
        node.start(Running { id, raft, proposer, rounds, asking }, log);
        Ok(())
    }
}

impl Conductor {
    /// Opens a data directory, and makes it where it is not there. A member that is alone leads, and all that was ever
    /// acknowledged is applied, when this returns. A member of a cluster returns at once and finds the others in the
    /// background; [`Conductor::obstacles`] says how far it is.
    ///
    /// # Errors
    /// When another process holds the directory, it is not ours or of a newer format, or its files cannot be used; when the
    /// list of members does not fit, or nobody can be listened to at the address.
    pub async fn open(config: ConductorConfig) -> Result<Self, ConductorError> {
        let raft_config = Arc::new(config.raft(&config.node_name)?);
        let name = config.cluster.as_ref().map(|cluster| config.member_name(cluster)).transpose()?;
        let node_name = name.as_ref().map_or(config.node_name, ToString::to_string);
        let opened = blocking(move || open_disk(&config.data_dir, &node_name)).await?;
        let Opened { log_store, state, machine, identity, blobs, files, snapshot } = opened;
        let (log, is_new, published) = (log_store.shared(), log_store.is_new(), machine.published());
        let parts = Parts { config: raft_config, log_store, machine, snapshot };
        match (config.cluster, name) {
            (Some(cluster), Some(name)) => {
                let links = cluster::links(cluster, name, &identity, &state).await?;
                let listener = cluster::listen(links.config.listen).await?;
                let node = Arc::new(Node::new(identity, state, blobs, published, Some(links.clone())));
                let tasks = cluster::start(node.clone(), links, listener, parts, is_new).await?;
                Ok(Self { node, log, files, cluster: Some(tasks) })
            }
            _ => {
                let node = Arc::new(Node::new(identity, state, blobs, published, None));
                parts.start(&node).await?;
                let conductor = Self { node, log, files, cluster: None };
                if let Err(error) = lead(&conductor.node).await {
                    // Lets go of the directory before it is said.
                    conductor.shutdown().await;
                    return Err(error);
                }
                Ok(conductor)
            }
        }
    }

    /// Who this member is.
    pub fn identity(&self) -> Identity {
        self.node.identity().clone()
    }

    /// Where this member listens for others; none where it is alone.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.cluster.as_ref().map(cluster::Tasks::address)
    }

    /// Answers what was proposed, hands leadership over where this member leads others, stops Raft, and closes the files, so
    /// that the directory can be opened again.
    pub async fn shutdown(&self) {
        if let Some(running) = self.node.running() {
            // Where there is no majority there is no answer; Raft's end is one.
            if timeout(STOP_TIMEOUT, running.proposer.stop()).await.is_err() {
                tracing::warn!("commands that wait for a majority are broken off");
            }
            if self.cluster.is_some() {
                cluster::take_leave(&self.node, running).await;
            }
            if let Err(error) = running.raft.shutdown().await {
                tracing::error!(%error, "consensus did not stop as it should");
            }
        }
        if let Some(tasks) = &self.cluster {
            tasks.stop().await;
        }
        let (state, log) = (self.node.state.clone(), self.log.clone());
        let closed = blocking(move || {
            // Both, whatever becomes of the first.
            let (state, log) = (state.close(), log.close());
            state.and(log)
        });
        if let Err(error) = closed.await {
            // Nothing acknowledged is lost: the log was durable before.
            tracing::warn!(
                error = chain(&error),
                "the data files were not closed cleanly; they are checked at the next start"
            );
        }
    }

    /// Deletes the blobs of this member that nothing in the state names and that nobody put or named for `older_than`, which
    /// is at least [`crate::MIN_SWEEP_AGE`]; also what interrupted writes left behind. Reads the whole state, in slices, on a
    /// thread of its own.
    ///
    /// # Errors
    /// When the age is too small, this member hears no leader or has not applied all that is in its log, a backup is being made, or
    /// something cannot be read or removed.
    pub async fn sweep_blobs(&self, older_than: Duration) -> Result<Swept, ConductorError> {
        let running = self.running()?;
        let Ok(_sweeping) = self.node.sweeping.clone().try_write_owned() else {
            return Err(ConductorError::Sweep(
                "a backup is being made, which needs all of them; try again later".into(),
            ));
        };
        if !self.has_leader(running) {
            return Err(ConductorError::Sweep(
                "this member hears no leader, and may lack commands that name some; try again later".into(),
            ));
        }
        let logged = running.metrics().last_log_index;
        let blobs = self.node.blobs.clone();
        self.read(move |store| sweep::sweep(store, &blobs, older_than, logged)).await
    }

    /// Begins a backup of all that is committed before this call and of all blobs that it names, of one moment. Copies the state
    /// in the data directory first; blobs that are not here are got from other members. No blob is swept away here until what
    /// this returns is dropped. `at` is the time, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// When no leader and majority answered, nothing was ever committed, or a blob cannot be had.
    pub async fn backup(&self, at: i64) -> Result<Backup, ConductorError> {
        self.node.linearize().await?;
        Backup::of_member(&self.node, &self.files.snapshots, at).await
    }

    /// Runs attempts at steps with this worker that the leader leases to this member, for as long as the worker is there. Before
    /// that, and where it is gone, the leader is told that nothing is taken here.
    pub fn run_steps_with(&self, worker: &Arc<dyn Worker>) {
        self.node.worker.set(worker);
    }

    /// Keeps the pool filled with the other voters that take attempts. For whoever leads: dropping the future empties the pool.
    /// Never ends, and does nothing where the member is alone.
    pub async fn follow_executors(&self, pool: &Pool) {
        steps::ask::follow(&self.node, pool).await;
    }

    /// Makes a snapshot now and purges the log before it, save for what is kept for members that are a little behind.
    ///
    /// # Errors
    /// When Raft has stopped or has not started.
    pub async fn snapshot(&self) -> Result<(), ConductorError> {
        let asked = self.running()?.raft.trigger().snapshot().await;
        asked.map_err(|error| ConductorError::Consensus(error.to_string()))
    }

    fn running(&self) -> Result<&Running, ConductorError> {
        self.node.running().ok_or_else(|| {
            let obstacle = self.node.stage().obstacle();
            ConductorError::Cluster(obstacle.unwrap_or_else(|| "this member is still starting".to_owned()))
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ConductorError> + Send + 'static,
    ) -> Result<T, ConductorError> {
        let store = self.node.state.clone();
        blocking(move || read(&store)).await
    }
}

/// Opens what is on the disk. Blocking.
fn open_disk(data_dir: &Path, node_name: &str) -> Result<Opened, ConductorError> {
    let layout = Layout::prepare(data_dir)?;
    // The log first: whoever holds the directory holds it from here on.
    let log_store = RaftLog::open(&layout.log)?;
    let state = Arc::new(state::open(&layout.state)?);
    check_together(&layout, &log_store, &state)?;
    let identity = Identity::load(&state, node_name)?;
    let snapshot = layout.snapshots.join(snapshot::CURRENT);
    compact::at_start(&log_store.shared().store, &state, &snapshot);
    let machine = StateMachine::new(state.clone(), layout.snapshots.clone())?;
    let blobs = Blobs::open(layout.blobs)?;
    let files = Files { log: layout.log, state: layout.state, snapshots: layout.snapshots };
    Ok(Opened { log_store, state, machine, identity, blobs, files, snapshot })
}

/// The log and the state are of one member. Where one of the files was lost, going on would wait for ever (the state is new
/// and not among the voters) or forget what was promised (the log is new and has no vote).
fn check_together(layout: &Layout, log: &RaftLog, state: &Store) -> Result<(), ConductorError> {
    let has_identity = Identity::read(state)?.is_some();
    if !log.is_new() && !has_identity {
        return Err(ConductorError::damaged(
            layout.state.display().to_string(),
            "it is missing or empty, and the log beside it is not",
        ));
    }
    if log.is_new() && state::has_applied(state)? {
        return Err(ConductorError::damaged(
            layout.log.display().to_string(),
            "it is missing or empty, and the state beside it is not",
        ));
    }
    Ok(())
}

/// Begins the cluster of a member that is alone where its disk is new, and waits until it leads and has applied its whole log.
async fn lead(node: &Node) -> Result<(), ConductorError> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| ConductorError::Consensus(format!("{what}: {error}"));
    let Some(running) = node.running() else { return Err(ConductorError::Closed) };
    let (raft, id) = (&running.raft, running.id);
    let initialized = raft
        .is_initialized()
        .await
        .map_err(|error| failed("cannot see whether the cluster has begun", &error))?;
    let (state, others) = raft
        .with_raft_state(move |state| {
            let membership = state.membership_state.effective().membership().clone();
            let voters: BTreeSet<u64> = membership.voter_ids().collect();
            let alone = voters.is_empty() || voters == BTreeSet::from([id]);
            let names: Vec<String> = membership.nodes().map(|(_, member)| member.name.clone()).collect();
            (state.server_state, if alone { Vec::new() } else { names })
        })
        .await
        .map_err(|error| failed("cannot see whether the cluster has begun", &error))?;
    if !others.is_empty() {
        return Err(ConductorError::Cluster(format!(
            "the data directory belongs to a member of a cluster of {}; start it with the list of the members",
            others.join(", ")
        )));
    }
    if initialized {
        // One that led when it stopped leads again at once. Another one that is the only voter need not wait for a leader
        // that cannot be there.
        if state != ServerState::Leader {
            raft.trigger().elect().await.map_err(|error| failed("cannot stand for election", &error))?;
        }
    } else {
        let member = Member { name: node.identity().name.clone(), address: String::new() };
        initialize(raft, BTreeMap::from([(id, member)])).await?;
    }
    raft.wait(Some(OPEN_TIMEOUT))
        .state(ServerState::Leader, "to lead")
        .await
        .map_err(|error| failed("this member does not come to lead", &error))?;
    // Waits until the first entry of the leader's term, and all that is committed, is applied.
    raft.ensure_linearizable()
        .await
        .map_err(|error| failed("this member leads and cannot commit", &error))?;
    if node.published.cluster.borrow().is_none() {
        crate::duties::found(node, running)
            .await
            .map_err(|error| failed("this member leads and cannot commit", &error))?;
    }
    Ok(())
}

/// Writes the first membership down.
async fn initialize(raft: &Raft, members: BTreeMap<u64, Member>) -> Result<(), ConductorError> {
    match raft.initialize(members).await {
        // Not allowed: it was begun in the meantime, which is as good.
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(ConductorError::Consensus(format!("cannot begin the cluster: {error}"))),
    }
}

fn is_large(command: &Command) -> bool {
    match command {
        Command::Submit { plan, .. } => plan.steps.len() > LARGE_PLAN,
        Command::Authorized { change, .. } => is_large(change),
        _ => false,
    }
}

#[async_trait]
impl Journal for Conductor {
    async fn propose(&self, command: Command) -> Result<Applied, JournalError> {
        let (large, shows_twice) = (is_large(&command), logged::shows_twice(&command));
        for digest in change::blobs(&command) {
            self.node.check_blob(digest).await?;
        }
        let encode = move || Proposal::from_command(&command)?.encode();
        let change = if large { blocking(encode).await? } else { encode()? };
        self.node.commit(change, shows_twice).await
    }

    async fn inquiry(&self, id: &str) -> Result<Option<Inquiry>, JournalError> {
        if let Small::Read(inquiry) = self.read_few(|store| read::small_inquiry(store, id))? {
            return Ok(inquiry.map(|inquiry| *inquiry));
        }
        let id = id.to_owned();
        Ok(self.read(move |store| read::inquiry(store, &id)).await?)
    }

    async fn outline(&self, id: &str) -> Result<Option<Outline>, JournalError> {
        Ok(self.read_few(|store| read::outline(store, id))?)
    }

    async fn unfinished(&self) -> Result<Vec<InquiryId>, JournalError> {
        Ok(self.read(list::unfinished).await?)
    }

    async fn checkpoint(&self) -> Result<Checkpoint, JournalError> {
        let checkpoint = self.read_few(read::checkpoint)?;
        Ok(Checkpoint { size: checkpoint.size, root: checkpoint.root.to_string() })
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobDigest, JournalError> {
        Ok(self.node.put_blob(bytes).await?.to_string())
    }

    async fn blob(&self, digest: &str) -> Result<Vec<u8>, JournalError> {
        self.node.blob(digest).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::raft::{Batch, COMMAND_FORMAT};
    use crate::waiting::Waiting;

    #[tokio::test]
    async fn a_member_that_meets_a_newer_format_stops_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let conductor = Conductor::open(ConductorConfig::new(dir.path().join("data"), "a")).await.unwrap();
        assert_eq!(conductor.obstacles(), Vec::<String>::new());
        let raft = &conductor.running().unwrap().raft;
        let newer = Batch {
            format: COMMAND_FORMAT + 1,
            changes: vec![Bytes::from_static(b"?")],
            waiting: Waiting::default(),
        };
        raft.client_write(newer).await.unwrap_err();
        let mut metrics = raft.metrics();
        metrics.wait_for(|metrics| metrics.running_state.is_err()).await.unwrap();
        let status = conductor.status().await.unwrap();
        assert_eq!((status.role, status.has_leader), ("shutdown", false));
        let text = status.obstacles.join(" ");
        assert!(text.contains("this member has stopped") && text.contains("has format 2"), "{text}");
        conductor.shutdown().await;
    }
}
