use inquisitor_sdk::testing::{Bench, Columns, Json, json};
use inquisitor_sdk::{About, Instrument, NoParameters, Value};

use super::*;

const KIND: Kind =
    Kind { quantity: "temperature", unit: "Cel", baseline: 20.0, deviation: 0.2, range: (-40.0, 85.0) };

struct Thermometer(Probe);

impl Instrument for Thermometer {
    type Parameters = Parameters;
    type Step = NoParameters;

    fn about() -> About {
        About::new("thermometer").quantity("temperature", "Cel", "").calibrates()
    }

    fn open(parameters: Parameters, _: &Context) -> Result<Self, Error> {
        Probe::open(KIND, parameters).map(Self)
    }

    fn calibrate(&mut self, context: &Context) -> Result<Calibration, Error> {
        self.0.calibrate(context)
    }

    fn observe(&mut self, _: NoParameters, context: &Context) -> Result<Observation, Error> {
        self.0.observe(context)
    }
}

const ROOM: &str = "time,sensor,temperature,place\n\
    2026-01-01T00:00:00Z,north,4.26,a\n\
    2026-01-01T00:00:00Z,south,5.00,a\n\
    2026-01-01T00:01:00Z,north,,a\n\
    2026-01-01T00:02:00Z,north,4.51,a\n";

fn bench(parameters: Json) -> Bench<Thermometer> {
    Bench::new().parameters(parameters).substrate(Columns::from_csv(ROOM))
}

#[test]
fn one_sensor_is_read_with_offset_and_resolution() {
    let bench = bench(json!({ "sensor": "north", "offset": 1.0, "precision": 0.1 }));
    let observation = bench.observe(json!({})).unwrap();
    let series = &observation.series()[0];
    assert_eq!(series.values, [5.3, 5.5]);
    assert_eq!(series.times, [1_767_225_600_000_000_000, 1_767_225_720_000_000_000]);
    assert_eq!(series.uncertainties, [0.1 / 12.0_f64.sqrt()]);
    assert_eq!((series.unit.as_str(), series.confidence), ("Cel", 1.0));
    assert_eq!(bench.logs()[0].message, "1 rows have no temperature or no time; they are left out");
}

#[test]
fn noise_follows_the_seed_and_is_stated() {
    let values = |seed| {
        let observation = bench(json!({ "noise": 0.3 })).seed(seed).observe(json!({})).unwrap();
        assert_eq!(observation.series()[0].uncertainties, [0.3]);
        observation.series()[0].values.clone()
    };
    assert_eq!(values(1), values(1));
    assert_ne!(values(1), values(2));
    assert!(values(1).iter().zip([4.26, 5.0, 4.51]).all(|(value, truth)| (value - truth).abs() < 3.0));
}

#[test]
fn without_a_substrate_it_simulates_and_says_so() {
    let bench = Bench::<Thermometer>::new().clock(5);
    let observation = bench.observe(json!({})).unwrap();
    let reading = &observation.readings()[0];
    assert!((reading.value.as_f64().unwrap() - 20.0).abs() < 2.0, "{:?}", reading.value);
    assert_eq!((reading.confidence, reading.time), (SIMULATED_CONFIDENCE, Some(5)));
    assert_eq!(reading.attributes, [("simulated".to_owned(), Value::Boolean(true))]);
    assert_eq!(bench.logs()[0].level, log::Level::Warn);
}

#[test]
fn a_substrate_does_not_keep_it_from_simulating_when_asked() {
    let observation = bench(json!({ "source": "simulated", "baseline": -18.0 })).observe(json!({})).unwrap();
    assert!((observation.readings()[0].value.as_f64().unwrap() + 18.0).abs() < 2.0);
}

#[test]
fn the_calibration_records_what_it_corrects() {
    let calibration = bench(json!({ "offset": 0.5, "accuracy": 0.3 })).open().unwrap().calibrate().unwrap();
    let names: Vec<&str> = calibration.attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["offset", "gain", "standard_uncertainty"]);
    assert_eq!(calibration.attributes[0].1, Value::Number(0.5));
}

#[test]
fn a_wrong_parameter_is_pointed_at() {
    let cases = [
        (json!({ "column": "pressure" }), "/column"),
        (json!({ "column": "place" }), "/column"),
        (json!({ "time": "place" }), "/time"),
        (json!({ "sensor": "north", "sensor_column": "probe" }), "/sensor"),
        (json!({ "noise": -1.0 }), "/noise"),
        (json!({ "precision": 0.0 }), "/precision"),
        (json!({ "gain": 0.0 }), "/gain"),
        (json!({ "confidence": 2.0 }), "/confidence"),
        (json!({ "unit": "" }), "/unit"),
        (json!({ "source": "thin air" }), "/source"),
    ];
    for (parameters, expected) in cases {
        let error = bench(parameters).observe(json!({})).unwrap_err();
        assert!(matches!(&error, Error::InvalidParameters { pointer, .. } if pointer == expected), "{error}");
    }
    let error = Bench::<Thermometer>::new()
        .parameters(json!({ "source": "substrate" }))
        .observe(json!({}))
        .unwrap_err();
    assert!(matches!(&error, Error::InvalidParameters { pointer, .. } if pointer == "/source"), "{error}");
}

#[test]
fn a_sensor_that_is_not_there_is_named() {
    let error = bench(json!({ "sensor": "west" })).observe(json!({})).unwrap_err();
    assert_eq!(error, Error::failed("the substrate has no temperature of the sensor `west`"));
}
