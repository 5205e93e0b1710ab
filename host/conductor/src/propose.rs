//! Group commit: commands that arrive while one batch is being committed go together into the next.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use inquisitor_engine::journal::{Applied, JournalError};
use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::error::ConductorError;
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

type Answer = oneshot::Sender<Result<Applied, JournalError>>;

struct Waiting {
    change: Bytes,
    answer: Answer,
}

/// Takes commands in and commits them in batches.
pub(crate) struct Proposer {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Proposer {
    pub(crate) fn start(raft: Raft) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let task = tokio::spawn(run(raft, waiting));
        Self { queue: Mutex::new(Some(queue)), task: Mutex::new(Some(task)) }
    }

    /// Commits an encoded change and returns what became of it.
    pub(crate) async fn propose(&self, change: Bytes) -> Result<Applied, JournalError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || JournalError::from(ConductorError::Closed);
        let (answer, answered) = oneshot::channel();
        queue.ok_or_else(closed)?.send(Waiting { change, answer }).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
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

async fn run(raft: Raft, mut waiting: mpsc::Receiver<Waiting>) {
    let mut pending = Pending::default();
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
            let batch = std::mem::take(&mut pending).commands;
            in_flight.spawn(commit(raft.clone(), batch));
        }
    }
}

async fn commit(raft: Raft, batch: Vec<Waiting>) {
    let (changes, answers): (Vec<Bytes>, Vec<Answer>) =
        batch.into_iter().map(|command| (command.change, command.answer)).unzip();
    let result = raft.client_write(Batch { format: COMMAND_FORMAT, changes }).await;
    // A receiver that has gone no longer wants its answer; the command is committed all the same.
    match result {
        Ok(written) if written.data.0.len() == answers.len() => {
            for (answer, applied) in answers.into_iter().zip(written.data.0) {
                let _ = answer.send(Ok(applied));
            }
        }
        Ok(written) => {
            let problem = format!("{} answers to {} commands", written.data.0.len(), answers.len());
            for answer in answers {
                let _ = answer.send(Err(JournalError::Storage(problem.clone())));
            }
        }
        Err(error) => {
            let problem = describe(&error);
            for answer in answers {
                let _ = answer.send(Err(JournalError::Unavailable(problem.clone())));
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
