//! Strangers at the door: how many may stand there at a time.
//!
//! A member proves itself within milliseconds; whoever stands longer is asked to leave first. So a crowd of strangers cannot
//! keep members out, as it could if newcomers were turned away while it waits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::AbortHandle;

/// Connections that have not proved themselves yet.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    max_per_source: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    arrivals: u64,
    /// In the order of arrival.
    strangers: BTreeMap<u64, (IpAddr, AbortHandle)>,
}

/// A place at the door; left when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Admission {
    /// At most `max` strangers, of them `max_per_source` from one source; both at least 1.
    pub(crate) fn new(max: usize, max_per_source: usize) -> Self {
        let waiting = Mutex::default();
        Self(Arc::new(Shared { max: max.max(1), max_per_source: max_per_source.max(1), waiting }))
    }

    /// Lets a stranger stand at the door; where it gets too full, the one who stands there longest is aborted.
    pub(crate) fn enter(&self, address: IpAddr, handle: AbortHandle) -> Place {
        let source = source(address);
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut of_source =
            waiting.strangers.iter().filter(|(_, (other, _))| *other == source).map(|(key, _)| *key);
        let oldest_of_source = of_source.next();
        let leaves = match 1 + of_source.count() >= self.0.max_per_source {
            true => oldest_of_source,
            false => {
                waiting.strangers.keys().next().copied().filter(|_| waiting.strangers.len() >= self.0.max)
            }
        };
        if let Some((_, handle)) = leaves.and_then(|number| waiting.strangers.remove(&number)) {
            handle.abort();
        }
        waiting.arrivals += 1;
        let number = waiting.arrivals;
        waiting.strangers.insert(number, (source, handle));
        Place { shared: Arc::clone(&self.0), number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).strangers.remove(&self.number);
    }
}

/// One subscriber: an IPv4 address, or a /64 of IPv6, of which anybody has as many addresses as he likes.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(admission: &Admission, address: &str) -> (AbortHandle, Place) {
        let (handle, _) = AbortHandle::new_pair();
        (handle.clone(), admission.enter(address.parse().unwrap(), handle))
    }

    #[test]
    fn the_longest_waiting_leaves_first_his_own_source_before_others() {
        let admission = Admission::new(3, 2);
        let (a, _a) = enter(&admission, "10.0.0.1");
        let (b, _b) = enter(&admission, "10.0.0.2");
        let (c, _c) = enter(&admission, "10.0.0.2");
        let (d, _d) = enter(&admission, "::ffff:10.0.0.2");
        assert_eq!([&a, &b, &c, &d].map(AbortHandle::is_aborted), [false, true, false, false]);
        let (e, _e) = enter(&admission, "10.0.0.3");
        assert_eq!([&a, &c, &d, &e].map(AbortHandle::is_aborted), [true, false, false, false]);
    }

    #[test]
    fn who_has_left_makes_room() {
        let admission = Admission::new(1, 1);
        let (a, place) = enter(&admission, "fd00::1");
        drop(place);
        let (b, _place) = enter(&admission, "fd00::2");
        assert!(!a.is_aborted() && !b.is_aborted());
        let (_c, _other) = enter(&admission, "fd00::3");
        assert!(b.is_aborted(), "one /64 is one source");
    }
}
