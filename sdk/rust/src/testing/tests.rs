use serde::Deserialize;

use super::*;
use crate::{About, NoParameters, Reading, Selection, Series};

/// Uses everything that a context offers.
#[derive(Debug)]
struct Everything {
    count: u32,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where to start to count.
    #[serde(default)]
    from: u32,
}

impl Instrument for Everything {
    type Parameters = Settings;
    type Step = NoParameters;

    fn about() -> About {
        About::new("everything")
            .quantity("count", "1", "Observations so far")
            .quantity("noise", "mV", "A random number")
            .quantity("level", "m", "The column `level`")
            .calibrates()
            .checkpoints()
    }

    fn open(parameters: Settings, _: &Context) -> Result<Self, Error> {
        Ok(Self { count: parameters.from })
    }

    fn calibrate(&mut self, context: &Context) -> Result<Calibration, Error> {
        context.sleep(Duration::from_millis(5));
        Ok(Calibration::default().valid_until(context.now()).attribute("offset", 0.5))
    }

    fn observe(&mut self, _: NoParameters, context: &Context) -> Result<Observation, Error> {
        if context.cancelled() {
            return Err(Error::failed("nobody wants to know"));
        }
        self.count += 1;
        log::info!(count = self.count; "observing as {}", context.facts().instrument);
        context.progress(0.5, "half");
        let mut observation = context.observation();
        observation.push(Reading::of("count", self.count))?;
        observation.push(Reading::of("noise", context.random().normal(0.0, 1.0)))?;
        if context.substrate().columns_if_any()?.is_some() {
            let mut levels = Vec::new();
            for batch in
                context.substrate().rows(&Selection::columns(["level"]).where_equal("tank", 2))?.batch_rows(2)
            {
                levels.extend(batch?.f64_column("level")?.iter().flatten());
            }
            observation.push_series(Series::of("level", levels))?;
        }
        let before = context.load_state().unwrap_or_default();
        context.store_state(&[before, vec![1]].concat())?;
        Ok(observation)
    }

    fn checkpoint(&mut self, _: &Context) -> Result<Vec<u8>, Error> {
        Ok(self.count.to_le_bytes().to_vec())
    }

    fn restore(&mut self, checkpoint: &[u8], _: &Context) -> Result<(), Error> {
        let bytes = checkpoint.try_into().map_err(|_| Error::failed("the checkpoint is not 4 bytes"))?;
        self.count = u32::from_le_bytes(bytes);
        Ok(())
    }
}

crate::export!(Everything);

#[test]
fn the_bench_shows_all_that_the_instrument_did() {
    let bench = Bench::<Everything>::new().parameters(json!({ "from": 4 })).state([7]).clock(1_000_000_000);
    let observation = bench.observe(json!({})).unwrap();

    assert_eq!(observation.readings()[0].value, crate::Value::Integer(5));
    assert_eq!(observation.readings()[1].unit, "mV");
    assert_eq!(bench.sleeps(), [Duration::from_millis(5)]);
    assert_eq!(bench.progress(), [(0.5, "half".to_owned())]);
    assert_eq!(bench.kept_state(), Some(vec![7, 1]));
    let logs = bench.logs();
    assert_eq!(logs.len(), 1);
    assert_eq!((logs[0].level, logs[0].message.as_str()), (log::Level::Info, "observing as bench"));
    assert_eq!(logs[0].attributes, [("count".to_owned(), crate::Value::Integer(5))]);
}

#[test]
fn sleeping_moves_the_clock_and_takes_no_time() {
    let bench = Bench::<Everything>::new().clock(100);
    let calibration = bench.open().unwrap().calibrate().unwrap();
    assert_eq!(calibration.valid_until, Some(5_000_100));
}

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
    let noise =
        |seed| Bench::<Everything>::new().seed(seed).observe(json!({})).unwrap().readings()[1].value.clone();
    assert_eq!(noise(7), noise(7));
    assert_ne!(noise(7), noise(8));
}

#[test]
fn rows_are_selected_and_absent_values_left_out() {
    let table = Columns::from_csv("tank,level\n1,0.5\n2,1.5\n2,\n2,2.5\n1,9\n2,3.5\n");
    let observation = Bench::<Everything>::new().substrate(table).observe(json!({})).unwrap();
    assert_eq!(observation.series()[0].values, [1.5, 2.5, 3.5]);
    assert_eq!(observation.series()[0].unit, "m");
}

#[test]
fn a_session_goes_on_from_a_checkpoint() {
    let bench = Bench::<Everything>::new();
    let mut first = bench.open().unwrap();
    first.observe(json!({})).unwrap();
    let checkpoint = first.checkpoint().unwrap();
    let mut second = bench.open().unwrap();
    second.restore(&checkpoint).unwrap();
    let observation = second.observe(json!({})).unwrap();
    assert_eq!(observation.readings()[0].value, crate::Value::Integer(2));
    assert_eq!(second.restore(b"x").unwrap_err(), Error::failed("the checkpoint is not 4 bytes"));
}

#[test]
fn wrong_parameters_are_refused_as_in_a_component() {
    let error = Bench::<Everything>::new().parameters(json!({ "from": -1 })).open().unwrap_err();
    assert!(matches!(&error, Error::InvalidParameters { pointer, .. } if pointer == "/from"), "{error}");
    let error = Bench::<Everything>::new().observe(json!({ "x": 1 })).unwrap_err();
    assert!(matches!(&error, Error::InvalidParameters { pointer, .. } if pointer == "/x"), "{error}");
}

