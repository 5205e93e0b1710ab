//! The proof that follows TLS and comes before the first byte of HTTP/2.
//!
//! Three messages of fixed size, each with a tag, HMAC-SHA256 over the message's role, the TLS session's exporter
//! (RFC 9266) and all that was said so far:
//! ```text
//! client → server   introduction of the client, tag                  nobody answers unless the tag is right
//! server → client   verdict, introduction of the server, tag
//! client → server   tag                                              HTTP/2 follows at once
//! ```
//! The key comes from the cluster's secret. Whoever sits between two members has two TLS sessions with two exporters and can
//! make no tag for either. With certificates TLS has proved who is there, the key is all zeros, and the tags merely confirm
//! that both heard the same.

use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use rustls_pki_types::CertificateDer;
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{client, server};

use crate::certificates::proves;
use crate::error::{ErrorKind, PeerError};
use crate::identity::{INTRODUCTION_BYTES, Introduction, MemberName, PeerIdentity};
use crate::tls::Tls;

const TAG_BYTES: usize = 32;

/// What the server makes of a client that has proved itself. On the wire the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Welcome = 0,
    Version = 1,
    OtherCluster = 2,
    CertificateName = 3,
    TooManyConnections = 4,
}

impl Verdict {
    fn read(byte: u8) -> Option<Self> {
        [Self::Welcome, Self::Version, Self::OtherCluster, Self::CertificateName, Self::TooManyConnections]
            .into_iter()
            .find(|verdict| *verdict as u8 == byte)
    }
}

/// Whom a client asked for.
pub(crate) struct Asked<'a> {
    pub(crate) host: &'a str,
    pub(crate) member: Option<&'a MemberName>,
}

/// One TLS session, and what was said in it.
struct Session {
    key: [u8; 64],
    exporter: [u8; 32],
    said: Vec<u8>,
}

impl Session {
    fn new(
        tls: &Tls,
        export: impl FnOnce([u8; 32]) -> Result<[u8; 32], rustls::Error>,
    ) -> Result<Self, PeerError> {
        let exporter = export([0; 32]).map_err(|error| PeerError::new(ErrorKind::Tls(error.to_string())))?;
        let mut key = [0; 64];
        key[..32].copy_from_slice(&tls.key.unwrap_or_default());
        Ok(Self { key, exporter, said: Vec::new() })
    }

    /// The tag of a message that ends with `part`.
    fn tag(&mut self, role: &[u8; 6], part: &[u8]) -> Hmac<Sha256> {
        self.said.extend_from_slice(part);
        let mut mac = Hmac::<Sha256>::new((&self.key).into());
        mac.update(role);
        mac.update(&self.exporter);
        mac.update(&self.said);
        mac
    }
}

const HELLO: &[u8; 6] = b"hello ";
const ANSWER: &[u8; 6] = b"answer";
const ACCEPT: &[u8; 6] = b"accept";
/// RFC 9266: what binds other protocols to a TLS 1.3 session.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Proves this member to the server and the server to it.
pub(crate) async fn as_client<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut client::TlsStream<S>,
    tls: &Tls,
    ours: &Introduction,
    asked: &Asked<'_>,
    address: SocketAddr,
) -> Result<PeerIdentity, PeerError> {
    let (_, connection) = stream.get_ref();
    let mut session = Session::new(tls, |out| connection.export_keying_material(out, EXPORTER_LABEL, None))?;
    let certificate = leaf(connection.peer_certificates());

    let introduction = ours.to_bytes();
    let mut hello = introduction.to_vec();
    hello.extend_from_slice(&session.tag(HELLO, &introduction).finalize().into_bytes());
    stream.write_all(&hello).await.map_err(|error| closed(&error))?;
    stream.flush().await.map_err(|error| closed(&error))?;

    let mut answer = [0; 1 + INTRODUCTION_BYTES];
    let mut tag = [0; TAG_BYTES];
    stream.read_exact(&mut answer).await.map_err(|error| closed(&error))?;
    stream.read_exact(&mut tag).await.map_err(|error| closed(&error))?;
    session.tag(ANSWER, &answer).verify_slice(&tag).map_err(|_| PeerError::new(ErrorKind::Unproven))?;

    let (&verdict, introduction) = answer.split_first().ok_or_else(malformed)?;
    let verdict = Verdict::read(verdict).ok_or_else(malformed)?;
    let introduction = introduction.first_chunk().ok_or_else(malformed)?;
    let theirs = Introduction::from_bytes(introduction).ok_or_else(malformed)?;
    if let Some(expected) = asked.member.filter(|name| **name != theirs.name) {
        let (expected, found) = (expected.clone(), theirs.name);
        return Err(PeerError::new(ErrorKind::OtherMember { expected, found }));
    }
    let host =
        (asked.member.is_some() || first_label(asked.host) == theirs.name.as_str()).then_some(asked.host);
    let protocol = agree(ours, &theirs, tls.key.is_none().then_some(certificate.as_ref()), host)?;
    match verdict {
        Verdict::Welcome => {}
        Verdict::Version => return Err(version(ours, &theirs)),
        Verdict::OtherCluster => return Err(other_cluster(ours, &theirs)),
        Verdict::CertificateName => {
            return Err(PeerError::new(ErrorKind::OwnCertificateName { name: ours.name.clone() }));
        }
        Verdict::TooManyConnections => return Err(PeerError::new(ErrorKind::TooManyConnections)),
    }
    // Not flushed by itself: it travels with the first bytes of HTTP/2.
    stream
        .write_all(&session.tag(ACCEPT, &[]).finalize().into_bytes())
        .await
        .map_err(|error| closed(&error))?;
    Ok(theirs.into_identity(protocol, address))
}

