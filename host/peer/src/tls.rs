//! TLS 1.3, each connection on its own: no resumption, no early data, no name of a server in the clear.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::credentials::refused;
use crate::error::PeerError;

/// Keeps connections of members from being mistaken for those of another protocol whose certificates come from the same
/// authority.
const ALPN: &[u8] = b"inquisitor-peer";

/// Both roles of TLS, and the key that the handshake after it is proved with.
pub(crate) struct Tls {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) key: Option<[u8; 32]>,
}

impl Tls {
    /// From who may call and who may answer, this member's certificates as a client and as a server, and the secret's key.
    pub(crate) fn new(
        clients: Arc<dyn ClientCertVerifier>,
        servers: Arc<dyn ServerCertVerifier>,
        as_client: Option<Vec<CertificateDer<'static>>>,
        as_server: Vec<CertificateDer<'static>>,
        private: PrivateKeyDer<'static>,
        key: Option<[u8; 32]>,
    ) -> Result<Self, rustls::Error> {
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(servers);
        let mut client = match as_client {
            Some(chain) => client.with_client_auth_cert(chain, private.clone_key())?,
            None => client.with_no_client_auth(),
        };
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        client.alpn_protocols = vec![ALPN.to_vec()];
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(clients)
            .with_single_cert(as_server, private)?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { client: Arc::new(client), server: Arc::new(server), key })
    }
}

/// TLS that anybody may speak; what follows it is proved with `key`.
pub(crate) fn anybody(
    certificate: CertificateDer<'static>,
    private: PrivateKeyDer<'static>,
    key: [u8; 32],
) -> Result<Tls, PeerError> {
    let servers = Arc::new(Anybody(provider().signature_verification_algorithms));
    Tls::new(Arc::new(NoClientAuth), servers, None, vec![certificate], private, Some(key))
        .map_err(|error| refused(format!("no TLS: {error}")))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Only TLS 1.3 is offered, so this is never asked for.
pub(crate) fn refuse_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General("members speak TLS 1.3 only".into()))
}

/// Accepts any certificate whose owner has its key: who the owner is, is proved after TLS and bound to this connection.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
