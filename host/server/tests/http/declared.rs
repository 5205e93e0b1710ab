//! The directory of declared manifests: what lies in it runs, and what is taken away ends.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Host, PATIENCE, Setup};

/// A directory of declared manifests.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Written beside and moved in place, as a careful tool does.
    fn write(&self, file: &str, text: &str) {
        let beside = self.0.path().join(format!(".{file}.new"));
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.0.path().join(file)).unwrap();
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.0.path().join(file)).unwrap();
    }

    fn setup(&self) -> Setup {
        let path = self.path();
        Setup::new().configure(|config| config.manifest_dir = Some(path))
    }
}

fn manifest(id: &str, message: &str, more: &str, instrument: &str) -> String {
    format!(
        "version: 1.0.0
id: {id}
name: {id}
metadata: {{ author: tests }}
{more}protocol:
  type: sequential
  phases:
    - name: execution
      steps:
        - {{ name: say, type: measurement, instrument: probe, parameters: {{ message: {message} }} }}
instruments:
  - {{ type: echo, id: probe{instrument} }}
"
    )
}

/// One that runs once.
fn once(id: &str, message: &str) -> String {
    manifest(id, message, "", "")
}

/// One that goes on until it is ended.
fn continuous(id: &str, message: &str) -> String {
    manifest(id, message, "", ", probeInterval: 200ms")
}

async fn shown(host: &Host, file: &str) -> Answer {
    host.get(&format!("/v1/manifests/{file}")).await
}

