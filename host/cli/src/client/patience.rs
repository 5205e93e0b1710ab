//! How long to wait before asking again, and when to stop. Pure: time is an argument.

use std::time::Duration;

/// The first wait; each one after it is twice as long.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait that nobody asked for.
const LONGEST: Duration = Duration::from_secs(5);

/// The wait before asking again after `failures` failures in `elapsed`; none where it would end after `budget`. A host that
/// says when to come back is believed.
pub(crate) fn wait(
    failures: u32,
    elapsed: Duration,
    budget: Duration,
    asked: Option<Duration>,
) -> Option<Duration> {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let wait = asked.map_or(doubled, |asked| asked.max(FIRST));
    // A host may ask for any wait.
    (elapsed.saturating_add(wait) <= budget).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(30);

    #[test]
    fn waits_double_up_to_a_bound_and_end_within_the_budget() {
        let mut elapsed = Duration::ZERO;
        let mut waits = Vec::new();
        while let Some(next) = wait(waits.len() as u32 + 1, elapsed, BUDGET, None) {
            elapsed += next;
            waits.push(next.as_millis());
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
        assert!(elapsed <= BUDGET);
    }

    #[test]
    fn what_the_host_asks_for_is_kept_where_there_is_time() {
        let asked = |seconds| wait(1, Duration::from_secs(10), BUDGET, Some(Duration::from_secs(seconds)));
        assert_eq!(asked(20), Some(Duration::from_secs(20)));
        assert_eq!(asked(21), None);
        assert_eq!(asked(0), Some(FIRST));
        assert_eq!(asked(u64::MAX), None);
    }

    #[test]
    fn without_a_budget_nothing_is_asked_twice() {
        assert_eq!(wait(1, Duration::ZERO, Duration::ZERO, None), None);
    }
}
