//! `echo`: repeats what it is told, to try out an inquiry, a cluster or a connection.
//!
//! Every text of a step comes back as a reading of `message` whose attribute `of` says which text it is; the texts of
//! the substrate's column follow. In the mode `timed` the answer is how long it took, a reading of `response_time`. Where
//! a step says what it expects, another input fails.

#![deny(missing_docs, unsafe_code)]

use std::time::Duration;

use inquisitor_sdk::{
    About, Context, Error, Instrument, Observation, Reading, Selection, SubstrateError, log,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Longest delay that may be asked for: a longer one is a mistake in the unit.
const MAX_DELAY_MS: u64 = 60_000;
/// Most rows that may be asked for: each becomes a reading of its own.
const MAX_ROWS: u32 = 10_000;

/// Standard uncertainty of a response time in milliseconds: the clock is read twice, each time to a microsecond at worst.
const CLOCK_UNCERTAINTY_MS: f64 = 0.001;

/// How the instrument answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Repeat every text.
    #[default]
    Echo,
    /// Say how long it took instead.
    Timed,
}

/// Parameters of the instrument.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Whether to repeat the texts (`echo`) or to say how long it took instead (`timed`).
    mode: Mode,
    /// Milliseconds to wait before the answer, at most 60,000.
    #[schemars(range(max = 60_000))]
    response_delay_ms: u64,
    /// The substrate's text column to repeat. By default `message`, where there is such a column.
    column: Option<String>,
    /// How many rows of the substrate to repeat at most, at most 10,000.
    #[schemars(range(max = 10_000))]
    rows: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { mode: Mode::default(), response_delay_ms: 0, column: None, rows: 10 }
    }
}

/// What to do beside repeating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// Answer `pong`.
    Ping,
}

/// Parameters of a step.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Step {
    /// A text to repeat.
    message: Option<String>,
    /// Another text to repeat.
    greeting: Option<String>,
    /// `ping` to be answered `pong`.
    action: Option<Action>,
    /// A text to repeat and to compare with `expected_output`.
    input: Option<String>,
    /// What the input must be; the step fails where it is not, or where there is no input.
    expected_output: Option<String>,
}

struct Echo {
    parameters: Parameters,
}

impl Instrument for Echo {
    type Parameters = Parameters;
    type Step = Step;

    fn about() -> About {
        About::new("echo")
            .alias("basic_probe")
            .alias("basic-probe")
            .quantity("message", "1", "A text that was repeated; the attribute `of` says which")
            .quantity("response_time", "ms", "Time from the question to the answer")
    }

    fn open(parameters: Parameters, _context: &Context) -> Result<Self, Error> {
        if parameters.response_delay_ms > MAX_DELAY_MS {
            return Err(Error::invalid("/response_delay_ms", format!("must be at most {MAX_DELAY_MS}")));
        }
        if parameters.rows > MAX_ROWS {
            return Err(Error::invalid("/rows", format!("must be at most {MAX_ROWS}")));
        }
        Ok(Self { parameters })
    }

    fn observe(&mut self, step: Step, context: &Context) -> Result<Observation, Error> {
        let start = context.monotonic();
        context.sleep(Duration::from_millis(self.parameters.response_delay_ms));
        let mut observation = context.observation();
        if self.parameters.mode == Mode::Echo {
            let pong = step.action.map(|Action::Ping| "pong".to_owned());
            let texts = [
                ("message", &step.message),
                ("greeting", &step.greeting),
                ("action", &pong),
                ("input", &step.input),
            ];
            for (of, text) in texts {
                if let Some(text) = text {
                    observation.push(Reading::of("message", text.as_str()).attribute("of", of))?;
                }
            }
            self.repeat_substrate(&mut observation, context)?;
        }
        if let Some(expected) = &step.expected_output {
            match &step.input {
                Some(input) if input == expected => log::info!("the output is the expected one"),
                Some(input) => {
                    return Err(Error::failed(format!(
                        "the output is {input:?} where {expected:?} was expected"
                    )));
                }
                None => {
                    return Err(Error::failed(format!("there is no input where {expected:?} was expected")));
                }
            }
        }
        if self.parameters.mode == Mode::Timed {
            let took = context.monotonic().saturating_sub(start).as_secs_f64() * 1e3;
            observation.push(Reading::of("response_time", took).uncertainty(CLOCK_UNCERTAINTY_MS))?;
        }
        Ok(observation)
    }
}

