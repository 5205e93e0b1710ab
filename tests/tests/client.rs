//! `inquisitor serve` and the commands that ask it, as a user runs them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use inquisitor_tests::server::{API_KEY, Server, ended};
use inquisitor_tests::{fixture, inquisitor, plugin, test_component};
use serde_json::Value;

/// An inquiry of one step, with a name of its own.
fn manifest(id: &str) -> String {
    format!(
        "version: '1.0'\nid: {id}\nname: A question\nmetadata: {{author: tests, tags: [{id}-tag]}}\nprotocol:\n  type: sequential\n  phases:\n    - name: execution\n      steps:\n        - {{name: say, type: measurement, instrument: one, parameters: {{message: hello}}}}\ninstruments:\n  - {{type: echo, id: one}}\n"
    )
}

/// With the key of somebody else than the administrator.
fn with_key(server: &Server, key: &str) -> Command {
    let mut command = server.client();
    command.env("INQUISITOR_KEY", key);
    command
}

#[test]
fn an_inquiry_from_its_submission_to_its_proof() {
    let server = Server::start();
    let hello = fixture("hello-world.yaml");
    let watched = server.run(["submit", hello.to_str().unwrap(), "--watch"]);
    assert_eq!(watched.code, 0, "{}\n{}", watched.stderr, server.log());
    assert!(watched.stdout.contains("VERIFIED"), "{}", watched.stdout);
    assert!(watched.stderr.contains("readings in"), "progress is told:\n{}", watched.stderr);

    let list = server.run(["inquiry", "list", "--state", "concluded", "-o", "json"]).json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let id = list[0]["id"].as_str().unwrap();
    let table = server.run(["inquiry", "list"]).stdout;
    assert!(table.starts_with("ID") && table.contains(id) && table.contains("VERIFIED"), "{table}");

    let shown = server.run(["inquiry", "show", id]);
    assert!(shown.stdout.contains("completed") && shown.stdout.contains("VERIFIED"), "{}", shown.stdout);
    let events = server.run(["inquiry", "events", id]);
    assert!(events.stdout.contains("inquiry-concluded"), "{}\n{}", events.stdout, events.stderr);
    let indexes: Vec<Value> = server
        .run(["inquiry", "events", id, "-o", "json"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["index"].clone())
        .collect();
    let after = indexes[indexes.len() - 2].to_string();
    let rest = server.run(["inquiry", "events", id, "--after", &after, "--follow"]);
    assert_eq!(rest.stdout.lines().count(), 1, "{}", rest.stdout);

    let readings = server.run(["inquiry", "readings", id, "-o", "json"]).json();
    let csv = server.run(["inquiry", "readings", id, "--csv"]).stdout;
    assert_eq!(csv.lines().count(), readings.as_array().unwrap().len() + 1, "{csv}");

    let findings = server.run(["inquiry", "findings", id, "-o", "json"]);
    assert_eq!(findings.code, 0);
    let index = findings.json()["provenance"]["index"].to_string();
    let proof = server.file("proof.json", &server.run(["ledger", "prove", &index]).stdout);
    let noted = server.file("noted.txt", &server.run(["ledger", "checkpoint"]).stdout);
    let verify = |more: &[&str]| {
        let mut command = inquisitor();
        ended(command.args(["ledger", "verify"]).args(more))
    };
    let (proof, noted) = (proof.to_str().unwrap(), noted.to_str().unwrap());
    let verified = verify(&["--proof", proof, "--checkpoint", noted]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert!(verified.stdout.starts_with("valid: entry"), "{}", verified.stdout);
    let export = server.file("ledger.jsonl", &server.run(["ledger", "export"]).stdout);
    assert_eq!(verify(&[export.to_str().unwrap(), "--checkpoint", noted]).code, 0);
    let growth = server.file("growth.json", &server.run(["ledger", "prove", "--from", "1"]).stdout);
    assert_eq!(verify(&["--consistency", growth.to_str().unwrap(), "--checkpoint", noted]).code, 0);
    let forged = std::fs::read_to_string(proof).unwrap().replace("inquiry-concluded", "inquiry-confirmed");
    let forged = server.file("forged.json", &forged);
    assert_eq!(verify(&["--proof", forged.to_str().unwrap()]).code, 1);
}

#[test]
fn mistakes_are_shown_as_validate_shows_them() {
    let server = Server::start();
    let file = fixture("six-mistakes.yaml");
    let refused = server.run(["submit", file.to_str().unwrap()]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("six-mistakes.yaml:13"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("6 errors") && refused.stderr.contains("max_workers"),
        "{}",
        refused.stderr
    );
    let dry = server.run(["submit", file.to_str().unwrap(), "--dry-run"]);
    assert_eq!(dry.code, 1);
    assert!(dry.stdout.contains("6 errors"), "{}{}", dry.stdout, dry.stderr);
    let document = server.run(["submit", file.to_str().unwrap(), "-o", "json"]).json();
    assert_eq!(document["problem"]["status"], 422);
    let good = fixture("hello-world.yaml");
    assert_eq!(server.run(["submit", good.to_str().unwrap(), "--dry-run"]).code, 0);
    assert_eq!(
        server.run(["inquiry", "list", "-o", "json"]).json(),
        Value::Array(vec![]),
        "nothing was submitted"
    );
}

#[test]
fn the_same_idempotency_key_is_the_same_inquiry() {
    let server = Server::start();
    let file = server.file("one.yaml", &manifest("one"));
    let submit = || server.run(["submit", file.to_str().unwrap(), "--idempotency-key", "k1"]);
    let (first, second) = (submit(), submit());
    assert_eq!((first.code, second.code), (0, 0), "{}{}", first.stderr, second.stderr);
    assert_eq!(first.stdout, second.stdout);
    assert!(second.stderr.contains("submitted before"), "{}", second.stderr);
    let other = server.file("two.yaml", &manifest("two"));
    let reused = server.run(["submit", other.to_str().unwrap(), "--idempotency-key", "k1"]);
    assert_eq!(reused.code, 1);
    assert!(reused.stderr.contains("(422)") && reused.stderr.contains("request "), "{}", reused.stderr);
}

#[test]
fn plugins_are_pushed_listed_and_removed() {
    let server = Server::start();
    let file = test_component("plain");
    let pushed = server.run(["plugin", "push", file.to_str().unwrap()]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(pushed.stdout.contains("installed for everybody"), "{}", pushed.stdout);
    let again = server.run(["plugin", "push", file.to_str().unwrap()]);
    assert!(again.stdout.contains("was installed already"), "{}{}", again.stdout, again.stderr);
    let list = server.run(["plugin", "list", "-o", "json"]).json();
    let uploaded: Vec<&Value> =
        list.as_array().unwrap().iter().filter(|plugin| plugin["source"] == "uploaded").collect();
    assert_eq!(uploaded.len(), 1);
    let reference = uploaded[0]["digest"].as_str().unwrap();
    assert_eq!(server.run(["plugin", "rm", reference]).code, 0);
    let gone = server.run(["plugin", "rm", reference]);
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("(404)"), "{}", gone.stderr);
    let shipped = server.run(["plugin", "rm", "echo"]);
    assert!(shipped.stderr.contains("(409)"), "{}", shipped.stderr);
    let broken = server.file("broken.wasm", "\0asm\u{1}\0\0\0");
    let refused = server.run(["plugin", "push", broken.to_str().unwrap()]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("(422)") && refused.stderr.contains("core WebAssembly module"),
        "{}",
        refused.stderr
    );
}

#[test]
fn tenants_and_keys_keep_people_apart() {
    let server = Server::start();
    let policy = server.file("policy.yaml", "limits: {memory: 64MiB}\nrates: {steps: 5}\n");
    let made =
        server.run(["tenant", "create", "lab-a", "--policy", policy.to_str().unwrap(), "--wall", "5s"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stdout.contains("memory: 64MiB") && made.stdout.contains("wall: 5s"), "{}", made.stdout);
    assert_eq!(server.run(["tenant", "create", "lab-b"]).code, 0);
    let set = server.run(["tenant", "set", "lab-a", "--steps", "7", "-o", "json"]).json();
    assert_eq!(set["policy"]["rates"]["steps"], 7);
    assert_eq!(set["policy"]["limits"]["memory"], "64MiB", "what is not named stays");

    let key = |tenant: &str| {
        let made = server.run([
            "key",
            "create",
            "ci",
            "--role",
            "submitter",
            "--tenant",
            tenant,
            "--expires-in",
            "90d",
        ]);
        assert!(made.stderr.contains("shown this once"), "{}", made.stderr);
        made.stdout.trim().to_owned()
    };
    let (a, b) = (key("lab-a"), key("lab-b"));
    assert!(a.starts_with("inq_") && a != b, "{a}");
    let file = server.file("one.yaml", &manifest("one"));
    let submitted = ended(with_key(&server, &a).arg("submit").arg(&file));
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    let id = submitted.stdout.trim();
    assert_eq!(ended(with_key(&server, &a).args(["inquiry", "show", id])).code, 0);
    let hidden = ended(with_key(&server, &b).args(["inquiry", "show", id]));
    assert!(hidden.stderr.contains("(404)"), "{}", hidden.stderr);
    let denied = ended(with_key(&server, &b).args(["tenant", "list"]));
    assert!(denied.stderr.contains("(403)"), "{}", denied.stderr);

    let keys = server.run(["key", "list", "-o", "json"]).json();
    let of_b = keys.as_array().unwrap().iter().find(|key| key["tenant"] == "lab-b").unwrap();
    assert_eq!(server.run(["key", "revoke", of_b["id"].as_str().unwrap()]).code, 0);
    let revoked = ended(with_key(&server, &b).args(["inquiry", "list"]));
    assert!(revoked.stderr.contains("(401)"), "{}", revoked.stderr);
    assert!(!server.run(["key", "list"]).stdout.contains(&b), "no secret is listed");
    assert!(!server.log().contains(&a) && !server.log().contains(API_KEY), "no key is logged");
    assert_eq!(server.run(["tenant", "rm", "lab-b"]).code, 0);
}

#[test]
fn contexts_name_servers_and_the_file_is_its_owners_alone() {
    let server = Server::start();
    let config = server.folder().join("config.toml");
    std::fs::write(&config, "# kept\nlog-level = \"warn\"\n").unwrap();
    let bare = |arguments: &[&str]| {
        let mut command = inquisitor();
        ended(command.arg("--config").arg(&config).args(arguments))
    };
    let key_file = server.file("key", &format!("{API_KEY}\n"));
    let set = bare(&[
        "context",
        "set",
        "here",
        "--server",
        server.url(),
        "--key-file",
        key_file.to_str().unwrap(),
        "--use",
    ]);
    assert_eq!(set.code, 0, "{}", set.stderr);
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("# kept"), "{text}");
    assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    let status = bare(&["status"]);
    assert_eq!(status.code, 0, "{}", status.stderr);
    assert!(status.stdout.contains("ready") && status.stdout.contains(server.url()), "{}", status.stdout);
    assert!(bare(&["context", "list"]).stdout.contains("here"));
    assert_eq!(bare(&["context", "use", "nowhere"]).code, 1);
    assert_eq!(bare(&["context", "rm", "here"]).code, 0);
    assert!(bare(&["raft", "status", "--server", server.url()]).stdout.contains("leader"));
}

#[test]
fn a_host_that_is_not_there_or_is_none_is_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody =
        inquisitor().args(["status", "--retry-for", "0s", "--server", &format!("http://{free}")]).output();
    let nobody: inquisitor_tests::Ended = nobody.unwrap().into();
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.stderr.contains("Connection refused") && nobody.stderr.contains("--server"),
        "{}",
        nobody.stderr
    );
    let server = Server::start();
    let wrong = ended(inquisitor().args(["status", "--server", &format!("{}/wrong", server.url())]));
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stderr.contains("(404)") || wrong.stderr.contains("is the address right?"),
        "{}",
        wrong.stderr
    );
    let unkeyed = ended(server.client().env_remove("INQUISITOR_KEY").arg("status"));
    assert!(unkeyed.stderr.contains("(401)"), "{}", unkeyed.stderr);
}

