//! Which components were put into the journal lately, so that a submission need not read and put them again.
//!
//! A journal sweeps blobs that nothing names once they are old, and dates them anew when they are put and when a command
//! names them. So what was put within [`FRESH`] is there, and what is older is put again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a put is relied on. Far below the age at which a journal may sweep a blob, which is an hour or more.
const FRESH: Duration = Duration::from_secs(300);
/// Digests that are remembered at most; where there are more, all are forgotten and put again.
const MAX_REMEMBERED: usize = 1024;

/// Digests of components, with when they were put.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<HashMap<String, Instant>>);

impl Stored {
    /// Whether the component was put lately.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.has_at(digest, Instant::now())
    }

    /// Take note that the component was put.
    pub(crate) fn note(&self, digest: &str) {
        self.note_at(digest, Instant::now());
    }

    /// Forget when the component was put: the journal says that it is not there.
    pub(crate) fn forget(&self, digest: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    fn has_at(&self, digest: &str, now: Instant) -> bool {
        let put = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        put.is_some_and(|put| now.saturating_duration_since(put) < FRESH)
    }

    fn note_at(&self, digest: &str, now: Instant) {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.len() >= MAX_REMEMBERED && !stored.contains_key(digest) {
            stored.clear();
        }
        stored.insert(digest.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_relied_on_for_a_while() {
        let stored = Stored::default();
        let put = Instant::now();
        assert!(!stored.has_at("a", put));
        stored.note_at("a", put);
        assert!(stored.has_at("a", put + FRESH / 2));
        assert!(!stored.has_at("b", put));
        assert!(!stored.has_at("a", put + FRESH));
        stored.note_at("a", put + FRESH);
        assert!(stored.has_at("a", put + FRESH));
        stored.forget("a");
        assert!(!stored.has_at("a", put + FRESH));
    }

    #[test]
    fn memory_is_bounded() {
        let stored = Stored::default();
        let put = Instant::now();
        for number in 0..=MAX_REMEMBERED {
            stored.note_at(&number.to_string(), put);
        }
        assert!(stored.has_at(&MAX_REMEMBERED.to_string(), put));
        assert!(stored.0.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}
