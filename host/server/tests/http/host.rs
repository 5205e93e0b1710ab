//! The host itself: probes, status, the description, starting and stopping.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::support::{API_KEY, Answer, PATIENCE, Setup};

#[tokio::test]
async fn probes_ask_for_no_key() {
    let host = Setup::new().start().await;
    let health = Answer::of(host.request(Method::GET, "/health")).await;
    assert_eq!((health.status, health.body), (200, json!({"status": "ok"})));
    let ready = Answer::of(host.request(Method::GET, "/ready")).await;
    assert_eq!((ready.status, ready.body), (200, json!({"status": "ready", "reasons": []})));
    let raft = Answer::of(host.request(Method::GET, "/raft/status")).await;
    assert_eq!(
        (raft.status, &raft.body["role"], &raft.body["name"]),
        (200, &json!("leader"), &json!("test"))
    );
    let metrics = Answer::of(host.request(Method::GET, "/metrics")).await;
    assert_eq!(metrics.status, 200);
    let text = metrics.body.as_str().unwrap().to_owned();
    assert!(text.contains("inquisitor_raft_leader 1"), "{text}");
    assert!(
        text.contains(r#"inquisitor_http_requests_total{method="GET",route="/health",status="200"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn the_status_counts_what_is_there() {
    let host = Setup::new().start().await;
    host.tenant("acme", json!({})).await;
    host.key("admin", Some("acme")).await;
    let status = host.get("/v1/status").await;
    assert_eq!(status.status, 200, "{status:?}");
    assert_eq!(status.body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status.body["tenants"], &status.body["keys"]), (&json!(2), &json!(1)));
    assert_eq!(status.body["plugins"], json!({"installed": 2, "broken": 0}));
    assert_eq!(status.body["ready"]["status"], "ready");
    assert!(status.body["ledger"]["size"].as_u64().unwrap() >= 4);
}

#[tokio::test]
async fn the_description_is_served_with_a_tag() {
    let host = Setup::new().start().await;
    let described = Answer::of(host.request(Method::GET, "/openapi.json")).await;
    assert_eq!((described.status, described.header("content-type")), (200, "application/json"));
    assert_eq!(described.body["openapi"], "3.1.0");
    let tag = described.header("etag");
    let again = Answer::of(host.request(Method::GET, "/v1/openapi.json").header("if-none-match", tag)).await;
    assert_eq!((again.status, again.header("etag")), (304, tag));
}

#[tokio::test]
async fn what_was_there_is_there_after_a_restart() {
    let host = Setup::new().start().await;
    host.tenant("acme", json!({"secrets": ["TOKEN"]})).await;
    let key = host.key("submitter", Some("acme")).await;
    let ledger = host.ledger().await;
    let folder = host.stop().await;

    let host = Setup::new().start_in(folder).await;
    let me = Answer::of(host.with_key(&key, Method::GET, "/v1/me")).await;
    assert_eq!((me.status, &me.body["policy"]["secrets"]), (200, &json!(["TOKEN"])));
    let now = host.ledger().await;
    assert_eq!(now[..ledger.len()], ledger[..]);
}

#[tokio::test]
async fn a_stopping_host_finishes_what_is_under_way_and_takes_nothing_new() {
    let mut host = Setup::new().start().await;
    // A body that is half sent is a request under way.
    let (half, rest) = (r#"{"name":"#, r#""late"}"#);
    let mut stream = super::sockets::connect(&host).await;
    let head = format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{half}",
        half.len() + rest.len()
    );
    stream.send(head.as_bytes()).await;
    host.wait_for_requests(1).await;
    host.begin_to_stop();
    // Not taken any more once the socket is closed.
    let closed = async {
        while tokio::net::TcpStream::connect(host.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    stream.send(rest.as_bytes()).await;
    let answer = stream.answer().await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    host.stopped().await;
}

#[tokio::test]
async fn a_host_without_a_key_does_not_listen_to_strangers() {
    let error = Setup::new()
        .configure(|config| {
            config.api_key = None;
            config.http_listen = SocketAddr::from(([0, 0, 0, 0], 0));
        })
        .fails_to_start()
        .await;
    assert!(error.to_string().contains("set API_KEY or listen on 127.0.0.1"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let host = Setup::new().start().await;
    let error = Setup::new().configure(|config| config.http_listen = host.address).fails_to_start().await;
    assert_eq!(error.to_string(), format!("cannot listen on {}", host.address));
}

#[tokio::test]
async fn a_host_that_loads_its_plugins_lives_and_says_how_far_it_is() {
    let host = Setup::new().start_loading().await;
    assert_eq!(Answer::of(host.request(Method::GET, "/health")).await.status, 200);
    let ready = Answer::of(host.request(Method::GET, "/ready")).await;
    let reasons = json!(["plugins are loading: 0 of 2"]);
    assert_eq!((ready.status, &ready.body["reasons"]), (503, &reasons));
    assert_eq!(host.get("/v1/status").await.body["ready"]["reasons"], reasons);
    // Not "there is no such plugin": it comes.
    for path in ["/v1/plugins", "/v1/plugins/echo"] {
        let plugins = host.get(path).await;
        assert_eq!((plugins.status, plugins.header("retry-after")), (503, "1"), "{plugins:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_named_plugin_that_is_none_stops_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.wasm");
    std::fs::write(&path, b"no component").unwrap();
    let error = Setup::new().naming(path.clone()).fails_to_start().await.to_string();
    assert!(error.starts_with(&format!("cannot use {} for plugins: ", path.display())), "{error}");
}
