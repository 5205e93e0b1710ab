//! Group commit: commands that arrive while one batch is being committed go together into the next.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use inquisitor_engine::journal::Applied;
use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::network::wire::ProposeReply;
use crate::raft::{Batch, COMMAND_FORMAT, Member, Raft};

/// Commands that wait for the next batch; whoever comes after waits until there is room. Bounds memory under load.
const MAX_WAITING: usize = 4096;
/// Commands in one batch. One transaction's latency is shared by all of them.
const MAX_BATCH: usize = 512;
/// Bytes from which a batch is full; the command that reaches it still goes in. Keeps log entries small enough to send
/// quickly.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// Commands that wait from which a second batch is begun while the first is under way, so that one is made durable while the
/// other is applied. With fewer, both would only share what the disk can do.
const SECOND_BATCH_FROM: usize = 32;

/// Bytes of batches after which a snapshot is asked for, so that the log can be purged; but not before they are as many as
/// the last snapshot's, lest copying the state become most of the work. Entries alone are no measure: each may be small or
/// hold hundreds of commands.
const SNAPSHOT_FROM_BYTES: u64 = 64 << 20;

/// A command that is committed and applied on this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Of the log entry that it lies in.
    pub(crate) index: u64,
    pub(crate) applied: Applied,
}

/// Why a command got no answer. It may be committed all the same.
pub(crate) type NotNow = String;

type Answer = oneshot::Sender<Result<Committed, NotNow>>;

struct Waiting {
    change: Bytes,
    answer: Answer,
}

/// Batches that are committed at a time.
const MAX_IN_FLIGHT: u32 = 2;

/// Takes commands in and commits them in batches.
pub(crate) struct Proposer {
    /// One permit for each batch.
    gate: Arc<Semaphore>,
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
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
        queue.ok_or_else(closed)?.send(Waiting { change, answer }).await.map_err(|_| closed())?;
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
    commands: Vec<Waiting>,
    bytes: usize,
}

impl Pending {
    fn has_room(&self) -> bool {
        self.commands.len() < MAX_BATCH && self.bytes < MAX_BATCH_BYTES
    }

    fn push(&mut self, command: Waiting) {
        self.bytes += command.change.len();
        self.commands.push(command);
    }

    /// Takes in what has arrived.
    fn fill(&mut self, waiting: &mut mpsc::Receiver<Waiting>) {
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

async fn run(raft: Raft, snapshot: PathBuf, mut waiting: mpsc::Receiver<Waiting>, gate: Arc<Semaphore>) {
    let mut pending = Pending::default();
    let mut growth = Growth { bytes: 0, snapshot };
    let mut in_flight = JoinSet::new();
    let mut open = true;
    while open || !pending.commands.is_empty() || !in_flight.is_empty() {
        tokio::select! {
            Some(ended) = in_flight.join_next(), if !in_flight.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task that commits a batch failed");
                }
            }
            command = waiting.recv(), if open && pending.has_room() => match command {
                Some(command) => pending.push(command),
                None => open = false,
            },
        }
        if in_flight.is_empty() {
            // Those that were woken together get to hand theirs in before the batch is closed.
            tokio::task::yield_now().await;
        }
        pending.fill(&mut waiting);
        let begin = match in_flight.len() {
            0 => !pending.commands.is_empty(),
            1 => pending.commands.len() >= SECOND_BATCH_FROM || !pending.has_room(),
            _ => false,
        };
        if begin {
            let mut batch = std::mem::take(&mut pending);
            batch.commands.retain(|command| !command.answer.is_closed());
            if batch.commands.is_empty() {
                continue;
            }
            let due = growth.is_due(batch.bytes);
            in_flight.spawn(commit(raft.clone(), batch.commands, gate.clone()));
            if due && let Err(error) = raft.trigger().snapshot().await {
                tracing::warn!(%error, "a snapshot could not be asked for; the log grows on");
            }
        }
    }
}

async fn commit(raft: Raft, batch: Vec<Waiting>, gate: Arc<Semaphore>) {
    let _permit = gate.acquire().await;
    let (changes, answers): (Vec<Bytes>, Vec<Answer>) =
        batch.into_iter().map(|command| (command.change, command.answer)).unzip();
    let result = raft.client_write(Batch { format: COMMAND_FORMAT, changes }).await;
    // A receiver that has gone no longer wants its answer; the command is committed all the same.
    match result {
        Ok(written) if written.data.0.len() == answers.len() => {
            let index = written.log_id.index;
            for (answer, applied) in answers.into_iter().zip(written.data.0) {
                let _ = answer.send(Ok(Committed { index, applied }));
            }
        }
        Ok(written) => {
            let problem = format!("{} answers to {} commands", written.data.0.len(), answers.len());
            for answer in answers {
                let _ = answer.send(Err(problem.clone()));
            }
        }
        Err(error) => {
            let problem = describe(&error);
            for answer in answers {
                let _ = answer.send(Err(problem.clone()));
            }
        }
    }
}

/// The error in words, with what to do.
fn describe(error: &RaftError<u64, ClientWriteError<u64, Member>>) -> String {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            match (&to.leader_id, &to.leader_node) {
                (Some(id), Some(member)) => format!("the leader is `{}` ({id:016x}); ask there", member.name),
                _ => "there is no leader now; try again".to_owned(),
            }
        }
        RaftError::APIError(error) => error.to_string(),
        RaftError::Fatal(error) => format!("this member has stopped: {error}"),
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
