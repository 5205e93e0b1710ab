//! What the command line prints, word for word.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use inquisitor_tests::{inquisitor, plugin, repository, run};

/// The text with what differs from run to run made the same.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    for line in text.lines() {
        let words: Vec<String> = line.split(' ').map(steady_word).collect();
        steady.push_str(&words.join(" "));
        steady.push('\n');
    }
    steady
}

fn steady_word(word: &str) -> String {
    let is_hex = |length: usize| word.len() == length && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_uuid = word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
    if is_hex(64) {
        "<root>".to_owned()
    } else if is_uuid {
        "<inquiry>".to_owned()
    } else {
        word.to_owned()
    }
}

#[test]
fn help() {
    for (name, arguments) in [
        ("help", vec!["--help"]),
        ("run_help", vec!["run", "--help"]),
        ("plugin_help", vec!["plugin", "--help"]),
        ("serve_help", vec!["serve", "--help"]),
        ("submit_help", vec!["submit", "--help"]),
        ("inquiry_help", vec!["inquiry", "--help"]),
        ("ledger_help", vec!["ledger", "--help"]),
        ("backup_help", vec!["backup", "--help"]),
        ("backup_create_help", vec!["backup", "create", "--help"]),
        ("backup_restore_help", vec!["backup", "restore", "--help"]),
        ("raft_add_help", vec!["raft", "add", "--help"]),
        ("tenant_set_help", vec!["tenant", "set", "--help"]),
        ("context_help", vec!["context", "--help"]),
    ] {
        let ended = run(&arguments);
        assert_eq!(ended.code, 0);
        insta::assert_snapshot!(name, ended.stdout);
    }
}

#[test]
fn the_finding_of_an_example() {
    for example in ["hello-world", "silicon-resistivity", "cold-chain"] {
        let manifest = repository().join("examples").join(example).join("inquiry.yaml");
        let ended = inquisitor().args(["run", "--quiet"]).arg(manifest).output().unwrap();
        insta::assert_snapshot!(example.replace('-', "_"), steady(&String::from_utf8(ended.stdout).unwrap()));
    }
}

#[test]
fn mistakes_of_a_manifest() {
    let ended = run(["validate", "tests/fixtures/six-mistakes.yaml"]);
    insta::assert_snapshot!(ended.stdout);
}

#[test]
fn a_core_module_is_told_how_to_become_a_component() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.wasm");
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    let ended = run(["plugin", "check", file.to_str().unwrap()]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stdout.contains("core WebAssembly module") && ended.stdout.contains("plugin build"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_call_shows_readings_logs_and_what_was_used() {
    let echo = plugin("echo");
    let ended = run([
        "plugin",
        "call",
        echo.to_str().unwrap(),
        "--step",
        r#"{"message": "hi"}"#,
        "--fuel",
        "100000000",
        "-o",
        "json",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let document = ended.json();
    assert_eq!(document["outcome"], "completed");
    assert_eq!(document["observation"]["readings"][0]["value"]["text"], "hi");
    assert!(document["usage"]["fuel"].as_u64().unwrap() > 0);
    assert!(document["usage"]["peak_memory"].as_u64().unwrap() > 0);
}

#[test]
fn a_wrong_parameter_of_a_call_names_the_option_and_the_field() {
    let echo = plugin("echo");
    let ended =
        run(["plugin", "call", echo.to_str().unwrap(), "--params", r#"{"response_delay_ms": "soon"}"#]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("--params.response_delay_ms"), "{}", ended.stderr);
}

#[test]
fn completions_name_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(["completions", shell]);
        assert_eq!(ended.code, 0);
        for command in [
            "run", "validate", "schema", "plugin", "ledger", "serve", "submit", "inquiry", "tenant", "key",
            "status", "raft", "backup", "context",
        ] {
            assert!(ended.stdout.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn the_schema_is_a_json_schema_that_names_the_sections() {
    let schema = run(["schema"]).json();
    assert!(schema["$schema"].as_str().unwrap().starts_with("https://json-schema.org/"));
    for section in ["protocol", "falsification", "arbitration", "belief", "capabilities"] {
        assert!(schema.to_string().contains(section), "{section}");
    }
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    let ended = run(["run", "--no-such-option"]);
    assert_eq!(ended.code, 2);
}
