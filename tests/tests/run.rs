//! `inquisitor run`, `validate` and `ledger` as a user runs them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use inquisitor_tests::{fixture, inquisitor, plugin, run, run_manifest};
use serde_json::Value;

#[test]
fn the_reference_manifests_run_unchanged() {
    for name in ["quickstart.yaml", "hello-world.yaml"] {
        let ended = run(["run", fixture(name).to_str().unwrap(), "--output", "json"]);
        assert_eq!(ended.code, 0, "{name}: {}", ended.stderr);
        let document = ended.json();
        assert_eq!(document["status"], "concluded");
        assert_eq!(document["finding"]["verdict"], "VERIFIED");
        assert!(document["ledger"]["size"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_manifests_of_the_reference_page_run() {
    let page =
        std::fs::read_to_string(inquisitor_tests::repository().join("host/manifest/README.md")).unwrap();
    let manifests: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(manifests.len(), 3);
    for manifest in manifests {
        let folder = tempfile::tempdir().unwrap();
        let ended = run_manifest(folder.path(), manifest, &[]);
        assert_eq!(ended.code, 0, "{}\n{manifest}", ended.stderr);
    }
}

#[test]
fn the_kubernetes_spelling_runs_without_data_of_its_own() {
    let ended = run(["run", fixture("kubernetes.yaml").to_str().unwrap(), "--output", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("probeInterval"),
        "one finding is not a watch, and it says so: {}",
        ended.stderr
    );
    let quantities: Vec<Value> = ended.json()["finding"]["estimates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| found["quantity"].clone())
        .collect();
    assert_eq!(quantities, ["temperature", "tags_present"]);
}

#[test]
fn six_different_mistakes_are_six_located_diagnostics() {
    let file = fixture("six-mistakes.yaml");
    let ended = run(["validate", file.to_str().unwrap(), "--output", "json"]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    let errors: Vec<&Value> = document[0]["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["severity"] == "error")
        .collect();
    let lines: Vec<u64> = errors.iter().map(|found| found["line"].as_u64().unwrap()).collect();
    assert_eq!(lines.len(), 6, "{errors:#?}");
    for line in [2, 7, 13, 14, 18, 20] {
        assert!(lines.contains(&line), "no error in line {line}: {errors:#?}");
    }
    let shown = run(["validate", file.to_str().unwrap()]);
    assert_eq!(shown.code, 1);
    assert!(shown.stdout.contains("max_workers"), "the nearest field is named:\n{}", shown.stdout);
    assert!(shown.stdout.contains("6 errors"), "{}", shown.stdout);
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_2_of_validate() {
    assert_eq!(run(["validate", "no-such-file.yaml"]).code, 2);
    assert_eq!(run(["run", "no-such-file.yaml"]).code, 1);
    assert_eq!(run(["run"]).code, 2);
}

const GAUSSIAN: &str = r#"
version: "1.0"
id: exit-codes
name: Exit codes
metadata: { author: Tests }
protocol: { type: sequential, phases: [execution] }
substrate:
  source:
    type: synthetic
    generator: gaussian
    parameters: { mean: 5.0, stddev: 0.1, samples: 50, unit: Cel }
instruments:
  - { type: table, id: probe, parameters: { value: value, quantity: temperature, unit: Cel, time: time } }
"#;

#[test]
fn the_verdict_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let belief = |min: f64, max: f64| {
        format!(
            "{GAUSSIAN}belief:\n  states: [compliant, excursion]\n  observe: {{ quantity: temperature, compliant: {{ min: {min}, max: {max}, unit: Cel }} }}\n  transition: {{ compliant: {{ excursion: 0.01 }}, excursion: {{ compliant: 0.05 }} }}\n"
        )
    };
    let verified = run_manifest(folder.path(), &belief(2.0, 8.0), &[]);
    assert_eq!(
        (verified.code, &verified.json()["finding"]["verdict"]),
        (0, &"VERIFIED".into()),
        "{}",
        verified.stderr
    );
    let falsified = run_manifest(folder.path(), &belief(6.0, 8.0), &[]);
    assert_eq!((falsified.code, &falsified.json()["finding"]["verdict"]), (4, &"FALSIFIED".into()));
    let axiom = format!("{GAUSSIAN}falsification: {{ axioms: [ {{ quantity: temperature, max: 0 }} ] }}\n");
    let inconclusive = run_manifest(folder.path(), &axiom, &[]);
    assert_eq!((inconclusive.code, &inconclusive.json()["finding"]["verdict"]), (3, &"INCONCLUSIVE".into()));
    assert_eq!(inconclusive.json()["finding"]["estimates"], serde_json::json!([]), "never a number");
    assert_eq!(inconclusive.json()["finding"]["exclusions"].as_array().unwrap().len(), 50);
}

#[test]
fn the_same_manifest_brings_the_same_finding() {
    let folder = tempfile::tempdir().unwrap();
    let finding = || run_manifest(folder.path(), GAUSSIAN, &[]).json()["finding"].clone();
    assert_eq!(finding(), finding());
}

fn many_steps(count: usize) -> String {
    let steps: String = (0..count)
        .map(|step| format!("        - {{ name: step-{step}, type: measurement, instrument: probe, parameters: {{ message: \"{step}\" }} }}\n"))
        .collect();
    format!(
        "version: \"1.0\"\nid: crash\nname: Crash\nmetadata: {{ author: Tests }}\nprotocol:\n  type: sequential\n  phases:\n    - name: execution\n      steps:\n{steps}instruments:\n  - {{ type: echo, id: probe, parameters: {{ response_delay_ms: 20 }} }}\n"
    )
}

#[test]
fn kill_9_in_the_middle_loses_nothing_and_records_no_step_twice() {
    const STEPS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("inquiry.yaml");
    let data = folder.path().join("data");
    std::fs::write(&manifest, many_steps(STEPS)).unwrap();
    let start = || {
        let mut command = inquisitor();
        command.arg("run").arg(&manifest).arg("--data-dir").arg(&data).args(["--output", "json"]);
        command
    };
    // Killed three times, each time after it has said that some more steps are recorded.
    for round in 1..=3 {
        let mut child = start().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let recorded = lines.map_while(Result::ok).filter(|line| line.contains("1 reading")).take(7).count();
        assert_eq!(recorded, 7, "round {round} ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let ended: inquisitor_tests::Ended = start().output().unwrap().into();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("going on: "), "{}", ended.stderr);
    assert_eq!(ended.json()["finding"]["verdict"], "VERIFIED");

    let exported = run(["ledger", "export", "--data-dir", data.to_str().unwrap()]);
    let mut finals = std::collections::BTreeMap::new();
    for line in exported.stdout.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = entry.to_string();
        if text.contains("step-recorded") {
            let step = find(&entry, "step").unwrap_or_else(|| panic!("no step in {text}")).to_string();
            *finals.entry(step).or_insert(0) += 1;
        }
    }
    assert_eq!(finals.len(), STEPS, "{finals:?}");
    assert!(finals.values().all(|count| *count == 1), "{finals:?}");

    let file = folder.path().join("ledger.jsonl");
    std::fs::write(&file, &exported.stdout).unwrap();
    let verified = run(["ledger", "verify", file.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let tampered = exported.stdout.replacen("\"executor\":\"local\"", "\"executor\":\"other\"", 1);
    assert!(tampered != exported.stdout, "nothing was changed");
    std::fs::write(&file, tampered).unwrap();
    assert_eq!(run(["ledger", "verify", file.to_str().unwrap()]).code, 1);
}

/// The first value of this key, however deep.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => {
            fields.get(key).or_else(|| fields.values().find_map(|field| find(field, key)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, key)),
        _ => None,
    }
}

#[test]
fn a_data_directory_that_another_process_holds_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("inquiry.yaml");
    let data = folder.path().join("data");
    std::fs::write(&manifest, many_steps(200)).unwrap();
    let mut first = inquisitor();
    first.arg("run").arg(&manifest).arg("--data-dir").arg(&data).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut first = first.spawn().unwrap();
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("1 reading")));
    let second = run(["run", manifest.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("another process"), "{}", second.stderr);
    assert!(second.stderr.contains(data.to_str().unwrap()), "{}", second.stderr);
}

#[test]
fn a_component_of_ones_own_takes_precedence() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("none");
    std::fs::create_dir(&empty).unwrap();
    let arguments = ["--plugin-dir", empty.to_str().unwrap()];
    let without = run_manifest(folder.path(), GAUSSIAN, &arguments);
    assert_eq!(without.code, 1);
    assert!(without.stderr.contains("table"), "{}", without.stderr);
    let table = plugin("table");
    let with = run_manifest(
        folder.path(),
        GAUSSIAN,
        &[arguments[0], arguments[1], "--plugin", table.to_str().unwrap()],
    );
    assert_eq!(with.code, 0, "{}", with.stderr);
}

#[test]
fn a_secret_is_used_and_never_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let manifest = "version: \"1.0\"\nid: secret\nname: Secret\nmetadata: { author: Tests }\nprotocol:\n  type: sequential\n  phases:\n    - name: execution\n      steps:\n        - { name: say, type: measurement, instrument: probe, parameters: { message: \"key ${PROBE_KEY}\" } }\ninstruments:\n  - { type: echo, id: probe }\n";
    let file = folder.path().join("inquiry.yaml");
    std::fs::write(&file, manifest).unwrap();
    let mut command = inquisitor();
    command.arg("run").arg(&file).args(["--output", "json", "--data-dir"]).arg(&data);
    command.env("PROBE_KEY", "swordfish-7");
    let refused: inquisitor_tests::Ended = command.output().unwrap().into();
    assert_eq!(refused.code, 3, "not on the list, so the step fails: {}", refused.stderr);
    assert!(refused.stdout.contains("not on the list"), "{}", refused.stdout);
    let allowed: inquisitor_tests::Ended =
        command.args(["--allow-secret", "PROBE_KEY"]).output().unwrap().into();
    assert_eq!(allowed.code, 0, "{}{}", allowed.stdout, allowed.stderr);
    assert!(allowed.stdout.contains("key [secret]"), "{}", allowed.stdout);
    assert!(!holds(&data, b"swordfish-7"));
    assert!(!allowed.stdout.contains("swordfish") && !allowed.stderr.contains("swordfish"));
}

fn holds(folder: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, needle)
        } else {
            std::fs::read(&path).unwrap().windows(needle.len()).any(|window| window == needle)
        }
    })
}
