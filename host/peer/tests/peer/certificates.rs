//! Who is let in with certificates, and who is not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use inquisitor_peer::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::common::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

struct Files(TempDir);

impl Files {
    /// A certificate of `issuer` for `name`, and `trusted` as the authority.
    fn new(issuer: &Authority, trusted: &Authority, name: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.write(issuer, trusted, name, 2090);
        files
    }

    fn write(&self, issuer: &Authority, trusted: &Authority, name: &str, last_year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let certificate = params.signed_by(&key, issuer).unwrap();
        let paths = self.paths();
        let write = |path: &Path, text: String| std::fs::write(path, text).unwrap();
        write(&paths.ca, trusted.pem());
        write(&paths.certificate, certificate.pem());
        write(&paths.key, key.serialize_pem());
    }

    fn paths(&self) -> CertificatePaths {
        let [ca, certificate, key] = ["ca.pem", "tls.crt", "tls.key"].map(|name| self.0.path().join(name));
        CertificatePaths { ca, certificate, key }
    }

    async fn endpoint(&self, name: &str) -> Endpoint {
        let credentials = Credentials::from_files(self.paths()).await.unwrap();
        Endpoint { member: Arc::new(member(name)), credentials }
    }
}

async fn ask(from: &Endpoint, to: &Endpoint) -> Result<(), PeerError> {
    let server = Server::start(to, ServerOptions::default()).await;
    let result = echo(&channel(from, "b", server.address), Class::Request).await;
    if result.is_err() {
        assert_eq!(server.subject.peers.lock().unwrap().len(), 0, "nothing was asked");
    }
    server.stop().await;
    result.map(|_| ())
}

#[tokio::test]
async fn members_with_certificates_for_their_names_know_each_other() {
    let ca = authority();
    let (a, b) = (Files::new(&ca, &ca, "a"), Files::new(&ca, &ca, "b"));
    ask(&a.endpoint("a").await, &b.endpoint("b").await).await.unwrap();
    // Its certificate is for the host that was asked for, and `b` is known to live there.
    let host = Files::new(&ca, &ca, "127.0.0.1");
    ask(&a.endpoint("a").await, &host.endpoint("b").await).await.unwrap();
}

#[tokio::test]
async fn a_certificate_for_a_host_does_not_prove_a_name_that_nobody_expects_there() {
    let ca = authority();
    let (a, host) = (Files::new(&ca, &ca, "a"), Files::new(&ca, &ca, "127.0.0.1"));
    let server = Server::start(&host.endpoint("b").await, ServerOptions::default()).await;
    let channel = Peers::new(&a.endpoint("a").await, client()).channel(&server.address.into(), None);
    let error = echo(&channel, Class::Request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::CertificateName { name: name("b") });
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused_by_either_side() {
    let (ca, other) = (authority(), authority());
    let good = Files::new(&ca, &ca, "a").endpoint("a").await;
    let alien = Files::new(&other, &ca, "b").endpoint("b").await;
    for (from, to) in [(&good, &alien), (&alien, &good)] {
        let error = ask(from, to).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error}");
        assert!(error.certainly_not_processed());
    }
}

#[tokio::test]
async fn expired_certificates_are_refused_by_either_side() {
    let ca = authority();
    let (a, b) = (Files::new(&ca, &ca, "a"), Files::new(&ca, &ca, "b"));
    b.write(&ca, &ca, "b", 2002);
    let (good, expired) = (a.endpoint("a").await, b.endpoint("b").await);
    for (from, to) in [(&good, &expired), (&expired, &good)] {
        let error = ask(from, to).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Tls(text) if text.to_lowercase().contains("expired")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn nobody_takes_anothers_name() {
    let ca = authority();
    let (a, c) = (Files::new(&ca, &ca, "a"), Files::new(&ca, &ca, "c"));
    let error = ask(&a.endpoint("a").await, &c.endpoint("b").await).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::CertificateName { name: name("b") });
    let b = Files::new(&ca, &ca, "b").endpoint("b").await;
    let error = ask(&c.endpoint("a").await, &b).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::OwnCertificateName { name: name("a") });
}

#[tokio::test]
async fn a_secret_does_not_open_what_certificates_guard_nor_the_other_way_round() {
    let ca = authority();
    let (files, secret) = (Files::new(&ca, &ca, "b").endpoint("b").await, endpoint("b", SECRET));
    for (from, to) in [(&files, &secret), (&secret, &files)] {
        let error = ask(from, to).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Tls(_) | ErrorKind::Refused), "{error}");
    }
}

#[tokio::test]
async fn changed_files_are_used_and_damaged_ones_are_not() {
    let (ca, next) = (authority(), authority());
    let (files_a, files_b) = (Files::new(&ca, &ca, "a"), Files::new(&ca, &ca, "b"));
    let (a, b) = (files_a.endpoint("a").await, files_b.endpoint("b").await);
    ask(&a, &b).await.unwrap();
    assert!(!b.credentials.reload().await.unwrap(), "nothing has changed");

    std::fs::write(files_b.paths().key, "half a k").unwrap();
    let error = b.credentials.reload().await.unwrap_err().to_string();
    assert!(error.contains("tls.key"), "{error}");
    ask(&a, &b).await.unwrap();

    // A certificate that does not belong to the key, as between two writes.
    std::fs::write(files_b.paths().key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    b.credentials.reload().await.unwrap_err();
    ask(&a, &b).await.unwrap();

    files_b.write(&next, &next, "b", 2090);
    assert!(b.credentials.reload().await.unwrap());
    assert!(matches!(ask(&a, &b).await.unwrap_err().kind(), ErrorKind::Tls(_)), "the old authority has gone");
    files_a.write(&next, &next, "a", 2090);
    assert!(a.credentials.reload().await.unwrap());
    ask(&a, &b).await.unwrap();
}

#[tokio::test]
async fn changed_files_are_noticed_without_being_told() {
    let ca = authority();
    let (files_a, files_b) = (Files::new(&ca, &ca, "a"), Files::new(&ca, &ca, "b"));
    let (a, b) = (files_a.endpoint("a").await, files_b.endpoint("b").await);
    let server = Server::start(&b, ServerOptions::default()).await;
    echo(&channel(&a, "b", server.address), Class::Request).await.unwrap();
    files_b.write(&ca, &ca, "c", 2090);
    soon(async {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        while echo(&channel(&a, "b", server.address), Class::Request).await.is_ok() {
            pause.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let ca = authority();
    let files = Files::new(&ca, &ca, "a");
    for (file, text) in [("ca.pem", ""), ("tls.crt", "no certificate"), ("tls.key", "no key")] {
        let path = files.0.path().join(file);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, text).unwrap();
        let error = Credentials::from_files(files.paths()).await.unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("PEM"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = Credentials::from_files(files.paths()).await.unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("cannot read"), "{error}");
        std::fs::write(&path, good).unwrap();
    }
    Credentials::from_files(files.paths()).await.unwrap();
}
