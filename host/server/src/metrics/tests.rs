use std::process::{Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use inquisitor_engine::events::{Ending, Event, Observer as _};
use inquisitor_engine::journal::Abort;
use inquisitor_findings::finding::Verdict;
use tower::ServiceExt as _;

use super::*;

fn text(metrics: &Metrics) -> String {
    metrics.text().expect("what was registered can be written")
}

fn called(plugin: &str, outcome: &'static str, fuel: Option<u64>) -> Event {
    Event::Called {
        step: "measure".into(),
        instrument: "probe".into(),
        plugin: plugin.into(),
        version: "1.2.3".into(),
        outcome,
        took_ns: 3_000_000,
        usage: Usage { fuel, peak_memory: 1 << 20, ..Usage::default() },
        round: 0,
        attempt: 1,
    }
}

#[test]
fn the_fixed_metrics_are_there_from_the_start() {
    let text = text(&Metrics::new().unwrap());
    for line in [
        "inquisitor_manifest_validations_total 0",
        "inquisitor_manifest_validation_errors_total 0",
        "inquisitor_inquiry_executions_total{outcome=\"verified\"} 0",
        "inquisitor_inquiry_executions_total{outcome=\"timed-out\"} 0",
        "inquisitor_inquiry_duration_seconds_count 0",
        "inquisitor_instrument_executions_total{outcome=\"completed\",plugin=\"other\"} 0",
        "inquisitor_raft_leader 0",
        "inquisitor_declared_manifests{state=\"broken\"} 0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is missing:\n{text}");
    }
}

#[test]
fn events_are_counted() {
    let metrics = Metrics::new().unwrap();
    metrics.validation(true);
    metrics.validation(false);
    metrics.event("i", called("thermal-probe", "completed", Some(500)));
    metrics.event("i", called("thermal-probe", "memory-limit", None));
    let started = |executor: &str| Event::StepStarted {
        step: "measure".into(),
        instrument: Some("probe".into()),
        executor: executor.into(),
        round: 0,
        attempt: 1,
    };
    metrics.event("i", started("host-1"));
    metrics.event("i", started("host-2"));
    let reason = "it stops".to_owned();
    metrics.event(
        "i",
        Event::StepLost { step: "measure".into(), executor: "host-1".into(), round: 0, attempt: 1, reason },
    );
    for number in 0..inquisitor_conductor::MAX_PEERS {
        metrics.event("i", started(&format!("new-{number}")));
    }
    metrics.event("i", Event::Missed { step: "measure".into(), rounds: 3 });
    let ending = Ending::Concluded { verdict: Verdict::Verified };
    metrics.event("i", Event::Ended { ending, took_ms: 70 });
    metrics.event("i", Event::Ended { ending: Ending::Aborted { reason: Abort::TimedOut }, took_ms: 70 });
    let text = text(&metrics);
    for line in [
        "inquisitor_manifest_validations_total 2",
        "inquisitor_manifest_validation_errors_total 1",
        "inquisitor_instrument_executions_total{outcome=\"completed\",plugin=\"thermal-probe@1.2.3\"} 1",
        "inquisitor_instrument_executions_total{outcome=\"memory-limit\",plugin=\"thermal-probe@1.2.3\"} 1",
        "inquisitor_instrument_fuel_total{plugin=\"thermal-probe@1.2.3\"} 500",
        "inquisitor_instrument_memory_bytes{plugin=\"thermal-probe@1.2.3\"} 1048576",
        "inquisitor_instrument_duration_seconds_count{plugin=\"thermal-probe@1.2.3\"} 2",
        "inquisitor_step_leases_total{member=\"host-1\"} 1",
        "inquisitor_step_leases_total{member=\"new-61\"} 1",
        "inquisitor_step_leases_total{member=\"other\"} 2",
        "inquisitor_step_leases_lost_total{member=\"host-1\"} 1",
        "inquisitor_inquiry_missed_rounds_total 3",
        "inquisitor_inquiry_executions_total{outcome=\"verified\"} 1",
        "inquisitor_inquiry_executions_total{outcome=\"timed-out\"} 1",
        "inquisitor_inquiry_duration_seconds_bucket{le=\"0.05\"} 0",
        "inquisitor_inquiry_duration_seconds_bucket{le=\"0.1\"} 2",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is missing:\n{text}");
    }
}

#[test]
fn plugins_that_are_gone_lose_their_series_when_there_is_no_room() {
    let metrics = Metrics::new().unwrap();
    let plugin = |number| labels::InstalledPlugin {
        name: format!("p{number}"),
        version: "1.0.0".to_owned(),
        is_private: false,
    };
    let plugins = |from: usize| -> Vec<labels::InstalledPlugin> {
        (from..from + labels::MAX_PLUGINS).map(plugin).collect()
    };
    metrics.instruments.installed(&plugins(0));
    metrics.instruments.installed(&plugins(1000));
    let text = text(&metrics);
    assert!(!text.contains("\"p0@1.0.0\"") && text.contains("\"p1199@1.0.0\""));
    let series = text.lines().filter(|line| line.starts_with("inquisitor_instrument_memory_bytes{"));
    assert_eq!(series.count(), labels::MAX_PLUGINS + 1);
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let metrics = Metrics::new().unwrap();
    let router = Router::new()
        .route("/v1/things/{id}", get(|| async { "here" }))
        .fallback(|| async { axum::http::StatusCode::NOT_FOUND })
        .layer(from_fn_with_state(metrics.clone(), http));
    for (method, path) in
        [("GET", "/v1/things/1"), ("GET", "/v1/things/2"), ("GET", "/else"), ("BREW", "/v1/things/3")]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }
    let text = text(&metrics);
    for line in [
        "inquisitor_http_requests_total{method=\"GET\",route=\"/v1/things/{id}\",status=\"200\"} 2",
        "inquisitor_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "inquisitor_http_requests_total{method=\"other\",route=\"/v1/things/{id}\",status=\"405\"} 1",
        "inquisitor_http_requests_in_flight 0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is missing:\n{text}");
    }
    assert!(!text.contains("/v1/things/1"));
}

#[tokio::test]
async fn a_request_whose_client_goes_away_is_counted() {
    let metrics = Metrics::new().unwrap();
    let router = Router::new()
        .route("/slow", get(|| async { std::future::pending::<()>().await }))
        .layer(from_fn_with_state(metrics.clone(), http));
    let request = Request::builder().uri("/slow").body(Body::empty()).unwrap();
    let answer = router.oneshot(request);
    assert!(futures::FutureExt::now_or_never(answer).is_none());
    let text = text(&metrics);
    assert!(
        text.contains("inquisitor_http_requests_total{method=\"GET\",route=\"/slow\",status=\"499\"} 1"),
        "{text}"
    );
    assert!(text.contains("inquisitor_http_requests_in_flight 0"));
}

#[test]
fn promtool_has_nothing_to_say() {
    let metrics = Metrics::new().unwrap();
    metrics.event("i", called("thermal-probe", "completed", Some(500)));
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) if std::env::var_os("INQUISITOR_REQUIRE_PEERS").is_none() => {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("not checked, there is no promtool here: {error}\n").as_bytes(),
            );
            return;
        }
        Err(error) => panic!("promtool is required and cannot be started: {error}"),
    };
    let mut input = promtool.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, text(&metrics).as_bytes()).unwrap();
    drop(input);
    let said = promtool.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && words.trim().is_empty(), "{words}\n{}", text(&metrics));
}