/// Lets the client prove itself, and only then this member to the client. `admit` takes a place among the connections.
pub(crate) async fn as_server<S: AsyncRead + AsyncWrite + Unpin, P>(
    stream: &mut server::TlsStream<S>,
    tls: &Tls,
    ours: &Introduction,
    address: SocketAddr,
    admit: impl FnOnce() -> Option<P>,
) -> Result<(PeerIdentity, P), PeerError> {
    let (_, connection) = stream.get_ref();
    let mut session = Session::new(tls, |out| connection.export_keying_material(out, EXPORTER_LABEL, None))?;
    let certificate = leaf(connection.peer_certificates());

    let mut introduction = [0; INTRODUCTION_BYTES];
    let mut tag = [0; TAG_BYTES];
    stream.read_exact(&mut introduction).await.map_err(|error| closed(&error))?;
    stream.read_exact(&mut tag).await.map_err(|error| closed(&error))?;
    session.tag(HELLO, &introduction).verify_slice(&tag).map_err(|_| PeerError::new(ErrorKind::Unproven))?;

    let theirs = Introduction::from_bytes(&introduction).ok_or_else(malformed)?;
    let agreed =
        agree(ours, &theirs, tls.key.is_none().then_some(certificate.as_ref()), None).and_then(|protocol| {
            Ok((protocol, admit().ok_or_else(|| PeerError::new(ErrorKind::TooManyConnections))?))
        });
    let verdict = match agreed.as_ref().map_err(PeerError::kind) {
        Ok(_) => Verdict::Welcome,
        Err(ErrorKind::Version { .. }) => Verdict::Version,
        Err(ErrorKind::OtherCluster { .. }) => Verdict::OtherCluster,
        Err(ErrorKind::CertificateName { .. }) => Verdict::CertificateName,
        Err(_) => Verdict::TooManyConnections,
    };
    let mut answer = vec![verdict as u8];
    answer.extend_from_slice(&ours.to_bytes());
    let answer_tag = session.tag(ANSWER, &answer).finalize().into_bytes();
    answer.extend_from_slice(&answer_tag);
    stream.write_all(&answer).await.map_err(|error| closed(&error))?;
    stream.flush().await.map_err(|error| closed(&error))?;
    let (protocol, place) = match agreed {
        Ok(agreed) => agreed,
        Err(error) => {
            // Says goodbye, so that the verdict is not lost with the connection.
            let _ = stream.shutdown().await;
            return Err(error);
        }
    };
    stream.read_exact(&mut tag).await.map_err(|error| closed(&error))?;
    session.tag(ACCEPT, &[]).verify_slice(&tag).map_err(|_| PeerError::new(ErrorKind::Unproven))?;
    Ok((theirs.into_identity(protocol, address), place))
}

/// What both sides check of each other. `certificate` is none where a secret is the proof, and `Some(None)` where one was
/// due and did not come.
fn agree(
    ours: &Introduction,
    theirs: &Introduction,
    certificate: Option<Option<&CertificateDer<'_>>>,
    host: Option<&str>,
) -> Result<u16, PeerError> {
    if let Some(certificate) = certificate
        && !certificate.is_some_and(|certificate| proves(certificate, &theirs.name, host))
    {
        return Err(PeerError::new(ErrorKind::CertificateName { name: theirs.name.clone() }));
    }
    if matches!((ours.cluster, theirs.cluster), (Some(ours), Some(theirs)) if ours != theirs) {
        return Err(other_cluster(ours, theirs));
    }
    ours.protocol.common(theirs.protocol).ok_or_else(|| version(ours, theirs))
}

fn other_cluster(ours: &Introduction, theirs: &Introduction) -> PeerError {
    // One that is not known is nil, which only a peer that contradicts itself can bring about.
    let (ours, theirs) = (ours.cluster.unwrap_or_default(), theirs.cluster.unwrap_or_default());
    PeerError::new(ErrorKind::OtherCluster { ours, theirs })
}

fn version(ours: &Introduction, theirs: &Introduction) -> PeerError {
    PeerError::new(ErrorKind::Version { ours: ours.protocol, theirs: theirs.protocol })
}

fn malformed() -> PeerError {
    PeerError::new(ErrorKind::Invalid(
        "it introduced itself in a form that this version does not know; upgrade the older one".into(),
    ))
}

fn leaf(certificates: Option<&[CertificateDer<'_>]>) -> Option<CertificateDer<'static>> {
    certificates.and_then(|chain| chain.first()).map(|certificate| certificate.clone().into_owned())
}

fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

/// A connection that ends in the handshake was refused, silently or with an alert of TLS.
fn closed(error: &std::io::Error) -> PeerError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    PeerError::new(match tls {
        Some(error) => ErrorKind::Tls(error.to_string()),
        None => ErrorKind::Refused,
    })
}
