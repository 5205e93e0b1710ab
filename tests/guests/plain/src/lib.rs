//! An instrument that behaves: it reads its parameters, sums what the substrate has, keeps a count, and answers.

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/1.0.0", world: "instrument-plugin" });
}

use std::cell::Cell;

use bindings::exports::inquisitor::instrument::instrument::{
    Calibration, Guest as InstrumentGuest, GuestSession, Session as SessionHandle, Step,
};
use bindings::exports::inquisitor::instrument::metadata::{
    Description, Guest as MetadataGuest, Lifecycle, Quantity,
};
use bindings::inquisitor::instrument::context::{self, Level};
use bindings::inquisitor::instrument::substrate::{ColumnValues, Rows, Selection, SubstrateError};
use bindings::inquisitor::instrument::types::{
    Attribute, Error, Observation, ParameterError, Reading, Series, Unavailability, Value,
};
use bindings::inquisitor::instrument::{state, substrate};
use serde_json::Value as Json;

struct Plain;

struct Session {
    gain: f64,
    offset: Cell<f64>,
    observations: Cell<u64>,
}

impl MetadataGuest for Plain {
    fn describe() -> Description {
        Description {
            name: "plain".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Sums what it is given".to_owned(),
            aliases: vec!["sum".to_owned()],
            quantities: vec![Quantity {
                name: "total".to_owned(),
                unit: "1".to_owned(),
                description: "The sum of all numbers".to_owned(),
            }],
            parameters_schema: r#"{"type":"object","properties":{"gain":{"type":"number"}}}"#.to_owned(),
            step_parameters_schema: r#"{"type":"object"}"#.to_owned(),
            capabilities: Vec::new(),
            lifecycle: Lifecycle::CALIBRATE | Lifecycle::CHECKPOINT,
        }
    }
}

impl InstrumentGuest for Plain {
    type Session = Session;
}

fn invalid(pointer: &str, message: &str) -> Error {
    Error::InvalidParameters(ParameterError { pointer: pointer.to_owned(), message: message.to_owned() })
}

impl GuestSession for Session {
    fn open(parameters: String) -> Result<SessionHandle, Error> {
        let parameters: Json =
            serde_json::from_str(&parameters).map_err(|error| invalid("", &error.to_string()))?;
        let gain = match parameters.get("gain") {
            None => 1.0,
            Some(gain) => gain.as_f64().ok_or_else(|| invalid("/gain", "not a number"))?,
        };
        Ok(SessionHandle::new(Session { gain, offset: Cell::new(0.0), observations: Cell::new(0) }))
    }

    fn calibrate(&self) -> Result<Calibration, Error> {
        self.offset.set(0.5);
        let offset = Attribute { name: "offset".to_owned(), value: Value::Number(0.5) };
        Ok(Calibration { valid_until: Some(1), attributes: vec![offset] })
    }

    fn observe(&self, step: Step) -> Result<Observation, Error> {
        let parameters: Json =
            serde_json::from_str(&step.parameters).map_err(|error| invalid("", &error.to_string()))?;
        self.observations.set(self.observations.get() + 1);
        if let Some(line) = parameters.get("log").and_then(Json::as_str) {
            let count =
                Attribute { name: "count".to_owned(), value: Value::Integer(self.observations.get() as i64) };
            context::log(Level::Warn, line, &[count]);
            context::progress(1.0, line);
        }
        if parameters.get("keep").is_some() {
            let kept = state::load().map_or(0, |bytes| bytes.first().copied().unwrap_or(0));
            state::store(&[kept + 1]).map_err(|_| Error::Failed("too large".to_owned()))?;
        }
        if let Some(seconds) = parameters.get("unavailable").and_then(Json::as_u64) {
            let retry_after = Some(seconds * 1_000_000_000);
            return Err(Error::Unavailable(Unavailability { message: "asleep".to_owned(), retry_after }));
        }
        if let Some(message) = parameters.get("fail").and_then(Json::as_str) {
            return Err(Error::Failed(message.to_owned()));
        }
        let rows = parameters.get("rows").and_then(Json::as_u64).unwrap_or(10_000) as u32;
        let (total, count) = total(rows)?;
        let total = total * self.gain + self.offset.get();
        if parameters.get("series").is_some() {
            let series = Series {
                quantity: "total".to_owned(),
                unit: "1".to_owned(),
                times: vec![1, 2, 3],
                values: vec![total; 3],
                uncertainties: vec![0.25],
                confidence: 0.5,
                attributes: Vec::new(),
            };
            return Ok(Observation { readings: Vec::new(), series: vec![series] });
        }
        let facts = parameters.get("facts").map(|_| context::current());
        let mut attributes = vec![Attribute { name: "rows".to_owned(), value: Value::Integer(count as i64) }];
        if let Some(facts) = facts {
            attributes
                .push(Attribute { name: "instrument".to_owned(), value: Value::Text(facts.instrument) });
            attributes.push(Attribute { name: "step".to_owned(), value: Value::Text(facts.step) });
            attributes.push(Attribute {
                name: "deadline".to_owned(),
                value: Value::Boolean(facts.deadline.is_some()),
            });
        }
        let reading = Reading {
            quantity: "total".to_owned(),
            value: Value::Number(total),
            unit: "1".to_owned(),
            uncertainty: Some(0.0),
            confidence: 1.0,
            time: None,
            attributes,
        };
        Ok(Observation { readings: vec![reading], series: Vec::new() })
    }

    fn checkpoint(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = self.offset.get().to_le_bytes().to_vec();
        bytes.extend(self.observations.get().to_le_bytes());
        Ok(bytes)
    }

    fn restore(&self, checkpoint: Vec<u8>) -> Result<(), Error> {
        let Some((offset, observations)) = checkpoint.split_first_chunk::<8>() else {
            return Err(Error::Failed("not a checkpoint".to_owned()));
        };
        let observations =
            observations.try_into().map_err(|_| Error::Failed("not a checkpoint".to_owned()))?;
        self.offset.set(f64::from_le_bytes(*offset));
        self.observations.set(u64::from_le_bytes(observations));
        Ok(())
    }
}

/// The sum of all numbers of the substrate, and how many rows it has; zero where there is none.
fn total(max_rows: u32) -> Result<(f64, u64), Error> {
    let selection = Selection { columns: Vec::new(), where_equal: Vec::new(), from_row: 0 };
    let rows = match Rows::open(&selection) {
        Ok(rows) => rows,
        Err(SubstrateError::None) => return Ok((0.0, 0)),
        Err(error) => return Err(refused(&error)),
    };
    let (mut total, mut count) = (0.0, 0);
    while let Some(batch) = rows.next(max_rows).map_err(|error| refused(&error))? {
        count += u64::from(batch.rows);
        for column in &batch.columns {
            if let ColumnValues::Number(values) = &column.values {
                total += values.iter().sum::<f64>();
            }
        }
    }
    Ok((total, count))
}

fn refused(error: &substrate::SubstrateError) -> Error {
    Error::Failed(format!("{error:?}"))
}

bindings::export!(Plain with_types_in bindings);
