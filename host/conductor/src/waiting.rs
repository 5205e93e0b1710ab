//! Those who wait for the answers of a batch, on the member that proposed it.
//!
//! openraft hands the answers of an entry out in its one task, and that task waits for the disk on behalf of the next entry.
//! So they take a shorter way: a batch carries those who wait for it, in memory alone, and the state machine answers them
//! as soon as the batch is applied. That they are answered at most once, here or by whoever proposed the batch, is seen to by
//! taking them out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use inquisitor_engine::journal::Applied;
use tokio::sync::{Notify, oneshot};

/// A command that is committed and applied on this member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Of the log entry that it lies in.
    pub(crate) index: u64,
    pub(crate) applied: Applied,
}

/// Why a command got no answer. It may be committed all the same.
pub(crate) type NotNow = String;

/// Where the answer of one command goes.
pub(crate) type Answer = oneshot::Sender<Result<Committed, NotNow>>;

/// Those who wait for a batch; nobody on a member that did not propose it, or that read it from its disk.
#[derive(Clone, Default)]
pub(crate) struct Waiting(Option<Arc<Shared>>);

struct Shared {
    answers: Mutex<Option<Vec<Answer>>>,
    logged: Notify,
    answered: Notify,
}

impl Waiting {
    /// One answer for each command of the batch, in their order.
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let answers = Mutex::new(Some(answers));
        Self(Some(Arc::new(Shared { answers, logged: Notify::new(), answered: Notify::new() })))
    }

    /// Whether anybody waits who has no answer yet.
    pub(crate) fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.lock().is_some())
    }

    /// The batch lies in the log on this member's disk.
    pub(crate) fn note_logged(&self) {
        if let Some(shared) = &self.0 {
            shared.logged.notify_one();
        }
    }

    /// Returns once the batch lies in the log, or it is known what became of it; for one only that waits.
    pub(crate) async fn logged(&self) {
        match &self.0 {
            Some(shared) => shared.logged.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Answers those who wait. A second time nothing happens.
    pub(crate) fn answer(&self, index: u64, applied: Vec<Applied>) {
        let Some(answers) = self.take() else { return };
        if applied.len() != answers.len() {
            let problem = format!("{} answers to {} commands", applied.len(), answers.len());
            return fail(answers, &problem);
        }
        for (answer, applied) in answers.into_iter().zip(applied) {
            // A receiver that has gone no longer wants its answer; the command is committed all the same.
            let _ = answer.send(Ok(Committed { index, applied }));
        }
    }

    /// Tells those who wait that there is no answer. Nothing happens where there was one.
    pub(crate) fn fail(&self, problem: &str) {
        if let Some(answers) = self.take() {
            fail(answers, problem);
        }
    }

    /// Returns once those who waited are answered; for one only that waits.
    pub(crate) async fn answered(&self) {
        match &self.0 {
            // One that is notified before it is waited for is kept.
            Some(shared) => shared.answered.notified().await,
            None => std::future::pending().await,
        }
    }

    fn take(&self) -> Option<Vec<Answer>> {
        let shared = self.0.as_ref()?;
        let answers = shared.lock().take();
        if answers.is_some() {
            shared.answered.notify_one();
            shared.logged.notify_one();
        }
        answers
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Vec<Answer>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fail(answers: Vec<Answer>, problem: &str) {
    for answer in answers {
        let _ = answer.send(Err(problem.to_owned()));
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "Waiting(..)" } else { "Waiting" })
    }
}

/// A batch is what lies in the log: who waits for it makes no difference.
impl PartialEq for Waiting {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_answered_once_and_in_their_order() {
        let (first, mut one) = oneshot::channel();
        let (second, mut other) = oneshot::channel();
        let waiting = Waiting::new(vec![first, second]);
        let same = waiting.clone();
        assert!(same.is_open());
        same.note_logged();
        waiting.logged().await;
        same.answer(7, vec![Applied::Done, Applied::AlreadyDone]);
        waiting.answered().await;
        waiting.fail("too late");
        assert!(!waiting.is_open());
        assert_eq!(one.try_recv().unwrap(), Ok(Committed { index: 7, applied: Applied::Done }));
        assert_eq!(other.try_recv().unwrap(), Ok(Committed { index: 7, applied: Applied::AlreadyDone }));
    }

    #[tokio::test]
    async fn a_batch_that_comes_to_nothing_holds_up_nobody() {
        let (first, mut one) = oneshot::channel();
        let waiting = Waiting::new(vec![first]);
        waiting.fail("no leader");
        waiting.logged().await;
        waiting.answered().await;
        assert_eq!(one.try_recv().unwrap(), Err("no leader".to_owned()));
    }

    #[tokio::test]
    async fn another_number_of_answers_is_an_error_and_not_a_mixture() {
        let (first, mut one) = oneshot::channel();
        let waiting = Waiting::new(vec![first]);
        waiting.answer(7, vec![]);
        assert_eq!(one.try_recv().unwrap(), Err("0 answers to 1 commands".to_owned()));
    }
}
