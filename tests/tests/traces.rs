//! Traces of a real run, as a collector gets them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use inquisitor_tests::{fixture, inquisitor};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// A collector that takes one request on each connection.
fn collector() -> (String, mpsc::Receiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send(ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn attributes(span: &Span) -> BTreeSet<&str> {
    span.attributes.iter().map(|attribute| attribute.key.as_str()).collect()
}

#[test]
fn a_run_is_one_tree_of_spans() {
    let (address, received) = collector();
    let ran = inquisitor()
        .arg("run")
        .arg(fixture("hello-world.yaml"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &address)
        .output()
        .unwrap();
    assert!(ran.status.code().is_some_and(|code| code != 1 && code != 2), "{ran:?}");
    let request =
        received.recv_timeout(Duration::from_secs(30)).expect("the spans are sent before the command ends");
    let spans: Vec<&Span> = request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect();
    let roots: Vec<&&Span> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    let [root] = roots.as_slice() else { panic!("one root is meant: {spans:#?}") };
    assert_eq!(root.name, "inquiry");
    for key in ["inquiry", "tenant", "manifest"] {
        assert!(attributes(root).contains(key), "{key} in {root:?}");
    }
    let steps: Vec<&&Span> = spans.iter().filter(|span| span.name == "step").collect();
    assert!(steps.len() >= 2, "{spans:#?}");
    for step in steps {
        assert_eq!(step.trace_id, root.trace_id);
        assert_eq!(step.parent_span_id, root.span_id);
        for key in ["step", "instrument", "plugin", "attempt", "round"] {
            assert!(attributes(step).contains(key), "{key} in {step:?}");
        }
    }
}

#[test]
fn a_wrong_address_is_told_and_not_repeated() {
    let ran = inquisitor()
        .args(["run", "--otlp-endpoint", "user:hunter2@collector"])
        .arg(fixture("hello-world.yaml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("http://collector:4318") && !said.contains("hunter2"), "{said}");
}
