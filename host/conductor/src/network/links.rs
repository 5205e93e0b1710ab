//! The ways to other members: who is asked, by which id, and what becomes of the question.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inquisitor_peer::{
    Address, Call, Channel, Class, ClientOptions, Endpoint, LocalMember, MemberName, PeerError, PeerIdentity,
    Peers,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::claims::Claims;
use crate::config::ClusterConfig;
use crate::error::ConductorError;
use crate::identity::{disk_id, genesis_id, show_id};
use crate::network::contacts::Contacts;
use crate::network::wire::{self, Head, Target};
use crate::raft::Member;

/// Why a member gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("member `{0}` has no address")]
    NoAddress(String),
    #[error("member `{name}` gave an answer that makes no sense: {problem}")]
    Malformed { name: String, problem: String },
}

/// What this member needs to talk to others.
pub(crate) struct Links {
    pub(crate) config: ClusterConfig,
    pub(crate) local: Arc<LocalMember>,
    pub(crate) claims: Claims,
    pub(crate) contacts: Contacts,
    peers: Peers,
    endpoint: Endpoint,
}

impl Links {
    pub(crate) fn new(config: ClusterConfig, endpoint: &Endpoint, claims: Claims) -> Self {
        // A peer that is cut off is noticed before an operator would ask why nothing moves.
        let options = ClientOptions { backoff_max: Duration::from_secs(1), ..ClientOptions::default() };
        let peers = Peers::with_resolver(endpoint, options, config.resolver.clone());
        let (local, endpoint) = (endpoint.member.clone(), endpoint.clone());
        Self { local, contacts: Contacts::default(), config, claims, peers, endpoint }
    }

    /// Who this member is to others, and how it proves it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Where this member lives, as others are told.
    pub(crate) fn address(&self) -> String {
        self.config.peers.address(self.local.name()).map(ToString::to_string).unwrap_or_default()
    }

    /// The way to a member of the list or the cluster.
    pub(crate) fn channel(&self, member: &Member) -> Result<Channel, AskError> {
        let none = || AskError::NoAddress(member.name.clone());
        if member.address.is_empty() {
            return Err(none());
        }
        let address: Address = member.address.parse()?;
        let name: MemberName = member.name.parse()?;
        Ok(self.peers.channel(&address, Some(&name)))
    }

    pub(crate) fn head(&self, from: u64, to: u64) -> Head {
        Head { cluster: self.local.cluster(), from, to }
    }

    /// Asks a member, and notes whether it answered.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        from: u64,
        to: &Target,
        class: Class,
        question: &Question<'_, impl Serialize>,
    ) -> Result<A, AskError> {
        let answer = self.exchange(from, to, class, question).await;
        match &answer {
            Ok(_) => self.contacts.answered(to.id),
            Err(error) => self.contacts.failed(to.id, error.to_string()),
        }
        answer
    }

    /// Asks a member where it tells nothing of the member whether it answered.
    pub(crate) async fn exchange<A: DeserializeOwned>(
        &self,
        from: u64,
        to: &Target,
        class: Class,
        question: &Question<'_, impl Serialize>,
    ) -> Result<A, AskError> {
        let malformed = |problem: String| AskError::Malformed { name: to.member.name.clone(), problem };
        let body = wire::encode(&self.head(from, to.id), question.message, question.payload)
            .map_err(|error| malformed(error.to_string()))?;
        let call = Call::new(question.path).body(body).deadline(question.deadline);
        let answer: Bytes = self.channel(&to.member)?.call(class, call).await?;
        wire::message(&answer).map_err(malformed)
    }

    /// Whether a peer may act under an id: its disk's, or the genesis id of its name where it owns it.
    ///
    /// # Errors
    /// When a claim cannot be recorded.
    pub(crate) async fn owns(&self, peer: &PeerIdentity, id: u64) -> Result<bool, ConductorError> {
        if id == disk_id(&peer.incarnation) {
            return Ok(true);
        }
        if id != genesis_id(peer.name.as_str()) {
            return Ok(false);
        }
        Ok(self.claims.hear(&peer.name, peer.incarnation).await? == peer.incarnation)
    }
}

/// What is asked.
pub(crate) struct Question<'a, M> {
    pub(crate) path: &'static str,
    pub(crate) message: &'a M,
    /// What follows the message.
    pub(crate) payload: &'a [u8],
    pub(crate) deadline: Duration,
}

impl<'a, M> Question<'a, M> {
    pub(crate) fn new(path: &'static str, message: &'a M, deadline: Duration) -> Self {
        Self { path, message, payload: &[], deadline }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` ({})", self.member.name, show_id(self.id))
    }
}
