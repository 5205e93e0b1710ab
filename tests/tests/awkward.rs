//! `inquisitor` in the hands of somebody who gets everything slightly wrong: destinations that cannot be written, files that
//! are none, options that name nothing.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use inquisitor_tests::{fixture, inquisitor, plugin, run, run_manifest};
use serde_json::Value;

const BODY: &str = r#"
version: "1.0"
id: awkward
name: Awkward
metadata: { author: Tests }
protocol: { type: sequential, phases: [execution] }
substrate: { source: { type: synthetic, generator: gaussian, parameters: { mean: 5.0, stddev: 0.1, samples: 50 } } }
instruments:
  - { type: table, id: probe, parameters: { value: value, quantity: temperature, unit: Cel } }
"#;

/// The manifest with another section at its end.
fn with(section: &str) -> String {
    format!("{BODY}{section}\n")
}

fn diagnostics(document: &Value) -> Vec<(&str, &str)> {
    let listed = document["diagnostics"].as_array().unwrap();
    listed.iter().map(|one| (one["path"].as_str().unwrap(), one["message"].as_str().unwrap())).collect()
}

/// A folder below a file can be made by nobody, not even by root.
fn impossible(folder: &Path) -> String {
    let file = folder.join("a-file");
    std::fs::write(&file, "").unwrap();
    file.join("reports").display().to_string()
}

#[test]
fn a_destination_that_cannot_be_written_costs_no_finding_and_blocks_no_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let manifest = with(&format!(
        "reporting: {{ artifacts: [{{ type: executive_summary }}], destinations: [{{ type: file, path: {:?} }}] }}",
        impossible(folder.path())
    ));
    let data = ["--data-dir", data.to_str().unwrap()];
    let ended = run_manifest(folder.path(), &manifest, &data);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(ended.json()["finding"]["verdict"], "VERIFIED");
    assert!(ended.stderr.contains("cannot make the folder"), "{}", ended.stderr);
    let next = run_manifest(folder.path(), BODY, &data);
    assert_eq!(next.code, 0, "{}", next.stderr);
    assert!(!next.stderr.contains("going on"), "{}", next.stderr);
}

#[test]
fn an_artifact_folder_that_cannot_be_made_is_said_before_the_first_reading() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run_manifest(folder.path(), BODY, &["--artifact-dir", &impossible(folder.path())]);
    assert_eq!(ended.code, 1);
    assert!(ended.json()["error"].as_str().unwrap().contains("cannot make the folder"));
    assert!(!ended.stderr.contains("running"), "{}", ended.stderr);
}

#[test]
fn parameters_of_a_destination_are_refused_not_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let manifest =
        with("reporting: { destinations: [{ type: file, path: x, parameters: { mode: append } }] }");
    let ended = run_manifest(folder.path(), &manifest, &[]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    let (path, message) = diagnostics(&document)[0];
    assert_eq!(path, "reporting.destinations[0].parameters.mode");
    assert!(message.contains("no parameter `mode`"), "{message}");
}

#[test]
fn a_group_given_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = with("analysis: { statistical: [{ test: anova, groups: [probe, probe] }] }");
    let ended = run_manifest(folder.path(), &manifest, &[]);
    assert_eq!(ended.code, 1);
    assert_eq!(
        diagnostics(&ended.json()),
        [("analysis.statistical[0].groups[1]", "the group `probe` is given twice")]
    );
}

#[test]
fn an_axiom_in_a_unit_of_something_else_is_named_as_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = with("falsification: { axioms: [{ quantity: temperature, unit: m, min: 1 }] }");
    let ended = run_manifest(folder.path(), &manifest, &[]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let counts = ended.json()["finding"]["exclusion_counts"].clone();
    assert_eq!(counts[0]["rule"], "unit is a UCUM code that converts to m, which the manifest names");
}