#[test]
fn a_cancelled_inquiry_is_told() {
    let error = Bench::<Everything>::new().cancelled(true).observe(json!({})).unwrap_err();
    assert_eq!(error, Error::failed("nobody wants to know"));
}

#[test]
fn the_description_carries_the_documentation_of_the_parameters() {
    let description = Bench::<Everything>::new().describe();
    let from = &description.parameters_schema["properties"]["from"];
    assert_eq!(from["description"], "Where to start to count.");
    assert_eq!(description.parameters_schema["additionalProperties"], false);
    assert_eq!(description.step_parameters_schema["type"], "object");
}

#[test]
fn normal_numbers_have_the_mean_and_the_deviation_asked_for() {
    let bench = Bench::<Everything>::new().seed(3);
    let context = bench.open().unwrap().context;
    let mut random = context.random();
    let numbers: Vec<f64> = (0..20_000).map(|_| random.normal(10.0, 2.0)).collect();
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
    // Five standard errors of each.
    assert!((mean - 10.0).abs() < 5.0 * 2.0 / 20_000_f64.sqrt(), "{mean}");
    assert!((variance - 4.0).abs() < 5.0 * 4.0 * (2.0 / 20_000_f64).sqrt(), "{variance}");
}

#[test]
fn csv_columns_have_the_types_that_a_host_gives_them() {
    let columns: [&[&str]; 14] = [
        &["1", "", "-2"],
        &["1", "2.5"],
        &["1e3", "+2"],
        &["true", "False"],
        &["2026-01-01T00:00:00Z", ""],
        &["2026-01-01T01:00:00+01:00"],
        &["a", "b"],
        &["", ""],
        &["1", "nan"],
        &["inf"],
        &["007", "12"],
        &["-0.25", "0"],
        &[" 1", "2 "],
        &["NA", "1"],
    ];
    let folder = tempfile::tempdir().unwrap();
    for fields in columns {
        let text = format!("x,y\n{}", fields.iter().map(|field| format!("{field},1\n")).collect::<String>());
        std::fs::write(folder.path().join("table.csv"), &text).unwrap();
        let file = inquisitor_manifest::spec::Substrate::File {
            path: "table.csv".to_owned(),
            parameters: serde_json::Map::default(),
        };
        let host =
            inquisitor_substrate::open(&file, Some(folder.path()), [0; 32]).unwrap().columns().unwrap();
        let kind = format!("{:?}", host[0].kind).to_lowercase();
        assert_eq!(Columns::from_csv(&text).infos()[0].kind.name(), kind, "{fields:?}");
    }
}

/// Calibrates and has checkpoints, and says neither; stores state and then fails; its checkpoint is too large.
struct Careless<const SAYS: bool>;

impl<const SAYS: bool> Instrument for Careless<SAYS> {
    type Parameters = NoParameters;
    type Step = NoParameters;

    fn about() -> About {
        let about = About::new("careless").quantity("count", "1", "");
        if SAYS { about.checkpoints().capability(Capability::Tcp("*".to_owned())) } else { about }
    }

    fn open(_: NoParameters, context: &Context) -> Result<Self, Error> {
        log::trace!("a detail");
        log::debug!("opened for `{}`", context.facts().step);
        Ok(Self)
    }

    fn observe(&mut self, _: NoParameters, context: &Context) -> Result<Observation, Error> {
        log::debug!("observing for `{}`", context.facts().step);
        context.progress(f64::NAN, "");
        context.store_state(b"lost")?;
        Err(Error::failed("dropped it"))
    }

    fn checkpoint(&mut self, _: &Context) -> Result<Vec<u8>, Error> {
        Ok(vec![0; crate::MAX_CHECKPOINT_BYTES + 1])
    }
}

#[test]
fn a_step_that_failed_has_changed_no_state() {
    let bench = Bench::<Careless<true>>::new().state(*b"kept");
    assert_eq!(bench.observe(json!({})).unwrap_err(), Error::failed("dropped it"));
    assert_eq!(bench.kept_state().as_deref(), Some(&b"kept"[..]));
}

#[test]
fn the_name_of_the_step_is_there_only_while_it_observes_and_traces_are_left_out() {
    let bench = Bench::<Careless<true>>::new();
    bench.observe(json!({})).unwrap_err();
    let messages: Vec<String> = bench.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(messages, ["opened for ``", "observing for `bench`"]);
    assert_eq!(bench.progress(), [(0.0, String::new())]);
}

#[test]
fn a_checkpoint_that_no_host_takes_is_refused() {
    let error = Bench::<Careless<true>>::new().open().unwrap().checkpoint().unwrap_err();
    assert!(error.to_string().contains("1048577 bytes; at most 1048576"), "{error}");
}

#[test]
#[should_panic(expected = "`about()` lacks `.calibrates()`")]
fn a_calibration_that_no_host_calls_is_a_mistake() {
    let _ = Bench::<Careless<false>>::new().open().unwrap().calibrate();
}

#[test]
#[should_panic(expected = "`about()` lacks `.checkpoints()`")]
fn a_checkpoint_that_no_host_calls_is_a_mistake() {
    let _ = Bench::<Careless<false>>::new().open().unwrap().checkpoint();
}

#[test]
fn the_description_says_what_the_host_will_call_and_grant() {
    let description = Bench::<Careless<true>>::new().describe();
    assert_eq!((description.calibrates, description.checkpoints), (false, true));
    assert_eq!(description.capabilities, [Capability::Tcp("*".to_owned())]);
}
