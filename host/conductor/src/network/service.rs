//! Answering other members.

use std::sync::Arc;

use bytes::Bytes;
use inquisitor_peer::{Handler, Payload, PeerIdentity, Refusal, Request, Response};
use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::show_id;
use crate::logged::Logged;
use crate::network::links::Links;
use crate::network::wire::{self, SnapshotPiece, SnapshotReply};
use crate::node::{Node, Running};
use crate::raft::TypeConfig;
use crate::steps;

/// Answers for a member of a cluster.
pub(crate) struct Service {
    node: Arc<Node>,
    links: Arc<Links>,
}

/// What became of a request: the answer's body, or why there is none.
type Answer = Result<Payload, Response>;

impl Service {
    pub(crate) fn new(node: Arc<Node>, links: Arc<Links>) -> Self {
        Self { node, links }
    }

    async fn answer(&self, peer: &PeerIdentity, request: Request) -> Answer {
        let path = request.path;
        let body = match self.node.answer_blob(peer, &path, request.body).await {
            Ok(answer) => return answer.map(Payload::from),
            Err(body) => body,
        };
        let bytes = body.bytes().await?;
        if path == wire::HELLO {
            let hello = message(head(&bytes)?.1)?;
            let reply = crate::forming::answer(&self.node, &self.links, peer, &hello).await;
            return reply.map_err(|error| failed(&error)).and_then(|reply| encode(&reply));
        }
        let (from, rest) = self.sender(peer, &path, &bytes).await?;
        let running = self.node.running().ok_or_else(|| busy("this member has not joined yet"))?;
        match path.as_str() {
            wire::APPEND => self.append(running, message(rest)?).await,
            wire::VOTE => {
                let request: VoteRequest<u64> = message(rest)?;
                encode(&running.raft.vote(request).await.map_err(|error| failed(&error))?)
            }
            wire::PRE_VOTE => encode(&crate::election::answer(running, &self.links, from, &message(rest)?)),
            wire::SNAPSHOT => self.snapshot(running, rest).await,
            wire::ELECT => {
                if running.leader().is_some_and(|leader| leader.id != from) {
                    return Err(Response::refuse(Refusal::Invalid, "only the leader hands leadership over"));
                }
                let elect: wire::Elect = message(rest)?;
                if elect.at_once {
                    running.raft.trigger().elect().await.map_err(|error| failed(&error))?;
                } else {
                    tokio::spawn(crate::election::stand_soon(self.node.clone(), self.links.clone()));
                }
                encode(&())
            }
            wire::PROPOSE => {
                // What one member lets through all members apply.
                let logged = Logged::decode(rest).and_then(|logged| logged.proposal.check());
                logged.map_err(|error| Response::refuse(Refusal::Invalid, error.to_string()))?;
                encode(&running.proposer.propose_for(Bytes::copy_from_slice(rest)).await)
            }
            wire::READ_INDEX => encode(&running.rounds.read_index_for().await),
            // Changes of the membership take several steps, which the end of the asking must not break off.
            wire::JOIN => {
                let (node, join): (_, wire::Join) = (self.node.clone(), message(rest)?);
                if !crate::members::is_own(peer, from, &join) {
                    return Err(Response::refuse(Refusal::Invalid, "a member joins for itself only"));
                }
                whole(async move { crate::members::admit(&node, &join).await }).await
            }
            wire::CHANGE_MEMBERS => {
                let (node, change): (_, wire::MemberChange) = (self.node.clone(), message(rest)?);
                whole(async move { crate::members::change_here(&node, &change).await }).await
            }
            wire::STEP_OFFER => encode(&steps::answer::offer(&self.node, running, from)),
            wire::STEP_RUN => steps::answer::begin(&self.node, running, from, message(rest)?),
            _ => Err(Response::refuse(Refusal::UnknownPath, format!("nothing answers to {path} here"))),
        }
    }

