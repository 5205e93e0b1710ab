//! `context`, `state` and `types`: facts, log, progress, cancellation, kept bytes.

use std::time::{Duration, Instant};

use super::own::{context, state, types};
use crate::call::Ended;
use crate::guest::Guest;
use crate::logs::{self, MAX_ATTRIBUTES};
use crate::recorder::wall_now;
use crate::request::LogLevel;

/// Reports of progress that come faster than this are dropped, save the last one.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of a progress message that are kept.
const MAX_PROGRESS_MESSAGE: usize = 256;

impl types::Host for Guest {}

impl context::Host for Guest {
    fn current(&mut self) -> wasmtime::Result<context::Facts> {
        let end = self.meter.deadline;
        let deadline = self
            .recorder
            .wall_value(|| {
                let left = end.saturating_duration_since(Instant::now());
                wall_now().saturating_add(i64::try_from(left.as_nanos()).unwrap_or(i64::MAX))
            })
            .map_err(Ended)?;
        Ok(context::Facts {
            inquiry: self.facts.inquiry.clone(),
            step: self.facts.step.clone(),
            instrument: self.facts.instrument.clone(),
            attempt: self.facts.attempt,
            started: self.facts.started,
            deadline: Some(deadline),
        })
    }

    fn log(
        &mut self,
        level: context::Level,
        message: String,
        attributes: Vec<types::Attribute>,
    ) -> wasmtime::Result<()> {
        let level = match level {
            context::Level::Trace => LogLevel::Trace,
            context::Level::Debug => LogLevel::Debug,
            context::Level::Info => LogLevel::Info,
            context::Level::Warn => LogLevel::Warn,
            context::Level::Error => LogLevel::Error,
        };
        // Over the limit nothing is worth converting; the line is counted.
        let attributes = if self.logs.is_full() {
            Vec::new()
        } else {
            let shown = attributes.iter().take(MAX_ATTRIBUTES);
            shown.map(|attribute| logs::attribute(&attribute.name, &text(&attribute.value))).collect()
        };
        self.logs.line(level, &message, attributes);
        Ok(())
    }

    fn progress(&mut self, fraction: f64, message: String) -> wasmtime::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let now = Instant::now();
        let too_fast = self.last_progress.is_some_and(|last| now.duration_since(last) < PROGRESS_INTERVAL);
        if too_fast && fraction < 1.0 {
            return Ok(());
        }
        self.last_progress = Some(now);
        listener.progress(fraction, &logs::escape(&message, MAX_PROGRESS_MESSAGE));
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        let cancelled = self.cancel.is_cancelled();
        if cancelled {
            // What the guest does from here on depends on when somebody lost patience.
            self.recorder.incomplete();
        }
        Ok(cancelled)
    }
}

/// A value for people.
fn text(value: &types::Value) -> String {
    match value {
        types::Value::Number(number) => number.to_string(),
        types::Value::Integer(integer) => integer.to_string(),
        types::Value::Text(text) => text.clone(),
        types::Value::Boolean(boolean) => boolean.to_string(),
        types::Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
    }
}

impl state::Host for Guest {
    fn load(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.state.clone())
    }

    fn store(&mut self, bytes: Vec<u8>) -> wasmtime::Result<Result<(), state::StateError>> {
        if bytes.len() as u64 > self.limits.state_bytes {
            return Ok(Err(state::StateError::TooLarge(self.limits.state_bytes)));
        }
        self.state = Some(bytes);
        self.stored = true;
        Ok(Ok(()))
    }
}
