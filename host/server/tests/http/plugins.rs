//! Uploading, looking at and removing plugins.

use std::path::Path;
use std::time::Duration;

use inquisitor_server::api::plugins::{PluginDetails, PluginSource};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::inquiries::{echoing, ended, submission, submit};
use super::sockets::connect;
use super::support::{API_KEY, Answer, Host, PATIENCE, Setup, plugin};

pub(crate) fn component(name: &str) -> Vec<u8> {
    std::fs::read(plugin(name)).unwrap()
}

/// The same instrument in other bytes: with a section that nobody reads.
fn with_section(mut component: Vec<u8>, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len() + 2).unwrap();
    assert!(length < 0x80);
    component.extend([0, length, 1, b'x']);
    component.extend(content);
    component
}

/// The same instrument under another version of as many characters.
fn with_version(mut component: Vec<u8>, version: &str) -> Vec<u8> {
    let own = env!("CARGO_PKG_VERSION").as_bytes();
    assert_eq!(version.len(), own.len());
    let at = component.windows(own.len()).position(|bytes| bytes == own).unwrap();
    component[at..at + own.len()].copy_from_slice(version.as_bytes());
    component
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn upload_with(host: &Host, key: &str, query: &str, bytes: Vec<u8>) -> Answer {
    let request = host.with_key(key, Method::POST, &format!("/v1/plugins{query}"));
    Answer::of(request.header("content-type", "application/wasm").body(bytes)).await
}

async fn upload(host: &Host, bytes: Vec<u8>) -> Answer {
    upload_with(host, API_KEY, "", bytes).await
}

/// Files of uploads that are under way.
fn incoming(host: &Host) -> usize {
    fn count(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| match entry.file_type().unwrap().is_dir() {
                true => count(&entry.path()),
                false => usize::from(entry.file_name().to_string_lossy().starts_with("upload-")),
            })
            .sum()
    }
    count(host.folder.path())
}

#[tokio::test]
async fn a_plugin_from_its_upload_to_its_removal() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    let bytes = component("thermal-probe");
    let digest = digest(&bytes);
    let answer = upload(&host, bytes.clone()).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (201, format!("/v1/plugins/{digest}").as_str()),
        "{answer:?}"
    );
    assert_eq!((&answer.body["source"], &answer.body["tenant"]), (&json!("uploaded"), &Value::Null));
    let again = upload(&host, bytes.clone()).await;
    assert_eq!((again.status, &again.body), (200, &answer.body));

    let list = host.get("/v1/plugins").await.body;
    let names: Vec<(&str, &str)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["name"].as_str().unwrap(), item["source"].as_str().unwrap()))
        .collect();
    let name = answer.body["name"].as_str().unwrap();
    assert_eq!(names, [("echo", "shipped"), (name, "uploaded")]);
    let first = host.get("/v1/plugins?limit=1").await.body;
    let rest =
        host.get(&format!("/v1/plugins?limit=1&cursor={}", first["next"].as_str().unwrap())).await.body;
    assert_eq!((&rest["items"][0]["name"], &rest["next"]), (&json!(name), &Value::Null));
    assert_eq!(host.get("/v1/plugins?name=nobody").await.body["items"], json!([]));
    assert_eq!(host.get("/v1/plugins?cursor=zz").await.status, 400);

    let version = answer.body["version"].as_str().unwrap();
    for reference in
        [digest.clone(), format!("sha256:{digest}"), format!("{name}@{version}"), name.to_owned()]
    {
        let details = host.get(&format!("/v1/plugins/{reference}")).await;
        let details: PluginDetails = serde_json::from_value(details.body).unwrap();
        assert_eq!(
            (details.plugin.digest.as_str(), details.plugin.source),
            (digest.as_str(), PluginSource::Uploaded)
        );
        assert_eq!(details.plugin.size, Some(bytes.len() as u64));
        assert!(!details.plugin.quantities.is_empty() && !details.parameters.is_empty());
    }
    let schema = Answer::of(host.admin(Method::GET, &format!("/v1/plugins/{name}/schema"))).await;
    assert_eq!((schema.status, schema.header("content-type")), (200, "application/schema+json"));
    assert!(schema.body["properties"].is_object(), "{schema:?}");
    assert_eq!(host.get(&format!("/v1/plugins/{name}/schema?of=step")).await.status, 200);
    assert_eq!(host.get(&format!("/v1/plugins/{name}/schema?of=phase")).await.status, 400);

    for reference in [name, "echo"] {
        let path = format!("/v1/plugins/{reference}/component");
        let got = host.admin(Method::GET, &path).send().await.unwrap();
        let tag = got.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(got.headers()["content-type"], "application/wasm");
        assert_eq!(format!("\"{}\"", self::digest(&got.bytes().await.unwrap())), tag);
        let cached = Answer::of(host.admin(Method::GET, &path).header("if-none-match", tag)).await;
        assert_eq!(cached.status, 304);
    }

    let other = upload(&host, with_section(bytes, b"other")).await;
    assert_eq!((other.status, other.kind()), (409, "conflict"), "{other:?}");
    assert!(other.detail().contains(&digest), "{}", other.detail());
    let shipped = upload(&host, with_section(component("echo"), b"other")).await;
    assert!(shipped.status == 409 && shipped.detail().contains("comes with this host"), "{shipped:?}");

    let removed = host.delete(&format!("/v1/plugins/{name}@{version}")).await;
    assert_eq!((removed.status, removed.body), (204, Value::Null));
    assert_eq!(host.get(&format!("/v1/plugins/{digest}")).await.status, 404);
    assert_eq!(host.delete(&format!("/v1/plugins/{digest}")).await.status, 404);
    let shipped = host.delete("/v1/plugins/echo").await;
    assert!(shipped.status == 409 && shipped.detail().contains("comes with this host"), "{shipped:?}");
    let kinds: Vec<Value> = host.ledger().await.iter().map(|entry| entry["kind"].clone()).collect();
    for kind in ["plugin-installed", "plugin-removed"] {
        assert_eq!(kinds.iter().filter(|one| *one == kind).count(), 1, "{kind}");
    }
    assert_eq!(incoming(&host), 0);
}