#[test]
fn a_stopped_host_goes_on_where_it_was() {
    let server = Server::start();
    let file = server.file("one.yaml", &manifest("one"));
    let id = server.run(["submit", file.to_str().unwrap()]).stdout.trim().to_owned();
    server.signal("TERM");
    let (code, folder) = server.ended();
    assert_eq!(code, Some(0), "{}", std::fs::read_to_string(folder.path().join("log")).unwrap());
    assert!(!folder.path().join("address").exists(), "the address goes with the host");
    let server = Server::on(folder, &[]);
    let ended = server.until("the inquiry's end", || {
        let shown = server.run(["inquiry", "show", &id, "-o", "json"]).json();
        (shown["status"] != "running").then_some(shown)
    });
    assert_eq!(ended["status"], "concluded");
}

#[test]
fn a_second_signal_stops_at_once() {
    let server = Server::with(&["--shutdown-timeout", "1h"]);
    let step = "\n        - {name: wait, type: measurement, instrument: slow, parameters: {message: a}}\n";
    let slow = manifest("slow")
        .replace(
            "\n        - {name: say, type: measurement, instrument: one, parameters: {message: hello}}\n",
            step,
        )
        .replace("{type: echo, id: one}", "{type: echo, id: slow, parameters: {response_delay_ms: 60000}}");
    let file = server.file("slow.yaml", &slow);
    let submitted = server.run(["submit", file.to_str().unwrap()]);
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    let id = submitted.stdout.trim();
    server.until("the lease", || {
        server.run(["inquiry", "events", id]).stdout.contains("step-leased").then_some(())
    });
    server.signal("INT");
    server.until("the first signal in the log", || server.log().contains("SIGINT").then_some(()));
    server.signal("TERM");
    assert_eq!(server.ended().0, Some(130));
}

