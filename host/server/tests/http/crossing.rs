//! What one tenant can find out about another: every operation of the API, asked about the other's things and about things that
//! are not there, must give the same answer.

use reqwest::Method;
use serde_json::{Value, json};

use super::inquiries::{echoing, submission};
use super::plugins::component;
use super::support::{Answer, Host, Setup};

/// In the name of everything that the other tenant has.
const MARK: &str = "confidential";
/// An id of the form that ids have, of nothing.
const NOBODY: &str = "01a20f5b-0818-7263-b10f-6d464597c4a4";
/// A digest, of nothing.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What the other tenant has, by the parameter of a path that stands for it.
struct Theirs {
    inquiry: String,
    upload: String,
    key: String,
    plugin: String,
}

impl Theirs {
    async fn make(host: &Host) -> Self {
        let key =
            host.post("/v1/keys", &json!({"name": MARK, "role": "admin", "tenant": "theirs"})).await.body;
        let secret = key["secret"].as_str().unwrap();
        let manifest = echoing("watched", 1, 50_000).replace("Echo of watched", MARK);
        let submitted = submission(host.with_key(secret, Method::POST, "/v1/inquiries"), &manifest);
        let inquiry = Answer::of(submitted).await;
        assert_eq!(inquiry.status, 201, "{inquiry:?}");
        let upload = host.with_key(secret, Method::POST, "/v1/plugins").header("prefer", "respond-async");
        let upload = upload.header("content-type", "application/wasm").body(component("thermal-probe"));
        let upload = Answer::of(upload).await.body;
        let plugin = upload["digest"].as_str().unwrap().to_owned();
        let own = |path: String| Answer::of(host.with_key(secret, Method::GET, &path));
        let id = upload["id"].as_str().unwrap().to_owned();
        while own(format!("/v1/uploads/{id}")).await.body["status"] == "pending" {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(own(format!("/v1/plugins/{plugin}")).await.status, 200);
        Self {
            inquiry: inquiry.body["id"].as_str().unwrap().to_owned(),
            upload: id,
            key: key["id"].as_str().unwrap().to_owned(),
            plugin,
        }
    }

    /// The path with the other's things, and with things that are not there; none where it names nothing of a tenant.
    fn paths(&self, path: &str) -> Option<(String, String)> {
        let (theirs, nothing) = match path.strip_prefix("/v1/")?.split('/').next()? {
            "inquiries" => (self.inquiry.as_str(), NOBODY),
            "uploads" => (self.upload.as_str(), NOBODY),
            "keys" => (self.key.as_str(), NOBODY),
            "plugins" => (self.plugin.as_str(), NO_DIGEST),
            "tenants" => ("theirs", "nobody"),
            _ => return None,
        };
        let fill = |thing: &str| {
            let filled = path.replace("{id}", thing).replace("{ref}", thing).replace("{position}", "0");
            let is_artifact = path.contains("artifacts");
            filled.replace("{name}", if is_artifact { "detailed_report.html" } else { thing })
        };
        path.contains('{').then(|| (fill(theirs), fill(nothing)))
    }
}

/// The answer without what differs between any two, and without the name that was asked for.
fn plain(answer: &Answer, asked: &str) -> (u16, String) {
    let mut body = answer.body.clone();
    if let Some(members) = body.as_object_mut() {
        members.remove("request");
    }
    (answer.status, body.to_string().replace(asked, "…"))
}

#[tokio::test]
async fn nothing_of_another_tenant_is_there() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    host.tenant("theirs", json!({})).await;
    host.tenant("ours", json!({})).await;
    let theirs = Theirs::make(&host).await;
    let description = host.get("/openapi.json").await.body;
    let mut keys = Vec::new();
    for role in ["admin", "operator", "submitter", "author", "auditor"] {
        keys.push((role, host.key(role, Some("ours")).await));
    }
    // Before anything is asked for by its name: a refusal is an entry of the ledger, with the name.
    for (role, key) in &keys {
        for list in ["inquiries", "keys", "plugins", "tenants", "ledger/entries", "manifests"] {
            for query in ["", "?tenant=theirs"] {
                let answer = Answer::of(host.with_key(key, Method::GET, &format!("/v1/{list}{query}"))).await;
                let text = answer.body.to_string();
                let tells = [MARK, "theirs", &theirs.inquiry, &theirs.key, &theirs.plugin];
                // A parameter that the list does not know is named.
                let told = tells.iter().find(|told| answer.status == 200 && text.contains(**told));
                assert_eq!(told, None, "{role}: {list}{query}: {text}");
            }
        }
    }
    let mut asked = 0;
    for (role, key) in &keys {
        for (path, operations) in description["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let Some((of_them, of_nobody)) = theirs.paths(path) else { continue };
                let ask = async |path: &str| {
                    let request = host.with_key(key, method.clone(), path);
                    let has_body = method == Method::PUT;
                    Answer::of(if has_body { request.json(&json!({"policy": {}})) } else { request }).await
                };
                let (one, other) = (ask(&of_them).await, ask(&of_nobody).await);
                let name = |filled: &str| filled.split('/').nth(3).unwrap().to_owned();
                assert_eq!(
                    plain(&one, &name(&of_them)),
                    plain(&other, &name(&of_nobody)),
                    "{role}: {method} {of_them}"
                );
                assert!(matches!(one.status, 403 | 404), "{role}: {method} {of_them}: {one:?}");
                assert!(!one.body.to_string().contains(MARK), "{role}: {method} {of_them}: {one:?}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 5 * 15, "{asked}");

    // And nobody did anything to it.
    let inquiry = host.get(&format!("/v1/inquiries/{}", theirs.inquiry)).await;
    assert_eq!(
        (&inquiry.body["status"], &inquiry.body["cancel_requested"]),
        (&json!("running"), &json!(false))
    );
    assert_eq!(host.get(&format!("/v1/keys/{}", theirs.key)).await.body["works"], true);
    assert_eq!(host.get("/v1/tenants/theirs").await.status, 200);
    assert_eq!(host.get(&format!("/v1/plugins/{}", theirs.plugin)).await.body["tenant"], "theirs");
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_its_tenant() {
    let host = Setup::new().shipping(&["echo"]).start().await;
    let mut made = Vec::new();
    for tenant in ["one", "other"] {
        host.tenant(tenant, json!({})).await;
        let key = host.key("submitter", Some(tenant)).await;
        let request = host.with_key(&key, Method::POST, "/v1/inquiries").header("idempotency-key", "same");
        let answer = Answer::of(submission(request, &echoing("same", 1, 0))).await;
        assert_eq!((answer.status, &answer.body["tenant"]), (201, &json!(tenant)), "{answer:?}");
        made.push(answer.body["id"].clone());
    }
    assert_ne!(made[0], made[1]);
    assert!(made.iter().all(Value::is_string));
}
