//! Times that members do not keep in step.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Between half of `time` and all of it, evenly.
pub(crate) fn jittered(time: Duration) -> Duration {
    // A fresh `RandomState` has random keys, which is random enough for this.
    let random = RandomState::new().hash_one(()) >> 32;
    time.mul_f64(0.5 + random as f64 / 2_f64.powi(33))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_in_its_bounds_and_varies() {
        let time = Duration::from_secs(2);
        let drawn: Vec<_> = (0..100).map(|_| jittered(time)).collect();
        assert!(drawn.iter().all(|drawn| (time / 2..=time).contains(drawn)));
        assert!(drawn.iter().any(|other| *other != drawn[0]));
    }
}
