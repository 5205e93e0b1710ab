//! What Prometheus reads.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::support::{Answer, Setup};

async fn scrape(host: &crate::support::Host) -> String {
    let answer = Answer::of(host.request(Method::GET, "/metrics")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    answer.body.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_says_how_it_stands_without_a_key() {
    let host = Setup::new().start().await;
    let manifest = "version: 1.0.0
id: m
name: m
metadata: { author: tests }
protocol:
  type: sequential
  phases:
    - name: execution
      steps:
        - { name: say, type: measurement, instrument: probe, parameters: { message: hello } }
instruments:
  - { type: echo, id: probe }
";
    let submitted = host.admin(Method::POST, "/v1/inquiries").body(manifest).send().await.unwrap();
    assert_eq!(submitted.status(), 201);
    assert_eq!(host.admin(Method::POST, "/v1/inquiries").body("id: [").send().await.unwrap().status(), 422);
    let denied = Answer::of(host.request(Method::GET, "/v1/inquiries")).await;
    assert_eq!(denied.status, 401);
    let ended = async {
        loop {
            let text = scrape(&host).await;
            let ended = text.lines().any(|line| {
                line.starts_with("inquisitor_inquiry_executions_total{") && line.ends_with("} 1")
            });
            if ended {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let text = tokio::time::timeout(crate::support::PATIENCE, ended).await.expect("the inquiry ends");
    for line in [
        "inquisitor_raft_leader 1",
        "inquisitor_raft_has_leader 1",
        "inquisitor_manifest_validations_total 2",
        "inquisitor_manifest_validation_errors_total 1",
        "inquisitor_access_denied_total{reason=\"unauthenticated\"} 1",
        "inquisitor_http_requests_total{method=\"POST\",route=\"/v1/inquiries\",status=\"201\"} 1",
        "inquisitor_http_requests_total{method=\"GET\",route=\"/v1/inquiries\",status=\"401\"} 1",
        "inquisitor_inquiry_duration_seconds_count 1",
        "inquisitor_inquiries 1",
        "inquisitor_event_streams 0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line} is missing:\n{text}");
    }
    // A plugin that was never called is there at 0, one that was called at 1.
    let of_plugin = |name: &str, end: &str| {
        text.lines().any(|line| {
            line.starts_with("inquisitor_instrument_executions_total{outcome=\"completed\"")
                && line.contains(&format!("plugin=\"{name}@"))
                && line.ends_with(end)
        })
    };
    assert!(of_plugin("echo", " 1") && of_plugin("table", " 0"), "{text}");
    for name in [
        "inquisitor_ledger_entries",
        "inquisitor_raft_applied_index",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
        assert!(value.parse::<f64>().unwrap() > 0.0, "{name} {value}");
    }
    assert!(text.contains("inquisitor_build_info{"), "{text}");
    assert_eq!(documented(), served(&text));
    host.stop().await;
}

/// Name, type and labels of the families that are served.
fn served(text: &str) -> BTreeSet<String> {
    let mut families = BTreeSet::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let is_sample = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with('{') || rest.starts_with("_bucket{")
        };
        let labels = text.lines().find(is_sample).and_then(|line| line.split_once('{')?.1.split_once('}'));
        let labels: BTreeSet<&str> = labels
            .iter()
            .flat_map(|(labels, _)| labels.split(','))
            .filter_map(|pair| pair.split_once('=').map(|(label, _)| label))
            .filter(|label| *label != "le")
            .collect();
        families.insert(format!("{name} {kind} {labels:?}"));
    }
    families
}

/// What a member that is alone has no series of.
const IN_A_CLUSTER: &str = "inquisitor_raft_peer_lag_entries";

/// The same, as the documentation for people has it: a row of name, type, labels and meaning.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../../README.md").lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let (name, kind, labels) = (cells.next()?.trim_end_matches('`'), cells.next()?, cells.next()?);
        let is_metric = name.starts_with("inquisitor_") || name.starts_with("process_");
        let labels: BTreeSet<&str> =
            labels.split('`').filter(|part| part.contains(char::is_alphabetic)).collect();
        (is_metric && name != IN_A_CLUSTER).then(|| format!("{name} {kind} {labels:?}"))
    });
    rows.collect()
}
