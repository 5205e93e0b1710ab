//! What the log says of those who were turned away: enough to find a wrong secret, too little for them to fill a disk.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{ErrorKind, PeerError};

/// Least time between two warnings.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts those who were turned away since the last warning.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<(u64, Option<Instant>)>);

impl Strangers {
    /// Somebody did not prove himself, or is no member to talk to.
    pub(crate) fn turned_away(&self, address: SocketAddr, error: &PeerError) {
        let why = match error.kind() {
            ErrorKind::Unproven => "it does not know the cluster's secret".to_owned(),
            ErrorKind::Refused => "it left before it had proved itself".to_owned(),
            kind => kind.to_string(),
        };
        self.count(address, &why);
    }

    /// Somebody had to make room for others.
    pub(crate) fn pushed_out(&self, address: SocketAddr) {
        self.count(address, "too many connections at a time that had not proved themselves");
    }

    fn count(&self, address: SocketAddr, why: &str) {
        tracing::debug!(%address, why, "a connection was turned away");
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, warned) = &mut *state;
        *count += 1;
        if warned.is_none_or(|warned| warned.elapsed() >= PAUSE) {
            tracing::warn!(connections = *count, latest = %address, why, "connections to the members' port were turned away");
            (*count, *warned) = (0, Some(Instant::now()));
        }
    }
}
