//! Committing a command from any member.
//!
//! A member that does not lead hands the command to the leader and waits until it is applied here too, so that whoever asked
//! finds what it made. What got no answer is sent again: every command either finds that it was made before, or goes under
//! the id of a request, whose answer is kept with the state ([`crate::apply`]).

use std::time::Duration;

use bytes::Bytes;
use inquisitor_engine::journal::{Applied, JournalError};
use inquisitor_peer::{Class, ErrorKind, Refusal};
use tokio::time::{Instant, interval, sleep};
use uuid::Uuid;

use crate::logged;
use crate::network::links::{AskError, Question};
use crate::network::wire::{self, ProposeReply, Target};
use crate::node::{Node, Running};
use crate::waiting::Committed;

/// How long a command waits for a leader, in all.
pub const LEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command of a cluster may take, in all: a leader without a majority answers nothing.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a leader that waits looks whether it still has a majority.
const LOOK: Duration = Duration::from_millis(500);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(30);

/// Why an attempt brought no answer.
enum Failure {
    /// Another attempt may.
    Again(String),
    /// No attempt will.
    Never(JournalError),
}

impl Node {
    /// Commits an encoded command. `shows_twice` says that making it twice would be seen.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] when no leader or majority answered in time; the command may be committed later.
    pub(crate) async fn commit(&self, command: Bytes, shows_twice: bool) -> Result<Applied, JournalError> {
        let begun = Instant::now();
        let wait = begun + LEADER_TIMEOUT;
        let running = self.running_by(wait).await?;
        if self.links.is_none() {
            // Alone, there is nobody else to ask, and the disk takes as long as it takes.
            let committed = running.proposer.propose(command).await.map_err(JournalError::Unavailable)?;
            return Ok(committed.applied);
        }
        let command = match shows_twice {
            true => logged::once(Uuid::new_v4().as_bytes(), &command),
            false => command,
        };
        let deadline = begun + COMMIT_TIMEOUT;
        let mut problem = "there is no leader".to_owned();
        while let Some(leader) = running.leader_by(wait).await {
            match self.attempt(running, &leader, &command, deadline).await {
                Ok(committed) => {
                    if running.applied_by(&self.published, Some(committed.index), deadline).await {
                        return Ok(committed.applied);
                    }
                    problem = "it is committed, and this member lags behind".to_owned();
                }
                Err(Failure::Again(why)) => problem = why,
                Err(Failure::Never(error)) => return Err(error),
            }
            // A leader that is known and does not answer is as good as none.
            if Instant::now() + PAUSE >= wait {
                break;
            }
            sleep(PAUSE).await;
        }
        Err(JournalError::Unavailable(problem))
    }

    async fn attempt(
        &self,
        running: &Running,
        leader: &Target,
        command: &Bytes,
        deadline: Instant,
    ) -> Result<Committed, Failure> {
        if leader.id == running.id {
            return tokio::select! {
                answer = running.proposer.propose(command.clone()) => answer.map_err(Failure::Again),
                () = without_majority(running, deadline) => {
                    Err(Failure::Again("a majority of the members does not answer".to_owned()))
                }
            };
        }
        let links = self.links().map_err(|error| Failure::Never(error.into()))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let question = Question { path: wire::PROPOSE, message: &(), payload: command, deadline: left };
        let mut metrics = running.raft.server_metrics();
        let reply = tokio::select! {
            reply = links.ask(running.id, leader, Class::Request, &question) => reply,
            // The old leader may be gone without a word.
            _ = metrics.wait_for(|metrics| metrics.current_leader.is_some_and(|id| id != leader.id)) => {
                return Err(Failure::Again("the leader has changed".to_owned()));
            }
        };
        match reply {
            Ok(ProposeReply::Committed { index, applied }) => match serde_json::from_slice(&applied) {
                Ok(applied) => Ok(Committed { index, applied }),
                Err(error) => Err(Failure::Never(JournalError::Storage(format!(
                    "the answer of {leader} makes no sense: {error}"
                )))),
            },
            Ok(ProposeReply::NotNow(problem)) => Err(Failure::Again(problem)),
            Err(AskError::Peer(error))
                if matches!(error.kind(), ErrorKind::Remote { refusal: Refusal::TooLarge, .. }) =>
            {
                Err(Failure::Never(JournalError::Storage(error.to_string())))
            }
            Err(error) => Err(Failure::Again(error.to_string())),
        }
    }
}

/// Returns when this member, which leads, has not heard a majority for as long as a command waits for a leader; or by the
/// deadline.
async fn without_majority(running: &Running, deadline: Instant) {
    let mut looks = interval(LOOK);
    while Instant::now() < deadline {
        looks.tick().await;
        let quiet = running.raft.metrics().borrow().millis_since_quorum_ack;
        if quiet.is_some_and(|quiet| u128::from(quiet) >= LEADER_TIMEOUT.as_millis()) {
            return;
        }
    }
}
