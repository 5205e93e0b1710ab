//! `thermal-probe`: a thermometer.
//!
//! It reads a column of the substrate, or simulates where the inquiry has none, and answers as a real sensor would. The
//! model, the uncertainty and the parameters are those of `inquisitor-probe`.

#![deny(missing_docs, unsafe_code)]

use inquisitor_probe::{Kind, Parameters, Probe};
use inquisitor_sdk::{About, Calibration, Context, Error, Instrument, NoParameters, Observation};

/// A room; the range is that of a common silicon sensor.
const KIND: Kind =
    Kind { quantity: "temperature", unit: "Cel", baseline: 20.0, deviation: 0.2, range: (-40.0, 125.0) };

struct ThermalProbe(Probe);

impl Instrument for ThermalProbe {
    type Parameters = Parameters;
    type Step = NoParameters;

    fn about() -> About {
        About::new("thermal-probe")
            .alias("thermal")
            .quantity(KIND.quantity, KIND.unit, "Temperature at the probe")
            .calibrates()
    }

    fn open(parameters: Parameters, _context: &Context) -> Result<Self, Error> {
        Probe::open(KIND, parameters).map(Self)
    }

    fn calibrate(&mut self, context: &Context) -> Result<Calibration, Error> {
        self.0.calibrate(context)
    }

    fn observe(&mut self, _step: NoParameters, context: &Context) -> Result<Observation, Error> {
        self.0.observe(context)
    }
}

inquisitor_sdk::export!(ThermalProbe);

#[cfg(test)]
mod tests {
    use inquisitor_sdk::testing::{Bench, Columns, json};

    use super::*;

    #[test]
    fn it_reads_its_column_in_its_unit() {
        let bench = Bench::<ThermalProbe>::new()
            .parameters(json!({ "accuracy": 0.3 }))
            .substrate(Columns::from_csv("temperature,other\n4.25,1\n4.5,2\n"));
        let observation = bench.observe(json!({})).unwrap();
        let series = &observation.series()[0];
        assert_eq!((series.quantity.as_str(), series.unit.as_str()), ("temperature", "Cel"));
        assert_eq!(series.values, [4.25, 4.5]);
        assert_eq!(series.uncertainties, [0.3 / 3.0_f64.sqrt()]);
    }

    #[test]
    fn without_a_substrate_it_simulates_a_plausible_value() {
        for seed in 0..50 {
            let observation = Bench::<ThermalProbe>::new().seed(seed).observe(json!({})).unwrap();
            let value = observation.readings()[0].value.as_f64().unwrap();
            assert!((value - KIND.baseline).abs() < 6.0 * KIND.deviation, "{value}");
        }
    }

    #[test]
    fn it_is_known_by_its_alias() {
        let description = Bench::<ThermalProbe>::new().describe();
        assert_eq!(
            (description.name.as_str(), description.aliases),
            ("thermal-probe", vec!["thermal".to_owned()])
        );
    }
}
