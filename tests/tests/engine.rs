//! How the engine treats steps: order, failure, retries, limits, preflight.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use inquisitor_tests::{Ended, run, run_manifest};
use serde_json::Value;

/// A manifest whose one instrument is an echo, with these phases and more sections.
fn manifest(protocol: &str, delay_ms: u32, more: &str) -> String {
    format!(
        "version: \"1.0\"\nid: engine\nname: Engine\nmetadata: {{ author: Tests }}\nprotocol:\n{protocol}\ninstruments:\n  - {{ type: echo, id: probe, parameters: {{ response_delay_ms: {delay_ms} }} }}\n{more}\n"
    )
}

/// Steps that fail expect another output than they get.
const FAILS: &str = "parameters: { input: a, expected_output: b }";

fn steps(kind: &str, steps: &[&str]) -> String {
    let line = |step: &&str| {
        let parameters = if step.contains("parameters:") { "" } else { ", parameters: { message: hi }" };
        format!("        - {{ type: measurement, instrument: probe, {step}{parameters} }}\n")
    };
    let steps: String = steps.iter().map(line).collect();
    format!("  type: {kind}\n  phases:\n    - name: execution\n      steps:\n{steps}")
}

fn outcome_of(ended: &Ended, step: &str) -> Value {
    let document = ended.json();
    let steps = document["steps"].as_array().unwrap().clone();
    steps.into_iter().find(|found| found["step"] == step).unwrap_or_else(|| panic!("no step {step}"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_failed_step_does_not_stop_those_that_merely_come_later() {
    let protocol =
        steps("sequential", &[&format!("name: bad, {FAILS}"), "name: good, parameters: { message: hi }"]);
    let ended = run_manifest(folder().path(), &manifest(&protocol, 0, ""), &[]);
    assert_eq!(outcome_of(&ended, "bad")["outcome"], "failed");
    assert_eq!(outcome_of(&ended, "good")["outcome"], "completed");
    assert!(outcome_of(&ended, "bad")["message"].as_str().unwrap().contains('b'));
}

#[test]
fn a_step_that_depends_on_a_failed_one_is_skipped_and_says_why() {
    let protocol = steps("dag", &[&format!("name: bad, {FAILS}"), "name: later, depends_on: [bad]"]);
    let ended = run_manifest(folder().path(), &manifest(&protocol, 0, ""), &[]);
    let later = outcome_of(&ended, "later");
    assert_eq!(later["outcome"], "skipped");
    assert!(later["message"].as_str().unwrap().contains("`bad`"), "{later}");
    assert_eq!(ended.code, 3, "nothing was measured: {}", ended.stdout);
}

#[test]
fn break_on_failure_ends_the_inquiry() {
    let protocol = steps(
        "sequential",
        &[&format!("name: bad, break_on_failure: true, {FAILS}"), "name: never, parameters: { message: hi }"],
    );
    let ended = run_manifest(folder().path(), &manifest(&protocol, 0, ""), &[]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["status"], "aborted");
    assert_eq!(outcome_of(&ended, "never")["outcome"], "not run");
    assert!(ended.stderr.contains("break_on_failure"), "{}", ended.stderr);
}

/// Kinds of the ledger's entries in order.
fn ledger(data: &Path) -> Vec<(String, Value)> {
    let exported = run(["ledger", "export", "--data-dir", data.to_str().unwrap()]);
    exported
        .stdout
        .lines()
        .filter_map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            Some((entry["kind"].as_str()?.to_owned(), entry["body"].clone()))
        })
        .collect()
}

#[test]
fn max_workers_bounds_what_runs_at_once() {
    let names = ["name: a", "name: b", "name: c", "name: d"];
    for (workers, expected) in [(1, 1), (3, 3)] {
        let folder = folder();
        let data = folder.path().join("data");
        let more = format!("execution: {{ concurrency: {{ max_workers: {workers} }} }}");
        let manifest = manifest(&steps("parallel", &names), 150, &more);
        let ended = run_manifest(folder.path(), &manifest, &["--data-dir", data.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let mut running = 0;
        let mut most = 0;
        for (kind, _) in ledger(&data) {
            match kind.as_str() {
                "step-leased" => running += 1,
                "step-recorded" => running -= 1,
                _ => {}
            }
            most = most.max(running);
        }
        assert_eq!(most, expected, "with {workers} workers");
    }
}

#[test]
fn an_attempt_that_takes_too_long_is_tried_again() {
    let more = "execution: { retry_policy: { max_attempts: 2, backoff_factor: 0.1, timeout: 1 } }";
    let ended =
        run_manifest(folder().path(), &manifest(&steps("sequential", &["name: slow"]), 20_000, more), &[]);
    let slow = outcome_of(&ended, "slow");
    assert_eq!(
        (slow["outcome"].as_str(), slow["attempts"].as_u64()),
        (Some("wall-limit"), Some(2)),
        "{slow}"
    );
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("trying again"), "{}", ended.stderr);
}

#[test]
fn what_will_fail_again_is_tried_once() {
    let more = "execution: { retry_policy: { max_attempts: 5, backoff_factor: 0.1 } }";
    let ended = run_manifest(
        folder().path(),
        &manifest(&steps("sequential", &[&format!("name: bad, {FAILS}")]), 0, more),
        &[],
    );
    assert_eq!(outcome_of(&ended, "bad")["attempts"], 1);
}

#[test]
fn the_whole_inquiry_has_a_time_limit() {
    let more = "execution: { timeout: 1 }";
    let ended =
        run_manifest(folder().path(), &manifest(&steps("sequential", &["name: slow"]), 20_000, more), &[]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["reason"]["abort"], "timed_out", "{}", ended.stdout);
}

#[test]
fn a_limit_of_the_manifest_trips_by_its_name() {
    let more = "limits: { wall: 300ms }";
    let ended =
        run_manifest(folder().path(), &manifest(&steps("sequential", &["name: slow"]), 20_000, more), &[]);
    let slow = outcome_of(&ended, "slow");
    assert_eq!(slow["outcome"], "wall-limit");
    assert!(slow["message"].as_str().unwrap().contains("300 ms"), "{slow}");
}

#[test]
fn a_substrate_that_is_not_there_fails_the_preflight_before_any_step() {
    let more = "substrate: { source: { type: file, path: missing.csv } }\nvalidation: { preflight_checks: [substrate_accessibility] }";
    let folder = folder();
    let data = folder.path().join("data");
    let manifest = manifest(&steps("sequential", &["name: a"]), 0, more);
    let ended = run_manifest(folder.path(), &manifest, &["--data-dir", data.to_str().unwrap()]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("missing.csv"), "{}", ended.stderr);
    assert!(ledger(&data).iter().all(|(kind, _)| kind != "step-leased"));
}

#[test]
fn reports_are_written_where_the_manifest_and_the_user_say() {
    let folder = folder();
    let more = "reporting:\n  artifacts:\n    - { type: executive_summary }\n    - { type: detailed_report, format: html }\n    - { type: detailed_report, format: json }\n  destinations:\n    - { type: file, path: out }\nanalysis: { visualizations: [ { type: histogram } ] }";
    let manifest = manifest(&steps("sequential", &["name: a"]), 0, more);
    let mine = folder.path().join("mine");
    let ended = run_manifest(folder.path(), &manifest, &["--artifact-dir", mine.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let names = |folder: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let written = names(&folder.path().join("out"));
    assert_eq!(written.len(), 4, "{written:?}");
    let inquiry = ended.json()["inquiry"].as_str().unwrap().to_owned();
    assert_eq!(names(&mine.join(inquiry)), written);
}

/// An inquiry that asks the hostile test component to do these things, one step each.
fn hostile(behaviours: &[&str], more: &str) -> (tempfile::TempDir, Ended) {
    let folder = folder();
    let steps: String = behaviours
        .iter()
        .enumerate()
        .map(|(index, behaviour)| {
            format!("        - {{ name: s{index}, type: measurement, instrument: it, parameters: {{ behaviour: {behaviour} }} }}\n")
        })
        .collect();
    let manifest = format!(
        "version: \"1.0\"\nid: hostile\nname: Hostile\nmetadata: {{ author: Tests }}\nprotocol:\n  type: sequential\n  phases:\n    - name: execution\n      steps:\n{steps}instruments:\n  - {{ type: hostile, id: it }}\n{more}\n"
    );
    let component = inquisitor_tests::test_component("hostile");
    let ended = run_manifest(folder.path(), &manifest, &["--plugin", component.to_str().unwrap()]);
    (folder, ended)
}

#[test]
fn a_plugin_that_keeps_trapping_is_left_alone() {
    let (_folder, ended) = hostile(&["panic"; 7], "");
    let outcomes: Vec<String> = (0..7)
        .map(|step| outcome_of(&ended, &format!("s{step}"))["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes, ["trap", "trap", "trap", "trap", "trap", "unavailable", "unavailable"]);
    assert!(outcome_of(&ended, "s6")["message"].as_str().unwrap().contains("left alone"));
    assert_eq!(ended.code, 3);
}

#[test]
fn what_was_not_granted_is_an_outcome_of_its_own() {
    let (_folder, ended) = hostile(&["tcp, target: \"127.0.0.1:9\""], "");
    let step = outcome_of(&ended, "s0");
    assert_eq!(step["outcome"], "capability-denied", "{step}");
    assert!(step["message"].as_str().unwrap().contains("tcp 127.0.0.1:9"), "{step}");
}
