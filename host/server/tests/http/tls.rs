//! TLS.

use reqwest::Method;

use super::support::{API_KEY, Setup, client_builder};
use inquisitor_server::TlsFiles;

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls_and_plain_http_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let certificate = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = client_builder().tls_certs_only([certificate.clone()]).build().unwrap();
    let old = client_builder().tls_certs_only([certificate]).http1_only().build().unwrap();

    let host = Setup::new().configure(|config| config.tls = Some(files)).start_with(client.clone()).await;
    let url = format!("https://localhost:{}/v1/me", host.address.port());
    for (client, version) in [(&client, reqwest::Version::HTTP_2), (&old, reqwest::Version::HTTP_11)] {
        let answer = client.request(Method::GET, &url).bearer_auth(API_KEY).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    assert!(
        client_builder().build().unwrap().get(&url).send().await.is_err(),
        "a certificate that nobody vouches for"
    );
    let plain = format!("http://{}/health", host.address);
    assert!(client_builder().build().unwrap().get(plain).send().await.is_err());
}
