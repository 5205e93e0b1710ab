//! The example `cold-room`, declared in a host's directory of manifests: it observes again and again, ends when it is
//! asked to, begins again as long as its file is there, and is over when the file is gone.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use inquisitor_tests::repository;
use inquisitor_tests::server::Server;
use serde_json::Value;

/// Inquiries of the example that are so far, newest first.
fn inquiries(server: &Server, state: &str) -> Vec<String> {
    let listed = server.run(["inquiry", "list", "--state", state, "--manifest", "cold-room", "-o", "json"]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    listed.json().as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// The finding of an inquiry, once it has one.
fn finding(server: &Server, id: &str) -> Option<Value> {
    let found = server.run(["inquiry", "findings", id, "-o", "json"]);
    (found.code == 0).then(|| found.json())
}

#[test]
fn a_declared_cold_room_is_observed_until_its_file_is_gone() {
    let declared = tempfile::tempdir().unwrap();
    let file = declared.path().join("cold-room.yaml");
    std::fs::copy(repository().join("examples/cold-room/inquiry.yaml"), &file).unwrap();
    let server = Server::with(&["--manifest-dir", declared.path().to_str().unwrap()]);

    let id = server.until("the declared inquiry", || inquiries(&server, "running").pop());
    let interim = server.until("an interim finding", || finding(&server, &id));
    assert_eq!(interim["interim"], true, "{interim}");
    let both = server.until("estimates of both quantities", || {
        let found = finding(&server, &id)?;
        let estimates = found["finding"]["estimates"].as_array()?;
        (estimates.len() == 2).then(|| found["finding"].clone())
    });
    assert_eq!(both["verdict"], "VERIFIED", "{both}");

    // It concludes with what it has, and its report and chart are there.
    assert_eq!(server.run(["inquiry", "cancel", &id]).code, 0);
    server.until("its conclusion", || inquiries(&server, "concluded").contains(&id).then_some(()));
    assert_eq!(finding(&server, &id).unwrap()["interim"], false);
    let artifacts = server.run(["inquiry", "artifacts", &id]).stdout;
    assert!(
        artifacts.contains("executive_summary.md") && artifacts.contains("time_series.svg"),
        "{artifacts}"
    );

    // What is declared runs, whoever cancels it. Without its file it is over.
    let again = server.until("another one for the file", || inquiries(&server, "running").pop());
    assert_ne!(again, id);
    std::fs::remove_file(&file).unwrap();
    server.until("the end of the second", || inquiries(&server, "concluded").contains(&again).then_some(()));
    assert_eq!(inquiries(&server, "running"), Vec::<String>::new());
}
