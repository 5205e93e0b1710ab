//! Refusals on their way to the ledger: enough of them to see who tries what, and never so many that somebody without rights
//! makes the ledger grow.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inquisitor_engine::gating::Access;
use inquisitor_engine::journal::{Command, Journal as _};

use crate::app::App;

/// How long refusals are counted together.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// Refusals of one key that are recorded one by one in a window.
const EACH: u32 = 10;
/// How long a refused request waits for its refusal to be recorded.
const RECORD_TIMEOUT: Duration = Duration::from_secs(2);

/// What to do about a refusal.
#[derive(Debug, PartialEq)]
pub(super) enum Refused {
    /// Record it now.
    Record(Access),
    /// It was counted, and the count will be recorded.
    Counted,
}

/// Refusals of the current window. Holds one entry for each key that was refused in it.
#[derive(Default)]
pub(super) struct Refusals {
    inner: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    anonymous: u32,
    keys: HashMap<String, Counted>,
}

struct Counted {
    recorded: u32,
    /// The last one that was only counted, with how many there were.
    rest: Option<Access>,
}

impl Refusals {
    /// Somebody without a good key.
    pub(super) fn count_anonymous(&self) {
        let mut window = self.lock();
        window.anonymous = window.anonymous.saturating_add(1);
    }

    /// The holder of a key.
    pub(super) fn refused(&self, access: Access) -> Refused {
        let mut window = self.lock();
        let key = access.key.clone().unwrap_or_default();
        let counted = window.keys.entry(key).or_insert(Counted { recorded: 0, rest: None });
        if counted.recorded < EACH {
            counted.recorded += 1;
            return Refused::Record(access);
        }
        let before = counted.rest.as_ref().map_or(0, |rest| rest.count);
        counted.rest = Some(Access { count: before.saturating_add(1), ..access });
        Refused::Counted
    }

    /// End the window: what was counted in it and not recorded.
    pub(super) fn flush(&self, at: i64) -> Vec<Access> {
        let window = std::mem::take(&mut *self.lock());
        let mut counted: Vec<Access> = window.keys.into_values().filter_map(|counted| counted.rest).collect();
        if window.anonymous > 0 {
            counted.push(anonymous(window.anonymous, at));
        }
        counted
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn anonymous(count: u32, at: i64) -> Access {
    Access {
        action: "authenticate".to_owned(),
        resource: String::new(),
        tenant: None,
        key: None,
        role: None,
        request: String::new(),
        allowed: false,
        reason: Some("no key, or none that is good".to_owned()),
        count,
        at,
    }
}

/// Put a refusal into the ledger. The refusal holds even where that is not possible; the log has it then.
pub(super) async fn record(app: &App, access: Access) {
    let (key, action, count) = (access.key.clone(), access.action.clone(), access.count);
    let proposed = app.conductor.propose(Command::Decide { access: Box::new(access) });
    let failed = match tokio::time::timeout(RECORD_TIMEOUT, proposed).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    tracing::warn!(key, action, count, error = failed, "a refusal could not be recorded in the ledger");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(key: &str, request: u32) -> Access {
        Access { key: Some(key.into()), request: request.to_string(), ..anonymous(1, 0) }
    }

    #[test]
    fn some_are_recorded_and_the_rest_is_counted() {
        let refusals = Refusals::default();
        let recorded = (0..25).filter(|&n| refusals.refused(access("a", n)) != Refused::Counted).count();
        assert_eq!(recorded, 10);
        assert!(matches!(refusals.refused(access("b", 0)), Refused::Record(_)));
        let rest = refusals.flush(7);
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].count, rest[0].request.as_str()), (15, "24"));
        assert!(refusals.flush(8).is_empty());
        assert!(matches!(refusals.refused(access("a", 0)), Refused::Record(_)));
    }

    #[test]
    fn strangers_are_one_entry_however_many() {
        let refusals = Refusals::default();
        for _ in 0..1000 {
            refusals.count_anonymous();
        }
        let [entry] = refusals.flush(7).try_into().unwrap();
        assert_eq!((entry.count, entry.key, entry.at), (1000, None, 7));
    }
}
