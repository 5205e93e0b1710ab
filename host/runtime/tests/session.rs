//! The life of a well-behaved session.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

mod support;

use std::sync::Arc;

use inquisitor_findings::reading::Value;
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::{LogLevel, SessionRequest};
use serde_json::json;
use support::{Numbers, number, parameters, plain, request};

fn over(rows: usize, blocking: bool) -> SessionRequest {
    SessionRequest { substrate: Some(Arc::new(Numbers { rows, blocking })), ..request() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_typed_and_complete() {
    let plain = plain().await;
    let description = plain.description();
    assert_eq!((description.name.as_str(), description.version.as_str()), ("plain", "1.0.0"));
    assert_eq!(description.aliases, ["sum"]);
    assert!(description.declares("total") && !description.declares("mean"));
    assert_eq!(description.parameters_schema["properties"]["gain"]["type"], "number");
    assert!(description.lifecycle.calibrate && description.lifecycle.checkpoint);
    assert!(description.minimum_memory >= 1 << 16);
    assert!(description.imports.iter().any(|name| name == "inquisitor:instrument/substrate@1.0.0"));
    assert_eq!(plain.digest().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_opens_calibrates_and_observes() {
    let mut request = over(1000, false);
    request.parameters = parameters(json!({"gain": 2.0}));
    let report = plain().await.run(request, &parameters(json!({}))).await;
    let observation = report.result.unwrap();
    // The sum of 0..1000, doubled, and half a unit from the calibration.
    assert_eq!(number(&observation), 999_000.5);
    assert_eq!(observation.readings[0].attributes["rows"], Value::Integer(1000));
    assert_eq!(report.usage.rows, 1000);
    assert!(report.usage.wall > 0 && report.usage.host_calls > 0 && report.usage.peak_memory > 0);
    assert_eq!(report.transcript.substrate_digest.len(), 64);
    assert!(report.transcript.complete && report.denials.is_empty() && report.state.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_of_the_substrate_depends_on_the_rows_alone() {
    let plain = plain().await;
    let digest = async |rows, blocking, batch: u64| {
        let report = plain.run(over(rows, blocking), &parameters(json!({"rows": batch}))).await;
        report.result.unwrap();
        report.transcript.substrate_digest
    };
    let base = digest(1000, false, 100).await;
    assert_eq!(base, digest(1000, true, 100).await, "on whatever thread they were read");
    assert_ne!(base, digest(999, false, 100).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_is_lowered_to_the_bound() {
    let report = plain().await.run(over(200_000, true), &parameters(json!({"rows": u32::MAX}))).await;
    assert_eq!(number(&report.result.unwrap()), 19_999_900_000.5);
    assert_eq!(report.usage.rows, 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_observes_many_times() {
    let mut session = plain().await.open(over(10, false)).await.unwrap();
    let calibration = session.calibrate().await.unwrap();
    assert_eq!(calibration.valid_until, Some(1));
    assert_eq!(calibration.attributes["offset"], Value::Number(0.5));
    for _ in 0..3 {
        let observation = session.observe("again", &parameters(json!({"facts": true}))).await.unwrap();
        assert_eq!(number(&observation), 45.5);
        let attributes = &observation.readings[0].attributes;
        assert_eq!(attributes["step"], Value::Text("again".to_owned()));
        assert_eq!(attributes["instrument"], Value::Text("instrument".to_owned()));
        assert_eq!(attributes["deadline"], Value::Boolean(true));
    }
    assert_eq!(session.finish().await.usage.rows, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_comes_by_the_column() {
    let report = plain().await.run(request(), &parameters(json!({"series": true}))).await;
    let observation = report.result.unwrap();
    assert_eq!(observation.len(), 3);
    assert_eq!(observation.series[0].times, [1, 2, 3]);
    assert_eq!(observation.series[0].uncertainties, [0.25]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_goes_on_in_a_fresh_session() {
    let plain = plain().await;
    let mut first = plain.open(request()).await.unwrap();
    first.calibrate().await.unwrap();
    let checkpoint = first.checkpoint().await.unwrap();
    first.finish().await;
    let mut second = plain.open(request()).await.unwrap();
    second.restore(&checkpoint).await.unwrap();
    assert_eq!(number(&second.observe("s", &parameters(json!({}))).await.unwrap()), 0.5);
    assert!(matches!(second.restore(&[1]).await, Err(Failure::Failed { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_only_by_a_step_that_succeeds() {
    let plain = plain().await;
    let first = plain.run(request(), &parameters(json!({"keep": true}))).await;
    assert_eq!(first.state, Some(vec![1]));
    let again = SessionRequest { state: first.state, ..request() };
    assert_eq!(plain.run(again.clone(), &parameters(json!({"keep": true}))).await.state, Some(vec![2]));
    assert_eq!(plain.run(again.clone(), &parameters(json!({}))).await.state, None, "nothing was stored");
    let failed = plain.run(again, &parameters(json!({"keep": true, "fail": "no"}))).await;
    assert_eq!(failed.result, Err(Failure::Failed { message: "no".to_owned() }));
    assert_eq!(failed.state, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instruments_own_errors_keep_their_kind() {
    let plain = plain().await;
    let report = plain.run(request(), &parameters(json!({"unavailable": 3}))).await;
    let expected = Failure::Unavailable { message: "asleep".to_owned(), retry_after: Some(3_000_000_000) };
    assert_eq!(report.result, Err(expected));
    let mut wrong = request();
    wrong.parameters = parameters(json!({"gain": "high"}));
    let report = plain.run(wrong, &parameters(json!({}))).await;
    let expected =
        Failure::InvalidParameters { pointer: "/gain".to_owned(), message: "not a number".to_owned() };
    assert_eq!(report.result, Err(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_is_heard_and_kept() {
    let ear = support::ear();
    let mut request = request();
    request.listener = Some(ear.clone());
    let report = plain().await.run(request, &parameters(json!({"log": "a line"}))).await;
    let [calibrated, said] = report.logs.as_slice() else { panic!("{:?}", report.logs) };
    assert_eq!((calibrated.level, calibrated.message.as_str()), (LogLevel::Info, "calibrated"));
    assert!(!calibrated.attributes.is_empty(), "the figures of the calibration are for the record");
    assert_eq!(said.level, LogLevel::Warn);
    assert_eq!(said.attributes, [("count".to_owned(), "1".to_owned())]);
    assert_eq!(*ear.lines.lock().unwrap(), ["calibrated", "a line"]);
    assert_eq!(*ear.progress.lock().unwrap(), [1.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_test_opens_and_calibrates() {
    let report = plain().await.self_test(request()).await;
    assert!(report.result.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_wait_for_a_slot() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = support::config(folder.path());
    config.max_sessions = Some(2);
    let runtime = inquisitor_runtime::Runtime::new(config).unwrap();
    let plugin = runtime.load(&support::guest("plain")).await.unwrap();
    let first = plugin.open(request()).await.unwrap();
    let second = plugin.open(request()).await.unwrap();
    assert_eq!(runtime.status().open_sessions, 2);
    let waiting = plugin.open(request());
    tokio::pin!(waiting);
    assert!(futures_poll(&mut waiting).await, "the third waits");
    first.finish().await;
    let third = waiting.await.unwrap();
    third.finish().await;
    second.finish().await;
    assert_eq!(runtime.status().open_sessions, 0);
}

/// Whether a future is not ready yet.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_on_demand_serves_as_the_pool_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = support::config(folder.path());
    config.pooling = false;
    let runtime = inquisitor_runtime::Runtime::new(config).unwrap();
    assert!(!runtime.status().pooled);
    let plugin = runtime.load(&support::guest("plain")).await.unwrap();
    assert!(plugin.run(request(), &parameters(json!({}))).await.result.is_ok());
}