/// Wait until a file stands as it should.
async fn until(host: &Host, file: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            last = shown(host, file).await.body;
            if is_so(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    if waited.await.is_err() {
        panic!("{file} never was {what}: {last:#}");
    }
    last
}

async fn until_state(host: &Host, file: &str, state: &str) -> Value {
    until(host, file, state, |shown| shown["state"] == state).await
}

async fn inquiries(host: &Host) -> Vec<Value> {
    let answer = host.get("/v1/inquiries?limit=500").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["items"].as_array().unwrap().clone()
}

async fn until_no_inquiry_runs(host: &Host) {
    let ended = async {
        while inquiries(host).await.iter().any(|inquiry| inquiry["status"] == "running") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("what is no longer declared ends");
}

async fn metric(host: &Host, line: &str) -> String {
    let answer = Answer::of(host.request(Method::GET, "/metrics")).await;
    let text = answer.body.as_str().unwrap();
    let value = text.lines().find_map(|there| there.strip_prefix(line));
    value.unwrap_or_else(|| panic!("{line} is missing:\n{text}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_once_runs_once_also_after_a_restart() {
    let directory = Directory::new();
    directory.write("a.yaml", &once("a", "hello"));
    let host = directory.setup().start().await;
    let shown = until_state(&host, "a.yaml", "ended").await;
    let first = shown["inquiry"].as_str().unwrap().to_owned();
    assert_eq!(shown["tenant"], "default");
    assert_eq!(shown["manifest"], "a");
    let of_key = host.get(&format!("/v1/inquiries/{first}")).await;
    assert_eq!(of_key.body["origin"], json!({"origin": "declared", "file": "a.yaml"}), "{of_key:?}");
    let folder = host.stop().await;

    let host = directory.setup().start_in(folder).await;
    let shown = until_state(&host, "a.yaml", "ended").await;
    assert_eq!(shown["inquiry"], first.as_str());
    assert_eq!(inquiries(&host).await.len(), 1);
    // Another text is another inquiry.
    directory.write("a.yaml", &once("a", "again"));
    until(&host, "a.yaml", "run again", |shown| {
        shown["state"] == "ended" && shown["inquiry"] != first.as_str()
    })
    .await;
    assert_eq!(inquiries(&host).await.len(), 2);
    // And the first text has run already.
    directory.write("a.yaml", &once("a", "hello"));
    until(&host, "a.yaml", "known", |shown| shown["state"] == "ended" && shown["inquiry"] == first.as_str())
        .await;
    assert_eq!(inquiries(&host).await.len(), 2);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuous_one_is_there_as_long_as_its_file() {
    let directory = Directory::new();
    directory.write("c.yaml", &continuous("c", "hello"));
    let host = directory.setup().start().await;
    let first = until_state(&host, "c.yaml", "running").await["inquiry"].as_str().unwrap().to_owned();

    // Somebody ends it, and it begins again.
    let cancelled = host.post(&format!("/v1/inquiries/{first}/cancel"), &Value::Null).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    let second = until(&host, "c.yaml", "begun again", |shown| {
        shown["state"] == "running" && shown["inquiry"] != first.as_str()
    })
    .await["inquiry"]
        .as_str()
        .unwrap()
        .to_owned();

    // It goes on over a restart.
    let folder = host.stop().await;
    let host = directory.setup().start_in(folder).await;
    let shown = until_state(&host, "c.yaml", "running").await;
    assert_eq!(shown["inquiry"], second.as_str());

    // Another text under the same id waits for its end.
    directory.write("c.yaml", &continuous("c", "changed"));
    until(&host, "c.yaml", "replaced", |shown| {
        shown["state"] == "running" && shown["inquiry"] != second.as_str()
    })
    .await;
    assert_eq!(metric(&host, "inquisitor_declared_manifests{state=\"running\"}").await, "1");

    directory.remove("c.yaml");
    until_no_inquiry_runs(&host).await;
    assert_eq!(shown_status(&host, "c.yaml").await, 404);
    let all = inquiries(&host).await;
    assert_eq!(all.len(), 3, "{all:#?}");
    let drift = async {
        while metric(&host, "inquisitor_declared_drift").await != "0" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drift).await.expect("nothing is left to do");
    host.stop().await;
}

async fn shown_status(host: &Host, file: &str) -> u16 {
    shown(host, file).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_says_what_is_wrong_and_harms_nothing_that_runs() {
    let directory = Directory::new();
    directory.write("c.yaml", &continuous("c", "hello"));
    directory.write("b.yaml", "id: b\nnmae: x\n");
    let host = directory.setup().start().await;
    let running = until_state(&host, "c.yaml", "running").await["inquiry"].clone();
    let broken = until_state(&host, "b.yaml", "broken").await;
    let fields: Vec<&str> =
        broken["diagnostics"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert!(fields.contains(&"unknown-field"), "{broken:#}");
    assert!(broken["message"].as_str().unwrap().contains("error"), "{broken:#}");
    assert_eq!(metric(&host, "inquisitor_declared_manifests{state=\"broken\"}").await, "1");

    directory.write("c.yaml", "id: [");
    let broken = until_state(&host, "c.yaml", "broken").await;
    assert_eq!(broken["inquiry"], running, "what ran before goes on");
    let inquiry = host.get(&format!("/v1/inquiries/{}", running.as_str().unwrap())).await;
    assert_eq!(inquiry.body["status"], "running", "{inquiry:?}");

    directory.write("b.yaml", &once("b", "good"));
    until_state(&host, "b.yaml", "ended").await;
    directory.write("c.yaml", &continuous("c", "hello"));
    let mended = until_state(&host, "c.yaml", "running").await;
    assert_eq!(mended["inquiry"], running);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_looked_up_and_their_policy_applies() {
    let directory = Directory::new();
    let of_lab = |more: &str| manifest("l", "hello", &format!("tenant: lab\n{more}"), "");
    directory.write("l.yaml", &of_lab("kind: survey\n"));
    directory.write("mine.yaml", &once("m", "hello"));
    directory.write("nobody.yaml", "- what\n");
    let host = directory.setup().start().await;
    let broken = until_state(&host, "l.yaml", "broken").await;
    assert_eq!(broken["message"], "there is no tenant `lab`; create it, or name another one");

    host.tenant("lab", json!({"kinds": ["assay"]})).await;
    let refused = until(&host, "l.yaml", "refused", |shown| {
        shown["message"].as_str().is_some_and(|message| message.contains("policy"))
    })
    .await;
    assert_eq!(refused["state"], "broken");
    directory.write("l.yaml", &of_lab("kind: assay\n"));
    until_state(&host, "l.yaml", "ended").await;

    // A key of the tenant sees its own files and no others.
    let key = host.key("operator", Some("lab")).await;
    let list = Answer::of(host.with_key(&key, Method::GET, "/v1/manifests")).await;
    let files: Vec<&str> =
        list.body["items"].as_array().unwrap().iter().map(|item| item["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["l.yaml"]);
    for file in ["mine.yaml", "nobody.yaml", "none.yaml"] {
        let answer = Answer::of(host.with_key(&key, Method::GET, &format!("/v1/manifests/{file}"))).await;
        assert_eq!(answer.status, 404, "{file}");
    }
    let submitter = host.key("submitter", Some("lab")).await;
    let answer = Answer::of(host.with_key(&submitter, Method::GET, "/v1/manifests")).await;
    assert_eq!(answer.status, 403);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_file_of_a_manifest_id_is_told_of_the_first() {
    let directory = Directory::new();
    directory.write("a.yaml", &continuous("same", "one"));
    directory.write("b.yaml", &once("same", "two"));
    let host = directory.setup().start().await;
    until_state(&host, "a.yaml", "running").await;
    let second = until_state(&host, "b.yaml", "broken").await;
    let message = second["message"].as_str().unwrap();
    assert!(message.contains("`a.yaml`") && message.contains("`same`"), "{message}");
    directory.remove("a.yaml");
    until_state(&host, "b.yaml", "ended").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_config_map_that_is_swapped_is_followed() {
    let directory = Directory::new();
    let put = |version: &str, message: &str| {
        let folder = directory.0.path().join(version);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a.yaml"), continuous("a", message)).unwrap();
        let temporary = directory.0.path().join("..data_tmp");
        symlink(version, &temporary).unwrap();
        std::fs::rename(temporary, directory.0.path().join("..data")).unwrap();
    };
    put("..one", "one");
    symlink("..data/a.yaml", directory.0.path().join("a.yaml")).unwrap();
    let host = directory.setup().start().await;
    let first = until_state(&host, "a.yaml", "running").await["inquiry"].clone();
    put("..two", "two");
    std::fs::remove_dir_all(directory.0.path().join("..one")).unwrap();
    until(&host, "a.yaml", "replaced", |shown| shown["state"] == "running" && shown["inquiry"] != first)
        .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_goes_away_ends_nothing_and_is_followed_when_it_comes_back() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("manifests");
    let write = |path: &Path| {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("c.yaml"), continuous("c", "hello")).unwrap();
    };
    write(&path);
    let set = path.clone();
    let host = Setup::new().configure(|config| config.manifest_dir = Some(set)).start().await;
    let inquiry = until_state(&host, "c.yaml", "running").await["inquiry"].clone();
    std::fs::remove_dir_all(&path).unwrap();
    let problem = async {
        loop {
            let list = host.get("/v1/manifests").await;
            if list.body["problem"] == "the directory is not there" {
                return list;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let list = tokio::time::timeout(2 * PATIENCE, problem).await.expect("the missing directory is told");
    assert_eq!(list.body["items"][0]["inquiry"], inquiry);
    let running = host.get(&format!("/v1/inquiries/{}", inquiry.as_str().unwrap())).await;
    assert_eq!(running.body["status"], "running");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_pages_and_names_what_it_does_not_know() {
    let directory = Directory::new();
    for number in 0..5 {
        directory.write(&format!("{number}.yaml"), "id: [");
    }
    let host = directory.setup().start().await;
    until_state(&host, "4.yaml", "broken").await;
    let first = host.get("/v1/manifests?limit=3&state=broken").await;
    assert_eq!(first.body["items"].as_array().unwrap().len(), 3);
    assert_eq!(first.body["configured"], true);
    assert_eq!(first.body["leader"], true);
    let next = first.body["next"].as_str().unwrap();
    let second = host.get(&format!("/v1/manifests?limit=3&cursor={next}")).await;
    let files: Vec<&Value> =
        second.body["items"].as_array().unwrap().iter().map(|item| &item["file"]).collect();
    assert_eq!(files, ["3.yaml", "4.yaml"]);
    assert_eq!(second.body["next"], Value::Null);
    for wrong in ["limit=0", "limit=501", "cursor=zz", "stat=broken", "state=odd"] {
        let answer = host.get(&format!("/v1/manifests?{wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    for name in ["..%2f..%2fetc%2fpasswd", "%00.yaml", "a%2fb.yaml", &"x".repeat(3000)] {
        let answer = host.get(&format!("/v1/manifests/{name}")).await;
        assert_eq!(answer.status, 404, "{name}");
    }
    let denied = Answer::of(host.request(Method::GET, "/v1/manifests")).await;
    assert_eq!(denied.status, 401);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_nothing_is_declared() {
    let host = Setup::new().start_in(Arc::new(tempfile::tempdir().unwrap())).await;
    let list = host.get("/v1/manifests").await;
    assert_eq!(list.body["configured"], false);
    assert_eq!(list.body["items"], json!([]));
    host.stop().await;
}