impl Echo {
    fn repeat_substrate(&self, observation: &mut Observation, context: &Context) -> Result<(), Error> {
        let column = self.parameters.column.as_deref().unwrap_or("message");
        let mut left = self.parameters.rows;
        let Some(columns) = context.substrate().columns_if_any()? else {
            return match &self.parameters.column {
                Some(_) => Err(Error::invalid("/column", SubstrateError::None)),
                None => Ok(()),
            };
        };
        if !columns.iter().any(|info| info.name == column) {
            return match &self.parameters.column {
                Some(name) => Err(Error::invalid("/column", format!("the substrate has no column `{name}`"))),
                None => Ok(()),
            };
        }
        // A reader that is asked for no rows would have none to give.
        if left == 0 {
            return Ok(());
        }
        for batch in context.substrate().rows(&Selection::columns([column]))?.batch_rows(left) {
            let batch = batch?;
            for (row, text) in (batch.first_row()..).zip(batch.text_column(column)?.iter()) {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                if let Some(text) = text {
                    let row = i64::try_from(row)?;
                    let reading = Reading::of("message", text.as_str());
                    observation.push(reading.attribute("of", "substrate").attribute("row", row))?;
                }
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

inquisitor_sdk::export!(Echo);

#[cfg(test)]
mod tests {
    use inquisitor_sdk::Value;
    use inquisitor_sdk::testing::{Bench, Columns, json};

    use super::*;

    fn messages(observation: &Observation) -> Vec<(&str, &str)> {
        observation
            .readings()
            .iter()
            .filter(|reading| reading.quantity == "message")
            .map(|reading| (reading.attributes[0].1.as_str().unwrap(), reading.value.as_str().unwrap()))
            .collect()
    }

    #[test]
    fn every_text_comes_back() {
        let bench = Bench::<Echo>::new()
            .parameters(json!({ "response_delay_ms": 10, "mode": "echo" }))
            .substrate(Columns::new().integers("index", [0]).texts("message", ["demo_0"]));
        let observation =
            bench.observe(json!({ "message": "Hello, World!", "greeting": "Welcome" })).unwrap();
        assert_eq!(
            messages(&observation),
            [("message", "Hello, World!"), ("greeting", "Welcome"), ("substrate", "demo_0")]
        );
        assert_eq!(observation.len(), 3);
    }

    #[test]
    fn a_ping_is_answered_and_an_expected_output_passes() {
        let bench = Bench::<Echo>::new();
        assert_eq!(messages(&bench.observe(json!({ "action": "ping" })).unwrap()), [("action", "pong")]);
        let step = json!({ "input": "Hello World", "expected_output": "Hello World" });
        assert_eq!(messages(&bench.observe(step).unwrap()), [("input", "Hello World")]);
    }

    #[test]
    fn an_output_that_is_not_the_expected_one_fails_and_names_both() {
        let error =
            Bench::<Echo>::new().observe(json!({ "input": "a", "expected_output": "b" })).unwrap_err();
        assert_eq!(error, Error::failed(r#"the output is "a" where "b" was expected"#));
        let error = Bench::<Echo>::new().observe(json!({ "expected_output": "b" })).unwrap_err();
        assert_eq!(error, Error::failed(r#"there is no input where "b" was expected"#));
    }

    #[test]
    fn timed_says_only_how_long_it_took() {
        let bench = Bench::<Echo>::new().parameters(json!({ "mode": "timed", "response_delay_ms": 10 }));
        let observation = bench.observe(json!({ "message": "x" })).unwrap();
        assert_eq!(observation.len(), 1);
        let reading = &observation.readings()[0];
        assert_eq!(
            (reading.quantity.as_str(), &reading.value, reading.unit.as_str()),
            ("response_time", &Value::Number(10.0), "ms")
        );
    }

    #[test]
    fn rows_are_bounded_and_absent_ones_left_out() {
        let table = || Columns::new().texts("said", [Some("a"), None, Some("c"), Some("d")]);
        let bench =
            Bench::<Echo>::new().parameters(json!({ "column": "said", "rows": 3 })).substrate(table());
        assert_eq!(messages(&bench.observe(json!({})).unwrap()), [("substrate", "a"), ("substrate", "c")]);
        let bench =
            Bench::<Echo>::new().parameters(json!({ "column": "said", "rows": 0 })).substrate(table());
        assert_eq!(messages(&bench.observe(json!({})).unwrap()), []);
    }

    #[test]
    fn a_wrong_parameter_is_pointed_at() {
        let cases = [
            (json!({ "response_delay_ms": 60_001 }), "/response_delay_ms"),
            (json!({ "rows": 10_001 }), "/rows"),
            (json!({ "mode": "loud" }), "/mode"),
            (json!({ "column": "said" }), "/column"),
            (json!({ "delay": 1 }), "/delay"),
        ];
        for (parameters, expected) in cases {
            let error = Bench::<Echo>::new().parameters(parameters).observe(json!({})).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidParameters { pointer, .. } if pointer == expected),
                "{error}"
            );
        }
    }
}
