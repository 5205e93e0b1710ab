//! The bare things beside which the host is measured.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};

const TABLE: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("entries");

/// Commits a second of writers that each sync every entry of so many bytes.
pub(crate) fn synced_commits(folder: &Path, writers: usize, bytes: usize, seconds: u64) -> f64 {
    let file = tempfile::NamedTempFile::new_in(folder).unwrap();
    let database = Database::create(file.path()).unwrap();
    let value = vec![7; bytes];
    let count = AtomicU64::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while Instant::now() < end {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    write(&database, [number], &value);
                }
            });
        }
    });
    count.into_inner() as f64 / seconds as f64
}

/// Entries a second where one thread commits all that so many writers have handed in together.
pub(crate) fn group_commits(folder: &Path, writers: usize, bytes: usize, seconds: u64) -> f64 {
    let file = tempfile::NamedTempFile::new_in(folder).unwrap();
    let database = Database::create(file.path()).unwrap();
    let value = vec![7; bytes];
    let count = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (queue, waiting): (SyncSender<(u64, SyncSender<()>)>, Receiver<_>) = sync_channel(writers);
    std::thread::scope(|scope| {
        for _ in 0..writers {
            let (queue, count, stop) = (queue.clone(), &count, &stop);
            scope.spawn(move || {
                let (done, committed) = sync_channel(1);
                while !stop.load(Ordering::Relaxed) {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    queue.send((number, done.clone())).unwrap();
                    committed.recv().unwrap();
                }
            });
        }
        drop(queue);
        let (database, value, stop) = (&database, &value, &stop);
        scope.spawn(move || {
            let end = Instant::now() + Duration::from_secs(seconds);
            while let Ok(first) = waiting.recv() {
                let group: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
                write(database, group.iter().map(|(number, _)| *number), value);
                group.iter().for_each(|(_, done)| done.send(()).unwrap());
                if Instant::now() >= end {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        });
    });
    count.into_inner() as f64 / seconds as f64
}

fn write(database: &Database, numbers: impl IntoIterator<Item = u64>, value: &[u8]) {
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(TABLE).unwrap();
        for number in numbers {
            table.insert(number, value).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// A handler that returns the same bytes to everybody.
pub(crate) struct Handler {
    address: SocketAddr,
    // Dropped with the handler, which ends it.
    _runtime: tokio::runtime::Runtime,
}

impl Handler {
    pub(crate) fn start(bytes: Vec<u8>) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = bytes::Bytes::from(bytes);
        let answer = move || {
            let bytes = bytes.clone();
            async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], bytes) }
        };
        let router = axum::Router::new().route("/", axum::routing::get(answer));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}
