//! Backups as an operator makes, checks and restores them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use inquisitor_tests::cluster::Cluster;
use inquisitor_tests::server::{PATIENCE, Server};
use inquisitor_tests::{Ended, inquisitor, run, test_component};
use serde_json::Value;

fn manifest(id: &str, plugin: &str) -> String {
    format!(
        "version: '1.0'\nid: {id}\nname: A question\nmetadata: {{author: tests}}\nprotocol: {{type: sequential, phases: [execution]}}\ninstruments: [{{type: {plugin}, id: one}}]\n"
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ids(listed: &Ended) -> BTreeSet<String> {
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    listed.as_array().unwrap().iter().map(|inquiry| inquiry["id"].as_str().unwrap().to_owned()).collect()
}

/// The root of a ledger when it had so many entries.
fn root(checkpoint: &Ended) -> String {
    assert_eq!(checkpoint.code, 0, "{}", checkpoint.stderr);
    checkpoint.json()["root"].as_str().unwrap().to_owned()
}

fn all_ended(server: &Server) {
    server.until("the end of every inquiry", || {
        let listed = server.run(["inquiry", "list", "--all", "-o", "json"]).json();
        listed.as_array()?.iter().all(|inquiry| inquiry["status"] != "running").then_some(())
    });
}

#[test]
fn a_host_under_load_is_backed_up_and_another_one_goes_on_with_it() {
    let server = Server::start();
    let component = test_component("plain");
    let pushed = server.run(["plugin", "push", text(&component), "-o", "json"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let plugin = pushed.json()["name"].as_str().unwrap().to_owned();
    let key = server.run(["key", "create", "ci", "--role", "submitter", "-o", "json"]).json();
    let first = server.submit_and_finish(&manifest("first", "echo"));
    let file = server.folder().join("monday.tar");
    let (over, submitted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let created = std::thread::scope(|scope| {
        for client in 0..4 {
            let (server, over, submitted) = (&server, &over, &submitted);
            scope.spawn(move || {
                let mut number = 0;
                while !over.load(Ordering::SeqCst) {
                    let body = manifest(&format!("load-{client}-{number}"), "echo");
                    assert!(server.ask("POST", "/v1/inquiries", body.as_bytes()).is_some());
                    submitted.fetch_add(1, Ordering::SeqCst);
                    number += 1;
                }
            });
        }
        server.until("load", || (submitted.load(Ordering::SeqCst) > 8).then_some(()));
        let created = server.run(["backup", "create", text(&file), "-o", "json"]);
        let at = submitted.load(Ordering::SeqCst);
        server.until("more load", || (submitted.load(Ordering::SeqCst) > at + 8).then_some(()));
        over.store(true, Ordering::SeqCst);
        created
    });
    assert_eq!(created.code, 0, "{}\n{}", created.stderr, server.log());
    let created = created.json();
    let size = created["manifest"]["ledger"]["size"].as_u64().unwrap().to_string();
    let noted = server.file("noted.txt", &server.run(["ledger", "checkpoint", "--size", &size]).stdout);
    let verified = run(["backup", "verify", text(&file), "--checkpoint", text(&noted), "-o", "json"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert_eq!(verified.json()["manifest"], created["manifest"]);
    let again = server.run(["backup", "create", text(&file)]);
    assert!(again.code == 1 && again.stderr.contains("is there already"), "{again:?}");

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let restored = run(["backup", "restore", text(&file), "--data-dir", text(&data)]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(restored.stdout.contains("it is the new cluster"), "{}", restored.stdout);
    let occupied = run(["backup", "restore", text(&file), "--data-dir", text(&data)]);
    assert!(occupied.code == 1 && occupied.stderr.contains("nothing is restored over"), "{occupied:?}");

    let new = Server::on(folder, &[]);
    all_ended(&new);
    all_ended(&server);
    let root_of =
        |server: &Server| root(&server.run(["ledger", "checkpoint", "--size", &size, "-o", "json"]));
    assert_eq!(root_of(&new), root_of(&server));
    assert_eq!(root_of(&new), created["manifest"]["ledger"]["root"].as_str().unwrap());
    let list = ["inquiry", "list", "--all", "-o", "json"];
    let (kept, all) = (ids(&new.run(list)), ids(&server.run(list)));
    assert!(kept.contains(&first) && kept.is_subset(&all), "{kept:?} of {all:?}");
    assert_eq!(kept.len() as u64, created["manifest"]["inquiries"].as_u64().unwrap());
    assert!(kept.len() < all.len(), "the load went on after the backup");
    for id in [&first, kept.last().unwrap()] {
        let shown = |server: &Server| server.run(["inquiry", "show", id, "-o", "json"]).json();
        assert_eq!(shown(&new)["id"], shown(&server)["id"]);
        assert_eq!(shown(&new)["status"], "concluded");
    }
    // Keys and uploaded plugins work as they did.
    let mut as_ci = new.client();
    as_ci.env("INQUISITOR_KEY", key["secret"].as_str().unwrap()).args(["inquiry", "show", &first]);
    assert!(as_ci.output().unwrap().status.success());
    new.submit_and_finish(&manifest("after", &plugin));
    let export = new.file("ledger.jsonl", &new.run(["ledger", "export"]).stdout);
    assert_eq!(run(["ledger", "verify", text(&export), "--checkpoint", text(&noted)]).code, 0);

    // A pipe, and a stopped host.
    let piped = new.client().args(["backup", "create", "-"]).output().unwrap();
    let copy = server.folder().join("piped.tar");
    std::fs::write(&copy, &piped.stdout).unwrap();
    assert_eq!(run(["backup", "verify", text(&copy)]).code, 0);
    new.signal("TERM");
    let (_, folder) = new.ended();
    let offline = folder.path().join("offline.tar");
    let data = folder.path().join("data");
    let ended = run(["backup", "create", text(&offline), "--data-dir", text(&data), "-o", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.json()["manifest"]["unfinished"], 0);
}

#[test]
fn a_damaged_backup_is_refused_by_everything() {
    let server = Server::start();
    server.submit_and_finish(&manifest("first", "echo"));
    let file = server.folder().join("whole.tar");
    assert_eq!(server.run(["backup", "create", text(&file), "--quiet"]).code, 0);
    let bytes = std::fs::read(&file).unwrap();
    let damaged = server.folder().join("damaged.tar");
    let data = server.folder().join("restored");
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let middle = bytes.len() / 2;
    for bad in [flipped(middle), flipped(600), flipped(bytes.len() - 1), bytes[..middle].to_vec()] {
        std::fs::write(&damaged, bad).unwrap();
        let verified = run(["backup", "verify", text(&damaged), "-o", "json"]);
        assert_eq!((verified.code, &verified.json()["valid"]), (1, &Value::Bool(false)), "{verified:?}");
        let said = verified.json()["error"].as_str().unwrap().to_owned();
        assert!(said.contains("the backup cannot be used: "), "{said}");
        let restored = run(["backup", "restore", text(&damaged), "--data-dir", text(&data)]);
        assert_eq!(restored.code, 1, "{restored:?}");
        let left = std::fs::read_dir(&data).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a failed restore leaves nothing");
    }
    let strange = run(["backup", "verify", "tests/fixtures/hello-world.yaml"]);
    assert!(strange.code == 1 && strange.stderr.contains("does not begin as a backup does"), "{strange:?}");
}

/// Answers a request for a backup with a part of one, and then does not go on or breaks off.
fn half_a_backup(goes_on: bool) -> (String, std::thread::JoinHandle<Option<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap();
        assert!(head[..read].starts_with(b"POST /v1/backup "));
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: 1000000\r\n\r\n"
        )
        .unwrap();
        stream.write_all(&[0; 300_000]).unwrap();
        stream.flush().unwrap();
        goes_on.then_some(stream)
    });
    (url, answering)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_is_broken_off_never_looks_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("half.tar");
    let (url, answering) = half_a_backup(true);
    let mut child =
        inquisitor().args(["backup", "create", text(&file), "--server", &url, "--key", "k"]).spawn().unwrap();
    let began = std::time::Instant::now();
    while !files(folder.path()).iter().any(|file| file.metadata().is_ok_and(|file| file.len() > 200_000)) {
        assert!(began.elapsed() < PATIENCE, "nothing was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!file.exists());
    // Without a word before.
    child.kill().unwrap();
    child.wait().unwrap();
    drop(answering.join().unwrap());
    let left = files(folder.path());
    assert!(!file.exists() && left.len() == 1, "{left:?}");
    assert!(text(&left[0]).ends_with(".part"), "{left:?}");
    assert_eq!(run(["backup", "verify", text(&left[0])]).code, 1);
    std::fs::remove_file(&left[0]).unwrap();

    // The host ends in the midst.
    let (url, answering) = half_a_backup(false);
    let ended = run(["backup", "create", text(&file), "--server", &url, "--key", "k"]);
    assert!(answering.join().unwrap().is_none());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn three_members_are_restored_as_the_documentation_says() {
    let old = Cluster::start(3);
    let taker = (old.leader() + 1) % 3;
    let component = test_component("plain");
    let pushed = old.run(taker, ["plugin", "push", text(&component), "-o", "json"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let plugin = pushed.json()["name"].as_str().unwrap().to_owned();
    let submit = |cluster: &Cluster, member: usize, id: &str, plugin: &str| {
        let file = cluster.folder().join(format!("{id}.yaml"));
        std::fs::write(&file, manifest(id, plugin)).unwrap();
        let submitted = cluster.run(member, ["submit", text(&file), "-o", "json"]);
        assert_eq!(submitted.code, 0, "{}\n{}", submitted.stderr, cluster.log(member));
        submitted.json()["id"].as_str().unwrap().to_owned()
    };
    let before: Vec<String> =
        (0..6).map(|number| submit(&old, number % 3, &format!("before-{number}"), "echo")).collect();
    let file = old.folder().join("cluster.tar");
    let created = old.run(taker, ["backup", "create", text(&file), "-o", "json"]);
    assert_eq!(created.code, 0, "{}\n{}", created.stderr, old.log(taker));
    let created = created.json();
    let size = created["manifest"]["ledger"]["size"].as_u64().unwrap().to_string();

    let mut new = Cluster::prepare(3);
    let data = new.folder().join("member-0").join("data");
    let restored = run(["backup", "restore", text(&file), "--data-dir", text(&data), "-o", "json"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let restored = restored.json();
    assert_ne!(restored["cluster"], created["manifest"]["cluster"]);
    new.start_member(0);
    new.until_ready(0);
    for member in [1, 2] {
        new.start_member(member);
        let wanted = format!("host-{member}={}", new.raft_address(member));
        let added = new.run(0, ["raft", "add", &wanted, "--wait", "60s", "-o", "json"]);
        assert_eq!(added.code, 0, "{}\n{}", added.stderr, new.log(member));
        assert_eq!(added.json()["voter"], true);
        new.until_ready(member);
    }
    let nobody = new.run(0, ["raft", "add", "host-9=127.0.0.9:4321", "--wait", "0s"]);
    assert!(nobody.code == 1 && nobody.stderr.contains("has not asked"), "{nobody:?}");
    assert!(nobody.stderr.contains("RAFT_PEERS=host-0="), "{nobody:?}");
    // The restored one is lost again; the two that joined have everything.
    new.kill(0);
    new.lose_disk(0);
    let mut all = before.clone();
    all.push(new.until("a member that leads and has the plugin", || {
        let leads = new.status(1).is_some_and(|status| status["has_leader"] == true);
        let listed = new.run(1, ["plugin", "list", "-o", "json", "--retry-for", "0s"]);
        (leads && listed.stdout.contains(&plugin)).then(|| submit(&new, 1, "after", &plugin))
    }));
    new.until_concluded(2, &all);
    let of_new = root(&new.run(2, ["ledger", "checkpoint", "--size", &size, "-o", "json"]));
    assert_eq!(of_new, root(&old.run(taker, ["ledger", "checkpoint", "--size", &size, "-o", "json"])));
    assert_eq!(new.status(1).unwrap()["cluster"], restored["cluster"]);
}
