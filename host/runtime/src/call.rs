//! One call of a guest, from its start to its outcome: the time it may take, and the name of whatever ended it.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::engine::GUEST_STACK;
use crate::guest::{Guest, MAX_RESOURCES};
use crate::outcome::Failure;
use crate::ticker::{Running, Ticker};

/// How long a guest may go on after cancellation, so that one which asks `cancelled` can return by itself.
pub(crate) const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// Frames of the guest's stack that a trap names, from the top.
const TRAP_FRAMES: usize = 8;
/// Bytes of a trap's text that are kept.
const MAX_TRAP_TEXT: usize = 2 << 10;

/// A failure on its way through wasmtime's error type.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ended(pub(crate) Failure);

/// A call that is running. Made by [`begin`], to be given to [`end`].
pub(crate) struct Call {
    started: Instant,
    deadline: Instant,
    cancel: CancellationToken,
    fuel: u64,
    _running: Running,
}

/// What came out of a call.
pub(crate) enum Outcome<T> {
    /// The guest returned.
    Returned(T),
    /// The guest trapped or was ended by a limit within wasmtime.
    Error(wasmtime::Error),
    /// The call was abandoned while it waited: out of time.
    OutOfTime,
    /// The call was abandoned after its grace.
    Cancelled,
}

/// Resources that one call used.
pub(crate) struct Used {
    pub(crate) wall: Duration,
    pub(crate) fuel: u64,
}

/// Set the limits of one call.
pub(crate) fn begin(store: &mut Store<Guest>, ticker: &Ticker) -> wasmtime::Result<Call> {
    let running = ticker.run();
    let started = Instant::now();
    let (wall, fuel) = (store.data().limits.wall, store.data().limits.fuel.unwrap_or(u64::MAX));
    // A limit beyond what the clock can hold is no limit that anyone lives to see.
    let deadline = started.checked_add(wall).unwrap_or_else(|| started + Duration::from_secs(86_400 * 365));
    store.set_fuel(fuel)?;
    store.set_epoch_deadline(1);
    store.data_mut().begin(deadline);
    let cancel = store.data().cancel.clone();
    Ok(Call { started, deadline, cancel, fuel, _running: running })
}

impl Call {
    /// Wait for the guest, no longer than allowed. A guest that computes is interrupted by the epoch; one that waits for
    /// the host is dropped with what it waits for.
    pub(crate) async fn drive<T>(&self, guest: impl Future<Output = wasmtime::Result<T>>) -> Outcome<T> {
        // Not even made unless the guest waits for something.
        let expiry = async {
            tokio::select! {
                () = tokio::time::sleep_until(self.deadline.into()) => false,
                () = self.cancel.cancelled() => {
                    let end = self.deadline.min(Instant::now() + CANCEL_GRACE);
                    tokio::time::sleep_until(end.into()).await;
                    true
                }
            }
        };
        tokio::select! {
            biased;
            result = guest => match result {
                Ok(value) => Outcome::Returned(value),
                Err(error) => Outcome::Error(error),
            },
            cancelled = expiry => if cancelled { Outcome::Cancelled } else { Outcome::OutOfTime },
        }
    }

    /// The call is over.
    pub(crate) fn end(self, store: &Store<Guest>) -> Used {
        Used {
            wall: self.started.elapsed(),
            fuel: self.fuel.saturating_sub(store.get_fuel().unwrap_or_default()),
        }
    }
}

/// The name of whatever ended a call that did not return.
pub(crate) fn failure(store: &mut Store<Guest>, outcome: Outcome<std::convert::Infallible>) -> Failure {
    let guest = store.data_mut();
    let limits = &guest.limits;
    let limit_ms = u64::try_from(limits.wall.as_millis()).unwrap_or(u64::MAX);
    let error = match outcome {
        Outcome::Returned(never) => match never {},
        Outcome::OutOfTime => return Failure::WallLimit { limit_ms },
        Outcome::Cancelled => return Failure::Cancelled,
        Outcome::Error(error) => error,
    };
    if let Some(Ended(failure)) = error.downcast_ref::<Ended>() {
        return failure.clone();
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Failure::Exited { code: *code };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Failure::FuelLimit { limit: limits.fuel.unwrap_or(u64::MAX) },
        Some(Trap::StackOverflow) => return Failure::StackLimit { limit: GUEST_STACK as u64 },
        Some(Trap::Interrupt) => return Failure::WallLimit { limit_ms },
        _ => {}
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::Host { message: format!("no free slot for another instance: {error}") };
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        let limit = MAX_RESOURCES as u64;
        return Failure::ResultLimit { what: "host resources".to_owned(), limit, asked: limit + 1 };
    }
    let text = trap_text(&error);
    // wasmtime keeps these kinds of error to itself; their words are all there is.
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        let limit = limits.result_bytes;
        return Failure::ResultLimit { what: "bytes out of the guest".to_owned(), limit, asked: limit + 1 };
    }
    if text.contains("resource limit exceeded") {
        return Failure::InstanceLimit { message: text };
    }
    // What was refused in this call and not got over. Memory first: without it nothing works.
    if let Some(refused) = guest.limiter.take_refused() {
        return refused;
    }
    if let Some(asked) = guest.wasi.denied_in_call() {
        return Failure::CapabilityDenied { asked };
    }
    let message = match guest.logs.last_words() {
        Some(words) => crate::logs::escape(&format!("{words} ({text})"), MAX_TRAP_TEXT),
        None => text,
    };
    Failure::Trap { message }
}

/// What a failure that the guest itself returned really was: one after a refusal, or after cancellation, is named so.
pub(crate) fn returned(store: &mut Store<Guest>, failure: Failure) -> Failure {
    let guest = store.data_mut();
    if guest.cancel.is_cancelled() {
        return Failure::Cancelled;
    }
    // A wrong parameter is wrong whatever was refused.
    if matches!(failure, Failure::InvalidParameters { .. }) {
        return failure;
    }
    if let Some(asked) = guest.wasi.denied_in_call() {
        return Failure::CapabilityDenied { asked };
    }
    guest.limiter.take_refused().unwrap_or(failure)
}

/// The cause and the top of the guest's stack.
fn trap_text(error: &wasmtime::Error) -> String {
    let mut text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => format!("{:#}", error.root_cause()),
    };
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let names: Vec<String> = backtrace
            .frames()
            .iter()
            .take(TRAP_FRAMES)
            .map(|frame| match frame.func_name() {
                Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
                None => format!("function {}", frame.func_index()),
            })
            .collect();
        if !names.is_empty() {
            text.push_str(", in ");
            text.push_str(&names.join(" < "));
        }
    }
    crate::logs::escape(&text, MAX_TRAP_TEXT)
}
