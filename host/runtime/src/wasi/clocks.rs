//! `wasi:clocks`: the host's clocks, recorded, or the record.

use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::call::Ended;
use crate::guest::Guest;

/// What both clocks claim as their resolution. A constant, so that it is the same wherever the component runs.
const RESOLUTION: u64 = 1;

const SECOND: i64 = 1_000_000_000;

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        // A clock before 1970 is shown as 1970: the type has no sign.
        let now = self.recorder.wall_clock().map_err(Ended)?.max(0);
        Ok(wall_clock::Datetime {
            seconds: (now / SECOND).unsigned_abs(),
            nanoseconds: u32::try_from(now % SECOND).unwrap_or_default(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.recorder.monotonic_clock().map_err(Ended)?)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // Not shown to the guest, but decides how long it waits: recorded, so that a replay waits alike.
        let now = self.recorder.monotonic_clock().map_err(Ended)?;
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = match tokio::time::Instant::now().checked_add(Duration::from_nanos(duration)) {
            _ if duration == 0 => Timer::Elapsed { yielded: false },
            Some(end) => Timer::At(end),
            None => Timer::Never,
        };
        let timer = self.table.push(timer)?;
        subscribe(&mut self.table, timer)
    }
}

/// A point in time to wait for.
enum Timer {
    /// In the past. Yields once, so that a guest which polls in a loop leaves the thread to sockets and timers.
    Elapsed {
        yielded: bool,
    },
    At(tokio::time::Instant),
    /// Further away than the clock can say.
    Never,
}

#[async_trait::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        match self {
            Self::Elapsed { yielded: true } => {}
            Self::Elapsed { yielded } => {
                *yielded = true;
                tokio::task::yield_now().await;
            }
            Self::At(end) => tokio::time::sleep_until(*end).await,
            Self::Never => std::future::pending().await,
        }
    }
}
