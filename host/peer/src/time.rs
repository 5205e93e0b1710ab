//! Moments to come, and times that members do not keep in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// Stands for never where a time is too long to be counted.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The moment when `time` is over, however long it is.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(NEVER)
}

/// Between half of `time` and all of it, evenly.
pub(crate) fn jittered(time: Duration) -> Duration {
    // A fresh `RandomState` has random keys, which is random enough for this.
    let random = RandomState::new().hash_one(()) >> 32;
    time.min(NEVER).mul_f64(0.5 + random as f64 / 2_f64.powi(33))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_bounds_and_varies() {
        let time = Duration::from_secs(2);
        let drawn: Vec<_> = (0..100).map(|_| jittered(time)).collect();
        assert!(drawn.iter().all(|drawn| (time / 2..=time).contains(drawn)));
        assert!(drawn.iter().any(|other| *other != drawn[0]));
    }

    #[test]
    fn for_ever_is_a_time() {
        assert!(after(jittered(Duration::MAX)) > after(Duration::from_secs(3600)));
    }
}
