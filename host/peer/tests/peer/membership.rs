//! Who is let in with a secret, and who is not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use inquisitor_peer::*;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use uuid::Uuid;

use crate::common::*;

/// A stranger who takes whatever certificate he is shown.
#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS with a member, without its secret.
pub(crate) async fn stranger(address: SocketAddr) -> TlsStream<TcpStream> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"inquisitor-peer".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::from(address.ip()), stream).await.unwrap()
}

fn impostor() -> TlsAcceptor {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["b".to_owned()]).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::from(signing_key))
        .unwrap();
    config.alpn_protocols = vec![b"inquisitor-peer".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn members_that_know_the_secret_know_each_other() {
    let (a, b) = (endpoint("a", SECRET), endpoint("b", SECRET));
    let cluster = Uuid::from_u128(7);
    b.member.join(cluster).unwrap();
    let server = Server::start(&b, ServerOptions::default()).await;
    let channel = channel(&a, "b", server.address);
    assert!(channel.peer().is_none(), "it connects when it is needed");
    assert_eq!(echo(&channel, Class::Consensus).await.unwrap(), "hello");

    let peer = channel.peer().unwrap();
    assert_eq!((peer.name.as_str(), peer.cluster, peer.protocol), ("b", Some(cluster), 2));
    assert_eq!(peer.address, server.address);
    let seen = server.subject.peers.lock().unwrap()[0].clone();
    assert_eq!((seen.name.as_str(), seen.cluster, seen.protocol), ("a", None, 2));
    assert_eq!((seen.node_id, seen.incarnation), (97, Uuid::from_u128(97)));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_without_a_word() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let other = endpoint("a", b"another secret that nobody else knows");
    let error = echo(&channel(&other, "b", server.address), Class::Request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Refused);
    assert!(error.certainly_not_processed());
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("peer b at {}: ", server.address)) && text.contains("secret"),
        "{text}"
    );
    assert_eq!(server.subject.answered.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_stranger_gets_no_byte() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".repeat(20);
    for bytes in [vec![0; 142], vec![1; 4096], http2, b"GET / HTTP/1.1\r\n\r\n".repeat(20)] {
        let mut stream = stranger(server.address).await;
        let (_, connection) = stream.get_ref();
        let certificate = connection.peer_certificates().unwrap()[0].to_vec();
        assert!(!certificate.windows(10).any(|part| part.eq_ignore_ascii_case(b"inquisitor")));
        // The member may have hung up before all is written.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        let mut answer = Vec::new();
        let _ = soon(stream.read_to_end(&mut answer)).await;
        assert_eq!(answer, b"");
    }
    assert_eq!(server.subject.answered.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn who_sits_between_cannot_relay_the_proof() {
    let (a, b) = (endpoint("a", SECRET), endpoint("b", SECRET));
    let server = Server::start(&b, ServerOptions::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap();
    let target = server.address;
    let relay = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut near = impostor().accept(stream).await.unwrap();
        let mut far = stranger(target).await;
        let mut hello = [0; 142];
        near.read_exact(&mut hello).await.unwrap();
        far.write_all(&hello).await.unwrap();
        far.flush().await.unwrap();
        let mut answer = Vec::new();
        let _ = far.read_to_end(&mut answer).await;
        answer
    });
    let error = echo(&channel(&a, "b", between), Class::Request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Refused);
    assert_eq!(soon(relay).await.unwrap(), b"", "the member saw that the proof is of another session");
    assert_eq!(server.subject.answered.load(Ordering::Relaxed), 0);

    // The control: who passes TLS on untouched is a network.
    let network = Network::to(server.address).await;
    echo(&channel(&a, "b", network.address), Class::Request).await.unwrap();
}

#[tokio::test]
async fn an_impostor_without_the_secret_is_found_out() {
    let a = endpoint("a", SECRET);
    for reflect in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = impostor().accept(stream).await.unwrap();
            let mut hello = [0; 142];
            stream.read_exact(&mut hello).await.unwrap();
            // Either the member's own words back, or anything of the right length.
            let answer = if reflect { [&[0], &hello[..]].concat() } else { vec![0; 143] };
            stream.write_all(&answer).await.unwrap();
            stream.flush().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            rest
        });
        let error = echo(&channel(&a, "b", address), Class::Request).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unproven);
        assert_eq!(soon(task).await.unwrap(), b"", "no request was sent to him");
    }
}

#[tokio::test]
async fn members_of_another_version_cluster_or_name_are_told_so() {
    let (a, b) = (endpoint("a", SECRET), endpoint("b", SECRET));
    b.member.join(Uuid::from_u128(1)).unwrap();
    let server = Server::start(&b, ServerOptions::default()).await;

    let newer = LocalMember::new(name("a"), 1, Uuid::nil(), Protocol::new(3, 4));
    let newer = Endpoint { member: Arc::new(newer), credentials: a.credentials.clone() };
    let error = echo(&channel(&newer, "b", server.address), Class::Request).await.unwrap_err();
    let (ours, theirs) = (Protocol::new(3, 4), Protocol::new(1, 2));
    assert_eq!(error.kind(), &ErrorKind::Version { ours, theirs });
    assert!(error.to_string().contains("speaks protocol 1 to 2, this member speaks 3 to 4"), "{error}");
    assert!(error.needs_an_operator());

    let error = echo(&channel(&a, "c", server.address), Class::Request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::OtherMember { expected: name("c"), found: name("b") });

    a.member.join(Uuid::from_u128(2)).unwrap();
    let error = echo(&channel(&a, "b", server.address), Class::Request).await.unwrap_err();
    let (ours, theirs) = (Uuid::from_u128(2), Uuid::from_u128(1));
    assert_eq!(error.kind(), &ErrorKind::OtherCluster { ours, theirs });
    assert_eq!(server.subject.answered.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn connections_of_members_are_counted() {
    let options = ServerOptions { max_connections: 2, ..ServerOptions::default() };
    let server = Server::start(&endpoint("b", SECRET), options).await;
    let peers = Peers::new(&endpoint("a", SECRET), client());
    let channel = peers.channel(&server.address.into(), None);
    echo(&channel, Class::Consensus).await.unwrap();
    echo(&channel, Class::Request).await.unwrap();
    let error = echo(&channel, Class::Bulk).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TooManyConnections);
    echo(&channel, Class::Consensus).await.unwrap();
}
