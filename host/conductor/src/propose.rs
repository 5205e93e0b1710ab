//! Group commit: commands that arrive while one batch is being committed go together into the next.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use openraft::error::ClientWriteError;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::network::wire::ProposeReply;
use crate::raft::{Batch, COMMAND_FORMAT, Member, Raft};
use crate::waiting::{Answer, Committed, NotNow, Waiting};

/// Commands that wait for the next batch; whoever comes after waits until there is room. Bounds memory under load.
const MAX_WAITING: usize = 4096;
/// Commands in one batch. One transaction's latency is shared by all of them.
const MAX_BATCH: usize = 512;
/// Bytes from which a batch is full; the command that reaches it still goes in. Keeps log entries small enough to send
/// quickly.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Bytes of batches after which a snapshot is asked for, so that the log can be purged; but not before they are as many as
/// the last snapshot's, lest copying the state become most of the work. Entries alone are no measure: each may be small or
/// hold hundreds of commands.
const SNAPSHOT_FROM_BYTES: u64 = 64 << 20;

struct Command {
    change: Bytes,
    answer: Answer,
}

/// Batches that are committed at a time: one is made durable while the one before is applied. Two on their way to the disk
/// would only share what it can do, and openraft writes one after the other, so that the second would wait when it might
/// still grow.
const MAX_IN_FLIGHT: u32 = 2;

/// Takes commands in and commits them in batches.
pub(crate) struct Proposer {
    /// One permit for each batch.
    gate: Arc<Semaphore>,
    queue: Mutex<Option<mpsc::Sender<Command>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Proposer {
    /// Starts the task. `snapshot` is the file whose size says how much a snapshot copies.
    pub(crate) fn start(raft: Raft, snapshot: PathBuf) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let gate = Arc::new(Semaphore::new(MAX_IN_FLIGHT as usize));
        let task = tokio::spawn(run(raft, snapshot, waiting, gate.clone()));
        Self { gate, queue: Mutex::new(Some(queue)), task: Mutex::new(Some(task)) }
    }

    /// Commits an encoded change and returns what became of it. Whoever stops waiting before it is in a batch withdraws it.
    pub(crate) async fn propose(&self, change: Bytes) -> Result<Committed, NotNow> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || "the conductor is shut down".to_owned();
        let (answer, answered) = oneshot::channel();
        queue.ok_or_else(closed)?.send(Command { change, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// The same for another member.
    pub(crate) async fn propose_for(&self, change: Bytes) -> ProposeReply {
        match self.propose(change).await {
            Ok(committed) => ProposeReply::committed(committed.index, &committed.applied),
            Err(problem) => ProposeReply::NotNow(problem),
        }
    }

    /// Waits until no batch is under way; none begins until what this returns is dropped. Commands wait.
    pub(crate) async fn hold(&self) -> Option<SemaphorePermit<'_>> {
        // The gate is never closed.
        self.gate.acquire_many(MAX_IN_FLIGHT).await.ok()
    }

    /// Takes nothing more in, and waits until all that was taken in is answered.
    pub(crate) async fn stop(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task that commits batches failed");
        }
    }
}

/// Commands that were taken in and are in no batch yet.
#[derive(Default)]
struct Pending {
    commands: Vec<Command>,
    bytes: usize,
}

impl Pending {
    fn has_room(&self) -> bool {
        self.commands.len() < MAX_BATCH && self.bytes < MAX_BATCH_BYTES
    }

    fn push(&mut self, command: Command) {
        self.bytes += command.change.len();
        self.commands.push(command);
    }

    /// Takes in what has arrived.
    fn fill(&mut self, waiting: &mut mpsc::Receiver<Command>) {
        while self.has_room()
            && let Ok(command) = waiting.try_recv()
        {
            self.push(command);
        }
    }
}

/// How much the log has grown since the last snapshot was asked for.
struct Growth {
    bytes: u64,
    snapshot: PathBuf,
}

impl Growth {
    /// Counts a batch; says whether a snapshot is due.
    fn is_due(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        let due = self.bytes >= SNAPSHOT_FROM_BYTES
            && self.bytes >= std::fs::metadata(&self.snapshot).map_or(0, |metadata| metadata.len());
        if due {
            self.bytes = 0;
        }
        due
    }
}

