//! What the tests of the sandbox share: a runtime that compiles in a child of the test program, the guests, requests.

#![allow(dead_code, missing_docs, clippy::unwrap_used)] // Each test program uses a part of it.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use inquisitor_findings::reading::{Observation, Value};
use inquisitor_manifest::spec::Parameters;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{
    Facts, Grants, Limits, Listener, LogLine, Nondeterminism, Report, SessionRequest,
};
use inquisitor_runtime::{CompilerCommand, Plugin, Runtime, RuntimeConfig, compile_child_if_requested};
use inquisitor_substrate::batch::{
    Batch, Column, ColumnInfo, ColumnType, ColumnValues, Rows, Selection, Source, SourceError,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The compiling child, when the test program is started as one.
#[test]
fn compile_child() {
    compile_child_if_requested();
}

pub(crate) fn config(folder: &std::path::Path) -> RuntimeConfig {
    let mut config = RuntimeConfig::new(folder);
    config.compiler = CompilerCommand {
        program: None,
        arguments: ["support::compile_child", "--exact", "--nocapture", "--test-threads=1"]
            .map(Into::into)
            .into(),
    };
    config
}

/// One runtime for all tests of a program: what it says of one guest must not depend on another.
pub(crate) fn runtime() -> Runtime {
    static SHARED: LazyLock<(Runtime, tempfile::TempDir)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        (Runtime::new(config(folder.path())).unwrap(), folder)
    });
    SHARED.0.clone()
}

/// A component that `cargo xtask plugins` built.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = target.join("test-components").join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("run `cargo xtask plugins` first: {}: {error}", path.display()))
}

/// The component with one more core module, which is instantiated when the component is. For what only WebAssembly text can
/// say. (A component is a sequence of sections; two more at its end are a module and an instance of it.)
pub(crate) fn with_core_module(component: &[u8], module: &str) -> Vec<u8> {
    fn number(bytes: &mut Vec<u8>, mut value: usize) {
        loop {
            let byte = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            bytes.push(if value == 0 { byte } else { byte | 0x80 });
            if value == 0 {
                return;
            }
        }
    }
    fn section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
        bytes.push(id);
        number(bytes, content.len());
        bytes.extend_from_slice(content);
    }
    let (mut depth, mut modules) = (0, 0);
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ModuleSection { .. } if depth == 1 => modules += 1,
            _ => {}
        }
    }
    let mut bytes = component.to_vec();
    section(&mut bytes, 1, &wat::parse_str(module).unwrap());
    let mut instance = vec![1, 0];
    number(&mut instance, modules);
    instance.push(0);
    section(&mut bytes, 2, &instance);
    bytes
}

pub(crate) async fn hostile() -> Plugin {
    runtime().load(&guest("hostile")).await.unwrap()
}

pub(crate) async fn plain() -> Plugin {
    runtime().load(&guest("plain")).await.unwrap()
}

pub(crate) fn parameters(value: serde_json::Value) -> Parameters {
    match value {
        serde_json::Value::Object(parameters) => parameters,
        other => panic!("{other} is no object"),
    }
}

/// Nothing granted, the default limits, ten seconds.
pub(crate) fn request() -> SessionRequest {
    SessionRequest {
        parameters: Parameters::new(),
        facts: Facts {
            inquiry: "inquiry".to_owned(),
            step: "step".to_owned(),
            instrument: "instrument".to_owned(),
            attempt: 1,
            started: 0,
        },
        limits: Limits { wall: Duration::from_secs(10), ..Limits::default() },
        grants: Grants::default(),
        substrate: None,
        state: None,
        nondeterminism: Nondeterminism::Live,
        cancel: CancellationToken::new(),
        listener: None,
    }
}

/// A step of the hostile guest, and after it one of the plain guest, which must not have noticed anything.
pub(crate) async fn misbehave(request: SessionRequest, step: serde_json::Value) -> Report {
    let report = hostile().await.run(request, &parameters(step)).await;
    assert_well().await;
    report
}

/// The failure of a step of the hostile guest.
pub(crate) async fn failure(request: SessionRequest, step: serde_json::Value) -> Failure {
    misbehave(request, step).await.result.expect_err("the guest should have failed")
}

/// A well-behaved session works.
pub(crate) async fn assert_well() {
    let report = plain().await.run(request(), &parameters(json!({}))).await;
    assert_eq!(report.result.map(|observation| number(&observation)), Ok(0.5), "the next session must work");
}

/// The number of the only reading.
pub(crate) fn number(observation: &Observation) -> f64 {
    assert_eq!(observation.readings.len(), 1);
    observation.readings[0].value.as_f64().unwrap()
}

/// The text of the only reading.
pub(crate) fn text(observation: &Observation) -> String {
    match &observation.readings[0].value {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

/// Rows in memory: one column of numbers `0, 1, 2, …`, some absent.
pub(crate) struct Numbers {
    pub(crate) rows: usize,
    pub(crate) blocking: bool,
}

struct NumberRows {
    at: usize,
    end: usize,
}

impl Source for Numbers {
    fn columns(&self) -> Result<Vec<ColumnInfo>, SourceError> {
        Ok(vec![ColumnInfo { name: "n".to_owned(), kind: ColumnType::Number, unit: None }])
    }

    fn open(&self, selection: &Selection) -> Result<Box<dyn Rows>, SourceError> {
        if let Some(name) = selection.columns.iter().find(|name| *name != "n") {
            return Err(SourceError::NoSuchColumn(name.clone()));
        }
        Ok(Box::new(NumberRows { at: usize::try_from(selection.from_row).unwrap(), end: self.rows }))
    }

    fn may_block(&self) -> bool {
        self.blocking
    }
}

impl Rows for NumberRows {
    fn next(&mut self, max_rows: usize) -> Result<Option<Batch>, SourceError> {
        let rows = max_rows.min(self.end - self.at);
        if rows == 0 {
            return Ok(None);
        }
        #[allow(clippy::cast_precision_loss)]
        let values = (self.at..self.at + rows).map(|value| value as f64).collect();
        let columns = vec![Column { values: ColumnValues::Number(values), present: None }];
        let batch = Batch { first_row: self.at as u64, rows, columns };
        self.at += rows;
        Ok(Some(batch))
    }
}

/// Keeps what a session says while it runs.
#[derive(Default)]
pub(crate) struct Ear {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) progress: Mutex<Vec<f64>>,
}

impl Listener for Ear {
    fn log(&self, line: &LogLine) {
        self.lines.lock().unwrap().push(line.message.clone());
    }

    fn progress(&self, fraction: f64, _: &str) {
        self.progress.lock().unwrap().push(fraction);
    }
}

pub(crate) fn ear() -> Arc<Ear> {
    Arc::default()
}
