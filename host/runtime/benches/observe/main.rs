//! What the sandbox costs: one observation through this crate against the same component called by bare wasmtime with the
//! same settings, in the same run; rows of the substrate; compiling against loading compiled code.
//!
//! `cargo bench -p inquisitor-runtime` needs the test guests (`cargo xtask plugins`). The two sides do the same work in the
//! guest: parse two JSON documents, pull one batch of eight rows, give one reading. Bare wasmtime has no limits, no meter, no
//! record, no log and no checks. Compare the rows of one run, never with those of another.
//!
//! The figures of the budget are the last lines, `ratio …`: the two sides in turn, the quickest of many short rounds of each,
//! so that a machine which is busy with something else says the same as one which is not.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use inquisitor_manifest::spec::Parameters;
use inquisitor_runtime::request::{Facts, Grants, Limits, Nondeterminism, SessionRequest};
use inquisitor_runtime::{CompilerCommand, Runtime, RuntimeConfig, compile_child_if_requested};
use inquisitor_substrate::batch::{
    Batch, Column, ColumnInfo, ColumnType, ColumnValues, Rows, Selection, Source, SourceError,
};
use tokio_util::sync::CancellationToken;

mod bare;

/// Rows of a small observation.
const FEW: usize = 8;
/// Rows of a large one, in batches of 10,000.
const MANY: usize = 1_000_000;

fn main() {
    compile_child_if_requested();
    let mut criterion = Criterion::default().configure_from_args();
    observe(&mut criterion);
    numbers(&mut criterion);
    load(&mut criterion);
    criterion.final_summary();
    ratios();
}

/// Rounds of each side, and calls in a round.
const ROUNDS: usize = 400;
const CALLS: u32 = 50;

/// The quickest round of each side, per call.
fn quickest(mut ours: impl FnMut() -> Duration, mut bare: impl FnMut() -> Duration) -> (Duration, Duration) {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best.0 = best.0.min((0..CALLS).map(|_| ours()).sum());
        best.1 = best.1.min((0..CALLS).map(|_| bare()).sum());
    }
    (best.0 / CALLS, best.1 / CALLS)
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    black_box(work());
    started.elapsed()
}

fn ratios() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(config(folder.path())).unwrap();
    let plugin = tokio.block_on(runtime.load(&guest())).unwrap();
    let step = parameters(r#"{"rows":8}"#);
    let same = bare::Bare::new(bare::Settings::Same, &guest());
    let defaults = bare::Bare::new(bare::Settings::Pooling, &guest());
    let tell = |what: &str, (ours, bare): (Duration, Duration)| {
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        println!("ratio {what}: {ours:.2?} / {bare:.2?} = {ratio:.2}");
    };
    let source = |rows: usize| (rows > 0).then(|| Arc::new(Memory(rows)) as Arc<dyn Source>);
    let fresh = || {
        let request = request(source(FEW));
        timed(|| tokio.block_on(plugin.run(request, &step)).result.unwrap())
    };
    tell(
        "fresh instance, to the same settings",
        quickest(fresh, || timed(|| tokio.block_on(same.fresh(FEW)))),
    );
    tell(
        "fresh instance, to pooling defaults",
        quickest(fresh, || timed(|| tokio.block_on(defaults.fresh(FEW)))),
    );
    for (what, rows) in [("warm session", FEW), ("warm session without rows", 0)] {
        let mut session = tokio.block_on(plugin.open(request(source(rows)))).unwrap();
        let mut warm = tokio.block_on(same.open(rows));
        let ours = || timed(|| tokio.block_on(session.observe("step", &step)).unwrap());
        tell(what, quickest(ours, || timed(|| tokio.block_on(warm.observe()))));
    }
}

fn guest() -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = target.join("test-components/plain.wasm");
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("run `cargo xtask plugins` first: {}: {error}", path.display()))
}

fn config(folder: &std::path::Path) -> RuntimeConfig {
    let mut config = RuntimeConfig::new(folder);
    config.compiler = CompilerCommand { program: None, arguments: Vec::new() };
    config
}

