//! Places that all tenants share and that no tenant may take alone: requests, event streams, uploads, large answers.
//!
//! A quarter of the places is kept from each tenant for the others: whatever one of them does, the next one is still served.
//! Keys above tenants may take all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Tenants past which those that hold nothing are forgotten.
const REMEMBERED: usize = 256;

/// So many places, over all tenants.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    count: usize,
    tenants: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _of_tenant: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    /// So many, and at least one.
    pub(crate) fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(count)), count, tenants: Mutex::default() }
    }

    /// Take a place for a key of this tenant, or for one above tenants.
    ///
    /// # Errors
    /// Where there is none: a sentence that says whose places are taken.
    pub(crate) fn take(&self, tenant: Option<&str>, what: &str) -> Result<Place, String> {
        let of_tenant = match tenant {
            None => None,
            Some(tenant) => {
                let taken = self.of(tenant).try_acquire_owned();
                Some(taken.map_err(|_| {
                    let share = self.share();
                    format!("this tenant has {share} {what} already, which is as many as one may have of this host")
                })?)
            }
        };
        let of_all = self.free.clone().try_acquire_owned();
        let of_all =
            of_all.map_err(|_| format!("this host has {} {what} already, and takes no more", self.count))?;
        Ok(Place { _of_tenant: of_tenant, _of_all: of_all })
    }

    /// Wait for a place; none where there never is one again.
    pub(crate) async fn wait(&self, tenant: Option<&str>) -> Option<Place> {
        // The tenant's own first: who waits for that takes nothing from others.
        let of_tenant = match tenant {
            None => None,
            Some(tenant) => Some(self.of(tenant).acquire_owned().await.ok()?),
        };
        let of_all = self.free.clone().acquire_owned().await.ok()?;
        Some(Place { _of_tenant: of_tenant, _of_all: of_all })
    }

    /// Places that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.count.saturating_sub(self.free.available_permits())
    }

    /// Places that one tenant may take.
    fn share(&self) -> usize {
        self.count - self.count / 4
    }

    fn of(&self, tenant: &str) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant) {
            return known.clone();
        }
        if tenants.len() >= REMEMBERED {
            // Whoever holds a place or waits for one holds the tenant's too.
            tenants.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = Arc::new(Semaphore::new(self.share()));
        tenants.insert(tenant.to_owned(), places.clone());
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_leaves_a_quarter_to_the_others() {
        let places = Places::new(8);
        let of = |tenant| places.take(tenant, "streams");
        let mut taken: Vec<Place> = (0..6).map(|_| of(Some("a")).unwrap()).collect();
        assert!(of(Some("a")).unwrap_err().starts_with("this tenant has 6 streams"));
        taken.push(of(Some("b")).unwrap());
        taken.push(of(None).unwrap());
        assert_eq!(places.taken(), 8);
        assert!(of(Some("b")).unwrap_err().starts_with("this host has 8 streams"));
        assert!(of(None).is_err());
        taken.remove(0);
        // What the host refused was given back to the tenant.
        for _ in 0..5 {
            drop(of(Some("a")).unwrap());
        }
    }

    #[test]
    fn keys_above_tenants_may_take_all_and_there_is_always_one() {
        let places = Places::new(3);
        let _all: Vec<Place> = (0..3).map(|_| places.take(None, "things").unwrap()).collect();
        let none = Places::new(0);
        let _one = none.take(Some("a"), "things").unwrap();
        assert!(none.take(Some("a"), "things").is_err());
    }

    #[test]
    fn tenants_that_hold_nothing_are_forgotten() {
        let places = Places::new(4);
        let _held = places.take(Some("held"), "things").unwrap();
        for number in 0..10 * REMEMBERED {
            drop(places.take(Some(&number.to_string()), "things").unwrap());
        }
        let tenants = places.tenants.lock().unwrap();
        assert!(tenants.len() <= REMEMBERED + 1 && tenants.contains_key("held"), "{}", tenants.len());
    }

    #[tokio::test]
    async fn who_waits_for_its_own_tenant_takes_nothing_from_others() {
        let places = Places::new(4);
        let mut of_a = Vec::new();
        for _ in 0..3 {
            of_a.push(places.wait(Some("a")).await.unwrap());
        }
        let next = places.wait(Some("a"));
        tokio::pin!(next);
        assert!(futures::poll!(&mut next).is_pending());
        drop(places.wait(Some("b")).await.unwrap());
        of_a.pop();
        drop(next.await.unwrap());
    }
}
