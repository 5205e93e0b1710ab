//! The one thread that writes the log's file.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use openraft::storage::LogFlushed;
use tokio::sync::oneshot;

use crate::database::Commit;
use crate::error::{ConductorError, chain};
use crate::log::{ENTRIES, FACTS, PURGED, Shared};
use crate::raft::TypeConfig;
use crate::waiting::Waiting;

/// Operations that share one transaction at most. openraft waits for each of its own, so there are few; the bound keeps the
/// time until the first is durable in sight.
const MAX_OPS: usize = 256;

type Done = oneshot::Sender<Result<(), String>>;

/// Something to write.
pub(crate) enum Op {
    /// Entries by index, encoded, and those who wait for them here. Without `done` openraft goes on meanwhile; who waits for
    /// the disk does so by the index.
    Append { rows: Vec<(u64, Vec<u8>)>, waiting: Vec<Waiting>, done: Option<LogFlushed<TypeConfig>> },
    /// A named value. Without `done` nobody waits, and it need not cause a transaction of its own.
    Fact { name: &'static str, value: Vec<u8>, done: Option<Done> },
    /// Remove entries from an index on.
    Truncate { from: u64, done: Done },
    /// Remove entries up to an index, inclusive, and note that.
    Purge { upto: u64, value: Vec<u8>, done: Done },
    /// Write what is left and end.
    Stop,
}

impl Op {
    fn waits(&self) -> bool {
        !matches!(self, Self::Fact { done: None, .. } | Self::Stop)
    }
}

/// The handle of the thread.
pub(crate) struct Writer {
    ops: Sender<Op>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. It works on what `shared` points to as soon as there is something to write.
    pub(crate) fn start(shared: Weak<Shared>) -> Self {
        let (ops, queue) = channel();
        let thread = std::thread::Builder::new().name("raft-log".into()).spawn(move || run(&shared, &queue));
        let thread = thread
            .inspect_err(|error| tracing::error!(%error, "the log's writer thread cannot be started"))
            .ok();
        Self { ops, thread: Mutex::new(thread) }
    }

    /// Hands over an operation.
    pub(crate) fn send(&self, op: Op) -> Result<(), ConductorError> {
        self.ops.send(op).map_err(|_| ConductorError::Closed)
    }

    /// Ends the thread once all that was handed over is written.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error of either says that the thread is gone already.
            let _ = self.ops.send(Op::Stop);
            let _ = thread.join();
        }
    }
}

fn run(shared: &Weak<Shared>, queue: &Receiver<Op>) {
    let mut waiting: Vec<Op> = Vec::new();
    loop {
        // Values that nobody waits for lie here until something has to be written, or the end.
        let Ok(op) = queue.recv() else { break };
        let mut stop = matches!(op, Op::Stop);
        let mut needed = op.waits();
        waiting.push(op);
        while waiting.len() < MAX_OPS
            && let Ok(op) = queue.try_recv()
        {
            stop |= matches!(op, Op::Stop);
            needed |= op.waits();
            waiting.push(op);
        }
        if needed || stop || waiting.len() >= MAX_OPS {
            let Some(shared) = shared.upgrade() else { break };
            write(&shared, std::mem::take(&mut waiting));
        }
        if stop {
            break;
        }
    }
}

/// Writes operations in one durable transaction, then tells those who wait.
fn write(shared: &Shared, ops: Vec<Op>) {
    let result = transaction(shared, &ops);
    if let Err(error) = &result {
        tracing::error!(error = chain(error), "the log cannot be written; this member stops");
        shared.failed(chain(error));
    }
    let has_purged = result.is_ok() && ops.iter().any(|op| matches!(op, Op::Purge { .. }));
    for op in ops {
        let answer = match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(chain(error)),
        };
        match op {
            Op::Append { rows, waiting, done } => {
                if let (Ok(()), Some((last, _))) = (&answer, rows.last()) {
                    shared.flushed(last + 1);
                }
                waiting.iter().for_each(Waiting::note_logged);
                if let Some(done) = done {
                    done.log_io_completed(answer.map_err(std::io::Error::other));
                }
            }
            Op::Fact { done: Some(done), .. } | Op::Truncate { done, .. } | Op::Purge { done, .. } => {
                // Whoever asked may have gone.
                let _ = done.send(answer);
            }
            Op::Fact { done: None, .. } | Op::Stop => {}
        }
    }
    if has_purged {
        shared.purged();
    }
}

fn transaction(shared: &Shared, ops: &[Op]) -> Result<(), ConductorError> {
    let store = &shared.store;
    store.write(Commit::Durable, |transaction| {
        let mut entries = transaction.open_table(ENTRIES).map_err(store.error())?;
        let mut facts = transaction.open_table(FACTS).map_err(store.error())?;
        for op in ops {
            match op {
                Op::Append { rows, .. } => {
                    for (index, bytes) in rows {
                        entries.insert(index, bytes.as_slice()).map_err(store.error())?;
                    }
                }
                Op::Fact { name, value, .. } => {
                    facts.insert(*name, value.as_slice()).map_err(store.error())?;
                }
                Op::Truncate { from, .. } => {
                    entries.retain_in::<u64, _>(*from.., |_, _| false).map_err(store.error())?;
                }
                Op::Purge { upto, value, .. } => {
                    entries.retain_in::<u64, _>(..=*upto, |_, _| false).map_err(store.error())?;
                    facts.insert(PURGED, value.as_slice()).map_err(store.error())?;
                }
                Op::Stop => {}
            }
        }
        Ok(())
    })
}