#[test]
fn the_printed_configuration_holds_no_secret_and_empty_variables_count_as_not_set() {
    let printed = |command: &mut Command| ended(command.args(["serve", "--print-config"]));
    let shown = printed(
        inquisitor().env("API_KEY", "hunter22-hunter22").env("MANIFEST_DIR", "").env("HTTP_LISTEN", ""),
    );
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("http-listen = \"0.0.0.0:8000\""), "{}", shown.stdout);
    assert!(!shown.stdout.contains("hunter22") && !shown.stdout.contains("manifest-dir"), "{}", shown.stdout);
    let open = printed(inquisitor().env("API_KEY", ""));
    assert!(open.stdout.contains("http-listen = \"127.0.0.1:8000\""), "{}", open.stdout);
    let refused =
        ended(inquisitor().args(["serve", "--http-listen", "0.0.0.0:0", "--data-dir", "/nonexistent/x"]));
    assert_eq!(refused.code, 1, "{}", refused.stderr);
}

#[test]
fn without_a_key_only_this_machine_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = inquisitor();
    command.args(["serve", "--http-listen", "0.0.0.0:0", "--data-dir"]).arg(folder.path());
    command.arg("--plugin-dir").arg(plugin("echo").parent().unwrap());
    let refused = ended(&mut command);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("loopback only"), "{}", refused.stderr);
}
