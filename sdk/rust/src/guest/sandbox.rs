//! The host as the component sees it: our own interfaces and WASI's clocks and randomness.

use std::sync::Once;
use std::time::Duration;

use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::random::random;

use super::bindings::inquisitor::instrument::{context, state, substrate};
use super::convert;
use crate::context::Facts;
use crate::host::{BatchSource, Host};
use crate::logging::{LogLine, MAX_LEVEL};
use crate::substrate::{Column, ColumnInfo, Selection, SubstrateError};

/// The host of a component. Holds nothing: every call goes out.
pub(super) struct Sandbox;

impl Host for Sandbox {
    fn facts(&self) -> Facts {
        let facts = context::current();
        Facts {
            inquiry: facts.inquiry,
            step: facts.step,
            instrument: facts.instrument,
            attempt: facts.attempt,
            started: facts.started,
            deadline: facts.deadline,
        }
    }

    fn now(&self) -> i64 {
        let now = wall_clock::now();
        let seconds = i64::try_from(now.seconds).unwrap_or(i64::MAX);
        seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(now.nanoseconds))
    }

    fn monotonic(&self) -> u64 {
        monotonic_clock::now()
    }

    fn sleep(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        monotonic_clock::subscribe_duration(nanoseconds).block();
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&random::get_random_bytes(bytes.len() as u64));
    }

    fn progress(&self, fraction: f64, message: &str) {
        context::progress(fraction, message);
    }

    fn cancelled(&self) -> bool {
        context::cancelled()
    }

    fn load_state(&self) -> Option<Vec<u8>> {
        state::load()
    }

    fn store_state(&self, bytes: &[u8]) -> Result<(), u64> {
        state::store(bytes).map_err(|state::StateError::TooLarge(bound)| bound)
    }

    fn columns(&self) -> Result<Vec<ColumnInfo>, SubstrateError> {
        let columns = substrate::columns().map_err(convert::substrate_error)?;
        Ok(columns.into_iter().map(convert::column_info).collect())
    }

    fn rows(&self, selection: &Selection) -> Result<Box<dyn BatchSource>, SubstrateError> {
        let rows = substrate::Rows::open(&convert::selection(selection)).map_err(convert::substrate_error)?;
        Ok(Box::new(Reader(rows)))
    }
}

struct Reader(substrate::Rows);

impl BatchSource for Reader {
    fn next(&mut self, max_rows: u32) -> Result<Option<(u64, usize, Vec<Column>)>, SubstrateError> {
        let batch = self.0.next(max_rows).map_err(convert::substrate_error)?;
        Ok(batch.map(|batch| {
            let columns = batch.columns.into_iter().map(convert::column).collect();
            (batch.first_row, batch.rows as usize, columns)
        }))
    }
}

/// Send log lines and panics to the host. Called at the start of every export; does its work once.
pub(super) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The component has no other logger, so this cannot fail; if it did, there would be nowhere to say so.
        let _ = log::set_logger(&Logger);
        log::set_max_level(MAX_LEVEL);
        std::panic::set_hook(Box::new(|info| {
            context::log(context::Level::Error, &info.to_string(), &[]);
        }));
    });
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = LogLine::from(record);
            let level = match line.level {
                log::Level::Trace => context::Level::Trace,
                log::Level::Debug => context::Level::Debug,
                log::Level::Info => context::Level::Info,
                log::Level::Warn => context::Level::Warn,
                log::Level::Error => context::Level::Error,
            };
            context::log(level, &line.message, &convert::attributes(line.attributes));
        }
    }

    fn flush(&self) {}
}
