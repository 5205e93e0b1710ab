//! Faults of simulated sensors: what falsification and arbitration have to get over.
//!
//! `faults` is a list. Each has a `kind`, a `sensor` (its name, or none for every sensor), and `from` and `until`: an
//! RFC 3339 time or a length of time after the start; without them it holds from the first moment and to the last.
//! `from` belongs to the fault, `until` does not. Faults of a sensor apply one after another in the order of the list.
//!
//! | kind | parameters (default) | effect |
//! |---|---|---|
//! | `drift` | `rate`, `per` (1 h) | adds `rate · (t − from) / per` |
//! | `stuck` | `value` (the first one that the fault meets) | the value no longer changes |
//! | `dropout` | `probability` (1) | the value is absent |
//! | `spike` | `magnitude`, `probability` (0.01) | adds `magnitude` |
//! | `noise` | `stddev` | adds `stddev · n` |
//!
//! A probability is met where a uniform draw lies below it. Fault `f` of sensor `s` (both from 0) draws once for each
//! moment of the sensor that it holds at, from stream `(f + 1) · 2^32 + s`.

use inquisitor_manifest::spec::Parameters;
use serde_json::Value;

use super::gaussian::MAX_MAGNITUDE;
use super::random::{Draws, Seed};
use super::timeline::Timeline;
use crate::parameters::{Reader, nearest, one_of, shown};

/// Faults of a generator; each is looked at for every row.
const MAX_FAULTS: usize = 100;

/// A fault as declared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// Position of the sensor; none means every sensor.
    sensor: Option<usize>,
    from: i64,
    until: i64,
    effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    /// `per` in nanoseconds.
    Drift {
        rate: f64,
        per: i64,
    },
    Stuck {
        value: Option<f64>,
    },
    Dropout {
        probability: f64,
    },
    Spike {
        magnitude: f64,
        probability: f64,
    },
    Noise {
        stddev: f64,
    },
}

/// Reads `faults`.
pub(super) fn read(reader: &mut Reader<'_>, timeline: &Timeline, sensors: &[String]) -> Vec<Fault> {
    let faults = match reader.value("faults") {
        None => return Vec::new(),
        Some(Value::Array(faults)) if faults.len() <= MAX_FAULTS => faults,
        Some(_) => {
            reader.problem("faults", format!("must be a list of at most {MAX_FAULTS} faults"));
            return Vec::new();
        }
    };
    let mut read = Vec::with_capacity(faults.len());
    for (position, fault) in faults.iter().enumerate() {
        match fault.as_object() {
            None => reader.problem_at("faults", position, "must be an object"),
            Some(object) => {
                let pointer = format!("{}/{position}", reader.pointer_to("faults"));
                read.extend(read_one(reader, object, &pointer, timeline, sensors));
            }
        }
    }
    read
}

const KINDS: &[&str] = &["drift", "stuck", "dropout", "spike", "noise"];