#[tokio::test]
async fn an_uploaded_plugin_outlives_a_restart() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    assert_eq!(upload(&host, component("table")).await.status, 201);
    let folder = host.stop().await;
    let host = Setup::new().shipping(&["echo"]).start_in(folder).await;
    assert_eq!(host.get("/v1/plugins/table").await.body["source"], "uploaded");
}

#[tokio::test]
async fn what_cannot_be_installed_is_told_why() {
    let limit = 100_000;
    let host =
        Setup::new().configure(|config| config.max_plugin_bytes = limit).shipping(&["echo"]).start().await;
    for (what, bytes, name) in [
        ("text", b"hello".to_vec(), "not-wasm"),
        ("a core module", b"\0asm\x01\0\0\0".to_vec(), "core-module"),
        ("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), "missing-export"),
        ("half a component", component("echo")[..50_000].to_vec(), "malformed"),
    ] {
        let answer = upload(&host, bytes).await;
        assert_eq!((answer.status, answer.kind()), (422, "invalid-plugin"), "{what}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["name"], name, "{what}: {answer:?}");
        assert!(!answer.detail().is_empty());
    }
    let too_large = upload(&host, component("echo")).await;
    assert!(too_large.status == 413 && too_large.detail().contains("100000"), "{too_large:?}");
    // Without a length that could be looked at.
    let parts = futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 10_000])));
    let request = host.admin(Method::POST, "/v1/plugins").body(reqwest::Body::wrap_stream(parts));
    assert_eq!(Answer::of(request).await.status, 413);
    assert_eq!(upload(&host, Vec::new()).await.status, 400);
    let form = host.admin(Method::POST, "/v1/plugins").header("content-type", "application/json").body("{}");
    assert_eq!(Answer::of(form).await.status, 415);
    assert_eq!(upload_with(&host, API_KEY, "?tenant=nobody", b"x".to_vec()).await.status, 404);
    assert_eq!(upload_with(&host, API_KEY, "?owner=x", b"x".to_vec()).await.status, 400);
    assert_eq!(incoming(&host), 0);
}

