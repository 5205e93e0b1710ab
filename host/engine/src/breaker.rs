//! Circuit breakers: a plugin that keeps failing in ways that cost the host is left alone for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use inquisitor_runtime::outcome::Failure;

/// When a plugin is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open the breaker.
    pub failures: u32,
    /// How long it stays open before one call is let through to try.
    pub cool_down: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 5, cool_down: Duration::from_secs(30) }
    }
}

/// One breaker for each plugin digest. A breaker is a matter of this process: it protects the host and is not recorded.
#[derive(Debug)]
pub struct Breakers {
    policy: BreakerPolicy,
    states: Mutex<HashMap<String, State>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
}

impl Breakers {
    /// Breakers that are all closed.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, states: Mutex::default() }
    }

    /// Whether the plugin may be called at `now`.
    ///
    /// # Errors
    /// How long to wait, where it may not.
    pub fn admit(&self, digest: &str, now: Instant) -> Result<(), Duration> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        match states.get(digest).copied() {
            None | Some(State::Closed { .. }) => Ok(()),
            Some(State::Open { until }) if until <= now => {
                // One call goes through to see whether the plugin is well again. The others wait for another
                // cool-down, which also ends the wait should that call never report.
                states.insert(digest.to_owned(), State::Open { until: now + self.policy.cool_down });
                Ok(())
            }
            Some(State::Open { until }) => Err(until - now),
        }
    }

    /// Take note of how a call ended.
    pub fn record(&self, digest: &str, failure: Option<&Failure>, now: Instant) {
        if matches!(failure, Some(Failure::Host { .. } | Failure::Cancelled)) {
            return; // Says nothing about the plugin, neither good nor bad.
        }
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if !failure.is_some_and(costs_the_host) {
            states.remove(digest);
            return;
        }
        let failures = match states.get(digest) {
            Some(State::Closed { failures }) => failures + 1,
            None => 1,
            Some(State::Open { .. }) => self.policy.failures,
        };
        let state = if failures >= self.policy.failures {
            State::Open { until: now + self.policy.cool_down }
        } else {
            State::Closed { failures }
        };
        states.insert(digest.to_owned(), state);
    }

    /// Whether the plugin's breaker is open at `now`.
    pub fn is_open(&self, digest: &str, now: Instant) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(states.get(digest), Some(State::Open { until }) if *until > now)
    }
}

/// Failures that an instrument reports in good order say nothing against the plugin: wrong parameters, a refusal, an
/// unreachable peer. Traps and limits do.
fn costs_the_host(failure: &Failure) -> bool {
    !matches!(
        failure,
        Failure::InvalidParameters { .. }
            | Failure::Unavailable { .. }
            | Failure::Failed { .. }
            | Failure::CapabilityDenied { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "digest";

    fn trap() -> Failure {
        Failure::Trap { message: "unreachable".into() }
    }

    fn breakers() -> Breakers {
        Breakers::new(BreakerPolicy { failures: 2, cool_down: Duration::from_secs(10) })
    }

    #[test]
    fn opens_after_failures_in_a_row_and_tries_once_after_the_cool_down() {
        let breakers = breakers();
        let start = Instant::now();
        breakers.record(PLUGIN, Some(&trap()), start);
        assert_eq!(breakers.admit(PLUGIN, start), Ok(()));
        breakers.record(PLUGIN, Some(&trap()), start);
        assert_eq!(breakers.admit(PLUGIN, start), Err(Duration::from_secs(10)));
        let later = start + Duration::from_secs(10);
        assert_eq!(breakers.admit(PLUGIN, later), Ok(()));
        assert_eq!(breakers.admit(PLUGIN, later), Err(Duration::from_secs(10)), "only one call tries");
        breakers.record(PLUGIN, None, later);
        assert_eq!(breakers.admit(PLUGIN, later), Ok(()));
    }

    #[test]
    fn opens_again_when_the_trial_fails() {
        let breakers = breakers();
        let start = Instant::now();
        breakers.record(PLUGIN, Some(&trap()), start);
        breakers.record(PLUGIN, Some(&trap()), start);
        let later = start + Duration::from_secs(11);
        assert_eq!(breakers.admit(PLUGIN, later), Ok(()));
        breakers.record(PLUGIN, Some(&trap()), later);
        assert!(breakers.is_open(PLUGIN, later));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let breakers = breakers();
        let start = Instant::now();
        breakers.record(PLUGIN, Some(&trap()), start);
        breakers.record(PLUGIN, None, start);
        breakers.record(PLUGIN, Some(&trap()), start);
        assert_eq!(breakers.admit(PLUGIN, start), Ok(()));
    }

    #[test]
    fn failures_in_good_order_do_not_count() {
        let breakers = breakers();
        let start = Instant::now();
        for _ in 0..10 {
            breakers.record(PLUGIN, Some(&Failure::Failed { message: String::new() }), start);
        }
        assert!(!breakers.is_open(PLUGIN, start));
    }
}