/// Reads one fault; none after a problem.
fn read_one(
    parent: &mut Reader<'_>,
    object: &Parameters,
    pointer: &str,
    timeline: &Timeline,
    sensors: &[String],
) -> Option<Fault> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let known: &[&str] = match kind {
        "drift" => &["kind", "sensor", "from", "until", "rate", "per"],
        "stuck" => &["kind", "sensor", "from", "until", "value"],
        "dropout" => &["kind", "sensor", "from", "until", "probability"],
        "spike" => &["kind", "sensor", "from", "until", "magnitude", "probability"],
        "noise" => &["kind", "sensor", "from", "until", "stddev"],
        _ => {
            let hint =
                nearest(kind, KINDS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let mut reader = Reader::new(object, pointer, &[]);
            reader.problems.clear();
            reader.problem("kind", format!("must be {}{hint}", one_of(KINDS)));
            parent.problems.append(&mut reader.problems);
            return None;
        }
    };
    let mut reader = Reader::new(object, pointer, known);
    let any = -MAX_MAGNITUDE..=MAX_MAGNITUDE;
    let effect = match kind {
        "drift" => Effect::Drift {
            rate: required(&mut reader, "rate"),
            per: reader.duration("per").unwrap_or(3_600_000_000_000),
        },
        "stuck" => Effect::Stuck { value: reader.number("value", any) },
        "dropout" => Effect::Dropout { probability: reader.number("probability", 0.0..=1.0).unwrap_or(1.0) },
        "spike" => Effect::Spike {
            magnitude: required(&mut reader, "magnitude"),
            probability: reader.number("probability", 0.0..=1.0).unwrap_or(0.01),
        },
        _ => Effect::Noise { stddev: required(&mut reader, "stddev").abs() },
    };
    let sensor = reader.text("sensor").and_then(|name| {
        let position = sensors.iter().position(|sensor| sensor == name);
        if position.is_none() {
            let names: Vec<&str> = sensors.iter().map(String::as_str).collect();
            let hint = nearest(name, &names)
                .map(|near| format!("; did you mean {}?", shown(near)))
                .unwrap_or_default();
            reader.problem("sensor", format!("there is no sensor {}{hint}", shown(name)));
        }
        position
    });
    let from = reader.moment_or_offset("from", timeline.start).unwrap_or(timeline.start);
    let until = reader.moment_or_offset("until", timeline.start).unwrap_or(i64::MAX);
    if until <= from {
        reader.problem("until", "must be after `from`");
    }
    let is_sound = reader.problems.is_empty();
    parent.problems.append(&mut reader.problems);
    is_sound.then_some(Fault { sensor, from, until, effect })
}

/// A number that has no default.
fn required(reader: &mut Reader<'_>, name: &str) -> f64 {
    if reader.value(name).is_none() {
        reader.problem(name, "is required");
        return 0.0;
    }
    reader.number(name, -MAX_MAGNITUDE..=MAX_MAGNITUDE).unwrap_or(0.0)
}

/// The faults of all sensors as the rows go by.
pub(super) struct Faults {
    by_sensor: Vec<Vec<Active>>,
}

struct Active {
    fault: Fault,
    draws: Draws,
    /// What the sensor is stuck at.
    held: Option<f64>,
}

impl Faults {
    pub(super) fn new(faults: &[Fault], sensors: usize, seed: &Seed) -> Self {
        let of_sensor = |sensor: usize| {
            let numbered = (1_u64..).zip(faults);
            let own = numbered.filter(|(_, fault)| fault.sensor.is_none_or(|only| only == sensor));
            own.map(|(number, fault)| Active {
                fault: fault.clone(),
                draws: seed.stream((number << 32) + sensor as u64),
                held: None,
            })
            .collect()
        };
        Self { by_sensor: (0..sensors).map(of_sensor).collect() }
    }

    /// What the sensor shows instead of a value.
    pub(super) fn apply(&mut self, sensor: usize, time: i64, value: f64) -> Option<f64> {
        let mut shown = Some(value);
        // To the last one, also once the value is gone: each fault draws as if it were alone.
        for active in &mut self.by_sensor[sensor] {
            shown = active.apply(time, shown);
        }
        shown
    }
}

impl Active {
    fn apply(&mut self, time: i64, value: Option<f64>) -> Option<f64> {
        let Fault { from, until, effect, .. } = self.fault;
        if !(from..until).contains(&time) {
            return value;
        }
        match effect {
            #[allow(clippy::cast_precision_loss)]
            Effect::Drift { rate, per } => {
                let elapsed = (i128::from(time) - i128::from(from)) as f64;
                value.map(|value| value + rate * (elapsed / per as f64))
            }
            Effect::Stuck { value: given } => {
                self.held = self.held.or(given).or(value);
                value.and(self.held)
            }
            Effect::Dropout { probability } => {
                let is_met = self.draws.uniform() < probability;
                value.filter(|_| !is_met)
            }
            Effect::Spike { magnitude, probability } => {
                let is_met = self.draws.uniform() < probability;
                value.map(|value| if is_met { value + magnitude } else { value })
            }
            Effect::Noise { stddev } => {
                let added = stddev * self.draws.normal();
                value.map(|value| value + added)
            }
        }
    }
}
