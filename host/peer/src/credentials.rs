//! How members prove themselves: a shared secret, or certificate files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use sha2::Sha256;

use crate::certificates::{Files, digest, mutual};
use crate::error::{ErrorKind, PeerError};
use crate::tls::{Tls, anybody};

/// Shortest secret, in bytes. Whoever can pose as a member's address sees one keyed hash and may try secrets against it on
/// a computer of his own, so a secret must be drawn at random and not be a word; 16 bytes are the least that can be.
pub const MIN_SECRET_BYTES: usize = 16;

/// Files are looked at again for a new connection when this much time has passed: long enough to cost nothing, far
/// shorter than anybody waits after replacing a certificate.
const RECHECK: Duration = Duration::from_secs(1);

/// The files of mutual TLS, all in PEM. The certificate must allow both server and client authentication, and its SANs
/// must hold the member's name as a DNS name, or the host under which others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificatePaths {
    /// The authorities that sign members' certificates.
    pub ca: PathBuf,
    /// This member's certificate, followed by intermediate ones.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What this member proves itself with. Cheap to clone; never shows a secret.
#[derive(Clone)]
pub struct Credentials(Arc<Kind>);

enum Kind {
    Secret(Arc<Tls>),
    Files(CertificatePaths, Mutex<Loaded>),
}

struct Loaded {
    tls: Arc<Tls>,
    /// Digest of the files that were last looked at, whether they could be used or not.
    seen: [u8; 32],
    checked: Instant,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_ref() {
            Kind::Secret(_) => formatter.write_str("Secret"),
            Kind::Files(paths, _) => paths.fmt(formatter),
        }
    }
}

impl Credentials {
    /// Members that know the same secret trust each other. The secret itself is not kept and never sent.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when it is shorter than [`MIN_SECRET_BYTES`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, PeerError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(refused(format!(
                "the cluster's secret has {} bytes, it needs {MIN_SECRET_BYTES}; draw one at random, \
                 as with `openssl rand -hex 32`",
                secret.len()
            )));
        }
        let unusable = |error: &dyn std::fmt::Display| refused(format!("no certificate of its own: {error}"));
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| unusable(&error))?;
        mac.update(b"inquisitor peer: key of the handshake, version 1");
        // A certificate that says nothing: strangers see it.
        let key = KeyPair::generate().map_err(|error| unusable(&error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let certificate = params.self_signed(&key).map_err(|error| unusable(&error))?;
        let tls = anybody(certificate.der().clone(), key.into(), mac.finalize().into_bytes().into())?;
        Ok(Self(Arc::new(Kind::Secret(Arc::new(tls)))))
    }

    /// Members whose certificates one authority signed trust each other. The files are read again when they change.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when a file cannot be read or used.
    pub async fn from_files(paths: CertificatePaths) -> Result<Self, PeerError> {
        let files = read(&paths).await?;
        let loaded =
            Loaded { tls: Arc::new(mutual(&paths, &files)?), seen: digest(&files), checked: Instant::now() };
        Ok(Self(Arc::new(Kind::Files(paths, Mutex::new(loaded)))))
    }

    /// Reads the certificate files now; says whether new ones are in use. What cannot be used leaves the old ones in use.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`] when a file cannot be read or used.
    pub async fn reload(&self) -> Result<bool, PeerError> {
        let Kind::Files(paths, loaded) = self.0.as_ref() else { return Ok(false) };
        let files = read(paths).await?;
        let seen = digest(&files);
        if lock(loaded).seen == seen {
            return Ok(false);
        }
        let tls = mutual(paths, &files);
        let mut loaded = lock(loaded);
        loaded.seen = seen;
        loaded.tls = Arc::new(tls?);
        tracing::info!(certificate = %paths.certificate.display(), "new certificate files are in use");
        Ok(true)
    }

    /// What a new connection uses.
    pub(crate) async fn current(&self) -> Arc<Tls> {
        let loaded = match self.0.as_ref() {
            Kind::Secret(tls) => return Arc::clone(tls),
            Kind::Files(_, loaded) => loaded,
        };
        let due = {
            let mut loaded = lock(loaded);
            let due = loaded.checked.elapsed() >= RECHECK;
            if due {
                loaded.checked = Instant::now();
            }
            due
        };
        if due && let Err(error) = self.reload().await {
            tracing::warn!(%error, "the changed certificate files cannot be used, the old ones stay in use");
        }
        Arc::clone(&lock(loaded).tls)
    }
}

async fn read(paths: &CertificatePaths) -> Result<Files, PeerError> {
    let paths = paths.clone();
    let read = tokio::task::spawn_blocking(move || Files::read(&paths)).await;
    read.unwrap_or_else(|error| {
        Err(refused(format!("reading the certificate files was broken off: {error}")))
    })
}

fn lock(loaded: &Mutex<Loaded>) -> std::sync::MutexGuard<'_, Loaded> {
    loaded.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn refused(what: String) -> PeerError {
    PeerError::new(ErrorKind::Credentials(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused_without_showing_it() {
        let error = Credentials::from_secret(b"hunter2").unwrap_err().to_string();
        assert!(error.contains("7 bytes") && error.contains("16") && !error.contains("hunter2"), "{error}");
        let shown = format!("{:?}", Credentials::from_secret(b"correct horse battery").unwrap());
        assert_eq!(shown, "Secret");
    }
}
