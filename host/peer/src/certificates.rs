//! Mutual TLS from certificate files: reading them, and checking whose certificate it is.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::credentials::{CertificatePaths, refused};
use crate::error::PeerError;
use crate::identity::MemberName;
use crate::tls::{Tls, provider, refuse_tls12};

/// Largest certificate file, in bytes. A chain takes some KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The files' bytes as they were read together.
pub(crate) struct Files {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    pub(crate) fn read(paths: &CertificatePaths) -> Result<Self, PeerError> {
        Ok(Self { ca: read(&paths.ca)?, certificate: read(&paths.certificate)?, key: read(&paths.key)? })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PeerError> {
    let cannot = |error: &dyn std::fmt::Display| refused(format!("cannot read {}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| cannot(&error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    match bytes.len() as u64 <= MAX_FILE_BYTES {
        true => Ok(bytes),
        false => Err(cannot(&format_args!("it has more than {MAX_FILE_BYTES} bytes"))),
    }
}

/// Tells whether files are the same as others.
pub(crate) fn digest(files: &Files) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&files.ca, &files.certificate, &files.key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// TLS in which both sides show a certificate of the authority.
pub(crate) fn mutual(paths: &CertificatePaths, files: &Files) -> Result<Tls, PeerError> {
    let unusable = |path: &Path, error: &dyn std::fmt::Display| {
        refused(format!("cannot use {}: {error}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&paths.ca, &files.ca)? {
        roots.add(certificate).map_err(|error| unusable(&paths.ca, &error))?;
    }
    let roots = Arc::new(roots);
    let chain = certificates(&paths.certificate, &files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key)
        .map_err(|error| unusable(&paths.key, &format_args!("it holds no private key in PEM: {error}")))?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .build()
        .map_err(|error| unusable(&paths.ca, &error))?;
    let servers =
        Arc::new(SignedByAuthority { roots, algorithms: provider().signature_verification_algorithms });
    Tls::new(clients, servers, Some(chain.clone()), chain, key, None).map_err(|error| {
        unusable(&paths.certificate, &format_args!("{error} (key: {})", paths.key.display()))
    })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PeerError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(refused(format!("cannot use {}: it holds no certificate in PEM", path.display())))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(refused(format!("cannot use {}: {error}", path.display()))),
    }
}

/// Whether a certificate proves that its owner is the member `name`: it is valid for that name, or for the `host` that was
/// asked for where `name` is the member known to live there.
pub(crate) fn proves(certificate: &CertificateDer<'_>, name: &MemberName, host: Option<&str>) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return false };
    [Some(name.as_str()), host]
        .into_iter()
        .flatten()
        .any(|name| ServerName::try_from(name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok()))
}

/// Checks the chain only: whose certificate it must be is known after the introduction, see [`proves`].
#[derive(Debug)]
struct SignedByAuthority {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for SignedByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
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
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
