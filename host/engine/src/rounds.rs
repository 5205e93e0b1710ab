//! When a step of a continuous inquiry is due. Pure: time is an argument.

/// The rounds of one step: round k is at `anchor + k · interval` and may begin until the next one is due. The anchor is when
/// the inquiry was submitted, so the rounds are the same after a restart and on another member, and never drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rounds {
    /// Nanoseconds since the Unix epoch.
    pub(crate) anchor: i64,
    /// Nanoseconds, at least 1.
    pub(crate) interval: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// This round, now. All between the last one and this one are missed.
    Now(u32),
    /// The next round, at this time, in nanoseconds since the Unix epoch.
    At(i64),
}

impl Rounds {
    /// What comes after round `last` at the time `now`.
    pub(crate) fn due(&self, last: u32, now: i64) -> Due {
        let current = self.current(now);
        if current > last { Due::Now(current) } else { Due::At(self.start(last.saturating_add(1))) }
    }

    /// When a round is due. Saturates in the year 2262.
    pub(crate) fn start(&self, round: u32) -> i64 {
        let since = i128::from(self.interval.max(1)) * i128::from(round);
        i64::try_from(i128::from(self.anchor) + since).unwrap_or(i64::MAX)
    }

    /// The latest round whose time has come. The host's clock may stand before the anchor: then it is the first.
    fn current(&self, now: i64) -> u32 {
        let elapsed = u64::try_from(i128::from(now) - i128::from(self.anchor)).unwrap_or(0);
        u32::try_from(elapsed / self.interval.max(1)).unwrap_or(u32::MAX)
    }
}

/// Rounds that were missed when `round` begins after `last`.
pub(crate) fn missed(last: u32, round: u32) -> u64 {
    u64::from(round.saturating_sub(last).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_round_begins_until_the_next_is_due() {
        let rounds = Rounds { anchor: 100 * SECOND, interval: 10_000_000_000 };
        assert_eq!(rounds.due(0, 100 * SECOND), Due::At(110 * SECOND));
        assert_eq!(rounds.due(0, 109 * SECOND), Due::At(110 * SECOND));
        assert_eq!(rounds.due(0, 110 * SECOND), Due::Now(1));
        assert_eq!(rounds.due(0, 120 * SECOND - 1), Due::Now(1), "late, within its own time");
        assert_eq!(rounds.due(0, 120 * SECOND), Due::Now(2), "round 1 is missed");
        assert_eq!(missed(0, 2), 1);
        assert_eq!(rounds.due(2, 121 * SECOND), Due::At(130 * SECOND));
    }

    #[test]
    fn a_clock_that_stands_before_the_last_round_repeats_none() {
        let rounds = Rounds { anchor: 0, interval: 10 };
        assert_eq!(rounds.due(7, -5), Due::At(80));
        assert_eq!(rounds.due(7, 30), Due::At(80));
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let rounds = Rounds { anchor: i64::MAX - 1, interval: u64::MAX };
        assert_eq!(rounds.due(u32::MAX, i64::MAX), Due::At(i64::MAX));
        let rounds = Rounds { anchor: i64::MIN, interval: 1 };
        assert_eq!(rounds.due(0, i64::MAX), Due::Now(u32::MAX));
        assert_eq!(rounds.due(u32::MAX, i64::MAX), Due::At(i64::MIN + i64::from(u32::MAX)));
    }

    proptest! {
        /// Whatever the calls take and whatever delays there are: rounds go up, each begins within its own time, and those run
        /// and those missed are together all that there were.
        #[test]
        fn every_round_is_run_or_missed(
            anchor in -1_000_000_000_i64..4_000_000_000_000_000_000,
            interval in 1_u64..10_000_000_000_000,
            delays in prop::collection::vec(0_u64..100_000_000_000_000, 1..50),
        ) {
            let rounds = Rounds { anchor, interval };
            let (mut last, mut run, mut missing, mut now) = (0, 0_u64, 0_u64, anchor);
            for delay in delays {
                now += i64::try_from(delay).unwrap();
                if let Due::At(at) = rounds.due(last, now) {
                    prop_assert!(at > now && at == rounds.start(last + 1));
                    now = at;
                }
                let Due::Now(round) = rounds.due(last, now) else { panic!("due at its own time") };
                prop_assert!(round > last);
                prop_assert!(rounds.start(round) <= now && now < rounds.start(round + 1), "no drift");
                run += 1;
                missing += missed(last, round);
                last = round;
            }
            prop_assert_eq!(run + missing, u64::from(last));
        }
    }
}
