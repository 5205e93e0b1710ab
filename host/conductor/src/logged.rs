//! Proposals as they lie in the log, and those among them that must act once.
//!
//! Whoever gets no answer sends the same bytes again, and they may be committed twice. Most commands find, when they are
//! applied again, that they were made before. The others go under the id of a request; the answer is kept with the state
//! ([`crate::apply`]), and the second time it is all that happens.

use bytes::Bytes;
use inquisitor_engine::journal::Command;

use crate::change::Proposal;
use crate::error::ConductorError;

/// Drawn by whoever proposes, so that what is sent twice acts once.
pub(crate) type RequestId = [u8; 16];

/// A proposal as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    /// Where acting twice would show.
    pub(crate) request: Option<RequestId>,
    pub(crate) proposal: Proposal,
}

/// The first byte of a proposal with an id; no proposal begins with it.
const ONCE: u8 = u8::MAX;

/// The bytes in the log of a proposal that acts once.
pub(crate) fn once(request: &RequestId, proposal: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(1 + request.len() + proposal.len());
    bytes.push(ONCE);
    bytes.extend_from_slice(request);
    bytes.extend_from_slice(proposal);
    bytes.into()
}

impl Logged {
    /// Reads the bytes in the log.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ConductorError> {
        let (request, proposal) = match bytes.split_first() {
            Some((&ONCE, rest)) => {
                let (request, rest) = rest
                    .split_first_chunk()
                    .ok_or_else(|| ConductorError::damaged("a command in the log", "its id is cut"))?;
                (Some(*request), rest)
            }
            _ => (None, bytes),
        };
        Ok(Self { request, proposal: Proposal::decode(proposal)? })
    }
}

/// Whether a command shows when it is made twice. The others find that it was made before, by what they made.
pub(crate) fn shows_twice(command: &Command) -> bool {
    !matches!(
        command,
        Command::Submit { .. }
            | Command::Lease { .. }
            | Command::Record { .. }
            | Command::Update { .. }
            | Command::Cancel { .. }
            | Command::Conclude { .. }
            | Command::Abort { .. }
    )
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_proposal_comes_back_with_its_id_or_without() {
        let proposal = Proposal::Found(Uuid::from_u128(5));
        let plain = proposal.encode().unwrap();
        let logged = Logged { request: None, proposal: proposal.clone() };
        assert_eq!(Logged::decode(&plain).unwrap(), logged);
        let bytes = once(&[7; 16], &plain);
        assert_eq!(Logged::decode(&bytes).unwrap(), Logged { request: Some([7; 16]), proposal });
        // These bytes lie in logs.
        assert_eq!(hex::encode(&bytes), format!("ff{}0310{}05", "07".repeat(16), "00".repeat(15)));
    }

    #[test]
    fn what_is_cut_or_nested_is_refused() {
        let plain = Proposal::Found(Uuid::nil()).encode().unwrap();
        let bytes = once(&[7; 16], &plain);
        for length in [0, 1, 16, 17, bytes.len() - 1] {
            assert!(Logged::decode(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Logged::decode(&once(&[8; 16], &bytes)).is_err());
    }
}