#[test]
fn secrets_are_resolved_in_paths_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "s3cr3t-folder";
    std::fs::create_dir(folder.path().join(secret)).unwrap();
    std::fs::write(folder.path().join(secret).join("data.csv"), "value\n1\n2\n").unwrap();
    let manifest = BODY.replace(
        "{ type: synthetic, generator: gaussian, parameters: { mean: 5.0, stddev: 0.1, samples: 50 } }",
        "{ type: file, path: \"${FOLDER}/data.csv\" }",
    ) + "reporting: { artifacts: [{ type: executive_summary }], destinations: [{ type: file, path: \"${FOLDER}/out\" }] }\n";
    let file = folder.path().join("inquiry.yaml");
    let ended = |manifest: &str, options: &[&str]| {
        std::fs::write(&file, manifest).unwrap();
        let mut command = inquisitor();
        command.arg("run").arg(&file).args(["--output", "json"]).args(options).env("FOLDER", secret);
        inquisitor_tests::Ended::from(command.output().unwrap())
    };
    let good = ended(&manifest, &["--allow-secret", "FOLDER"]);
    assert_eq!(good.code, 0, "{}\n{}", good.stdout, good.stderr);
    assert!(folder.path().join(secret).join("out/executive_summary.md").is_file());
    let missing = ended(&manifest.replace("data.csv", "none.csv"), &["--allow-secret", "FOLDER"]);
    assert_eq!(missing.code, 3, "{}", missing.stderr);
    for shown in [&good.stdout, &good.stderr, &missing.stdout, &missing.stderr] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let refused = ended(&manifest, &[]);
    assert!(refused.stdout.contains("is not on the list of allowed secrets"), "{}", refused.stdout);
}

#[test]
fn a_continuous_inquiry_is_observed_once_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "\
apiVersion: apparatus.wadelabs.io/v1
kind: InquiryManifest
metadata: { name: cold-chain-verification }
spec:
  instruments:
    - { type: thermal, probeInterval: 10s }
    - { type: rfid, probeInterval: 30s }
  arbitration: { engine: hermeneutic, consensus: raft }
";
    let ended = run_manifest(folder.path(), manifest, &["--quiet"]);
    assert!(ended.stderr.contains("the probeInterval of rfid, thermal is not used"), "{}", ended.stderr);
}

#[test]
fn a_plugin_that_was_asked_for_is_never_replaced_by_an_installed_one() {
    let folder = tempfile::tempdir().unwrap();
    for option in ["--plugin", "--plugin-dir"] {
        let ended = run_manifest(folder.path(), BODY, &[option, "no-such.wasm"]);
        assert_eq!(ended.code, 1);
        assert!(ended.json()["error"].as_str().unwrap().contains("no-such.wasm"), "{}", ended.stdout);
    }
}

#[cfg(unix)]
#[test]
fn a_device_is_no_plugin() {
    for command in ["check", "inspect", "call"] {
        let ended = run(["plugin", command, "/dev/zero"]);
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains("/dev/zero is a device or a pipe"), "{}", ended.stderr);
    }
}

#[test]
fn json_output_is_one_document_even_of_an_error() {
    let echo = plugin("echo");
    let echo = echo.to_str().unwrap();
    let file = fixture("no-such.yaml");
    let file = file.to_str().unwrap();
    let commands: &[&[&str]] = &[
        &["run", file],
        &["ledger", "verify", file],
        &["ledger", "checkpoint", "--data-dir", file],
        &["plugin", "inspect", file],
        &["plugin", "call", echo, "--params", "[]"],
        &["plugin", "new", "No Name"],
        &["plugin", "build", file],
    ];
    for command in commands {
        let ended = run(command.iter().chain(&["--output", "json"]));
        assert_eq!(ended.code, 1, "{command:?}");
        assert!(ended.json()["error"].is_string(), "{command:?}: {}", ended.stdout);
        assert!(ended.stderr.starts_with("error: "), "{command:?}: {}", ended.stderr);
    }
    let ended = run(["validate", file, "--output", "json"]);
    assert_eq!((ended.code, ended.json()[0]["valid"].as_bool()), (2, Some(false)));
}

#[test]
fn a_misspelt_log_level_is_refused() {
    let ended = run(["schema", "--log-level", "verbose"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("`verbose` is none of off, error"), "{}", ended.stderr);
}
