use inquisitor_sdk::{
    About, Context, Error, Instrument, NoParameters, Observation, Reading, Selection, log,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Parameters of the instrument. The comments on the fields become the descriptions in its schema.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The column that is true while the door is open.
    #[serde(default = "open")]
    column: String,
    /// Seconds between two looks at the switch: what happens between them is not seen.
    period: f64,
}

fn open() -> String {
    "open".to_owned()
}

struct FreezerDoor {
    parameters: Parameters,
}

impl Instrument for FreezerDoor {
    type Parameters = Parameters;
    type Step = NoParameters;

    fn about() -> About {
        About::new("freezer-door").quantity("open_time", "s", "How long the door stood open")
    }

    fn open(parameters: Parameters, _context: &Context) -> Result<Self, Error> {
        if parameters.period <= 0.0 {
            return Err(Error::invalid("/period", "must be more than zero"));
        }
        Ok(Self { parameters })
    }

    fn observe(&mut self, _step: NoParameters, context: &Context) -> Result<Observation, Error> {
        let column = self.parameters.column.as_str();
        let (mut open, mut changes, mut before) = (0_u32, 0_u32, false);
        for batch in context.substrate().rows(&Selection::columns([column]))? {
            for &now in batch?.bool_column(column)?.iter().flatten() {
                open += u32::from(now);
                changes += u32::from(now != before);
                before = now;
            }
        }
        log::info!("the door moved {changes} times");

        // Each movement happened at any time between two looks: rectangular, period/√12 each.
        let period = self.parameters.period;
        let uncertainty = (f64::from(changes) * period * period / 12.0).sqrt();
        let mut observation = context.observation();
        observation
            .push(Reading::of("open_time", f64::from(open) * period).uncertainty(uncertainty))?;
        Ok(observation)
    }
}

inquisitor_sdk::export!(FreezerDoor);

#[cfg(test)]
mod tests {
    use inquisitor_sdk::testing::{Bench, Columns, json};

    use super::*;

    #[test]
    fn it_finds_how_long_the_door_stood_open() {
        let bench = Bench::<FreezerDoor>::new()
            .parameters(json!({ "period": 10.0 }))
            .substrate(Columns::from_csv("open\nfalse\ntrue\ntrue\nfalse\n"));
        let observation = bench.observe(json!({})).unwrap();
        let reading = &observation.readings()[0];
        assert_eq!(
            (reading.value.as_f64(), reading.unit.as_str()),
            (Some(20.0), "s")
        );
        assert_eq!(bench.logs()[0].message, "the door moved 2 times");
    }

    #[test]
    fn a_period_that_is_no_number_is_pointed_at() {
        let bench = Bench::<FreezerDoor>::new().parameters(json!({ "period": "long" }));
        let error = bench.open().err();
        assert!(
            matches!(error, Some(Error::InvalidParameters { pointer, .. }) if pointer == "/period")
        );
    }
}
