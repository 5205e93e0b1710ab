//! The whole story of a host with strangers on it, with the real binary: a tenant, its keys, a plugin built with the SDK, an
//! inquiry, its events, its finding and the proof of it, and a key that is taken away.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;

use inquisitor_tests::server::{API_KEY, Server, ended};
use inquisitor_tests::{Ended, inquisitor, plugin, repository};
use serde_json::Value;

/// Run a command with the key of somebody.
fn with_key(server: &Server, key: &str, arguments: &[&str]) -> Ended {
    ended(server.client().env("INQUISITOR_KEY", key).args(arguments))
}

/// A key of the tenant, for somebody with this role.
fn key(server: &Server, role: &str) -> (String, String) {
    let made = server
        .run(["key", "create", &format!("the {role}"), "--role", role, "--tenant", "pharma-eu", "-o", "json"])
        .json();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

#[test]
fn a_tenant_s_inquiry_from_the_upload_of_its_plugin_to_a_proof_that_anyone_can_check() {
    // The host has one plugin of its own; what the inquiry needs comes from the tenant's author.
    let plugins = tempfile::tempdir().unwrap();
    std::fs::copy(plugin("echo"), plugins.path().join("echo.wasm")).unwrap();
    let substrates = repository().join("examples/cold-chain");
    let server = Server::from_plugins(plugins.path(), &["--substrate-dir", substrates.to_str().unwrap()]);

    // The administrator makes a tenant and three keys. Nothing is allowed that was not said.
    let policy = server.file("policy.yaml", "kinds: [COMPLIANCE]\nsubstrate_files: ['.']\n");
    let created = server.run(["tenant", "create", "pharma-eu", "--policy", policy.to_str().unwrap()]);
    assert_eq!(created.code, 0, "{}", created.stderr);
    let (_, author) = key(&server, "author");
    let (submitter_id, submitter) = key(&server, "submitter");
    let (_, auditor) = key(&server, "auditor");

    // The author uploads; the submitter may not.
    let probe = plugin("thermal-probe");
    let probe = probe.to_str().unwrap();
    let refused = with_key(&server, &submitter, &["plugin", "push", probe]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("role"), "says why:\n{}", refused.stderr);
    let pushed = with_key(&server, &author, &["plugin", "push", probe, "-o", "json"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let digest = pushed.json()["digest"].as_str().unwrap().to_owned();
    let again = with_key(&server, &author, &["plugin", "push", probe]);
    assert_eq!(again.code, 0, "the same bytes again change nothing: {}", again.stderr);
    // Nobody else has it.
    assert!(!server.run(["plugin", "list", "--tenant", "default"]).stdout.contains("thermal-probe"));

    // The submitter submits the cold chain and watches it to its finding.
    let manifest = substrates.join("inquiry.yaml");
    let watched = with_key(&server, &submitter, &["submit", manifest.to_str().unwrap(), "--watch"]);
    assert_eq!(watched.code, 0, "{}\n{}", watched.stderr, server.log());
    assert!(watched.stdout.contains("VERIFIED"), "{}", watched.stdout);
    let inquiries = with_key(&server, &submitter, &["inquiry", "list", "-o", "json"]).json();
    let id = inquiries[0]["id"].as_str().unwrap();
    assert_eq!(inquiries[0]["tenant"], "pharma-eu");

    // A kind that the tenant's policy does not name is refused, with the reason.
    let other = std::fs::read_to_string(&manifest)
        .unwrap()
        .replace("COMPLIANCE", "MARKET")
        .replace("id: cold-chain", "id: market");
    let other = server.file("other.yaml", &other);
    let refused = with_key(&server, &submitter, &["submit", other.to_str().unwrap()]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("MARKET"), "{}", refused.stderr);

    // The auditor reads events, readings and the finding, and takes a proof along.
    let events = with_key(&server, &auditor, &["inquiry", "events", id]);
    assert!(events.stdout.contains("inquiry-submitted"), "{}{}", events.stdout, events.stderr);
    assert!(events.stdout.contains("inquiry-concluded"), "{}", events.stdout);
    let finding = with_key(&server, &auditor, &["inquiry", "findings", id, "-o", "json"]).json();
    assert_eq!(finding["finding"]["verdict"], "VERIFIED", "{finding}");
    let index = finding["provenance"]["index"].to_string();
    let proof = with_key(&server, &auditor, &["ledger", "prove", &index]);
    assert_eq!(proof.code, 0, "{}", proof.stderr);
    let proof = server.file("proof.json", &proof.stdout);
    let noted = with_key(&server, &auditor, &["ledger", "checkpoint"]).stdout;
    let noted = server.file("noted.txt", &noted);

    // The administrator's export has every decision, allowed or not.
    let export = server.file("ledger.jsonl", &server.run(["ledger", "export"]).stdout);
    let decisions = decisions(&export);
    let made = |action: &str, allowed: bool| {
        decisions.iter().any(|body| body["action"] == action && body["allowed"] == allowed)
    };
    for (action, allowed) in [
        ("tenant.manage", true),
        ("key.manage", true),
        ("plugin.upload", true),
        ("plugin.upload", false),
        ("inquiry.submit", true),
        ("inquiry.submit", false),
    ] {
        assert!(made(action, allowed), "no decision {action}, allowed: {allowed} in {decisions:#?}");
    }

    // The administrator takes the submitter's key away.
    assert_eq!(server.run(["key", "revoke", &submitter_id]).code, 0);
    let refused = with_key(&server, &submitter, &["inquiry", "list"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("key"), "{}", refused.stderr);
    assert_eq!(with_key(&server, &auditor, &["inquiry", "list"]).code, 0, "other keys go on");

    // The plugin can go now; its component stays for whoever runs the inquiry again.
    assert_eq!(with_key(&server, &author, &["plugin", "rm", &digest]).code, 0);

    // Secrets are nowhere in the log, and the log knows who did what.
    let log = server.log();
    for secret in [&author, &submitter, &auditor, &API_KEY.to_owned()] {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
    }

    // Without the host: the proof, and the whole ledger against the checkpoint that was noted.
    server.signal("TERM");
    let (code, _folder) = server.ended();
    assert_eq!(code, Some(0), "stops in order");
    let verify = |arguments: &[&str]| ended(inquisitor().args(["ledger", "verify"]).args(arguments));
    let (proof, noted) = (proof.to_str().unwrap(), noted.to_str().unwrap());
    let verified = verify(&["--proof", proof, "--checkpoint", noted]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    let verified = verify(&[export.to_str().unwrap(), "--checkpoint", noted]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}

/// The bodies of the decisions in an export.
fn decisions(export: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(export).unwrap();
    let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter(|entry| entry["kind"] == "access-decided").map(|entry| entry["body"].clone()).collect()
}
