//! Where the transport between members goes.
//!
//! A cluster of one has nobody to talk to, so every connection answers that its peer cannot be reached. openraft asks for
//! connections only to other members; a transport takes the place of [`Peer`] and nothing else changes.

use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory};

use crate::raft::{Member, TypeConfig};

/// Makes connections to peers.
pub(crate) struct Network;

/// The connection to one peer.
pub(crate) struct Peer {
    id: u64,
    member: Member,
}

/// Why a peer cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "member `{name}` ({id:016x}, {address}) cannot be reached: this host has no transport between members"
)]
struct NoTransport {
    name: String,
    id: u64,
    address: String,
}

impl Peer {
    fn unreachable(&self) -> Unreachable {
        let address = if self.member.address.is_empty() { "no address" } else { &self.member.address };
        Unreachable::new(&NoTransport {
            name: self.member.name.clone(),
            id: self.id,
            address: address.to_owned(),
        })
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Member) -> Peer {
        Peer { id: target, member: node.clone() }
    }
}

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Member, RaftError<u64>>> {
        Err(self.unreachable().into())
    }

    async fn install_snapshot(
        &mut self,
        _rpc: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RPCError<u64, Member, RaftError<u64, InstallSnapshotError>>>
    {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Member, RaftError<u64>>> {
        Err(self.unreachable().into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_error_names_the_peer() {
        let member = Member { name: "b".into(), address: "b.example:4321".into() };
        let mut peer = Network.new_client(7, &member).await;
        let request = VoteRequest::new(openraft::Vote::new(1, 1), None);
        let error = peer.vote(request, RPCOption::new(Duration::from_secs(1))).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`b`") && text.contains("0000000000000007") && text.contains("b.example:4321"),
            "{text}"
        );
    }
}