#[tokio::test]
async fn a_plugin_of_a_tenant_is_there_for_it_alone() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    host.tenant("one", json!({})).await;
    host.tenant("two", json!({})).await;
    let (one, two) = (host.key("author", Some("one")).await, host.key("author", Some("two")).await);
    let bytes = component("thermal-probe");
    let uploaded = upload_with(&host, &one, "", bytes.clone()).await;
    assert_eq!((uploaded.status, &uploaded.body["tenant"]), (201, &json!("one")), "{uploaded:?}");
    let digest = digest(&bytes);
    let name = uploaded.body["name"].as_str().unwrap();
    for end in [digest.clone(), name.to_owned(), format!("{digest}/component"), format!("{digest}/schema")] {
        let answer = |key: &str| Answer::of(host.with_key(key, Method::GET, &format!("/v1/plugins/{end}")));
        assert_eq!((answer(&one).await.status, answer(&two).await.status), (200, 404), "{end}");
    }
    let list = |key: String, host: &Host| Answer::of(host.with_key(&key, Method::GET, "/v1/plugins"));
    assert_eq!(list(two.clone(), &host).await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(list(one.clone(), &host).await.body["items"].as_array().unwrap().len(), 2);
    let remove = |key: &str, what: &str| {
        Answer::of(host.with_key(key, Method::DELETE, &format!("/v1/plugins/{what}")))
    };
    assert_eq!(remove(&two, &digest).await.status, 404);
    assert_eq!(upload_with(&host, &two, "?tenant=one", bytes.clone()).await.status, 404);
    // Names and versions are each tenant's own.
    assert_eq!(upload_with(&host, &two, "", with_section(bytes.clone(), b"two")).await.status, 201);
    let submitter = host.key("submitter", Some("one")).await;
    let refused = upload_with(&host, &submitter, "", bytes).await;
    assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{refused:?}");

    let shared = upload(&host, component("table")).await;
    assert_eq!(shared.status, 201);
    let shared = shared.body["digest"].as_str().unwrap();
    assert_eq!(
        Answer::of(host.with_key(&one, Method::GET, &format!("/v1/plugins/{shared}"))).await.status,
        200
    );
    assert_eq!(remove(&one, shared).await.status, 403);
    assert_eq!(remove(&one, &digest).await.status, 204);
    // Two tenants' plugins by one name: the host's administrator has to say whose.
    assert_eq!(upload_with(&host, API_KEY, "?tenant=one", component("thermal-probe")).await.status, 201);
    let both = host.delete(&format!("/v1/plugins/{name}")).await;
    assert!(both.status == 409 && both.detail().contains("of tenant two"), "{both:?}");
    assert_eq!(host.delete(&format!("/v1/plugins/{name}?tenant=two")).await.status, 204);
}

#[tokio::test]
async fn a_policys_name_is_not_what_a_tenant_uploads_under_it() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    host.tenant("acme", json!({"plugins": ["echo"]})).await;
    let key = host.key("admin", Some("acme")).await;
    let submit = async |manifest: String| {
        let request = host.with_key(&key, Method::POST, "/v1/inquiries");
        Answer::of(request.header("content-type", "application/yaml").body(manifest)).await
    };
    assert_eq!(submit(echoing("shipped", 1, 0)).await.status, 201);
    let own = with_version(component("echo"), "9.9.9");
    let installed = upload_with(&host, &key, "", own.clone()).await;
    assert_eq!(installed.status, 201, "{installed:?}");
    // The newest of the name is meant, and that is the tenant's own.
    let refused = submit(echoing("own", 1, 0)).await;
    assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{refused:?}");
    assert!(refused.detail().contains("`echo@9.9.9` that the tenant uploaded"), "{refused:?}");
    let policy = json!({"plugins": ["echo", format!("sha256:{}", digest(&own))]});
    let update = host.admin(Method::PUT, "/v1/tenants/acme").json(&json!({"policy": policy}));
    assert_eq!(Answer::of(update).await.status, 200);
    assert_eq!(submit(echoing("own", 1, 0)).await.status, 201);
    // And strangers who read metrics do not learn of it.
    let metrics = Answer::of(host.request(Method::GET, "/metrics")).await;
    let text = metrics.body.as_str().unwrap();
    assert!(text.contains("echo@") && !text.contains("echo@9.9.9"), "{text}");
}

#[tokio::test]
async fn a_client_need_not_wait_for_the_compiler() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    let send = |bytes: Vec<u8>| {
        let request = host.admin(Method::POST, "/v1/plugins").header("prefer", "respond-async").body(bytes);
        Answer::of(request.header("content-type", "application/octet-stream"))
    };
    for (bytes, end) in [(component("table"), "done"), (b"no component".to_vec(), "failed")] {
        let accepted = send(bytes).await;
        assert_eq!(
            (accepted.status, accepted.header("preference-applied")),
            (202, "respond-async"),
            "{accepted:?}"
        );
        let location = accepted.header("location");
        let status = async {
            loop {
                let upload = host.get(location).await.body;
                if upload["status"] != "pending" {
                    return upload;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let upload = tokio::time::timeout(PATIENCE, status).await.expect("the upload ends");
        assert_eq!(upload["status"], end, "{upload}");
        assert_eq!(upload["plugin"].is_object(), end == "done", "{upload}");
        assert_eq!(upload["problem"]["status"].as_u64(), (end == "failed").then_some(422), "{upload}");
        host.tenant(&format!("t-{end}"), json!({})).await;
        let stranger = host.key("author", Some(&format!("t-{end}"))).await;
        assert_eq!(Answer::of(host.with_key(&stranger, Method::GET, location)).await.status, 404);
    }
    assert_eq!(host.get("/v1/uploads/nothing").await.status, 404);
}

#[tokio::test]
async fn the_same_bytes_at_once_are_installed_once() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    let bytes = with_section(component("thermal-probe"), b"at once");
    let uploads = (0..6).map(|_| upload(&host, bytes.clone()));
    let mut statuses: Vec<u16> =
        futures::future::join_all(uploads).await.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 201]);
    let installed = host.ledger().await.iter().filter(|entry| entry["kind"] == "plugin-installed").count();
    assert_eq!(installed, 1);
}

