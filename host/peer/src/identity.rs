//! Who the members are, and how that is written in the handshake.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::OnceLock;

use uuid::Uuid;

use crate::error::{ErrorKind, PeerError};

/// Longest name of a member, in bytes: that of a DNS label.
pub const MAX_NAME_BYTES: usize = 63;

/// A member's name: 1 to 63 ASCII letters, digits, `-`, `_` or `.`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberName(Box<str>);

impl MemberName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MemberName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for MemberName {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let name = text.to_ascii_lowercase();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(allowed) {
            return Err(PeerError::new(ErrorKind::Invalid(format!(
                "`{}` is no name of a member: it takes 1 to {MAX_NAME_BYTES} letters, digits, `-`, `_` or `.`",
                text.chars().take(80).collect::<String>().escape_debug()
            ))));
        }
        Ok(Self(name.into()))
    }
}

/// The versions of a protocol that a member speaks, oldest and newest, both included. Two members speak the newest that
/// both know, so that a cluster can be upgraded member by member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    oldest: u16,
    newest: u16,
}

impl Protocol {
    /// From the oldest to the newest version; given in either order.
    pub fn new(oldest: u16, newest: u16) -> Self {
        Self { oldest: oldest.min(newest), newest: newest.max(oldest) }
    }

    pub(crate) fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.oldest == self.newest {
            true => write!(formatter, "{}", self.newest),
            false => write!(formatter, "{} to {}", self.oldest, self.newest),
        }
    }
}

/// This member, as it introduces itself to others.
#[derive(Debug)]
pub struct LocalMember {
    name: MemberName,
    node_id: u64,
    incarnation: Uuid,
    protocol: Protocol,
    cluster: OnceLock<Uuid>,
}

impl LocalMember {
    /// A member that belongs to no cluster yet. `incarnation` stands for the disk, `node_id` for the member in Raft.
    pub fn new(name: MemberName, node_id: u64, incarnation: Uuid, protocol: Protocol) -> Self {
        Self { name, node_id, incarnation, protocol, cluster: OnceLock::new() }
    }

    /// From now on only members of this cluster, and those of none yet, are talked to on new connections.
    ///
    /// # Errors
    /// [`ErrorKind::OtherCluster`] when the member belongs to another one already.
    pub fn join(&self, cluster: Uuid) -> Result<(), PeerError> {
        let ours = *self.cluster.get_or_init(|| cluster);
        match ours == cluster {
            true => Ok(()),
            false => Err(PeerError::new(ErrorKind::OtherCluster { ours, theirs: cluster })),
        }
    }

    /// The cluster that it has joined, if any.
    pub fn cluster(&self) -> Option<Uuid> {
        self.cluster.get().copied()
    }

    /// The member's name.
    pub fn name(&self) -> &MemberName {
        &self.name
    }

    /// What is told of it now.
    pub(crate) fn introduction(&self) -> Introduction {
        Introduction {
            name: self.name.clone(),
            node_id: self.node_id,
            incarnation: self.incarnation,
            cluster: self.cluster.get().copied(),
            protocol: self.protocol,
        }
    }
}

/// A peer that has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its name. With certificates proved; with a secret claimed by somebody who knows the secret.
    pub name: MemberName,
    /// Its id in Raft.
    pub node_id: u64,
    /// Its disk.
    pub incarnation: Uuid,
    /// Its cluster; none while it has not joined one.
    pub cluster: Option<Uuid>,
    /// The newest version of the protocol that both members speak.
    pub protocol: u16,
    /// Where this connection comes from or leads to.
    pub address: SocketAddr,
}

/// What one member says about itself in the handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introduction {
    pub(crate) name: MemberName,
    pub(crate) node_id: u64,
    pub(crate) incarnation: Uuid,
    pub(crate) cluster: Option<Uuid>,
    pub(crate) protocol: Protocol,
}

/// Format of an introduction.
const FORMAT: u8 = 1;
/// format 1, cluster known 1, oldest 2, newest 2, node 8, incarnation 16, cluster 16, name's length 1, name 63; numbers
/// in network order, the name padded with zeros.
pub(crate) const INTRODUCTION_BYTES: usize = 47 + MAX_NAME_BYTES;

