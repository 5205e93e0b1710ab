//! The conductor: opens the stores, starts Raft, and answers the engine.

mod queries;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use queries::{RaftStatus, StoreSizes};

use async_trait::async_trait;
use inquisitor_engine::journal::{
    Applied, BlobDigest, Checkpoint, Command, Inquiry, InquiryId, Journal, JournalError,
};
use inquisitor_ledger::Hash;
use openraft::error::{InitializeError, RaftError};
use openraft::{ServerState, SnapshotPolicy};

use crate::blobs::Blobs;
use crate::change::{self, Proposal};
use crate::database::Store;
use crate::error::{ConductorError, chain};
use crate::identity::{Identity, Layout};
use crate::list;
use crate::log::{RaftLog, Shared};
use crate::network::Network;
use crate::propose::Proposer;
use crate::raft::{Member, Raft};
use crate::read;
use crate::snapshot;
use crate::state::{self, Published, StateMachine, blocking};
use crate::sweep::{self, Swept};

/// Log entries after which a snapshot is made and the log before it purged. A snapshot copies the whole state, so it must not
/// be frequent. Where entries are large, the log's size asks for one before ([`crate::propose`]).
const SNAPSHOT_EVERY: u64 = 20_000;
/// Entries that stay in the log after a snapshot, so that a member a little behind gets entries and no snapshot.
const KEEP_IN_LOG: u64 = 1_000;
/// How long opening waits for this member to lead and to apply what is in its log. Only damage or a disk that hangs take
/// longer: at most a few thousand batches are applied again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Steps from which a plan is encoded on a thread that may block: about a millisecond of work.
const LARGE_PLAN: usize = 250;

/// How to open a conductor.
#[derive(Debug, Clone)]
pub struct ConductorConfig {
    /// The directory that holds the log, the state, snapshots and blobs. It is the conductor's alone.
    pub data_dir: PathBuf,
    /// The member's name, for people.
    pub node_name: String,
    /// Log entries after which a snapshot is made.
    pub snapshot_every: u64,
}

impl ConductorConfig {
    /// The usual settings.
    pub fn new(data_dir: impl Into<PathBuf>, node_name: impl Into<String>) -> Self {
        Self { data_dir: data_dir.into(), node_name: node_name.into(), snapshot_every: SNAPSHOT_EVERY }
    }

    fn raft(&self, cluster: &str) -> Result<openraft::Config, ConductorError> {
        let config = openraft::Config {
            cluster_name: cluster.to_owned(),
            heartbeat_interval: 50,
            election_timeout_min: 150,
            election_timeout_max: 300,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: KEEP_IN_LOG.min(self.snapshot_every),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| ConductorError::Consensus(error.to_string()))
    }
}

/// A member of the cluster, and the journal of the engine in the same process.
pub struct Conductor {
    identity: Identity,
    raft: Raft,
    proposer: Proposer,
    state: Arc<Store>,
    log: Arc<Shared>,
    blobs: Blobs,
    published: Published,
    files: Files,
}

/// The files whose sizes are told.
struct Files {
    log: PathBuf,
    state: PathBuf,
}

impl Conductor {
    /// Opens a data directory, makes it where it is not there, and returns once this member leads and all that was ever
    /// acknowledged is applied.
    ///
    /// # Errors
    /// When another process holds the directory, it is not ours or of a newer format, or its files cannot be used.
    pub async fn open(config: ConductorConfig) -> Result<Self, ConductorError> {
        let raft_config_source = config.clone();
        let opened = blocking(move || {
            let layout = Layout::prepare(&config.data_dir)?;
            // The log first: whoever holds the directory holds it from here on.
            let log = RaftLog::open(&layout.log)?;
            let state = Arc::new(state::open(&layout.state)?);
            check_together(&layout, &log, &state)?;
            let identity = Identity::load(&state, &config.node_name)?;
            let snapshot = layout.snapshots.join(snapshot::CURRENT);
            let machine = StateMachine::new(state.clone(), layout.snapshots)?;
            let files = Files { log: layout.log, state: layout.state };
            Ok((log, state, machine, identity, Blobs::open(layout.blobs)?, files, snapshot))
        });
        let (log_store, state, machine, identity, blobs, files, snapshot) = opened.await?;
        let published = machine.published();
        let log = log_store.shared();
        let raft_config = Arc::new(raft_config_source.raft(&identity.cluster.to_string())?);
        let raft = Raft::new(identity.node_id, raft_config, Network, log_store, machine)
            .await
            .map_err(|error| ConductorError::Consensus(format!("cannot start: {error}")))?;
        lead(&raft, &identity).await?;
        let proposer = Proposer::start(raft.clone(), snapshot);
        Ok(Self { identity, raft, proposer, state, log, blobs, published, files })
    }

