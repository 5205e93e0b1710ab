//! One connection that is made when it is needed, by one attempt at a time.

use std::mem::discriminant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::time::{Instant, sleep_until};

use crate::dial::{Connection, Dialer};
use crate::error::{ErrorKind, PeerError};
use crate::time::{after, jittered};

type Attempt = Shared<BoxFuture<'static, Result<Connection, PeerError>>>;

enum State {
    /// Never connected, or not any more.
    Idle,
    /// All who need the connection wait for the same attempt.
    Connecting(Attempt),
    Connected(Connection),
    /// The last attempts failed, so many in a row; the next is due at `next`.
    Failed {
        attempts: u32,
        next: Instant,
        error: PeerError,
    },
}

/// A place for one connection.
pub(crate) struct Slot {
    dialer: Arc<Dialer>,
    state: Mutex<State>,
}

impl Slot {
    pub(crate) fn new(dialer: Arc<Dialer>) -> Arc<Self> {
        Arc::new(Self { dialer, state: Mutex::new(State::Idle) })
    }

    /// The connection. After a failure the next attempt waits for its time, unless this request is urgent; where that time
    /// is past the request's `deadline`, the last failure is returned at once.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        urgent: bool,
        deadline: Instant,
    ) -> Result<Connection, PeerError> {
        loop {
            let next = {
                let mut state = self.lock();
                match &*state {
                    State::Connected(connection) if connection.is_usable() => return Ok(connection.clone()),
                    // Over without another state only if its task was broken off.
                    State::Connecting(attempt) if attempt.peek().is_none() => Err(attempt.clone()),
                    State::Failed { next, error, .. } if !urgent && *next > Instant::now() => {
                        if *next >= deadline {
                            return Err(error.clone());
                        }
                        Ok(*next)
                    }
                    _ => Err(self.attempt(&mut state)),
                }
            };
            match next {
                Ok(next) => sleep_until(next).await,
                Err(attempt) => return attempt.await,
            }
        }
    }

    /// The peer's connection where there is one now.
    pub(crate) fn connected(&self) -> Option<Connection> {
        match &*self.lock() {
            State::Connected(connection) if connection.is_usable() => Some(connection.clone()),
            _ => None,
        }
    }

    /// No request shall use this connection any more.
    pub(crate) fn discard(&self, connection: &Connection) {
        let mut state = self.lock();
        if matches!(&*state, State::Connected(current) if current.is_same(connection)) {
            *state = State::Idle;
        }
    }

    /// Starts an attempt, in a task of its own: who waits for it may go away.
    fn attempt(self: &Arc<Self>, state: &mut State) -> Attempt {
        let before = match state {
            State::Failed { attempts, error, .. } => Some((*attempts, error.clone())),
            _ => None,
        };
        let slot = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = slot.dialer.dial().await;
            *slot.lock() = match &result {
                Ok(connection) => {
                    if before.is_some() {
                        tracing::info!(peer = %slot.dialer.target, "the peer is reached again");
                    }
                    State::Connected(connection.clone())
                }
                Err(error) => slot.failed(before, error),
            };
            result
        });
        let dialer = Arc::clone(&self.dialer);
        let broken_off = move |_| {
            dialer.error(ErrorKind::Lost {
                reason: "the attempt to connect was broken off".into(),
                processed: false,
            })
        };
        let attempt =
            task.map(move |result| result.unwrap_or_else(|error| Err(broken_off(error)))).boxed().shared();
        *state = State::Connecting(attempt.clone());
        attempt
    }

    /// Paces the next attempt, by the failure before.
    fn failed(&self, before: Option<(u32, PeerError)>, error: &PeerError) -> State {
        // Once for each time that a peer is lost and for each reason, not for each attempt.
        let is_news =
            before.as_ref().is_none_or(|(_, last)| discriminant(last.kind()) != discriminant(error.kind()));
        let attempts = before.map_or(0, |(attempts, _)| attempts);
        match is_news {
            true => tracing::warn!(%error, "cannot connect to a peer"),
            false => tracing::debug!(%error, attempts, "still cannot connect to a peer"),
        }
        let options = &self.dialer.options;
        let pause = options.backoff_max.min(options.backoff.saturating_mul(1 << attempts.min(16)));
        State::Failed {
            attempts: attempts.saturating_add(1),
            next: after(jittered(pause)),
            error: error.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