async fn run(raft: Raft, snapshot: PathBuf, mut waiting: mpsc::Receiver<Command>, gate: Arc<Semaphore>) {
    let mut pending = Pending::default();
    let mut growth = Growth { bytes: 0, snapshot };
    let mut in_flight = JoinSet::new();
    // The batch that is on its way to the disk.
    let mut unlogged: Option<Waiting> = None;
    let mut open = true;
    while open || !pending.commands.is_empty() || !in_flight.is_empty() {
        tokio::select! {
            Some(ended) = in_flight.join_next(), if !in_flight.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task that commits a batch failed");
                }
            }
            () = logged(unlogged.as_ref()) => unlogged = None,
            command = waiting.recv(), if open && pending.has_room() => match command {
                Some(command) => pending.push(command),
                None => open = false,
            },
        }
        if in_flight.is_empty() {
            unlogged = None;
            // Those that were woken together get to hand theirs in before the batch is closed.
            tokio::task::yield_now().await;
        }
        pending.fill(&mut waiting);
        let is_room = unlogged.is_none() && in_flight.len() < MAX_IN_FLIGHT as usize;
        if is_room && !pending.commands.is_empty() {
            let mut batch = std::mem::take(&mut pending);
            batch.commands.retain(|command| !command.answer.is_closed());
            if batch.commands.is_empty() {
                continue;
            }
            let due = growth.is_due(batch.bytes);
            let (changes, answers) =
                batch.commands.into_iter().map(|command| (command.change, command.answer)).unzip();
            let batch = Batch { format: COMMAND_FORMAT, changes, waiting: Waiting::new(answers) };
            unlogged = Some(batch.waiting.clone());
            in_flight.spawn(commit(raft.clone(), batch, gate.clone()));
            if due && let Err(error) = raft.trigger().snapshot().await {
                tracing::warn!(%error, "a snapshot could not be asked for; the log grows on");
            }
        }
    }
}

async fn logged(batch: Option<&Waiting>) {
    match batch {
        Some(batch) => batch.logged().await,
        None => std::future::pending().await,
    }
}

async fn commit(raft: Raft, batch: Batch, gate: Arc<Semaphore>) {
    let _permit = gate.acquire().await;
    let waiting = batch.waiting.clone();
    let mut written = match raft.client_write_ff(batch).await {
        Ok(written) => written,
        Err(error) => return waiting.fail(&format!("this member has stopped: {error}")),
    };
    tokio::select! {
        biased;
        () = waiting.answered() => {
            // openraft complains where nobody takes its answer.
            tokio::spawn(written);
        }
        result = &mut written => match result {
            // Not answered by the state machine, which read the entry from the disk.
            Ok(Ok(written)) => waiting.answer(written.log_id.index, written.data.0),
            Ok(Err(error)) => waiting.fail(&describe(&error)),
            Err(_) => waiting.fail("this member has stopped"),
        },
    }
}

/// The error in words, with what to do.
fn describe(error: &ClientWriteError<u64, Member>) -> String {
    match error {
        ClientWriteError::ForwardToLeader(to) => match (&to.leader_id, &to.leader_node) {
            (Some(id), Some(member)) => format!("the leader is `{}` ({id:016x}); ask there", member.name),
            _ => "there is no leader now; try again".to_owned(),
        },
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_by_the_bytes_of_the_log_and_of_the_last_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = dir.path().join("current.snap");
        let mut growth = Growth { bytes: 0, snapshot: snapshot.clone() };
        let part = SNAPSHOT_FROM_BYTES as usize / 2;
        assert_eq!([part, part, part, part].map(|bytes| growth.is_due(bytes)), [false, true, false, true]);
        let file = std::fs::File::create(&snapshot).unwrap();
        file.set_len(SNAPSHOT_FROM_BYTES * 2).unwrap();
        assert_eq!([part, part, part, part].map(|bytes| growth.is_due(bytes)), [false, false, false, true]);
    }
}
