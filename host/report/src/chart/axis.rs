//! Axes: where values lie, and which of them are labelled.

use inquisitor_findings::format;
use jiff::Timestamp;
use jiff::tz::Offset;

/// A stretch of values on a stretch of the drawing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// A labelled value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Axis {
    /// An axis that shows all values from `low` to `high` between two places; where they are equal, they lie in the
    /// middle.
    pub(super) fn new(low: f64, high: f64, from: f64, to: f64) -> Self {
        let (low, high) = if low < high {
            (low, high)
        } else {
            let room = (low.abs() * 0.1).max(0.5);
            (low - room, low + room)
        };
        Self { low, high, from, to }
    }

    /// The same axis with the ends on labelled values.
    pub(super) fn rounded(self) -> Self {
        let step = self.step();
        Self { low: (self.low / step).floor() * step, high: (self.high / step).ceil() * step, ..self }
    }

    /// Where a value lies.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Distance of labelled values: 1, 2 or 5 times a power of ten, some six of them on the axis.
    fn step(&self) -> f64 {
        let rough = (self.high - self.low) / 6.0;
        #[allow(clippy::cast_possible_truncation)]
        let power = 10_f64.powi(rough.log10().floor() as i32);
        let step = match rough / power {
            ratio if ratio <= 1.0 => power,
            ratio if ratio <= 2.0 => 2.0 * power,
            ratio if ratio <= 5.0 => 5.0 * power,
            _ => 10.0 * power,
        };
        if step.is_normal() { step } else { f64::MIN_POSITIVE }
    }

    /// Labelled numbers.
    pub(super) fn numbers(&self) -> Vec<Tick> {
        let step = self.step();
        let first = (self.low / step).ceil();
        (0_u32..20)
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            // The product is not quite the decimal that it stands for.
            .map(|value| Tick {
                at: self.at(value),
                label: format::significant(if value.abs() < step / 2.0 { 0.0 } else { value }, 12),
            })
            .collect()
    }

    /// Labelled moments; values are seconds after `base`, nanoseconds since the Unix epoch. Of a record that is
    /// shorter than two seconds the seconds since `base` are labelled.
    pub(super) fn moments(&self, base: i64) -> Vec<Tick> {
        let length = self.high - self.low;
        if length < 2.0 {
            return self
                .numbers()
                .into_iter()
                .map(|tick| Tick { label: format!("+{} s", tick.label), ..tick })
                .collect();
        }
        let step = STEPS.iter().copied().find(|step| length / step <= 7.0).unwrap_or_else(|| {
            // Powers of ten of days.
            #[allow(clippy::cast_possible_truncation)]
            let power = (length / 86_400.0 / 7.0).log10().ceil() as i32;
            10_f64.powi(power) * 86_400.0
        });
        #[allow(clippy::cast_precision_loss)]
        let base = base as f64 / 1e9;
        let first = ((base + self.low) / step).ceil();
        (0_u32..20)
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|value| value - base <= self.high)
            .map(|value| Tick { at: self.at(value - base), label: moment(value, step) })
            .collect()
    }
}

/// Distances of labelled moments in seconds.
const STEPS: &[f64] = &[
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
];

/// A moment with what tells it from its neighbours.
fn moment(seconds: f64, step: f64) -> String {
    #[allow(clippy::cast_possible_truncation)]
    let Ok(time) = Timestamp::from_second(seconds.round() as i64) else {
        return format::plain(seconds);
    };
    let time = Offset::UTC.to_datetime(time);
    if step >= 86_400.0 {
        time.date().to_string()
    } else if step >= 60.0 {
        format!("{:02}-{:02} {:02}:{:02}", time.month(), time.day(), time.hour(), time.minute())
    } else {
        format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn numbers_are_round() {
        let axis = Axis::new(2.03, 8.21, 0.0, 100.0).rounded();
        assert_eq!(labels(axis.numbers()), ["2", "4", "6", "8", "10"]);
        let axis = Axis::new(-0.1, 0.25, 0.0, 100.0);
        assert_eq!(labels(axis.numbers()), ["-0.1", "0", "0.1", "0.2"]);
        assert_eq!(labels(Axis::new(5.0, 5.0, 0.0, 1.0).numbers()), ["4.6", "4.8", "5", "5.2", "5.4"]);
    }

    #[test]
    fn moments_are_round() {
        let base = 1_767_225_600_000_000_000;
        let of = |length: f64| labels(Axis::new(0.0, length, 0.0, 1.0).moments(base));
        assert_eq!(of(3600.0 * 6.0)[..2], ["01-01 00:00", "01-01 01:00"]);
        assert_eq!(of(20.0)[1], "00:00:05");
        assert_eq!(of(0.02)[1], "+0.005 s");
        assert_eq!(of(86_400.0 * 10.0)[..2], ["2026-01-01", "2026-01-03"]);
        assert_eq!(of(86_400.0 * 4000.0)[..2], ["2027-07-01", "2030-03-27"]);
        let later = Axis::new(0.0, 100.0, 0.0, 1.0).moments(base + 1_000_000_000);
        assert_eq!(labels(later)[0], "00:00:15");
    }

    proptest! {
        #[test]
        fn any_range_has_a_few_ticks_within(low in -1e100..1e100_f64, length in 0.0..1e100_f64) {
            let axis = Axis::new(low, low + length, 0.0, 100.0);
            for ticks in [axis.numbers(), axis.rounded().numbers()] {
                prop_assert!(ticks.len() <= 20);
                for tick in ticks {
                    prop_assert!((-0.01..=100.01).contains(&tick.at), "{tick:?}");
                }
            }
        }

        #[test]
        fn any_record_has_a_few_moments_within(base: i64, length in 0.0..1e10_f64) {
            let ticks = Axis::new(0.0, length, 0.0, 100.0).moments(base);
            prop_assert!(ticks.len() <= 20);
            for tick in ticks {
                prop_assert!((-0.01..=100.01).contains(&tick.at), "{tick:?}");
            }
        }
    }
}
