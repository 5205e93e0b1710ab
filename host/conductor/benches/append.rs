//! Durable commands a second, beside a bare redb group commit of the same number of writers in the same run.
//!
//! The bare loop is what any redb program with group commit does: writers hand a row to one thread, which writes all that
//! are waiting in one durable transaction and then answers them.
#![allow(missing_docs)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use inquisitor_engine::journal::Journal;
use redb::{Database, TableDefinition};
use tokio::sync::{mpsc, oneshot};

const ROWS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("rows");
/// Bytes of a row of the bare loop: about those of an encoded submission of one step.
const ROW_BYTES: usize = 900;

type Waiting = (u64, Vec<u8>, oneshot::Sender<()>);

fn bare(database: &Database, queue: &mut mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.blocking_recv() {
        let mut waiting = vec![first];
        while let Ok(next) = queue.try_recv() {
            waiting.push(next);
        }
        let transaction = database.begin_write().expect("a transaction begins");
        {
            let mut table = transaction.open_table(ROWS).expect("the table opens");
            for (key, row, _) in &waiting {
                table.insert(key, row.as_slice()).expect("a row is written");
            }
        }
        transaction.commit().expect("the transaction is durable");
        for (_, _, done) in waiting {
            let _ = done.send(());
        }
    }
}

/// Runs `total` operations on `writers` concurrent tasks and returns the time.
async fn timed<F, Fut>(total: u64, writers: u64, operation: F) -> Duration
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    let left = AtomicU64::new(total);
    let started = Instant::now();
    join_all((0..writers).map(|_| async {
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            operation().await;
        }
    }))
    .await;
    started.elapsed()
}

fn append(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let dir = tempfile::tempdir().expect("a folder");
    let conductor = runtime.block_on(support::open(&dir.path().join("data")));
    let manifest = runtime.block_on(support::manifest(&conductor));
    let next = AtomicU64::new(0);
    let database = Arc::new(Database::create(dir.path().join("bare.redb")).expect("a database"));
    let (queue, mut waiting) = mpsc::channel(4096);
    let thread = std::thread::spawn(move || bare(&database, &mut waiting));

    let mut group = criterion.benchmark_group("durable");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(6));
    for writers in [1, 16, 128] {
        group.bench_with_input(BenchmarkId::new("bare", writers), &writers, |bencher, writers| {
            bencher.iter_custom(|total| {
                runtime.block_on(timed(total, *writers, || async {
                    let (done, durable) = oneshot::channel();
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    queue.send((key, vec![7; ROW_BYTES], done)).await.expect("the thread lives");
                    durable.await.expect("the row is durable");
                }))
            });
        });
        group.bench_with_input(BenchmarkId::new("conductor", writers), &writers, |bencher, writers| {
            bencher.iter_custom(|total| {
                runtime.block_on(timed(total, *writers, || async {
                    let id = format!("018f3a3e-5f6b-7c1d-{:016x}", next.fetch_add(1, Ordering::Relaxed));
                    let command = support::submit(&id, &manifest, support::plan("n", 1));
                    conductor.propose(command).await.expect("the command is committed");
                }))
            });
        });
    }
    group.finish();
    runtime.block_on(conductor.shutdown());
    drop(queue);
    thread.join().expect("the thread ends");
}

/// Opening a new directory, and one with a thousand inquiries that was closed.
fn open(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let dir = tempfile::tempdir().expect("a folder");
    let used = dir.path().join("used");
    runtime.block_on(async {
        let conductor = support::open(&used).await;
        let manifest = support::manifest(&conductor).await;
        let submissions = (0..1000).map(|number| {
            conductor.propose(support::submit(&format!("q{number}"), &manifest, support::plan("n", 10)))
        });
        for answer in join_all(submissions).await {
            answer.expect("the command is committed");
        }
        conductor.shutdown().await;
    });
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let next = AtomicU64::new(0);
    group.bench_function("new", |bencher| {
        bencher.iter(|| {
            let path = dir.path().join(next.fetch_add(1, Ordering::Relaxed).to_string());
            runtime.block_on(async { support::open(&path).await.shutdown().await });
        });
    });
    group.bench_function("used", |bencher| {
        bencher.iter(|| runtime.block_on(async { support::open(&used).await.shutdown().await }));
    });
    group.finish();
}

criterion_group!(benches, append, open);
criterion_main!(benches);