    /// Who this member is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Answers what was proposed, stops Raft, and closes the files, so that the directory can be opened again.
    pub async fn shutdown(&self) {
        self.proposer.stop().await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "consensus did not stop as it should");
        }
        let (state, log) = (self.state.clone(), self.log.clone());
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
    /// When the age is too small, this member has not applied all that is in its log, or something cannot be read or removed.
    pub async fn sweep_blobs(&self, older_than: Duration) -> Result<Swept, ConductorError> {
        let logged = self.raft.metrics().borrow().last_log_index;
        let blobs = self.blobs.clone();
        self.read(move |store| sweep::sweep(store, &blobs, older_than, logged)).await
    }

    /// Makes a snapshot now and purges the log before it, save for what is kept for members that are a little behind.
    ///
    /// # Errors
    /// When Raft has stopped.
    pub async fn snapshot(&self) -> Result<(), ConductorError> {
        self.raft.trigger().snapshot().await.map_err(|error| ConductorError::Consensus(error.to_string()))
    }

    /// Refuses a digest without a blob: a committed command must not name what nobody can read.
    fn check_blob(&self, digest: &str) -> Result<(), JournalError> {
        let wrong =
            |message: String| JournalError::Blob { digest: digest.chars().take(80).collect(), message };
        let hash: Hash = digest.parse().map_err(|error| wrong(chain(&error)))?;
        if self.blobs.hold(&hash).map_err(|error| wrong(chain(&error)))? {
            return Ok(());
        }
        Err(wrong("a command names it and it is not stored; put it first".into()))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, ConductorError> + Send + 'static,
    ) -> Result<T, ConductorError> {
        let store = self.state.clone();
        blocking(move || read(&store)).await
    }
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

/// Begins the cluster where this disk is new, and waits until this member leads and has applied its whole log.
async fn lead(raft: &Raft, identity: &Identity) -> Result<(), ConductorError> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| ConductorError::Consensus(format!("{what}: {error}"));
    let initialized = raft
        .is_initialized()
        .await
        .map_err(|error| failed("cannot see whether the cluster has begun", &error))?;
    if initialized {
        let state = raft
            .with_raft_state(|state| state.server_state)
            .await
            .map_err(|error| failed("cannot see whether this member leads", &error))?;
        // One that led when it stopped leads again at once. Another one that is the only voter need not wait for a leader
        // that cannot be there.
        if state != ServerState::Leader {
            raft.trigger().elect().await.map_err(|error| failed("cannot stand for election", &error))?;
        }
    } else {
        let member = Member { name: identity.name.clone(), address: String::new() };
        let members = BTreeMap::from([(identity.node_id, member)]);
        match raft.initialize(members).await {
            // Not allowed: it was begun in the meantime, which is as good.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(failed("cannot begin the cluster", &error)),
        }
    }
    raft.wait(Some(OPEN_TIMEOUT))
        .state(ServerState::Leader, "to lead")
        .await
        .map_err(|error| failed("this member does not come to lead", &error))?;
    // Waits until the first entry of the leader's term, and all that is committed, is applied.
    raft.ensure_linearizable()
        .await
        .map_err(|error| failed("this member leads and cannot commit", &error))?;
    Ok(())
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
        let large = is_large(&command);
        for digest in change::blobs(&command) {
            self.check_blob(digest)?;
        }
        let encode = move || Proposal::from_command(&command)?.encode();
        let change = if large { blocking(encode).await? } else { encode()? };
        self.proposer.propose(change).await
    }

    async fn inquiry(&self, id: &str) -> Result<Option<Inquiry>, JournalError> {
        let id = id.to_owned();
        Ok(self.read(move |store| read::inquiry(store, &id)).await?)
    }

    async fn unfinished(&self) -> Result<Vec<InquiryId>, JournalError> {
        Ok(self.read(list::unfinished).await?)
    }

    async fn checkpoint(&self) -> Result<Checkpoint, JournalError> {
        let checkpoint = self.read(read::checkpoint).await?;
        Ok(Checkpoint { size: checkpoint.size, root: checkpoint.root.to_string() })
    }

    async fn put_blob(&self, bytes: Vec<u8>) -> Result<BlobDigest, JournalError> {
        let blobs = self.blobs.clone();
        let put = tokio::task::spawn_blocking(move || blobs.put(&bytes)).await;
        let digest = put.map_err(|error| JournalError::Storage(error.to_string()))??;
        Ok(digest.to_string())
    }

    async fn blob(&self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let blobs = self.blobs.clone();
        let digest = digest.to_owned();
        let read = tokio::task::spawn_blocking(move || blobs.get(&digest)).await;
        read.map_err(|error| JournalError::Storage(error.to_string()))?
    }
}
