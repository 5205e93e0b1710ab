//! A host that is killed while many submit: whatever it acknowledged is there afterwards, and finishes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use inquisitor_tests::server::{API_KEY, PATIENCE, Server};
use serde_json::Value;

const CLIENTS: usize = 100;
/// Acknowledged inquiries after which the host is killed.
const ENOUGH: usize = 60;

fn manifest(id: usize) -> String {
    format!(
        "version: '1.0'\nid: crash-{id}\nname: Number {id}\nmetadata: {{author: tests}}\nprotocol: {{type: sequential, phases: [execution]}}\ninstruments: [{{type: echo, id: one}}]\n"
    )
}

/// Submit; the id where the host acknowledged it, none where the connection or the host was gone before.
fn submit(address: &str, number: usize) -> Option<String> {
    let body = manifest(number);
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        stream,
        "POST /v1/inquiries HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {API_KEY}\r\nContent-Type: application/yaml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(!head.contains(" 500"), "{answer}");
    if !head.starts_with("HTTP/1.1 201") {
        return None;
    }
    // An acknowledgement that was cut off is still one; its id is in the header too.
    let id = serde_json::from_str::<Value>(body).ok().and_then(|body| Some(body["id"].as_str()?.to_owned()));
    id.or_else(|| {
        let location = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("location: ").map(str::to_owned))?;
        Some(location.rsplit('/').next()?.trim().to_owned())
    })
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_and_finishes() {
    let server = Server::start();
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let acknowledged: Mutex<BTreeSet<String>> = Mutex::default();
    let count = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (address, acknowledged, count, over) = (&address, &acknowledged, &count, &over);
            scope.spawn(move || {
                let mut number = client;
                while !over.load(Ordering::SeqCst) {
                    let Some(id) = submit(address, number) else { break };
                    acknowledged.lock().unwrap().insert(id);
                    count.fetch_add(1, Ordering::SeqCst);
                    number += CLIENTS;
                }
            });
        }
        server.until("enough acknowledged inquiries", || {
            (count.load(Ordering::SeqCst) >= ENOUGH).then_some(())
        });
        server.signal("KILL");
        over.store(true, Ordering::SeqCst);
    });
    let (_, folder) = server.ended();
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= ENOUGH);

    let server = Server::on(folder, &[]);
    let finished = server.until("the end of every inquiry", || {
        let listed = server.run(["inquiry", "list", "--all", "-o", "json"]).json();
        let listed = listed.as_array().unwrap().clone();
        listed.iter().all(|inquiry| inquiry["status"] != "running").then_some(listed)
    });
    let ids: BTreeSet<String> =
        finished.iter().map(|inquiry| inquiry["id"].as_str().unwrap().to_owned()).collect();
    let lost: Vec<&String> = acknowledged.difference(&ids).collect();
    assert!(lost.is_empty(), "{} acknowledged and lost: {lost:?}", lost.len());
    for inquiry in &finished {
        assert_eq!(inquiry["status"], "concluded", "{inquiry}");
    }
    let export = server.file("ledger.jsonl", &server.run(["ledger", "export"]).stdout);
    assert_eq!(server.run(["ledger", "verify", export.to_str().unwrap()]).code, 0);
    no_step_was_recorded_twice(&std::fs::read_to_string(export).unwrap());
}

fn no_step_was_recorded_twice(export: &str) {
    let mut seen = BTreeSet::new();
    for line in export.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        if entry["kind"] == "step-recorded" && entry["body"]["final"] == true {
            let step = (entry["inquiry"].to_string(), entry["body"]["step"].to_string());
            assert!(seen.insert(step), "recorded twice: {entry}");
        }
    }
    assert!(!seen.is_empty());
}