fn request(source: Option<Arc<dyn Source>>) -> SessionRequest {
    SessionRequest {
        parameters: parameters(r#"{"gain":2.0}"#),
        facts: Facts { step: "step".to_owned(), attempt: 1, ..Facts::default() },
        limits: Limits::default(),
        grants: Grants::default(),
        substrate: source,
        state: None,
        nondeterminism: Nondeterminism::Live,
        cancel: CancellationToken::new(),
        listener: None,
    }
}

fn parameters(text: &str) -> Parameters {
    serde_json::from_str(text).unwrap_or_default()
}

fn observe(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(config(folder.path())).unwrap();
    let plugin = tokio.block_on(runtime.load(&guest())).unwrap();
    let step = parameters(r#"{"rows":8}"#);
    let component = guest();

    let mut group = criterion.benchmark_group("fresh instance");
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("runtime", |bencher| {
        bencher.iter_batched(
            || request(Some(Arc::new(Memory(FEW)))),
            |request| black_box(tokio.block_on(plugin.run(request, &step)).result.unwrap()),
            BatchSize::SmallInput,
        );
    });
    for (name, settings) in
        [("bare, same settings", bare::Settings::Same), ("bare, pooling defaults", bare::Settings::Pooling)]
    {
        let bare = bare::Bare::new(settings, &component);
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(tokio.block_on(bare.fresh(FEW))));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("warm session");
    group.measurement_time(Duration::from_secs(5));
    let mut session = tokio.block_on(plugin.open(request(Some(Arc::new(Memory(FEW)))))).unwrap();
    group.bench_function("runtime", |bencher| {
        bencher.iter(|| black_box(tokio.block_on(session.observe("step", &step)).unwrap()));
    });
    let none = tokio.block_on(plugin.open(request(None)));
    let mut none = none.unwrap();
    group.bench_function("runtime, no substrate", |bencher| {
        bencher.iter(|| black_box(tokio.block_on(none.observe("step", &step)).unwrap()));
    });
    let bare = bare::Bare::new(bare::Settings::Same, &component);
    let mut warm = tokio.block_on(bare.open(FEW));
    group.bench_function("bare, same settings", |bencher| {
        bencher.iter(|| black_box(tokio.block_on(warm.observe())));
    });
    let mut warm = tokio.block_on(bare.open(0));
    group.bench_function("bare, same settings, no rows", |bencher| {
        bencher.iter(|| black_box(tokio.block_on(warm.observe())));
    });
    group.finish();
}

fn numbers(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(config(folder.path())).unwrap();
    let plugin = tokio.block_on(runtime.load(&guest())).unwrap();
    let step = parameters(r#"{"rows":10000}"#);
    let mut group = criterion.benchmark_group("numbers from the substrate");
    group.throughput(Throughput::Bytes(8 * MANY as u64)).sample_size(20);
    for (name, blocks) in [("in memory", false), ("on a thread that may block", true)] {
        let source: Arc<dyn Source> = if blocks { Arc::new(Blocking(MANY)) } else { Arc::new(Memory(MANY)) };
        let mut session = tokio.block_on(plugin.open(request(Some(source)))).unwrap();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| black_box(tokio.block_on(session.observe("step", &step)).unwrap()));
        });
    }
    let bare = bare::Bare::new(bare::Settings::Same, &guest());
    let mut warm = tokio.block_on(bare.open(MANY));
    group.bench_function("bare, same settings", |bencher| {
        bencher.iter(|| black_box(tokio.block_on(warm.observe_batches(10_000))));
    });
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let component = guest();
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.bench_function("compiled in a child", |bencher| {
        bencher.iter_with_large_drop(|| {
            let folder = tempfile::tempdir().unwrap();
            let runtime = Runtime::new(config(folder.path())).unwrap();
            (tokio.block_on(runtime.load(&component)).unwrap(), runtime, folder)
        });
    });
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config(folder.path());
    settings.loaded_plugins = 1;
    let runtime = Runtime::new(settings.clone()).unwrap();
    tokio.block_on(runtime.load(&component)).unwrap();
    group.bench_function("from compiled code, with a new runtime", |bencher| {
        bencher.iter(|| {
            let runtime = Runtime::new(settings.clone()).unwrap();
            black_box(tokio.block_on(runtime.load(&component)).unwrap())
        });
    });
    group.bench_function("in memory", |bencher| {
        bencher.iter(|| black_box(tokio.block_on(runtime.load(&component)).unwrap()));
    });
    group.finish();
}

/// So many numbers, made as they are asked for.
struct Memory(usize);
/// The same, saying that it may block.
struct Blocking(usize);

struct NumberRows {
    at: usize,
    end: usize,
}

fn columns() -> Vec<ColumnInfo> {
    vec![ColumnInfo { name: "n".to_owned(), kind: ColumnType::Number, unit: None }]
}

impl Source for Memory {
    fn columns(&self) -> Result<Vec<ColumnInfo>, SourceError> {
        Ok(columns())
    }

    fn open(&self, _: &Selection) -> Result<Box<dyn Rows>, SourceError> {
        Ok(Box::new(NumberRows { at: 0, end: self.0 }))
    }

    fn may_block(&self) -> bool {
        false
    }
}

impl Source for Blocking {
    fn columns(&self) -> Result<Vec<ColumnInfo>, SourceError> {
        Ok(columns())
    }

    fn open(&self, _: &Selection) -> Result<Box<dyn Rows>, SourceError> {
        Ok(Box::new(NumberRows { at: 0, end: self.0 }))
    }
}

impl Rows for NumberRows {
    fn next(&mut self, max_rows: usize) -> Result<Option<Batch>, SourceError> {
        let rows = max_rows.min(self.end - self.at);
        if rows == 0 {
            return Ok(None);
        }
        let columns = vec![Column { values: ColumnValues::Number(vec![1.5; rows]), present: None }];
        let batch = Batch { first_row: self.at as u64, rows, columns };
        self.at += rows;
        Ok(Some(batch))
    }
}
