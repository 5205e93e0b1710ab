//! TLS: the certificate, and reading it again when its files change.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsFiles;
use crate::error::ServerError;
use crate::metrics::Metrics;

/// How often the files are looked at. Their contents decide, so that it does not matter how a file is replaced.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Bytes of a certificate chain or a key.
const MAX_FILE: u64 = 1 << 20;

/// Accepts TLS connections with the certificate as it is now.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: TlsFiles,
}

/// The contents of both files, to see that they changed.
#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Read the files.
    ///
    /// # Errors
    /// When one cannot be read, holds no PEM of its kind, or the key is not the certificate's.
    pub(crate) async fn load(files: TlsFiles) -> Result<Self, ServerError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pem = read(&files).await?;
        let certified = certify(&pem, &files, &provider)?;
        let current = Arc::new(Current { certified: RwLock::new(Arc::new(certified)) });
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerError::Tls {
                path: files.certificate.clone(),
                message: error.to_string(),
            })?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current, files })
    }

    pub(super) async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }

    /// Read the files again for as long as this runs. A file that is no good is told once, and the certificate before it stays
    /// in use.
    pub(crate) async fn follow(&self, metrics: &Metrics) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut seen = read(&self.files).await.ok();
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let read = read(&self.files).await;
            if read.as_ref().ok() == seen.as_ref() && told.is_empty() {
                continue;
            }
            match read.and_then(|pem| certify(&pem, &self.files, &provider).map(|certified| (pem, certified)))
            {
                Ok((pem, certified)) => {
                    self.current.replace(certified);
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate was read again");
                    (seen, told) = (Some(pem), String::new());
                }
                Err(error) if error.to_string() == told => {}
                Err(error) => {
                    metrics.tls_reload_failed();
                    told = error.to_string();
                    tracing::error!(
                        error = told,
                        "the changed certificate cannot be used; the one before it stays in use"
                    );
                }
            }
        }
    }
}

#[derive(Debug)]
struct Current {
    certified: RwLock<Arc<CertifiedKey>>,
}

impl Current {
    fn replace(&self, certified: CertifiedKey) {
        *self.certified.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

async fn read(files: &TlsFiles) -> Result<Pem, ServerError> {
    Ok(Pem { certificate: read_file(&files.certificate).await?, key: read_file(&files.key).await? })
}

async fn read_file(path: &Path) -> Result<Vec<u8>, ServerError> {
    let failed = |message: String| ServerError::Tls { path: path.to_owned(), message };
    let size = tokio::fs::metadata(path).await.map_err(|error| failed(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(failed(format!("{size} bytes are more than a certificate or a key has")));
    }
    tokio::fs::read(path).await.map_err(|error| failed(error.to_string()))
}

fn certify(pem: &Pem, files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<CertifiedKey, ServerError> {
    let of_certificate = |message: String| ServerError::Tls { path: files.certificate.clone(), message };
    // Messages about a key never hold any of it.
    let of_key = |message: String| ServerError::Tls { path: files.key.clone(), message };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem.certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| of_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(of_certificate(
            "it holds no certificate (PEM, `-----BEGIN CERTIFICATE-----`)".to_owned(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem.key)
        .map_err(|_| of_key("it holds no private key (PEM, `-----BEGIN PRIVATE KEY-----`)".to_owned()))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| of_key(format!("it does not fit the certificate or is of no known kind: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) -> (TlsFiles, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let files = TlsFiles { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (files, made.cert.der().to_vec())
    }

    fn served(tls: &Tls) -> Vec<u8> {
        tls.current.certified.read().unwrap().cert[0].to_vec()
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_read_again_and_broken_ones_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (files, first) = write(folder.path(), "one.example");
        let tls = Arc::new(Tls::load(files.clone()).await.unwrap());
        assert_eq!(served(&tls), first);
        let metrics = Metrics::new().unwrap();
        let following = tokio::spawn({
            let (tls, metrics) = (tls.clone(), metrics.clone());
            async move { tls.follow(&metrics).await }
        });
        tokio::time::sleep(LOOK_EVERY * 2).await;

        std::fs::write(&files.key, "no key").unwrap();
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert_eq!(served(&tls), first);

        let (_, second) = write(folder.path(), "two.example");
        for _ in 0..1000 {
            tokio::time::sleep(LOOK_EVERY).await;
            if served(&tls) == second {
                break;
            }
        }
        assert_eq!(served(&tls), second);
        following.abort();
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_file_is_told_and_its_contents_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = write(folder.path(), "one.example");
        let message = async |files: &TlsFiles| Tls::load(files.clone()).await.err().unwrap().to_string();

        let swapped = TlsFiles { certificate: files.key.clone(), key: files.certificate.clone() };
        assert!(message(&swapped).await.contains("it holds no certificate"));

        let missing = TlsFiles { certificate: folder.path().join("none"), ..files.clone() };
        assert!(message(&missing).await.contains("none"));

        let other = rcgen::generate_simple_self_signed(["two.example".to_owned()]).unwrap();
        std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
        let text = message(&files).await;
        assert!(text.contains("does not fit") && !text.contains("BEGIN"), "{text}");
    }
}
