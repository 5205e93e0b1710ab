//! An instrument that misbehaves in each way that a test asks for: `{"behaviour": "…"}` in the parameters of a step, or in
//! those of the session, where `describe`-like calls and `open` are to misbehave.

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/1.0.0", world: "instrument-plugin" });
}

mod outside;
mod resources;

use bindings::exports::inquisitor::instrument::instrument::{
    Calibration, Guest as InstrumentGuest, GuestSession, Session as SessionHandle, Step,
};
use bindings::exports::inquisitor::instrument::metadata::{
    Description, Guest as MetadataGuest, Lifecycle, Quantity,
};
use bindings::inquisitor::instrument::types::{Attribute, Error, Observation, Reading, Series, Value};
use serde_json::Value as Json;

struct Hostile;

struct Session {
    panic_on_drop: bool,
}

impl MetadataGuest for Hostile {
    fn describe() -> Description {
        Description {
            name: "hostile".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Misbehaves".to_owned(),
            aliases: Vec::new(),
            quantities: vec![Quantity {
                name: "mischief".to_owned(),
                unit: "1".to_owned(),
                description: "How bad it was".to_owned(),
            }],
            parameters_schema: "{}".to_owned(),
            step_parameters_schema: "{}".to_owned(),
            capabilities: Vec::new(),
            lifecycle: Lifecycle::empty(),
        }
    }
}

impl InstrumentGuest for Hostile {
    type Session = Session;
}

impl Drop for Session {
    fn drop(&mut self) {
        assert!(!self.panic_on_drop, "asked to panic while being closed");
    }
}

impl GuestSession for Session {
    fn open(parameters: String) -> Result<SessionHandle, Error> {
        let parameters: Json = serde_json::from_str(&parameters).unwrap_or_default();
        let panic_on_drop = parameters.get("panic_on_drop").is_some();
        if parameters.get("behaviour").is_some() {
            behave(&parameters)?;
        }
        Ok(SessionHandle::new(Session { panic_on_drop }))
    }

    fn calibrate(&self) -> Result<Calibration, Error> {
        Ok(Calibration { valid_until: None, attributes: Vec::new() })
    }

    fn observe(&self, step: Step) -> Result<Observation, Error> {
        let parameters: Json = serde_json::from_str(&step.parameters).unwrap_or_default();
        behave(&parameters)
    }

    fn checkpoint(&self) -> Result<Vec<u8>, Error> {
        Ok(vec![0; 4 << 20])
    }

    fn restore(&self, _: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

/// One good reading with a value and attributes.
fn reading(value: Value, attributes: Vec<Attribute>) -> Reading {
    Reading {
        quantity: "mischief".to_owned(),
        value,
        unit: "1".to_owned(),
        uncertainty: None,
        confidence: 1.0,
        time: None,
        attributes,
    }
}

fn one(reading: Reading) -> Result<Observation, Error> {
    Ok(Observation { readings: vec![reading], series: Vec::new() })
}

fn number(value: f64) -> Result<Observation, Error> {
    one(reading(Value::Number(value), Vec::new()))
}

fn text(value: String) -> Result<Observation, Error> {
    one(reading(Value::Text(value), Vec::new()))
}

/// Do what is asked. `count` and `target` parametrise some of it.
fn behave(parameters: &Json) -> Result<Observation, Error> {
    let behaviour = parameters.get("behaviour").and_then(Json::as_str).unwrap_or("none");
    let count = parameters.get("count").and_then(Json::as_u64).unwrap_or(1);
    let target = parameters.get("target").and_then(Json::as_str).unwrap_or("");
    match behaviour {
        "none" => number(0.0),
        // Resources.
        "endless-loop" => resources::endless_loop(),
        "memory-bomb" => resources::memory_bomb(),
        "memory-recover" => number(resources::memory_recover() as f64),
        "stack-overflow" => number(resources::stack_overflow(count) as f64),
        "compute" => number(resources::compute(count)),
        "log-flood" => resources::log_flood(count).and_then(|()| number(0.0)),
        "log-huge" => resources::log_huge().and_then(|()| number(0.0)),
        "argument-huge" => resources::argument_huge(count).and_then(|()| number(0.0)),
        "host-call-flood" => resources::host_call_flood(count).and_then(|()| number(0.0)),
        "stdout" => resources::stdout(count).and_then(|()| number(0.0)),
        "pollables" => resources::pollables(count).and_then(|()| number(0.0)),
        "sleep" => resources::sleep(count).and_then(|()| number(0.0)),
        "random-huge" => number(resources::random_huge(count) as f64),
        "ask-cancelled" => resources::ask_cancelled(),
        "state-huge" => number(resources::state_huge(count) as f64),
        // The outside.
        "clocks" => outside::clocks(count).map(|value| value.to_string()).and_then(text),
        "random" => text(outside::random()),
        "environment" => text(outside::environment()),
        "tcp" => outside::tcp(target).and_then(text),
        "tcp-survive" => text(outside::tcp(target).unwrap_or_else(|_| "got over it".to_owned())),
        "udp" => outside::udp(target).and_then(text),
        "sockets" => number(outside::sockets(count) as f64),
        "lookup" => outside::lookup(target).and_then(text),
        "http" => outside::http(target).and_then(text),
        "read-file" => outside::read_file(target).and_then(text),
        "write-file" => outside::write_file(target).and_then(text),
        "exit" => outside::exit(count),
        // The contract.
        "panic" => panic!("asked to panic"),
        "not-finite" => number(f64::NAN),
        "undeclared" => {
            one(Reading { quantity: "virtue".to_owned(), ..reading(Value::Number(1.0), Vec::new()) })
        }
        "no-unit" => one(Reading { unit: String::new(), ..reading(Value::Number(1.0), Vec::new()) }),
        "too-confident" => one(Reading { confidence: 2.0, ..reading(Value::Number(1.0), Vec::new()) }),
        "many-attributes" => {
            let attribute = |index| Attribute { name: format!("a{index}"), value: Value::Boolean(true) };
            one(reading(Value::Number(1.0), (0..count).map(attribute).collect()))
        }
        "ragged-series" => {
            Ok(Observation { readings: Vec::new(), series: vec![series(vec![1.0; 3], vec![1; 2])] })
        }
        "huge-series" => Ok(Observation {
            readings: Vec::new(),
            series: vec![series(vec![1.0; count as usize], Vec::new())],
        }),
        "huge-text" => text("x".repeat(count as usize)),
        "many-readings" => {
            let readings = (0..count).map(|_| reading(Value::Number(1.0), Vec::new())).collect();
            Ok(Observation { readings, series: Vec::new() })
        }
        other => Err(Error::Failed(format!("no behaviour `{other}`"))),
    }
}

fn series(values: Vec<f64>, times: Vec<i64>) -> Series {
    Series {
        quantity: "mischief".to_owned(),
        unit: "1".to_owned(),
        times,
        values,
        uncertainties: Vec::new(),
        confidence: 1.0,
        attributes: Vec::new(),
    }
}

bindings::export!(Hostile with_types_in bindings);