impl Introduction {
    pub(crate) fn to_bytes(&self) -> [u8; INTRODUCTION_BYTES] {
        let mut bytes = [0; INTRODUCTION_BYTES];
        let name = self.name.0.as_bytes();
        let fields: [&[u8]; 9] = [
            &[FORMAT],
            &[u8::from(self.cluster.is_some())],
            &self.protocol.oldest.to_be_bytes(),
            &self.protocol.newest.to_be_bytes(),
            &self.node_id.to_be_bytes(),
            self.incarnation.as_bytes(),
            &self.cluster.unwrap_or_default().into_bytes(),
            &[name.len() as u8],
            name,
        ];
        for (place, byte) in bytes.iter_mut().zip(fields.concat()) {
            *place = byte;
        }
        bytes
    }

    /// Reads what [`Introduction::to_bytes`] wrote; none when it is anything else.
    pub(crate) fn from_bytes(bytes: &[u8; INTRODUCTION_BYTES]) -> Option<Self> {
        let (_format, rest) = bytes.split_first()?;
        let (&has_cluster, rest) = rest.split_first()?;
        let (oldest, rest) = rest.split_first_chunk()?;
        let (newest, rest) = rest.split_first_chunk()?;
        let (node_id, rest) = rest.split_first_chunk()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (cluster, rest) = rest.split_first_chunk()?;
        let (&length, name) = rest.split_first()?;
        let name = name.get(..usize::from(length))?;
        let read = Self {
            name: std::str::from_utf8(name).ok()?.parse().ok()?,
            node_id: u64::from_be_bytes(*node_id),
            incarnation: Uuid::from_bytes(*incarnation),
            cluster: (has_cluster == 1).then(|| Uuid::from_bytes(*cluster)),
            protocol: Protocol { oldest: u16::from_be_bytes(*oldest), newest: u16::from_be_bytes(*newest) },
        };
        // Each introduction has one form.
        let sound = read.protocol.oldest <= read.protocol.newest && read.to_bytes() == *bytes;
        sound.then_some(read)
    }

    pub(crate) fn into_identity(self, protocol: u16, address: SocketAddr) -> PeerIdentity {
        let Self { name, node_id, incarnation, cluster, .. } = self;
        PeerIdentity { name, node_id, incarnation, cluster, protocol, address }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_speak_the_newest_version_that_both_know() {
        assert_eq!(Protocol::new(1, 3).common(Protocol::new(2, 5)), Some(3));
        assert_eq!(Protocol::new(2, 5).common(Protocol::new(1, 3)), Some(3));
        assert_eq!(Protocol::new(1, 1).common(Protocol::new(2, 2)), None);
    }

    #[test]
    fn a_member_belongs_to_one_cluster() {
        let member = LocalMember::new("a".parse().unwrap(), 1, Uuid::nil(), Protocol::new(1, 1));
        member.join(Uuid::from_u128(1)).unwrap();
        member.join(Uuid::from_u128(1)).unwrap();
        let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(member.join(theirs).unwrap_err().kind(), &ErrorKind::OtherCluster { ours, theirs });
    }

    proptest! {
        #[test]
        fn an_introduction_is_read_as_it_was_written(
            name in "[a-z0-9._-]{1,63}", node_id: u64, incarnation: u128, cluster: Option<u128>, a: u16, b: u16,
        ) {
            let written = Introduction {
                name: name.parse().unwrap(),
                node_id,
                incarnation: Uuid::from_u128(incarnation),
                cluster: cluster.map(Uuid::from_u128),
                protocol: Protocol::new(a, b),
            };
            prop_assert_eq!(Introduction::from_bytes(&written.to_bytes()), Some(written));
        }

        #[test]
        fn whatever_is_read_is_written_the_same(
            mut bytes in prop::array::uniform32(any::<u8>()), length in 0_u8..80, letter: u8,
        ) {
            bytes[0] = 1;
            bytes[1] %= 3;
            let mut block = [0; INTRODUCTION_BYTES];
            block[..32].copy_from_slice(&bytes);
            block[46] = length;
            block[47..].iter_mut().take(usize::from(length)).for_each(|place| *place = letter);
            if let Some(read) = Introduction::from_bytes(&block) {
                prop_assert_eq!(read.to_bytes(), block);
            }
        }
    }
}
