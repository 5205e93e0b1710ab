//! The transport between members, on authenticated connections over one port.
//!
//! - here: Raft's requests on their way out.
//! - `links`: asking any member anything; `contacts`: who answered when; `wire`: the messages.
//! - `service`: answering.
//!
//! Every request names the id that it is for and the id that it comes from. A member that is not the one it is for refuses:
//! names and addresses may pass to another disk, and what was meant for the old one must not reach the new one.

pub(crate) mod contacts;
pub(crate) mod links;
pub(crate) mod service;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use inquisitor_peer::Class;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{RPCTypes, RaftNetwork, RaftNetworkFactory};
use tokio::task::JoinHandle;

use crate::log::Shared;
use crate::network::links::{AskError, Links, Question};
use crate::network::wire::{SnapshotPiece, SnapshotReply, Target};
use crate::raft::{LogId, Member, TypeConfig, Vote};

/// Bytes of entries from which sending them may take longer than openraft waits for an answer.
const LARGE_APPEND_BYTES: usize = 256 << 10;
/// How long sending large entries may take. Whoever is gone is noticed long before.
const LARGE_APPEND_DEADLINE: Duration = Duration::from_secs(60);
/// How long a member that cannot be reached is left alone; well below an election timeout, so that one that is back is
/// heard before it stands for election.
const BACKOFF: Duration = Duration::from_millis(150);

type RpcError<E = openraft::error::Infallible> = RPCError<u64, Member, RaftError<u64, E>>;

/// Makes connections to peers. A member without links is alone and never asks for one.
pub(crate) struct Network {
    pub(crate) id: u64,
    pub(crate) links: Option<Arc<Links>>,
    pub(crate) log: Arc<Shared>,
}

/// The connection to one peer.
pub(crate) struct Peer {
    from: u64,
    to: Target,
    links: Option<Arc<Links>>,
    /// This member's own log.
    log: Arc<Shared>,
    transfer: Option<Transfer>,
}

/// Large entries on their way. openraft gives an append up after a heartbeat's time and asks again; the bytes that are under
/// way must go on meanwhile, or a slow network would never carry them.
struct Transfer {
    vote: Vote,
    prev: Option<LogId>,
    /// The last entry that is under way.
    last: Option<LogId>,
    task: JoinHandle<Result<AppendEntriesResponse<u64>, AskError>>,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this member is alone: it was started without a list of members")]
struct Alone;

#[derive(Debug, thiserror::Error)]
#[error("the entries are not on this member's own disk: {0}")]
struct NotDurable(String);

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Member) -> Peer {
        let to = Target { id: target, member: node.clone() };
        Peer { from: self.id, to, links: self.links.clone(), log: self.log.clone(), transfer: None }
    }
}

impl Peer {
    fn links(&self) -> Result<Arc<Links>, Unreachable> {
        self.links.clone().ok_or_else(|| Unreachable::new(&Alone))
    }

    /// Sends entries in a task that outlives this call's deadline, and leads on with heartbeats until they have arrived.
    async fn append_large(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        ttl: Duration,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let links = self.links()?;
        let (vote, prev) = (rpc.vote, rpc.prev_log_id);
        let heartbeat = AppendEntriesRequest::<TypeConfig> {
            vote,
            prev_log_id: prev,
            entries: Vec::new(),
            leader_commit: rpc.leader_commit,
        };
        let under_way =
            self.transfer.take().filter(|transfer| (transfer.vote, transfer.prev) == (vote, prev));
        let mut transfer = under_way.unwrap_or_else(|| {
            let last = rpc.entries.last().map(|entry| entry.log_id);
            let (links, from, to) = (links.clone(), self.from, self.to.clone());
            let task = tokio::spawn(async move {
                let question = Question::new(wire::APPEND, &rpc, LARGE_APPEND_DEADLINE);
                links.ask(from, &to, Class::Bulk, &question).await
            });
            Transfer { vote, prev, last, task }
        });
        let question = Question::new(wire::APPEND, &heartbeat, ttl);
        let beat = links.ask::<AppendEntriesResponse<u64>>(self.from, &self.to, Class::Consensus, &question);
        let arrived = tokio::time::timeout(ttl.mul_f32(0.9), &mut transfer.task);
        let (beat, arrived) = tokio::join!(beat, arrived);
        match (arrived, beat) {
            (Ok(Ok(Ok(AppendEntriesResponse::Success))), _) => {
                Ok(AppendEntriesResponse::PartialSuccess(transfer.last))
            }
            (Ok(Ok(Ok(answer))), _) => Ok(answer),
            (Ok(Ok(Err(error))), _) => Err(failure(&error)),
            (Ok(Err(error)), _) => Err(NetworkError::new(&error).into()),
            (Err(_), Ok(answer @ AppendEntriesResponse::HigherVote(_))) => Ok(answer),
            (Err(_), _) => {
                self.transfer = Some(transfer);
                let (action, id, target) = (RPCTypes::AppendEntries, self.from, self.to.id);
                Err(Timeout { action, id, target, timeout: ttl }.into())
            }
        }
    }
}

/// Whether Raft should leave the peer alone for a moment.
fn failure<E: std::error::Error>(error: &AskError) -> RpcError<E> {
    match error {
        AskError::Peer(peer) if !peer.certainly_not_processed() => NetworkError::new(error).into(),
        _ => Unreachable::new(error).into(),
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let last = rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id);
        let size: usize = rpc
            .entries
            .iter()
            .map(|entry| match &entry.payload {
                openraft::EntryPayload::Normal(batch) => batch.changes.iter().map(bytes::Bytes::len).sum(),
                openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 0,
            })
            .sum();
        let answer = if size >= LARGE_APPEND_BYTES {
            self.append_large(rpc, option.hard_ttl()).await?
        } else {
            let question = Question::new(wire::APPEND, &rpc, option.hard_ttl());
            let answer = self.links()?.ask(self.from, &self.to, Class::Consensus, &question).await;
            answer.map_err(|error| failure(&error))?
        };
        let acknowledged = match &answer {
            AppendEntriesResponse::Success => last,
            AppendEntriesResponse::PartialSuccess(upto) => *upto,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => None,
        };
        if let Some(upto) = acknowledged {
            // openraft takes this member's own copy for granted.
            let durable = self.log.durable(upto.index).await;
            durable.map_err(|problem| NetworkError::new(&NotDurable(problem)))?;
        }
        Ok(answer)
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RpcError<InstallSnapshotError>> {
        let piece = SnapshotPiece { vote: rpc.vote, meta: rpc.meta, offset: rpc.offset, done: rpc.done };
        let question = Question {
            path: wire::SNAPSHOT,
            message: &piece,
            payload: &rpc.data,
            deadline: option.hard_ttl(),
        };
        match self.links()?.ask(self.from, &self.to, Class::Bulk, &question).await {
            Ok(SnapshotReply::Taken(vote)) => Ok(InstallSnapshotResponse { vote }),
            Ok(SnapshotReply::Mismatch(mismatch)) => {
                Err(RemoteError::new(self.to.id, RaftError::APIError(mismatch.into())).into())
            }
            Err(error) => Err(failure(&error)),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        let question = Question::new(wire::VOTE, &rpc, option.hard_ttl());
        let answer = self.links()?.ask(self.from, &self.to, Class::Consensus, &question).await;
        answer.map_err(|error| failure(&error))
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
