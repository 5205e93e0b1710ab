//! What members say to each other: paths, messages and their bounds.
//!
//! A body begins with a [`Head`] and goes on with the message, both in postcard; what is large follows as it is. Blobs have
//! their digest in the path and no head, for they are what they are whoever sends them. Messages only ever grow by new paths:
//! a member that does not know one says so, and [`PROTOCOL`] counts the changes of those that are there.

use bytes::Bytes;
use inquisitor_engine::journal::Applied;
use inquisitor_peer::Protocol;
use openraft::error::SnapshotMismatch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::MAX_COMMAND_BYTES;
use crate::raft::{LogId, Member, SnapshotMeta, Vote};

/// The versions that this program speaks.
pub(crate) fn protocol() -> Protocol {
    Protocol::new(1, 1)
}

pub(crate) const HELLO: &str = "/cluster/hello";
pub(crate) const JOIN: &str = "/cluster/join";
pub(crate) const ELECT: &str = "/cluster/elect";
pub(crate) const APPEND: &str = "/raft/append";
pub(crate) const VOTE: &str = "/raft/vote";
pub(crate) const PRE_VOTE: &str = "/raft/pre-vote";
pub(crate) const SNAPSHOT: &str = "/raft/snapshot";
pub(crate) const PROPOSE: &str = "/log/propose";
pub(crate) const READ_INDEX: &str = "/log/read-index";
pub(crate) const CHANGE_MEMBERS: &str = "/cluster/change";
/// Answered by a stream of [`crate::steps`]' frames.
pub(crate) const STEP_RUN: &str = "/step/run";
pub(crate) const STEP_OFFER: &str = "/step/offer";
/// Followed by the digest.
pub(crate) const BLOB_HOLD: &str = "/blob/hold/";
/// Followed by the digest.
pub(crate) const BLOB_PUT: &str = "/blob/put/";
/// Followed by the digest: fetch it from whoever asks.
pub(crate) const BLOB_PULL: &str = "/blob/pull/";
/// Followed by the digest, `/`, and the offset.
pub(crate) const BLOB_GET: &str = "/blob/get/";

/// Bytes of a snapshot in one message.
pub(crate) const SNAPSHOT_CHUNK_BYTES: u64 = 1 << 20;
/// Bytes of a blob in one message. Up to so many are sent without asking; of larger ones the receiver fetches piece by piece.
pub(crate) const BLOB_CHUNK_BYTES: usize = 1 << 20;
/// Bytes around a message that are not its payload.
const FRAME_BYTES: u64 = 64 << 10;
/// One read of the log and the largest command, whichever order they come in.
const MAX_APPEND_BYTES: u64 = 2 * MAX_COMMAND_BYTES as u64 + FRAME_BYTES;

/// How large a request may be, by path; none where there is no such path.
pub(crate) fn max_body_bytes(path: &str) -> Option<u64> {
    match path {
        HELLO | JOIN | ELECT | VOTE | PRE_VOTE | READ_INDEX | CHANGE_MEMBERS | STEP_RUN | STEP_OFFER => {
            Some(FRAME_BYTES)
        }
        APPEND => Some(MAX_APPEND_BYTES),
        PROPOSE => Some(MAX_COMMAND_BYTES as u64 + FRAME_BYTES),
        // The metadata name every member.
        SNAPSHOT => Some(SNAPSHOT_CHUNK_BYTES + (1 << 20)),
        _ if path.starts_with(BLOB_PUT) => Some(BLOB_CHUNK_BYTES as u64),
        _ if [BLOB_HOLD, BLOB_PULL, BLOB_GET].iter().any(|blob| path.starts_with(blob)) => Some(0),
        _ => None,
    }
}

/// Who asks whom, in which cluster. Names and addresses can be given to somebody else; ids cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// None before the sender knows it.
    pub(crate) cluster: Option<Uuid>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A member of a cluster by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) id: u64,
    pub(crate) member: Member,
}

/// A new disk introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The normal form of its list of members.
    pub(crate) list: String,
}

/// What a member answers to a new disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HelloReply {
    /// Who owns the name of the asking member; none where the lists differ and nobody was recorded.
    pub(crate) owner: Option<Uuid>,
    /// The normal form of the answering member's list.
    pub(crate) list: String,
    /// The cluster that it takes part in.
    pub(crate) established: Option<Established>,
}

/// A cluster as one of its members knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Established {
    /// None before its first leader has drawn one.
    pub(crate) cluster: Option<Uuid>,
    pub(crate) members: Vec<Target>,
}

/// A member that is not a voter, or not at this address, wants to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) id: u64,
    pub(crate) member: Member,
    /// Whether it holds all blobs that its state names, so that it may count as one that does.
    pub(crate) is_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JoinReply {
    /// It belongs to the cluster, as a voter once it has caught up.
    Welcome { cluster: Uuid },
    /// Ask there.
    NotLeader(Option<Target>),
    /// Not now, or not ever, and why.
    Refused(String),
}

