//! How fast a tenant may go. Each member counts for itself, so a cluster lets through as many times more as it has members.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use inquisitor_conductor::Registry;
use inquisitor_engine::gating::{Rates, Tenant};

use crate::problem::{Kind, Problem};

/// The limiters of the tenants that asked for something. There are at most as many as there are tenants: those of removed
/// tenants are dropped once a minute.
#[derive(Default)]
pub(super) struct RateLimits {
    tenants: Mutex<HashMap<String, Arc<Limiters>>>,
}

/// The limiters of one tenant, made for its rates as they were.
struct Limiters {
    rates: Rates,
    requests: Option<DefaultDirectRateLimiter>,
    submissions: Option<DefaultDirectRateLimiter>,
    uploads: Option<DefaultDirectRateLimiter>,
    under_way: Arc<AtomicU32>,
}

/// A request that is being answered; counts until it is dropped.
#[derive(Default)]
pub(super) struct Slot {
    under_way: Option<Arc<AtomicU32>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(under_way) = &self.under_way {
            under_way.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl RateLimits {
    /// Take one request of the tenant; it is under way until the slot is dropped.
    pub(super) fn request(&self, tenant: &Tenant) -> Result<Slot, Problem> {
        let limiters = self.of(tenant);
        check(limiters.requests.as_ref(), "requests", "second", limiters.rates.requests_per_second)?;
        let Some(limit) = limiters.rates.concurrent_requests else { return Ok(Slot::default()) };
        // Taken first and given back by the drop: two that come together cannot both be the last.
        let slot = Slot { under_way: Some(limiters.under_way.clone()) };
        let others = limiters.under_way.fetch_add(1, Ordering::Relaxed);
        if others >= limit {
            let detail = format!("the tenant may have {limit} requests under way at once, and has");
            return Err(Problem::new(Kind::TooManyRequests, detail).retry_after(1));
        }
        Ok(slot)
    }

    /// Take one submission of the tenant.
    pub(super) fn submission(&self, tenant: &Tenant) -> Result<(), Problem> {
        let limiters = self.of(tenant);
        check(limiters.submissions.as_ref(), "inquiries", "minute", limiters.rates.submissions_per_minute)
    }

    /// Take one upload of the tenant.
    pub(super) fn upload(&self, tenant: &Tenant) -> Result<(), Problem> {
        let limiters = self.of(tenant);
        check(limiters.uploads.as_ref(), "uploads", "hour", limiters.rates.uploads_per_hour)
    }

    /// Drop the limiters of tenants that are no more.
    pub(super) fn forget_all_but(&self, registry: &Registry) {
        self.lock().retain(|name, _| registry.tenant(name).is_some());
    }

    fn of(&self, tenant: &Tenant) -> Arc<Limiters> {
        let rates = tenant.policy.rates;
        let mut tenants = self.lock();
        if let Some(known) = tenants.get(&tenant.name)
            && known.rates == rates
        {
            return known.clone();
        }
        // The policy was changed: those under way go on counting, the rest begins anew.
        let under_way = tenants.get(&tenant.name).map(|known| known.under_way.clone()).unwrap_or_default();
        let limiters = Arc::new(Limiters::new(rates, under_way));
        tenants.insert(tenant.name.clone(), limiters.clone());
        limiters
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Limiters>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limiters {
    fn new(rates: Rates, under_way: Arc<AtomicU32>) -> Self {
        let limiter = |count: Option<u32>, quota: fn(NonZeroU32) -> Quota| {
            count.and_then(NonZeroU32::new).map(|count| RateLimiter::direct(quota(count)))
        };
        Self {
            rates,
            requests: limiter(rates.requests_per_second, Quota::per_second),
            submissions: limiter(rates.submissions_per_minute, Quota::per_minute),
            uploads: limiter(rates.uploads_per_hour, Quota::per_hour),
            under_way,
        }
    }
}

/// A rate of 0 allows nothing at all and has no limiter.
fn check(
    limiter: Option<&DefaultDirectRateLimiter>,
    what: &str,
    per: &str,
    limit: Option<u32>,
) -> Result<(), Problem> {
    let wait = match (limiter, limit) {
        (_, None) => return Ok(()),
        (None, Some(_)) => {
            let detail = format!("the tenant's policy allows no {what} at all");
            return Err(Problem::new(Kind::TooManyRequests, detail).retry_after(3600));
        }
        (Some(limiter), Some(_)) => match limiter.check() {
            Ok(()) => return Ok(()),
            Err(not_until) => not_until.wait_time_from(DefaultClock::default().now()),
        },
    };
    let seconds = wait.as_secs() + 1;
    let limit = limit.unwrap_or_default();
    let detail = format!("the tenant may have {limit} {what} in a {per}; ask again in {seconds} s");
    Err(Problem::new(Kind::TooManyRequests, detail).retry_after(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inquisitor_engine::gating::Policy;

    fn tenant(rates: Rates) -> Tenant {
        let policy = Policy { rates, ..Policy::default() };
        Tenant { name: "acme".into(), description: String::new(), policy, created: 0 }
    }

    #[test]
    fn requests_at_once_are_bounded_and_given_back() {
        let limits = RateLimits::default();
        let tenant = tenant(Rates { concurrent_requests: Some(2), ..Rates::default() });
        let one = limits.request(&tenant).unwrap();
        let _two = limits.request(&tenant).unwrap();
        assert_eq!(limits.request(&tenant).err().map(|problem| problem.status), Some(429));
        assert_eq!(limits.request(&tenant).err().map(|problem| problem.status), Some(429));
        drop(one);
        assert!(limits.request(&tenant).is_ok());
    }

    #[test]
    fn a_rate_bounds_and_says_when_to_come_back() {
        let limits = RateLimits::default();
        let slow = tenant(Rates { submissions_per_minute: Some(3), ..Rates::default() });
        for _ in 0..3 {
            limits.submission(&slow).unwrap();
        }
        let problem = limits.submission(&slow).unwrap_err();
        assert_eq!(problem.status, 429);
        assert!(problem.retry_after.is_some_and(|seconds| (1..=21).contains(&seconds)), "{problem:?}");
        limits.upload(&slow).unwrap();
        // Another policy begins anew.
        limits.submission(&tenant(Rates { submissions_per_minute: Some(4), ..Rates::default() })).unwrap();
    }

    #[test]
    fn a_rate_of_nothing_allows_nothing() {
        let limits = RateLimits::default();
        let none = tenant(Rates { uploads_per_hour: Some(0), ..Rates::default() });
        assert_eq!(limits.upload(&none).unwrap_err().status, 429);
    }
}
