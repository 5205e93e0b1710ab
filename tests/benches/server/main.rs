//! A host under load over HTTP, beside the bare things that bound it, in one run:
//! - durable submits against a bare redb loop that syncs every commit, and one with group commit;
//! - reads against a bare axum handler that returns the same bytes;
//! - start, memory, and how reads do once there are 10,000 inquiries.
//!
//! Needs `wrk` and the release binary; `cargo xtask bench server` brings both. Prints a table; compare ratios, not figures of
//! different runs. Load, host and disk share the machine's cores.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod bare;
mod wrk;

use std::path::Path;
use std::time::{Duration, Instant};

use inquisitor_tests::Server;
use inquisitor_tests::server::API_KEY;

use crate::wrk::{Load, Wrk};

/// One step that answers at once.
const QUICK: &str = r#"version: "1.0.0"
id: load
name: One step
metadata: { author: bench }
protocol: { type: sequential, phases: [execution] }
instruments: [{ id: a, type: echo, parameters: { mode: echo } }]
"#;

/// One step that takes a minute: with `--max-running 1` nearly nothing runs beside the submits.
const SLOW: &str = r#"version: "1.0.0"
id: load
name: One step
metadata: { author: bench }
protocol: { type: sequential, phases: [execution] }
instruments: [{ id: a, type: echo, parameters: { response_delay_ms: 60000 } }]
"#;

/// Bytes of a row of the bare loops: about those of an encoded submission of one step.
const ROW_BYTES: usize = 900;

const CONNECTIONS: [usize; 3] = [1, 16, 128];

/// How much is measured.
struct Extent {
    seconds: u64,
    inquiries: usize,
    events: usize,
}

fn main() {
    // cargo passes `--bench`; `--test` asks for one short round.
    let short = std::env::args().any(|argument| argument == "--test");
    let extent = if short {
        Extent { seconds: 1, inquiries: 200, events: 2_000 }
    } else {
        Extent { seconds: 3, inquiries: 10_000, events: 100_000 }
    };
    let folder = tempfile::tempdir().unwrap();
    start(folder.path());
    submits(folder.path(), &extent);
    reads(folder.path(), &extent);
    growth(folder.path(), &extent);
}

fn server(folder: &Path, options: &[&str]) -> Server {
    Server::release(folder, options)
}

fn start(folder: &Path) {
    // The first host compiles the plugins, if nobody has.
    drop(server(folder, &[]));
    let server = server(folder, &[]);
    println!("a host with the shipped plugins, compiled before");
    println!(
        "  ready after {:.0} ms, idle with {:.1} MiB",
        server.came_up().as_secs_f64() * 1e3,
        server.resident_mib()
    );
}

fn submits(folder: &Path, extent: &Extent) {
    let seconds = extent.seconds;
    let body = folder.join("inquiry.yaml");
    let few: &[&str] = &["--max-running", "1"];
    let kinds = [
        ("the same manifest, one inquiry runs meanwhile", SLOW, false, few),
        ("each its own manifest, one inquiry runs meanwhile", SLOW, true, few),
        ("the same manifest, all run meanwhile", QUICK, false, &[]),
    ];
    for (what, manifest, distinct, options) in kinds {
        println!("\ndurable submits: {what}");
        std::fs::write(&body, manifest).unwrap();
        for connections in CONNECTIONS {
            let server = server(folder, options);
            let url = format!("{}/v1/inquiries", server.url());
            let submits = Wrk::new(&url, API_KEY).post(&body, distinct).run(connections, seconds);
            drop(server);
            let each = bare::synced_commits(folder, connections, ROW_BYTES, seconds);
            let grouped = bare::group_commits(folder, connections, ROW_BYTES, seconds);
            let beside = [("bare redb, a commit for each", each), ("bare redb, group commit", grouped)];
            row(&format!("{connections} connections"), &submits, &beside);
        }
    }
}

fn reads(folder: &Path, extent: &Extent) {
    println!("\nreads, {} s each", extent.seconds);
    let server = server(folder, &[]);
    let id = server.submit_and_finish(QUICK);
    for (what, path) in [
        ("an inquiry", format!("/v1/inquiries/{id}")),
        ("its finding", format!("/v1/inquiries/{id}/findings")),
        ("the list", "/v1/inquiries".to_owned()),
        ("the checkpoint", "/v1/ledger/checkpoint".to_owned()),
    ] {
        let url = format!("{}{path}", server.url());
        let bytes = server.ask("GET", &path, b"").unwrap();
        for connections in [1, 64] {
            let reads = Wrk::new(&url, API_KEY).run(connections, extent.seconds);
            let bare = bare::Handler::start(bytes.clone());
            let bare = Wrk::new(&bare.url(), API_KEY).run(connections, extent.seconds);
            let name = format!("{what} ({} bytes), {connections}", bytes.len());
            row(&name, &reads, &[("a bare axum handler", bare.per_second)]);
        }
    }
}

/// Memory, and the time of reads, with few inquiries and with many.
fn growth(folder: &Path, extent: &Extent) {
    let body = folder.join("inquiry.yaml");
    std::fs::write(&body, QUICK).unwrap();
    let server = server(folder, &[]);
    let first = server.submit_and_finish(QUICK);
    println!("\ngrowth");
    println!("  with 1 inquiry {:.1} MiB", server.resident_mib());
    let url = format!("{}/v1/inquiries", server.url());
    for wanted in [100, extent.inquiries] {
        let begin = Instant::now();
        let ended =
            || server.metric("inquisitor_inquiries") - server.metric("inquisitor_inquiries_unfinished");
        while ended() < wanted as f64 {
            // In small portions, so that not many more are made than asked for.
            if server.metric("inquisitor_inquiries") < wanted as f64 {
                Wrk::new(&url, API_KEY).post(&body, false).run(16, 1);
            } else {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let took = begin.elapsed().as_secs_f64();
        println!("  with {} finished inquiries {:.1} MiB ({took:.1} s)", ended(), server.resident_mib());
        let size = server.metric("inquisitor_ledger_entries");
        for (what, path) in [
            ("the list", "/v1/inquiries".to_owned()),
            ("an inquiry", format!("/v1/inquiries/{first}")),
            ("a proof", format!("/v1/ledger/proofs/inclusion?index=3&size={size}")),
        ] {
            let load = Wrk::new(&format!("{}{path}", server.url()), API_KEY).run(1, extent.seconds.min(3));
            row(what, &load, &[]);
        }
    }
    let path = format!("/v1/inquiries/{first}/events");
    let once = server.ask("GET", &path, b"").unwrap();
    let each = String::from_utf8_lossy(&once).lines().filter(|line| line.starts_with("event:")).count();
    let mut sent = 0;
    while sent < extent.events {
        sent += each * Wrk::new(&format!("{}{path}", server.url()), API_KEY).run(16, 1).requests;
    }
    println!("  after {sent} streamed events more {:.1} MiB", server.resident_mib());
}

fn row(name: &str, load: &Load, beside: &[(&str, f64)]) {
    let ratios: Vec<String> = beside
        .iter()
        .map(|(what, figure)| format!("{:.2}× {what} ({figure:.0}/s)", load.per_second / figure))
        .collect();
    println!(
        "  {name:<32} {:>7.0}/s  p50 {:>7.2} ms  p99 {:>7.2} ms  {}",
        load.per_second,
        load.p50.as_secs_f64() * 1e3,
        load.p99.as_secs_f64() * 1e3,
        ratios.join(", ")
    );
}
