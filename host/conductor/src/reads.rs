//! Reads that are as new as the question, on any member.
//!
//! A leader asks a majority whether it still leads; everything committed before the asking is then at or below the index
//! that it answers. Those that come while a round is under way share the next one, so the number of rounds does not grow with
//! the number of readers. Other members get the index from the leader. Whoever has the index waits until it is applied here.

use std::time::Duration;

use inquisitor_peer::Class;
use openraft::LogIdOptionExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::ConductorError;
use crate::network::links::Question;
use crate::network::wire::{self, ReadIndexReply};
use crate::node::Node;
use crate::raft::Raft;

/// How long a read waits for a leader and a majority.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(25);
/// Readers that wait for the next round; more wait until there is room.
const MAX_WAITING: usize = 4096;

type Answer = Result<Option<u64>, String>;

/// Confirms leadership for many at once.
pub(crate) struct Rounds {
    waiting: mpsc::Sender<oneshot::Sender<Answer>>,
}

impl Rounds {
    /// Starts the task; it ends with the last handle.
    pub(crate) fn start(raft: Raft) -> Self {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        tokio::spawn(run(raft, queue));
        Self { waiting }
    }

    /// The index up to which a read must see what is applied.
    async fn index(&self) -> Answer {
        let stopped = || "this member has stopped".to_owned();
        let (answer, answered) = oneshot::channel();
        self.waiting.send(answer).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// The same for another member.
    pub(crate) async fn read_index_for(&self) -> ReadIndexReply {
        match self.index().await {
            Ok(index) => ReadIndexReply::Index(index),
            Err(problem) => ReadIndexReply::NotNow(problem),
        }
    }
}

async fn run(raft: Raft, mut queue: mpsc::Receiver<oneshot::Sender<Answer>>) {
    let mut readers = Vec::new();
    while queue.recv_many(&mut readers, MAX_WAITING).await > 0 {
        let answer = match raft.get_read_log_id().await {
            Ok((index, _)) => Ok(index.index()),
            Err(error) => Err(error.to_string()),
        };
        for reader in readers.drain(..) {
            // One that has gone needs no answer.
            let _ = reader.send(answer.clone());
        }
    }
}

impl Node {
    /// Waits until all that was committed before the call is applied here.
    ///
    /// # Errors
    /// When no leader and majority answered in time.
    pub(crate) async fn linearize(&self) -> Result<(), ConductorError> {
        let deadline = Instant::now() + DEADLINE;
        let running = self.running_by(deadline).await?;
        let mut problem = "there is no leader".to_owned();
        while let Some(leader) = running.leader_by(deadline).await {
            let asked = async {
                if leader.id == running.id {
                    return running.rounds.index().await;
                }
                let links = self.links().map_err(|error| error.to_string())?;
                let question = Question::new(wire::READ_INDEX, &(), deadline - Instant::now());
                match links.ask(running.id, &leader, Class::Request, &question).await {
                    Ok(ReadIndexReply::Index(index)) => Ok(index),
                    Ok(ReadIndexReply::NotNow(problem)) => Err(problem),
                    Err(error) => Err(error.to_string()),
                }
            };
            match timeout_at(deadline, asked).await {
                Ok(Ok(index)) if running.applied_by(&self.published, index, deadline).await => return Ok(()),
                Ok(Ok(_)) => problem = "this member lags behind the leader".to_owned(),
                Ok(Err(why)) => problem = why,
                Err(_) => problem = format!("no answer from the leader, {leader}"),
            }
            if Instant::now() + PAUSE >= deadline {
                break;
            }
            sleep(PAUSE).await;
        }
        Err(ConductorError::Consensus(problem))
    }
}
