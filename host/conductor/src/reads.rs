//! Reads that are as new as the question, on any member.
//!
//! A leader asks a majority whether it still leads; everything committed before the asking is then at or below the index
//! that it answers. Other members get the index from the leader. Whoever has the index waits until it is applied here.
//! On every member, those that come while a round is under way share the next one, so that neither the number of rounds nor
//! that of questions to the leader grows with the number of readers.

use std::sync::Arc;
use std::time::Duration;

use inquisitor_peer::Class;
use openraft::LogIdOptionExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::ConductorError;
use crate::network::links::{Links, Question};
use crate::network::wire::{self, ReadIndexReply, Target};
use crate::node::{Node, leader_of};
use crate::raft::Raft;

/// How long a read waits for a leader and a majority.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(25);
/// Readers that wait for the next round; more wait until there is room.
const MAX_WAITING: usize = 4096;
/// Election timeouts within which a leader answers. Others wait for the round to end, so a leader that is cut off must not
/// hold it up for as long as a reader has.
const ANSWER_WITHIN: u32 = 2;

type Answer = Result<Option<u64>, String>;

/// Finds the index up to which a read must see what is applied, for many at once.
pub(crate) struct Rounds {
    waiting: mpsc::Sender<oneshot::Sender<Answer>>,
}

impl Rounds {
    /// Of a member that leads: a majority confirms it.
    pub(crate) fn of_leader(raft: Raft) -> Self {
        Self::start(Round::Confirm(raft))
    }

    /// Of a member that does not: the leader is asked.
    pub(crate) fn of_follower(id: u64, raft: Raft, links: Arc<Links>) -> Self {
        Self::start(Round::Ask { id, raft, links })
    }

    /// Starts the task; it ends with the last handle.
    fn start(round: Round) -> Self {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        tokio::spawn(run(round, queue));
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

async fn run(round: Round, mut queue: mpsc::Receiver<oneshot::Sender<Answer>>) {
    let mut readers = Vec::new();
    while queue.recv_many(&mut readers, MAX_WAITING).await > 0 {
        let answer = round.index().await;
        for reader in readers.drain(..) {
            // One that has gone needs no answer.
            let _ = reader.send(answer.clone());
        }
    }
}

/// How a round finds its index.
enum Round {
    Confirm(Raft),
    Ask { id: u64, raft: Raft, links: Arc<Links> },
}

impl Round {
    async fn index(&self) -> Answer {
        match self {
            Self::Confirm(raft) => match raft.get_read_log_id().await {
                Ok((index, _)) => Ok(index.index()),
                Err(error) => Err(error.to_string()),
            },
            Self::Ask { id, raft, links } => match leader_of(raft) {
                Some(leader) if leader.id != *id => ask(*id, raft, links, &leader).await,
                _ => Err("the leader has changed".to_owned()),
            },
        }
    }
}

/// Asks the leader, for as long as it is thought to be one.
async fn ask(id: u64, raft: &Raft, links: &Links, leader: &Target) -> Answer {
    let question = Question::new(wire::READ_INDEX, &(), ANSWER_WITHIN * links.config.election_timeout);
    let mut metrics = raft.server_metrics();
    let changed = metrics.wait_for(|metrics| metrics.current_leader != Some(leader.id));
    tokio::select! {
        answer = links.ask(id, leader, Class::Request, &question) => match answer {
            Ok(ReadIndexReply::Index(index)) => Ok(index),
            Ok(ReadIndexReply::NotNow(problem)) => Err(problem),
            Err(error) => Err(error.to_string()),
        },
        _ = changed => Err("the leader has changed".to_owned()),
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
                let rounds = if leader.id == running.id { &running.rounds } else { running.asking()? };
                rounds.index().await
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
