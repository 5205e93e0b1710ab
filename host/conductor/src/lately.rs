//! Digests of which something was found to be true a short while ago, so that it need not be found out again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inquisitor_ledger::Hash;

/// How long it counts. Far below the age at which a blob may be swept.
const COUNTS_FOR: Duration = Duration::from_secs(300);
/// Digests that are remembered; where there are more, all are forgotten.
const MAX_REMEMBERED: usize = 65_536;

/// The digests, with when it was found.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<HashMap<Hash, Instant>>);

impl Lately {
    /// Whether it was found of this digest.
    pub(crate) fn has(&self, digest: &Hash) -> bool {
        self.has_at(digest, Instant::now())
    }

    /// It is true of this digest now.
    pub(crate) fn note(&self, digest: Hash) {
        self.note_at(digest, Instant::now());
    }

    /// It may be true no more.
    pub(crate) fn forget(&self, digest: &Hash) {
        self.lock().remove(digest);
    }

    fn has_at(&self, digest: &Hash, now: Instant) -> bool {
        self.lock().get(digest).is_some_and(|at| now.saturating_duration_since(*at) < COUNTS_FOR)
    }

    fn note_at(&self, digest: Hash, now: Instant) {
        let mut known = self.lock();
        if known.len() >= MAX_REMEMBERED && !known.contains_key(&digest) {
            *known = HashMap::new();
        }
        known.insert(digest, now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_for_a_while_and_until_it_is_forgotten() {
        let (lately, digest, now) = (Lately::default(), Hash::digest(b"a"), Instant::now());
        assert!(!lately.has_at(&digest, now));
        lately.note_at(digest, now);
        assert!(lately.has_at(&digest, now + COUNTS_FOR / 2));
        assert!(!lately.has_at(&digest, now + COUNTS_FOR));
        lately.note_at(digest, now + COUNTS_FOR);
        assert!(lately.has_at(&digest, now + COUNTS_FOR));
        lately.forget(&digest);
        assert!(!lately.has_at(&digest, now + COUNTS_FOR));
    }

    #[test]
    fn memory_is_bounded() {
        let (lately, now) = (Lately::default(), Instant::now());
        let digest = |number: usize| Hash::digest(&number.to_be_bytes());
        for number in 0..=MAX_REMEMBERED {
            lately.note_at(digest(number), now);
        }
        assert!(lately.has_at(&digest(MAX_REMEMBERED), now));
        assert!(!lately.has_at(&digest(0), now));
    }
}