/// The leader wants the asked member to lead in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Elect {
    /// Whether it stands for election at once, or as soon as a majority would have it.
    pub(crate) at_once: bool,
}

/// A change of the membership, forwarded to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MemberChange {
    Remove(String),
    Transfer(Option<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeReply {
    Done,
    NotLeader,
    Refused(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreVote {
    pub(crate) last_log: Option<LogId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreVoteReply {
    pub(crate) granted: bool,
    /// False when the asking member was removed from the cluster.
    pub(crate) is_member: bool,
}

/// What comes before the bytes of a piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotPiece {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) offset: u64,
    pub(crate) done: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotReply {
    Taken(Vote),
    /// Another snapshot is being received; begin anew.
    Mismatch(SnapshotMismatch),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProposeReply {
    /// `applied` is JSON, as refusals have no form in postcard.
    Committed { index: u64, applied: Vec<u8> },
    /// It may be committed all the same, if the leader lost its office in the midst.
    NotNow(String),
}

impl ProposeReply {
    pub(crate) fn committed(index: u64, applied: &Applied) -> Self {
        match serde_json::to_vec(applied) {
            Ok(applied) => Self::Committed { index, applied },
            Err(error) => Self::NotNow(error.to_string()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReadIndexReply {
    /// What is applied up to here is as new as the question; none before the first entry.
    Index(Option<u64>),
    NotNow(String),
}

/// The leader leases an attempt to the asked member. What the attempt needs beside is in the state under the inquiry's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepOrder {
    pub(crate) inquiry: String,
    pub(crate) step: u64,
    pub(crate) round: u32,
    /// With the attempt, the token of the lease.
    pub(crate) term: u64,
    pub(crate) attempt: u32,
    /// Digest of the state that the instrument kept.
    pub(crate) state: Option<String>,
    /// The span that the attempt belongs to, as a `traceparent` of the W3C.
    pub(crate) trace: Option<String>,
    /// The log up to here holds all that the attempt is about.
    pub(crate) applied: Option<u64>,
}

/// How many attempts a member takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OfferReply {
    /// So many at once, of which so many places are taken by others than the one who asks.
    Offer {
        places: u32,
        busy: u32,
    },
    NotNow(String),
}

/// A message behind its head, and what follows it.
pub(crate) fn encode(
    head: &Head,
    message: &impl Serialize,
    payload: &[u8],
) -> Result<Bytes, postcard::Error> {
    let bytes = postcard::to_extend(head, Vec::new())?;
    let mut bytes = postcard::to_extend(message, bytes)?;
    bytes.extend_from_slice(payload);
    Ok(bytes.into())
}

/// The head, and the rest.
pub(crate) fn head(bytes: &[u8]) -> Result<(Head, &[u8]), String> {
    postcard::take_from_bytes(bytes).map_err(|error| format!("its head cannot be read: {error}"))
}

/// A message that nothing follows.
pub(crate) fn message<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("{} bytes follow the message", rest.len())),
        Err(error) => Err(format!("the message cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece() -> (Head, SnapshotPiece) {
        let head = Head { cluster: Some(Uuid::from_u128(7)), from: 1, to: u64::MAX };
        (head, SnapshotPiece { vote: Vote::new(3, 4), meta: SnapshotMeta::default(), offset: 9, done: true })
    }

    #[test]
    fn what_is_sent_is_what_arrives() {
        let (sent, piece) = piece();
        let bytes = encode(&sent, &piece, b"data").unwrap();
        let (head, rest) = head(&bytes).unwrap();
        let (arrived, data): (SnapshotPiece, _) = postcard::take_from_bytes(rest).unwrap();
        assert_eq!((head, arrived, data), (sent, piece, b"data".as_slice()));
        assert!(message::<SnapshotPiece>(rest).unwrap_err().contains("4 bytes follow"));
    }

    #[test]
    fn every_path_has_a_bound_and_others_have_none() {
        for path in [HELLO, APPEND, SNAPSHOT, PROPOSE, STEP_RUN, "/blob/get/ab/0", "/blob/put/ab"] {
            assert!(max_body_bytes(path).is_some(), "{path}");
        }
        for path in ["/", "/blob", "/raft/appendix", "/cluster/hello/x"] {
            assert_eq!(max_body_bytes(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_does_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, rest)) = head(&bytes) {
                let _ = message::<Hello>(rest);
                let _ = message::<HelloReply>(rest);
                let _ = message::<Join>(rest);
                let _ = message::<ProposeReply>(rest);
                let _ = message::<StepOrder>(rest);
                let _ = postcard::take_from_bytes::<SnapshotPiece>(rest);
                let _ = message::<openraft::raft::AppendEntriesRequest<crate::raft::TypeConfig>>(rest);
            }
        }
    }
}
