//! The one error of this crate: which peer, where, what, and whether the request may be sent again.

use std::time::Duration;

use uuid::Uuid;

use crate::identity::{MemberName, Protocol};

/// What went wrong between this member and another.
///
/// Cheap to clone: several requests may wait for the connection that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PeerError {
    /// Whom it concerns, as `peer b at b.example:4321`; empty where no peer is concerned.
    target: Box<str>,
    kind: Box<ErrorKind>,
}

impl std::fmt::Display for PeerError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.target.as_ref() {
            "" => write!(formatter, "{}", self.kind),
            target => write!(formatter, "{target}: {}", self.kind),
        }
    }
}

/// Kinds of failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The secret or the certificate files cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// A name, address, path or message is not well formed.
    #[error("{0}")]
    Invalid(String),
    /// The host's name has no address.
    #[error("its name does not resolve: {0}")]
    Unresolved(String),
    /// Nobody answers there.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Connecting took too long.
    #[error("no connection within {after:?}: it got no further than {stage}")]
    ConnectTimeout {
        /// The time that it had.
        after: Duration,
        /// What was being done.
        stage: &'static str,
    },
    /// The TLS handshake failed: no TLS there, or a certificate that does not hold.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The other side closed the connection without a word, as it does to strangers.
    #[error(
        "it closed the connection without an answer: it does not accept this member's secret or certificate, \
         is overloaded by others, or is no member of a cluster"
    )]
    Refused,
    /// The other side does not know the secret, or somebody sits between.
    #[error(
        "it could not prove that it knows the cluster's secret on this very connection; somebody may be intercepting it"
    )]
    Unproven,
    /// The certificate does not belong to the member that presents it.
    #[error(
        "its certificate is not valid for the name `{name}`; issue one with that DNS name among its SANs"
    )]
    CertificateName {
        /// The member's name as it was claimed.
        name: MemberName,
    },
    /// The other side found this member's certificate not valid for this member's name.
    #[error(
        "it found that this member's certificate is not valid for its name `{name}`; issue one with that DNS name among its SANs"
    )]
    OwnCertificateName {
        /// This member's name.
        name: MemberName,
    },
    /// No version of the protocol is spoken by both.
    #[error("it speaks protocol {theirs}, this member speaks {ours}; upgrade the older one")]
    Version {
        /// What this member speaks.
        ours: Protocol,
        /// What the peer speaks.
        theirs: Protocol,
    },
    /// The peer belongs to another cluster.
    #[error(
        "it belongs to another cluster, {theirs}, and this member to {ours}; check its address and its data directory"
    )]
    OtherCluster {
        /// This member's cluster.
        ours: Uuid,
        /// The peer's.
        theirs: Uuid,
    },
    /// Somebody else lives at the address.
    #[error("member `{found}` answers there, not `{expected}`")]
    OtherMember {
        /// Who was asked for.
        expected: MemberName,
        /// Who answered.
        found: MemberName,
    },
    /// The peer serves as many connections as it may.
    #[error("it has too many connections")]
    TooManyConnections,
    /// No answer within the request's deadline.
    #[error("no answer within {after:?}{}", if *.sent { "" } else { "; the request was not sent" })]
    Deadline {
        /// The time that the request had.
        after: Duration,
        /// Whether the peer may have seen the request.
        sent: bool,
    },
    /// The connection or the stream broke.
    #[error("the connection was lost: {reason}")]
    Lost {
        /// How.
        reason: String,
        /// Whether the peer may have seen the request.
        processed: bool,
    },
    /// A body stopped coming.
    #[error("a body stopped coming for {0:?}")]
    Stalled(Duration),
    /// A body is larger than it may be.
    #[error("a body is larger than the {limit} bytes that it may have")]
    TooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// The peer answered that it won't.
    #[error("it refused the request as {refusal}: {message}")]
    Remote {
        /// As what.
        refusal: Refusal,
        /// The peer's words, at most [`crate::MAX_MESSAGE_BYTES`] long.
        message: String,
    },
}

/// Why a peer does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It knows no such path.
    UnknownPath,
    /// The request makes no sense to it.
    Invalid,
    /// The body is larger than this path accepts.
    TooLarge,
    /// Not now; nothing was done.
    Busy,
    /// It tried and failed; something may have been done.
    Failed,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::UnknownPath => "unknown path",
            Self::Invalid => "invalid",
            Self::TooLarge => "too large",
            Self::Busy => "busy",
            Self::Failed => "failed",
        })
    }
}

impl PeerError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { target: "".into(), kind: Box::new(kind) }
    }

    pub(crate) fn at(target: &str, kind: ErrorKind) -> Self {
        Self { target: target.into(), kind: Box::new(kind) }
    }

    /// Names the peer, unless that was done before.
    pub(crate) fn about(mut self, target: &str) -> Self {
        if self.target.is_empty() {
            self.target = target.into();
        }
        self
    }

    /// What it was.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whether the peer certainly did not act on the request, so that sending it again cannot do a thing twice.
    ///
    /// False means that nobody knows, not that it was done.
    pub fn certainly_not_processed(&self) -> bool {
        match self.kind() {
            ErrorKind::Credentials(_)
            | ErrorKind::Invalid(_)
            | ErrorKind::Unresolved(_)
            | ErrorKind::Unreachable(_)
            | ErrorKind::ConnectTimeout { .. }
            | ErrorKind::Tls(_)
            | ErrorKind::Refused
            | ErrorKind::Unproven
            | ErrorKind::CertificateName { .. }
            | ErrorKind::OwnCertificateName { .. }
            | ErrorKind::Version { .. }
            | ErrorKind::OtherCluster { .. }
            | ErrorKind::OtherMember { .. }
            | ErrorKind::TooManyConnections => true,
            ErrorKind::Deadline { sent, .. } => !sent,
            ErrorKind::Lost { processed, .. } => !processed,
            ErrorKind::Remote { refusal, .. } => matches!(refusal, Refusal::UnknownPath | Refusal::Busy),
            ErrorKind::Stalled(_) | ErrorKind::TooLarge { .. } => false,
        }
    }

    /// Whether the two members cannot talk until somebody changes a secret, a certificate, a name or a version. Trying
    /// again soon does not help.
    pub fn needs_an_operator(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Credentials(_)
                | ErrorKind::Invalid(_)
                | ErrorKind::Unproven
                | ErrorKind::CertificateName { .. }
                | ErrorKind::OwnCertificateName { .. }
                | ErrorKind::Version { .. }
                | ErrorKind::OtherCluster { .. }
                | ErrorKind::OtherMember { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_peer_once_and_say_whether_it_may_have_acted() {
        let late = |sent| {
            PeerError::at("peer b at b:1", ErrorKind::Deadline { after: Duration::from_secs(1), sent })
        };
        assert_eq!(late(false).to_string(), "peer b at b:1: no answer within 1s; the request was not sent");
        assert_eq!(late(true).about("peer c").to_string(), "peer b at b:1: no answer within 1s");
        assert!(late(false).certainly_not_processed());
        assert!(!late(true).certainly_not_processed());
        let failed = ErrorKind::Remote { refusal: Refusal::Failed, message: "disk full".into() };
        assert!(!PeerError::new(failed).certainly_not_processed());
    }
}
