//! What a component reaches outside of itself: clocks, randomness, files, network. Everything links; only what is granted
//! works; what is refused has a name; what was observed can be given again.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

mod support;

use std::sync::Arc;

use inquisitor_manifest::spec::FileGrant;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{Grants, LogLevel, Nondeterminism, SessionRequest};
use serde_json::json;
use support::{failure, misbehave, request, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn granted(grants: Grants) -> SessionRequest {
    SessionRequest { grants, ..request() }
}

fn tcp(grant: &str) -> SessionRequest {
    granted(Grants { tcp: vec![grant.to_owned()], ..Grants::default() })
}

/// A server on loopback that answers each connection with `answer` and closes.
async fn server(answer: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_observed_is_given_again_to_the_same_bytes() {
    for step in [json!({"behaviour": "clocks", "count": 20}), json!({"behaviour": "random"})] {
        let live = misbehave(request(), step.clone()).await;
        assert!(live.transcript.complete);
        let replay = SessionRequest {
            nondeterminism: Nondeterminism::Recorded(Arc::new(live.transcript.clone())),
            ..request()
        };
        let replayed = misbehave(replay, step.clone()).await;
        assert_eq!(replayed.result, live.result);
        assert_eq!(replayed.transcript, live.transcript);
        let other = misbehave(request(), step).await;
        assert_ne!(other.result, live.result, "a session of its own sees another time and other bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_decides_what_is_random() {
    let draw = async |seed| {
        let request = SessionRequest { nondeterminism: Nondeterminism::Seeded([seed; 32]), ..request() };
        let report = misbehave(request, json!({"behaviour": "random"})).await;
        assert_eq!(report.transcript.seed, [seed; 32]);
        text(&report.result.unwrap())
    };
    assert_eq!(draw(1).await, draw(1).await);
    assert_ne!(draw(1).await, draw(2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_reads_more_than_was_recorded_is_told_apart() {
    let live = misbehave(request(), json!({"behaviour": "clocks", "count": 2})).await;
    let replay =
        SessionRequest { nondeterminism: Nondeterminism::Recorded(Arc::new(live.transcript)), ..request() };
    let failed = failure(replay, json!({"behaviour": "clocks", "count": 3})).await;
    assert!(
        matches!(&failed, Failure::Host { message } if message.contains("differs from the record")),
        "{failed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_read_without_end_keeps_a_bounded_record() {
    let report = misbehave(request(), json!({"behaviour": "clocks", "count": 150_000})).await;
    assert!(report.result.is_ok());
    assert!(!report.transcript.complete);
    assert_eq!(report.transcript.wall_clock.len(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_environment() {
    let report = misbehave(request(), json!({"behaviour": "environment"})).await;
    assert_eq!(text(&report.result.unwrap()), "[] [] 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_becomes_log_lines() {
    let report = misbehave(request(), json!({"behaviour": "stdout", "count": 3})).await;
    let lines: Vec<_> = report.logs.iter().map(|line| (line.level, line.message.as_str())).collect();
    let info = LogLevel::Info;
    assert_eq!(lines, [(info, "stdout 0"), (info, "stdout 1"), (info, "stdout 2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_works_where_it_is_granted() {
    let address = server("pong").await;
    let step = json!({"behaviour": "tcp", "target": address.to_string()});
    let report = misbehave(tcp(&address.to_string()), step).await;
    assert_eq!(report.result.map(|observation| text(&observation)), Ok("pong".to_owned()));
    assert!(report.denials.is_empty());
    assert!(!report.transcript.complete, "what came over the network is in no record");
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_elsewhere_is_denied_by_name() {
    let address = server("pong").await;
    let step = |behaviour: &str| json!({"behaviour": behaviour, "target": address.to_string()});
    let asked = format!("tcp {address}");
    for request in [request(), tcp("127.0.0.1:1"), tcp(&format!("127.0.0.2:{}", address.port()))] {
        let report = misbehave(request, step("tcp")).await;
        assert_eq!(report.result, Err(Failure::CapabilityDenied { asked: asked.clone() }));
        assert_eq!(report.denials, [asked.as_str()]);
        assert!(report.transcript.complete);
    }
    let report = misbehave(request(), step("tcp-survive")).await;
    assert_eq!(report.result.map(|observation| text(&observation)), Ok("got over it".to_owned()));
    assert_eq!(report.denials, [asked]);
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_is_denied_by_name() {
    let report = misbehave(tcp("127.0.0.1:9"), json!({"behaviour": "udp", "target": "127.0.0.1:9"})).await;
    assert_eq!(report.result, Err(Failure::CapabilityDenied { asked: "udp 127.0.0.1:9".to_owned() }));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up_where_their_host_is_granted() {
    let step = json!({"behaviour": "lookup", "target": "localhost"});
    let report = misbehave(tcp("localhost:80"), step.clone()).await;
    let found = text(&report.result.unwrap());
    assert!(found.contains("127") || found.contains("Ipv6"), "{found}");
    let failed = failure(request(), step).await;
    assert_eq!(failed, Failure::CapabilityDenied { asked: "lookup localhost".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn http_works_where_it_is_granted_and_leaves_a_digest() {
    let address = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await;
    let step = json!({"behaviour": "http", "target": address.to_string()});
    let grants = Grants { http: vec![address.to_string()], ..Grants::default() };
    let report = misbehave(granted(grants.clone()), step.clone()).await;
    assert_eq!(report.result.map(|observation| text(&observation)), Ok("200 hello".to_owned()));
    assert_eq!(report.transcript.network.len(), 1);
    assert!(!report.transcript.complete);
    let again = misbehave(granted(grants.clone()), step.clone()).await;
    assert_eq!(again.transcript.network, report.transcript.network, "the same answer has the same digest");

    let nondeterminism = Nondeterminism::Recorded(Arc::new(report.transcript));
    let failed = failure(SessionRequest { nondeterminism, ..granted(grants) }, step).await;
    assert_eq!(
        failed,
        Failure::CapabilityDenied { asked: format!("http {address}") },
        "a replay stays inside"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_elsewhere_is_denied_by_name() {
    let report =
        misbehave(tcp("example.com:80"), json!({"behaviour": "http", "target": "example.com"})).await;
    assert_eq!(report.result, Err(Failure::CapabilityDenied { asked: "http example.com:80".to_owned() }));
    assert_eq!(report.denials, ["http example.com:80"]);
}

fn files(path: &std::path::Path, read_only: bool) -> SessionRequest {
    let files = vec![FileGrant { path: path.to_str().unwrap().to_owned(), read_only }];
    granted(Grants { files, ..Grants::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_seen_where_they_are_granted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.txt");
    std::fs::write(&path, "content").unwrap();
    let read = json!({"behaviour": "read-file", "target": path});
    let report = misbehave(files(folder.path(), true), read.clone()).await;
    assert_eq!(report.result.map(|observation| text(&observation)), Ok("content".to_owned()));
    assert!(!report.transcript.complete, "what is in files is in no record");
    assert!(misbehave(request(), read).await.result.is_err());

    let outside = json!({"behaviour": "read-file", "target": folder.path().join("../../../../etc/hostname")});
    assert!(misbehave(files(folder.path(), true), outside).await.result.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_only_where_that_is_granted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.txt");
    let write = json!({"behaviour": "write-file", "target": path});
    assert!(misbehave(files(folder.path(), true), write.clone()).await.result.is_err());
    assert!(!path.exists());
    assert!(misbehave(files(folder.path(), false), write).await.result.is_ok());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_directory_that_is_not_there_is_told_at_the_start() {
    let failed = failure(files(std::path::Path::new("/nowhere/at/all"), true), json!({})).await;
    assert!(
        matches!(&failed, Failure::Host { message } if message.contains("/nowhere/at/all")),
        "{failed:?}"
    );
}
