//! Three hosts beside three members of etcd on this machine, in one run, every write on disk before it is acknowledged, with
//! the same payload, clients and timeouts:
//! - durable writes, and linearizable reads, by clients spread over the members and by clients of the leader;
//! - the time from the leader's death until the next write is acknowledged.
//!
//! What is compared: a put of 1 KiB, natively and through etcd's JSON gateway, with the submission of a manifest of 1 KiB, which
//! is also read, checked, planned and entered in the ledger: the smallest thing that a user of a host can make durable. Beside
//! it stands the conductor alone ([`conductors`]), which is nearest to what etcd does.
//!
//! Members, clients and disk share the machine. Loads that are compared follow each other at once. Needs `etcd` and the release
//! binary; `cargo xtask bench etcd` brings both. Compare ratios, not figures of different runs.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod conductors;
mod etcd;
mod grpc;
mod http;
mod load;
mod ours;

use std::time::{Duration, Instant};

use crate::conductors::Conductors;
use crate::etcd::Etcd;
use crate::http::Connection;
use crate::load::Load;
use crate::ours::Ours;

/// Bytes of a value of etcd, and of a manifest.
const PAYLOAD_BYTES: usize = 1024;

const CLIENTS: [usize; 3] = [1, 16, 128];

/// Between two writes that look whether there is a leader again.
const LOOK: Duration = Duration::from_millis(5);
/// How long a new leader may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much is measured.
struct Extent {
    seconds: Duration,
    kills: usize,
}

/// Three members, one of which can be killed.
trait Members {
    fn start_member(&mut self, number: usize);
    /// All have a leader and have applied the same.
    async fn until_ready(&self);
    async fn leader(&self) -> usize;
    fn kill(&mut self, number: usize);
    /// A write to a member, and a new connection for it.
    fn write_to(&self, member: usize, number: u64) -> (Connection, Vec<u8>);
}

fn main() {
    // cargo passes `--bench`; `--test` asks for one short round.
    let short = std::env::args().any(|argument| argument == "--test");
    let extent = if short {
        Extent { seconds: Duration::from_millis(300), kills: 1 }
    } else {
        Extent { seconds: Duration::from_secs(2), kills: 7 }
    };
    tokio::runtime::Runtime::new().unwrap().block_on(measure(&extent));
}

async fn measure(extent: &Extent) {
    let folder = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(folder.path()).await;
    etcd.prepare().await;
    let mut ours = Ours::start().await;
    let conductors = Conductors::start(folder.path()).await;
    let leaders = [etcd.leader().await, ours.leader().await, conductors.leader().await];
    println!("ratios: against etcd natively, against etcd through its JSON gateway");
    for (place, to_leader) in [("spread over the members", false), ("of the leader", true)] {
        let of = |which: usize, count: usize| -> Vec<usize> {
            let member = |client| if to_leader { leaders[which] } else { (leaders[which] + client) % 3 };
            // The first client of those that are spread asks a member that does not lead.
            (1..=count).map(member).collect()
        };
        let mut number = if to_leader { CLIENTS.len() } else { 0 };
        for count in CLIENTS {
            number += 1;
            println!("\ndurable writes, {count} clients {place}");
            let native = load::run(etcd.puts(&of(0, count)), extent.seconds).await;
            let json = load::run(etcd.json_puts(&of(0, count)), extent.seconds).await;
            let submits = load::run(ours.submits(&of(1, count), number), extent.seconds).await;
            let distinct = load::run(ours.distinct_submits(&of(1, count), 10 + number), extent.seconds).await;
            let alone = load::run(conductors.submits(&of(2, count), number), extent.seconds).await;
            let beside = [&native, &json];
            row("etcd, native put", &native, &[]);
            row("etcd, JSON put", &json, &[]);
            row("host, submit of one manifest", &submits, &beside);
            row("host, submit of different ones", &distinct, &beside);
            row("conductor alone", &alone, &beside);
        }
        for count in CLIENTS {
            println!("\nlinearizable reads, {count} clients {place}");
            let native = load::run(etcd.ranges(&of(0, count)), extent.seconds).await;
            let json = load::run(etcd.json_ranges(&of(0, count)), extent.seconds).await;
            let reads = load::run(ours.reads(&of(1, count)), extent.seconds).await;
            let alone = load::run(conductors.reads(&of(2, count)), extent.seconds).await;
            let beside = [&native, &json];
            row("etcd, native range", &native, &[]);
            row("etcd, JSON range", &json, &[]);
            row("host, an inquiry", &reads, &beside);
            row("conductor alone", &alone, &beside);
        }
    }
    conductors.stop().await;
    println!("\nfrom the death of the leader to the next acknowledged write, {} times", extent.kills);
    let theirs = failovers("etcd", &mut etcd, extent.kills).await;
    drop(etcd);
    let mine = failovers("host", &mut ours, extent.kills).await;
    println!("  {:.2}× etcd's median (less is better)", mine.as_secs_f64() / theirs.as_secs_f64());
}

/// Kills the leader again and again. Returns the median of the times without a write.
async fn failovers(name: &str, members: &mut impl Members, kills: usize) -> Duration {
    let mut times = Vec::new();
    for kill in 0..kills {
        members.until_ready().await;
        let leader = members.leader().await;
        members.kill(leader);
        let killed = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        let mut looks = tokio::time::interval(LOOK);
        let mut number = kill as u64 * 100_000;
        // Each write may hang with the leader that is gone, so others follow.
        let took = loop {
            tokio::select! {
                Some(answered) = tasks.join_next(), if !tasks.is_empty() => {
                    if let Ok(Some(answered)) = answered {
                        let answered: Instant = answered;
                        break answered - killed;
                    }
                }
                _ = looks.tick() => {
                    number += 1;
                    let survivor = (leader + 1 + number as usize % 2) % 3;
                    let (mut connection, request) = members.write_to(survivor, number);
                    tasks.spawn(async move {
                        connection.exchange(&request).await.is_ok().then(Instant::now)
                    });
                    assert!(killed.elapsed() < PATIENCE, "{name}: no write within {PATIENCE:?}");
                }
            }
        };
        drop(tasks);
        times.push(took);
        members.start_member(leader);
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    let max = times[times.len() - 1];
    let all: Vec<String> = times.iter().map(|time| time.as_millis().to_string()).collect();
    println!(
        "  {name:<32} median {:>5} ms  max {:>5} ms  ({})",
        median.as_millis(),
        max.as_millis(),
        all.join(" ")
    );
    median
}

fn row(name: &str, load: &Load, beside: &[&Load]) {
    let ratios: Vec<String> =
        beside.iter().map(|other| format!("{:.2}×", load.per_second / other.per_second)).collect();
    println!(
        "  {name:<32} {:>7.0}/s  p99 {:>7.2} ms  {}",
        load.per_second,
        load.p99.as_secs_f64() * 1e3,
        ratios.join("  ")
    );
}
