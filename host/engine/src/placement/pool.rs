//! Which executor gets the next attempt: the one with the most free places, and this host where there is nothing to choose.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Executor, Offer};

/// The executors that attempts can be given to, beside this host. Empty where a host is alone, and then everything runs here.
///
/// Whoever knows executors keeps it up to date: [`Pool::offer`] again and again for each, [`Pool::withdraw`] for one that takes
/// nothing now. Attempts under way are not touched by either; their own connections say when they are lost.
#[derive(Default)]
pub struct Pool {
    state: Mutex<State>,
    /// A place became free, or the offers are others.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Those that take attempts now, by name.
    offers: BTreeMap<String, (Arc<dyn Executor>, Offer)>,
    /// Attempts that were given, by executor; also to those that take no more.
    given: BTreeMap<String, usize>,
    /// Attempts that run here.
    here: usize,
}

/// This host's own places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) places: usize,
    /// Calls under way.
    pub(crate) in_flight: usize,
}

/// A place for an attempt, taken until this is dropped.
pub(crate) struct Place {
    pool: Arc<Pool>,
    /// Name and executor; none for a place of this host.
    pub(crate) elsewhere: Option<(String, Arc<dyn Executor>)>,
}

enum Choice {
    Here,
    There(String, Arc<dyn Executor>),
}

impl Pool {
    /// An executor takes attempts; `offer` is in place of the one before.
    pub fn offer(&self, name: &str, executor: Arc<dyn Executor>, offer: Offer) {
        self.state().offers.insert(name.to_owned(), (executor, offer));
        self.changed.notify_waiters();
    }

    /// An executor takes no more attempts for now.
    pub fn withdraw(&self, name: &str) {
        if self.state().offers.remove(name).is_some() {
            // Whoever waited for one of its places may have to do without.
            self.changed.notify_waiters();
        }
    }

    /// Keep the offers of those that pass.
    pub fn retain(&self, mut keeps: impl FnMut(&str) -> bool) {
        self.state().offers.retain(|name, _| keeps(name));
        self.changed.notify_waiters();
    }

    /// The names of those that take attempts now.
    pub fn names(&self) -> Vec<String> {
        self.state().offers.keys().cloned().collect()
    }

    /// A place of this host, whatever there is elsewhere.
    pub(crate) fn here(self: &Arc<Self>) -> Place {
        self.state().here += 1;
        Place { pool: self.clone(), elsewhere: None }
    }

    /// A place, as soon as there is one. Where there are no executors it is here, and the attempt waits for its turn where it
    /// runs.
    pub(crate) async fn place(self: &Arc<Self>, own: impl Fn() -> Own) -> Place {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(place) = self.try_place(own()) {
                return place;
            }
            changed.await;
        }
    }

    fn try_place(self: &Arc<Self>, own: Own) -> Option<Place> {
        let mut state = self.state();
        match state.choose(own)? {
            Choice::Here => {
                state.here += 1;
                Some(Place { pool: self.clone(), elsewhere: None })
            }
            Choice::There(name, executor) => {
                *state.given.entry(name.clone()).or_default() += 1;
                Some(Place { pool: self.clone(), elsewhere: Some((name, executor)) })
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who has the most free places; this host goes before others with as many, for what runs here costs no way. None where
    /// nobody has a place.
    fn choose(&self, own: Own) -> Option<Choice> {
        if self.offers.is_empty() {
            return Some(Choice::Here);
        }
        let free_here = own.places.saturating_sub(self.here.max(own.in_flight));
        let mut best = (free_here, None);
        for (name, (executor, offer)) in &self.offers {
            let given = self.given.get(name).copied().unwrap_or(0);
            let free = (offer.places as usize).saturating_sub(offer.busy as usize).saturating_sub(given);
            if free > best.0 {
                best = (free, Some((name, executor)));
            }
        }
        match best {
            (0, _) => None,
            (_, None) => Some(Choice::Here),
            (_, Some((name, executor))) => Some(Choice::There(name.clone(), executor.clone())),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        match &self.elsewhere {
            None => state.here = state.here.saturating_sub(1),
            Some((name, _)) => {
                if let Some(given) = state.given.get_mut(name) {
                    *given = given.saturating_sub(1);
                    if *given == 0 {
                        state.given.remove(name);
                    }
                }
            }
        }
        drop(state);
        self.pool.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::FutureExt as _;

    use super::*;
    use crate::journal::StepRecord;
    use crate::placement::{Assignment, Ear, Lost};

    struct Nobody;

    #[async_trait]
    impl Executor for Nobody {
        async fn run(&self, _: &Assignment, _: Ear) -> Result<StepRecord, Lost> {
            Err(Lost::new("nobody"))
        }
    }

    fn offer(pool: &Pool, name: &str, places: u32, busy: u32) {
        pool.offer(name, Arc::new(Nobody), Offer { places, busy });
    }

    fn own(places: usize) -> Own {
        Own { places, in_flight: 0 }
    }

    fn name(place: &Place) -> &str {
        place.elsewhere.as_ref().map_or("here", |(name, _)| name)
    }

    #[test]
    fn attempts_go_where_most_is_free_and_stay_here_where_it_makes_no_difference() {
        let pool = Arc::new(Pool::default());
        offer(&pool, "b", 2, 0);
        offer(&pool, "c", 3, 1);
        let taken: Vec<Place> = (0..6).map(|_| pool.try_place(own(2)).unwrap()).collect();
        let names: Vec<&str> = taken.iter().map(name).collect();
        assert_eq!(names, ["here", "b", "c", "here", "b", "c"]);
        assert!(pool.try_place(own(2)).is_none(), "every place is taken");
        drop(taken);
        assert!(pool.state().given.is_empty() && pool.state().here == 0);
    }

    #[test]
    fn a_host_that_is_alone_runs_everything_itself() {
        let pool = Arc::new(Pool::default());
        let taken: Vec<Place> = (0..10).map(|_| pool.try_place(own(1)).unwrap()).collect();
        assert!(taken.iter().all(|place| name(place) == "here"));
    }

    #[test]
    fn calls_that_nobody_placed_take_places_too() {
        let pool = Arc::new(Pool::default());
        offer(&pool, "b", 1, 0);
        let place = pool.try_place(Own { places: 4, in_flight: 4 }).unwrap();
        assert_eq!(name(&place), "b");
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_becomes_free() {
        let pool = Arc::new(Pool::default());
        offer(&pool, "b", 1, 0);
        let taken = pool.place(|| own(0)).await;
        let mut waiting = Box::pin(pool.place(|| own(0)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(taken);
        assert_eq!(name(&waiting.await), "b");
    }

    #[tokio::test]
    async fn who_waits_for_executors_that_go_runs_here() {
        let pool = Arc::new(Pool::default());
        offer(&pool, "b", 1, 1);
        let mut waiting = Box::pin(pool.place(|| own(0)));
        assert!(waiting.as_mut().now_or_never().is_none());
        pool.withdraw("b");
        assert_eq!(name(&waiting.await), "here");
    }

    #[tokio::test]
    async fn one_that_no_longer_waits_keeps_the_place_from_nobody() {
        let pool = Arc::new(Pool::default());
        offer(&pool, "b", 1, 0);
        let taken = pool.place(|| own(0)).await;
        let mut first = Box::pin(pool.place(|| own(0)));
        let mut second = Box::pin(pool.place(|| own(0)));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(taken);
        drop(first);
        assert_eq!(name(&second.await), "b");
    }
}
