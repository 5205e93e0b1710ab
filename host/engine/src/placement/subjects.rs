//! What never changes of the inquiries whose steps run here for others, so that ten thousand steps of one plan do not read it
//! ten thousand times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::Lost;
use crate::journal::{Inquiry, Journal};

/// Inquiries that are kept at most.
const MAX_INQUIRIES: usize = 256;
/// Steps of all plans that are kept at most, save that the last one used is always kept.
const MAX_STEPS: usize = 20_000;

/// Inquiries by id, those that were used last. The steps' states are left out: they change.
#[derive(Default)]
pub(crate) struct Subjects(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<String, Known>,
    uses: u64,
}

#[derive(Default)]
struct Known {
    used: u64,
    inquiry: Arc<OnceCell<Arc<Inquiry>>>,
}

impl Subjects {
    /// The inquiry. Who asks for the same one meanwhile waits for the one read.
    pub(crate) async fn get(&self, journal: &dyn Journal, id: &str) -> Result<Arc<Inquiry>, Lost> {
        let cell = self.lock().used(id);
        let read = cell.get_or_try_init(|| read(journal, id)).await;
        match read {
            Ok(inquiry) => {
                let inquiry = inquiry.clone();
                self.lock().make_room();
                Ok(inquiry)
            }
            Err(lost) => {
                self.lock().forget_unread(id);
                Err(lost)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(journal: &dyn Journal, id: &str) -> Result<Arc<Inquiry>, Lost> {
    match journal.inquiry(id).await {
        Ok(Some(mut inquiry)) => {
            inquiry.steps.clear();
            Ok(Arc::new(inquiry))
        }
        Ok(None) => Err(Lost::new(format!("the inquiry {id} is not known there"))),
        Err(error) => Err(Lost::new(error.to_string())),
    }
}

impl State {
    fn used(&mut self, id: &str) -> Arc<OnceCell<Arc<Inquiry>>> {
        self.uses += 1;
        let known = self.known.entry(id.to_owned()).or_default();
        known.used = self.uses;
        known.inquiry.clone()
    }

    fn forget_unread(&mut self, id: &str) {
        if self.known.get(id).is_some_and(|known| !known.inquiry.initialized()) {
            self.known.remove(id);
        }
    }

    fn make_room(&mut self) {
        let steps = |known: &Known| known.inquiry.get().map_or(0, |inquiry| inquiry.plan.steps.len());
        let mut kept: usize = self.known.values().map(steps).sum();
        while self.known.len() > 1 && (self.known.len() > MAX_INQUIRIES || kept > MAX_STEPS) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used).map(|(id, _)| id.clone());
            let Some(gone) = oldest.and_then(|id| self.known.remove(&id)) else { return };
            kept -= steps(&gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Memory, plan};

    fn kept(subjects: &Subjects) -> usize {
        subjects.lock().known.len()
    }

    #[tokio::test]
    async fn an_inquiry_is_read_once_and_the_oldest_go_first() {
        let (journal, subjects) = (Memory::default(), Subjects::default());
        for number in 0..=MAX_INQUIRIES {
            journal.submit(&number.to_string(), "default", plan("", ""));
        }
        let first = subjects.get(&journal, "0").await.unwrap();
        assert!(Arc::ptr_eq(&first, &subjects.get(&journal, "0").await.unwrap()));
        for number in 1..=MAX_INQUIRIES {
            subjects.get(&journal, &number.to_string()).await.unwrap();
        }
        assert_eq!(kept(&subjects), MAX_INQUIRIES);
        assert!(!Arc::ptr_eq(&first, &subjects.get(&journal, "0").await.unwrap()), "it went and came back");
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_asked_for_again() {
        let (journal, subjects) = (Memory::default(), Subjects::default());
        let lost = subjects.get(&journal, "q").await.unwrap_err();
        assert!(lost.reason.contains("the inquiry q is not known there"), "{lost}");
        assert_eq!(kept(&subjects), 0);
        journal.submit("q", "default", plan("", ""));
        assert_eq!(subjects.get(&journal, "q").await.unwrap().id, "q");
    }

    #[tokio::test]
    async fn long_plans_leave_room_for_themselves_alone() {
        let (journal, subjects) = (Memory::default(), Subjects::default());
        for id in ["a", "b", "c"] {
            let mut plan = plan("", "");
            plan.steps = vec![plan.steps[0].clone(); MAX_STEPS / 2 + 1];
            journal.submit(id, "default", plan);
            subjects.get(&journal, id).await.unwrap();
            assert_eq!(kept(&subjects), 1, "{id}");
        }
    }
}
