//! Moments and sensors: the parameters that generators over time share.

use serde_json::Value;

use super::{MAX_ROWS, MAX_SENSORS};
use crate::parameters::Reader;

/// 2026-01-01T00:00:00Z in nanoseconds since the Unix epoch.
const DEFAULT_START: i64 = 1_767_225_600_000_000_000;

/// Moments at equal intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeline {
    pub(super) start: i64,
    interval: i64,
    pub(super) samples: u64,
}

impl Timeline {
    /// Reads `start`, `interval` and `samples`; `rows_per_moment` bounds the samples.
    pub(super) fn read(reader: &mut Reader<'_>, default_interval: i64, rows_per_moment: usize) -> Self {
        let start = reader.moment("start").unwrap_or(DEFAULT_START);
        let interval = reader.duration("interval").unwrap_or(default_interval);
        let most = MAX_ROWS / rows_per_moment.max(1) as u64;
        let samples = reader.whole("samples", 1..=most).unwrap_or(100.min(most));
        let is_in_range = i64::try_from(samples - 1)
            .ok()
            .and_then(|last| interval.checked_mul(last))
            .and_then(|length| start.checked_add(length))
            .is_some();
        if !is_in_range {
            reader.problem(
                "interval",
                "the last moment would be after the year 2261; take fewer samples or a shorter interval",
            );
        }
        Self { start, interval, samples }
    }

    /// The time of a moment, in nanoseconds since the Unix epoch.
    pub(super) fn at(&self, moment: u64) -> i64 {
        // Within range: checked for the last moment when the parameters were read.
        #[allow(clippy::cast_possible_wrap)]
        self.start.wrapping_add(self.interval.wrapping_mul(moment as i64))
    }
}

/// Reads `sensors`: a number, or names.
pub(super) fn sensors(reader: &mut Reader<'_>) -> Vec<String> {
    match reader.value("sensors") {
        Some(Value::Array(_)) => reader.names("sensors", MAX_SENSORS).unwrap_or_default(),
        _ => {
            let count = reader.whole("sensors", 1..=MAX_SENSORS as u64).unwrap_or(1);
            (1..=count).map(|number| format!("sensor-{number}")).collect()
        }
    }
}

/// Position in rows of one sensor after another at each moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) moment: u64,
    pub(super) sensor: usize,
    is_started: bool,
}

impl Position {
    /// Before the first row.
    pub(super) const BEFORE: Self = Self { moment: 0, sensor: 0, is_started: false };

    /// Goes to the next row; false at the end.
    pub(super) fn advance(&mut self, timeline: &Timeline, sensors: usize) -> bool {
        if !self.is_started {
            self.is_started = true;
        } else if self.sensor + 1 < sensors {
            self.sensor += 1;
        } else if self.moment < timeline.samples {
            self.sensor = 0;
            self.moment += 1;
        }
        self.moment < timeline.samples
    }
}