#[tokio::test]
async fn nothing_stays_of_an_upload_that_breaks_off() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    let bytes = component("table");
    let mut raw = connect(&host).await;
    let head = format!(
        "POST /v1/plugins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/wasm\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    raw.send(head.as_bytes()).await;
    raw.send(&bytes[..bytes.len() / 2]).await;
    let wait_for = async |files: usize| {
        let changed = async {
            while incoming(&host) != files {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, changed).await.expect("the file comes and goes");
    };
    wait_for(1).await;
    drop(raw);
    wait_for(0).await;
    assert_eq!(host.get("/v1/plugins/table").await.status, 404);
    assert_eq!(upload(&host, bytes).await.status, 201);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_not() {
    let host =
        Setup::new().configure(|config| config.max_plugin_bytes = 500_000).shipping(&["echo"]).start().await;
    let head = |length: usize| {
        format!(
            "POST /v1/plugins HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\nexpect: 100-continue\r\nconnection: close\r\n\
             content-type: application/wasm\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let bytes = component("table");
    let mut good = connect(&host).await;
    good.send(head(bytes.len()).as_bytes()).await;
    good.send(&bytes).await;
    let answer = good.answer().await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201"), "{answer}");
    let mut large = connect(&host).await;
    large.send(head(500_001).as_bytes()).await;
    let answer = large.answer().await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_plugin_that_is_used_stays_and_a_new_version_is_live_beside_it() {
    let host = Setup::new().shipping(&["table"]).start().await;
    let old = upload(&host, component("echo")).await;
    assert_eq!(old.status, 201, "{old:?}");
    let old_digest = old.body["digest"].as_str().unwrap();
    let running = submit(&host, &echoing("long", 1, 50_000)).await;

    let used = host.delete(&format!("/v1/plugins/{old_digest}")).await;
    assert_eq!((used.status, used.kind()), (409, "conflict"), "{used:?}");
    assert!(used.detail().contains(&running), "{}", used.detail());

    let new = upload(&host, with_version(component("echo"), "0.2.0")).await;
    assert_eq!((new.status, &new.body["version"]), (201, &json!("0.2.0")), "{new:?}");
    let newest = submit(&host, &echoing("short", 1, 0)).await;
    assert_eq!(ended(&host, &newest).await["instruments"]["probe"]["version"], "0.2.0");
    let going_on = host.get(&format!("/v1/inquiries/{running}")).await.body;
    assert_eq!(
        (&going_on["status"], &going_on["instruments"]["probe"]["digest"]),
        (&json!("running"), &json!(old_digest))
    );

    assert_eq!(host.post(&format!("/v1/inquiries/{running}/cancel"), &Value::Null).await.status, 202);
    ended(&host, &running).await;
    assert_eq!(host.delete(&format!("/v1/plugins/{old_digest}")).await.status, 204);
    let named = echoing("old", 1, 0)
        .replace("type: echo,", &format!("type: \"echo@{}\",", env!("CARGO_PKG_VERSION")));
    let gone = Answer::of(submission(host.admin(Method::POST, "/v1/inquiries"), &named)).await;
    assert_eq!(gone.status, 422, "{gone:?}");
    assert!(gone.body.to_string().contains("0.2.0"), "{gone:?}");
}

/// A client that is still sending must see the answer, not a connection that broke.
#[tokio::test]
async fn an_upload_that_is_refused_before_it_was_read_is_told_why() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    let large = vec![0; 2 << 20];
    for _ in 0..10 {
        let answer = upload_with(&host, "inq_a-key-that-is-none", "", large[..1 << 19].to_vec()).await;
        assert_eq!(answer.status, 401);
        let answer = upload_with(&host, API_KEY, "?no-such-parameter=1", large.clone()).await;
        assert_eq!(answer.status, 400);
    }
}