    /// Checks for whom the request is and from whom, and returns the sender's id and the message.
    async fn sender<'b>(
        &self,
        peer: &PeerIdentity,
        path: &str,
        bytes: &'b [u8],
    ) -> Result<(u64, &'b [u8]), Response> {
        let (head, rest) = head(bytes)?;
        let id = self.node.identity().node_id;
        if head.to != id {
            let (name, asked, ours) = (self.links.local.name(), show_id(head.to), show_id(id));
            return Err(busy(format!("this is member `{name}` with the id {ours}, not {asked}")));
        }
        match (head.cluster, self.links.local.cluster()) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                let problem = format!("this member belongs to the cluster {ours}, not to {theirs}");
                return Err(Response::refuse(Refusal::Invalid, problem));
            }
            // A new leader may have to commit the cluster's id before it knows it; then it is a member already.
            (None, Some(ours)) if path != wire::JOIN && !self.is_member(head.from) => {
                let problem = format!("`{}` is no member of the cluster {ours}", peer.name);
                return Err(Response::refuse(Refusal::Invalid, problem));
            }
            // Before this member knows its cluster, only those that it lists can be of the same one.
            (_, None) if self.links.config.peers.address(&peer.name).is_none() => {
                let problem =
                    format!("`{}` is not in this member's list, {}", peer.name, self.links.config.peers);
                return Err(Response::refuse(Refusal::Invalid, problem));
            }
            _ => {}
        }
        if !self.links.owns(peer, head.from).await.map_err(|error| failed(&error))? {
            let problem = format!(
                "the disk of `{}` has no right to the id {}; it belongs to one that had the name before",
                peer.name,
                show_id(head.from)
            );
            tracing::warn!("{problem}");
            return Err(Response::refuse(Refusal::Invalid, problem));
        }
        Ok((head.from, rest))
    }

    fn is_member(&self, id: u64) -> bool {
        let running = self.node.running();
        running.is_some_and(|running| running.membership().membership().get_node(&id).is_some())
    }

    async fn append(&self, running: &Running, request: AppendEntriesRequest<TypeConfig>) -> Answer {
        let reply = running.raft.append_entries(request).await.map_err(|error| failed(&error))?;
        if !matches!(reply, AppendEntriesResponse::HigherVote(_)) {
            self.links.contacts.heard_leader();
        }
        encode(&reply)
    }

    async fn snapshot(&self, running: &Running, bytes: &[u8]) -> Answer {
        let (piece, data): (SnapshotPiece, _) =
            postcard::take_from_bytes(bytes).map_err(|error| invalid(&error.to_string()))?;
        let request = InstallSnapshotRequest::<TypeConfig> {
            vote: piece.vote,
            meta: piece.meta,
            offset: piece.offset,
            data: data.to_vec(),
            done: piece.done,
        };
        let raft = running.raft.clone();
        // A piece that is broken off half-way would leave the file's position elsewhere than where it is noted.
        let taken = tokio::spawn(async move { raft.install_snapshot(request).await });
        match taken.await.map_err(|error| failed(&error))? {
            Ok(reply) => {
                self.links.contacts.heard_leader();
                encode(&SnapshotReply::Taken(reply.vote))
            }
            Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch))) => {
                encode(&SnapshotReply::Mismatch(mismatch))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

impl Handler for Service {
    fn max_body_bytes(&self, path: &str) -> Option<u64> {
        wire::max_body_bytes(path)
    }

    async fn handle(&self, peer: &PeerIdentity, request: Request) -> Response {
        match self.answer(peer, request).await {
            Ok(body) => Response::ok(body),
            Err(refusal) => refusal,
        }
    }
}

/// Does all of it, whether or not the asking member waits for the answer.
async fn whole<T: Serialize + Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Answer {
    encode(&tokio::spawn(work).await.map_err(|error| failed(&error))?)
}

fn head(bytes: &[u8]) -> Result<(wire::Head, &[u8]), Response> {
    wire::head(bytes).map_err(|problem| invalid(&problem))
}

fn message<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Response> {
    wire::message(bytes).map_err(|problem| invalid(&problem))
}

fn encode(reply: &impl Serialize) -> Answer {
    postcard::to_stdvec(reply).map(Payload::from).map_err(|error| failed(&error))
}

fn invalid(problem: &str) -> Response {
    Response::refuse(Refusal::Invalid, problem)
}

fn busy(problem: impl Into<String>) -> Response {
    Response::refuse(Refusal::Busy, problem)
}

fn failed(error: &dyn std::error::Error) -> Response {
    Response::refuse(Refusal::Failed, crate::error::chain(error))
}
