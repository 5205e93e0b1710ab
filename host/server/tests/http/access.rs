//! Keys, roles, tenants and what the ledger says of them.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{API_KEY, Answer, Setup};

#[tokio::test]
async fn without_a_good_key_the_answer_is_always_the_same() {
    let host = Setup::new().start().await;
    let revoked = host.key("auditor", None).await;
    let id = Answer::of(host.with_key(&revoked, Method::GET, "/v1/me")).await.body["key"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(host.delete(&format!("/v1/keys/{id}")).await.status, 204);
    let malformed = "x".repeat(600);

    let mut answers = vec![
        Answer::of(host.request(Method::GET, "/v1/me")).await,
        Answer::of(host.request(Method::GET, "/v1/me").header("authorization", "Basic YTpi")).await,
        Answer::of(host.request(Method::GET, "/v1/me").header("x-inquisitor-key", "\u{e9}")).await,
    ];
    for key in ["inq_unknown", revoked.as_str(), malformed.as_str()] {
        answers.push(Answer::of(host.with_key(key, Method::GET, "/v1/me")).await);
    }
    for answer in answers {
        assert_eq!((answer.status, answer.kind()), (401, "unauthorized"), "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(
            answer.detail(),
            "send a key that is good here, as `Authorization: Bearer KEY` or `X-Inquisitor-Key: KEY`"
        );
    }
    let text = format!("{:?}", host.ledger().await);
    assert!(!text.contains(&revoked) && !text.contains(API_KEY) && !text.contains("secret_hash"));
}

#[tokio::test]
async fn both_headers_work_and_must_not_contradict() {
    let host = Setup::new().start().await;
    let other = Answer::of(host.request(Method::GET, "/v1/me").header("X-Inquisitor-Key", API_KEY)).await;
    assert_eq!((other.status, &other.body["key"]), (200, &json!("bootstrap")));
    let same = Answer::of(host.admin(Method::GET, "/v1/me").header("X-Inquisitor-Key", API_KEY)).await;
    assert_eq!(same.status, 200);
    let two = Answer::of(host.admin(Method::GET, "/v1/me").header("X-Inquisitor-Key", "another")).await;
    assert_eq!(two.status, 400);
    let twice = host
        .request(Method::GET, "/v1/me")
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer b");
    assert_eq!(Answer::of(twice).await.status, 400);
}

#[tokio::test]
async fn without_an_api_key_this_machine_may_and_other_sites_may_not() {
    let host = Setup::new().configure(|config| config.api_key = None).start().await;
    let me = Answer::of(host.request(Method::GET, "/v1/me")).await;
    assert_eq!((me.status, &me.body["key"], &me.body["role"]), (200, &json!("local"), &json!("admin")));
    for (name, value) in [("origin", "https://evil.example"), ("host", "rebound.example")] {
        let answer = Answer::of(host.request(Method::GET, "/v1/me").header(name, value)).await;
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
    }
    // A key that is sent is looked at all the same.
    assert_eq!(Answer::of(host.with_key("inq_no", Method::GET, "/v1/me")).await.status, 401);
}

#[tokio::test]
async fn a_key_is_shown_once_works_and_stops_working() {
    let host = Setup::new().start().await;
    host.tenant("acme", json!({})).await;
    let created = host
        .post(
            "/v1/keys",
            &json!({"name": "ci", "role": "submitter", "tenant": "acme", "expires": "2200-01-01T00:00:00Z"}),
        )
        .await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("cache-control"), "no-store");
    let (secret, id) = (created.body["secret"].as_str().unwrap(), created.body["id"].as_str().unwrap());
    assert!(secret.starts_with("inq_") && secret.len() == 47, "{secret}");
    assert_eq!(created.header("location"), format!("/v1/keys/{id}"));

    let me = Answer::of(host.with_key(secret, Method::GET, "/v1/me")).await;
    assert_eq!((&me.body["key"], &me.body["tenant"]), (&json!(id), &json!("acme")));
    assert_eq!(me.body["policy"]["substrate_files"], json!([]));
    let shown = host.get(&format!("/v1/keys/{id}")).await;
    assert_eq!((shown.body["secret"].clone(), &shown.body["works"]), (Value::Null, &json!(true)));

    assert_eq!(host.delete(&format!("/v1/keys/{id}")).await.status, 204);
    assert_eq!(host.delete(&format!("/v1/keys/{id}")).await.status, 204);
    assert_eq!(Answer::of(host.with_key(secret, Method::GET, "/v1/me")).await.status, 401);
    let shown = host.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(shown.body["works"], false);
    assert!(shown.body["revoked"].is_string());
}

#[tokio::test]
async fn mistakes_in_a_key_are_told() {
    let host = Setup::new().start().await;
    let cases = [
        (json!({"name": "", "role": "admin"}), 400, "`name`"),
        (json!({"name": "a", "role": "king"}), 400, "at `role`"),
        (json!({"name": "a", "role": "admin", "expires": "2001-01-01T00:00:00Z"}), 400, "has passed"),
        (json!({"name": "a", "role": "admin", "expires": "soon"}), 400, "RFC 3339"),
        (json!({"name": "a", "role": "admin", "tenant": "nobody"}), 404, "no tenant `nobody`"),
        (json!({"name": "a", "role": "admin", "colour": "red"}), 400, "unknown field `colour`"),
    ];
    for (body, status, told) in cases {
        let answer = host.post("/v1/keys", &body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.detail().contains(told), "{answer:?}");
    }
}

#[tokio::test]
async fn a_tenants_admin_rules_its_tenant_and_nothing_else() {
    let host = Setup::new().start().await;
    host.tenant("acme", json!({})).await;
    host.tenant("other", json!({})).await;
    let others = host.key("admin", Some("other")).await;
    let others_id = Answer::of(host.with_key(&others, Method::GET, "/v1/me")).await.body["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let admin = host.key("admin", Some("acme")).await;
    let as_admin = async |method, path: &str, body: Value| {
        Answer::of(host.with_key(&admin, method, path).json(&body)).await
    };

    let made = as_admin(Method::POST, "/v1/keys", json!({"name": "a", "role": "author"})).await;
    assert_eq!((made.status, &made.body["tenant"]), (201, &json!("acme")));
    let elsewhere =
        as_admin(Method::POST, "/v1/keys", json!({"name": "a", "role": "author", "tenant": "other"})).await;
    let nowhere =
        as_admin(Method::POST, "/v1/keys", json!({"name": "a", "role": "author", "tenant": "none"})).await;
    assert_eq!((elsewhere.status, nowhere.status), (404, 404));
    assert_eq!(elsewhere.detail().replace("other", "none"), nowhere.detail());

    let keys = as_admin(Method::GET, "/v1/keys", Value::Null).await;
    let tenants: Vec<&Value> =
        keys.body["items"].as_array().unwrap().iter().map(|key| &key["tenant"]).collect();
    assert_eq!(tenants, ["acme", "acme"]);
    assert_eq!(as_admin(Method::GET, &format!("/v1/keys/{others_id}"), Value::Null).await.status, 404);
    assert_eq!(as_admin(Method::DELETE, &format!("/v1/keys/{others_id}"), Value::Null).await.status, 404);
    assert_eq!(as_admin(Method::GET, "/v1/tenants/other", Value::Null).await.status, 404);
    assert_eq!(as_admin(Method::GET, "/v1/tenants/acme", Value::Null).await.status, 200);
    let listed = as_admin(Method::GET, "/v1/tenants", Value::Null).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
    for (method, path, body) in [
        (Method::POST, "/v1/tenants", json!({"name": "more"})),
        (Method::PUT, "/v1/tenants/acme", json!({})),
        (Method::DELETE, "/v1/tenants/acme", Value::Null),
        (Method::GET, "/v1/status", Value::Null),
    ] {
        assert_eq!(as_admin(method.clone(), path, body).await.status, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn roles_may_what_the_table_says_and_refusals_are_recorded() {
    let host = Setup::new().start().await;
    let auditor = host.key("auditor", None).await;
    let roles = Answer::of(host.with_key(&auditor, Method::GET, "/v1/roles")).await;
    assert_eq!(roles.body["items"].as_array().unwrap().len(), 5);

    let refused = Answer::of(
        host.with_key(&auditor, Method::POST, "/v1/tenants")
            .header("x-request-id", "try-1")
            .json(&json!({"name": "mine"})),
    )
    .await;
    assert_eq!((refused.status, refused.kind()), (403, "forbidden"));
    assert!(refused.detail().contains("admin") && refused.detail().contains("auditor"), "{refused:?}");
    assert_eq!(refused.header("x-request-id"), "try-1");

    let ledger = host.ledger().await;
    let decision = ledger.iter().rev().find(|entry| entry["kind"] == "access-decided").unwrap();
    assert_eq!(decision["body"]["allowed"], false);
    assert_eq!(decision["body"]["action"], "tenant.manage");
    assert_eq!(decision["body"]["request"], "try-1");
    assert!(!ledger.iter().any(|entry| entry["kind"] == "tenant-created"));

    // Many more refusals are a few entries.
    for _ in 0..50 {
        let request = host.with_key(&auditor, Method::POST, "/v1/tenants").json(&json!({"name": "mine"}));
        assert_eq!(Answer::of(request).await.status, 403);
    }
    let refusals = host.ledger().await.iter().filter(|entry| entry["body"]["allowed"] == false).count();
    assert_eq!(refusals, 10);
}

#[tokio::test]
async fn what_was_only_counted_is_recorded_when_the_host_stops() {
    let host = Setup::new().start().await;
    let auditor = host.key("auditor", None).await;
    for _ in 0..15 {
        let request = host.with_key(&auditor, Method::POST, "/v1/tenants").json(&json!({"name": "mine"}));
        assert_eq!(Answer::of(request).await.status, 403);
    }
    for _ in 0..200 {
        assert_eq!(Answer::of(host.with_key("inq_guess", Method::GET, "/v1/me")).await.status, 401);
    }
    let before = host.ledger().await.len();
    let folder = host.stop().await;
    let host = Setup::new().start_in(folder).await;
    let ledger = host.ledger().await;
    let mut counts: Vec<(bool, u64)> = ledger[before..]
        .iter()
        .filter(|entry| entry["kind"] == "access-decided")
        .map(|entry| (entry["body"]["key"].is_null(), entry["body"]["count"].as_u64().unwrap()))
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [(false, 5), (true, 200)]);
}

#[tokio::test]
async fn the_last_admin_key_stays_where_nothing_else_opens_the_host() {
    let host = Setup::new().configure(|config| config.api_key = None).start().await;
    let created =
        Answer::of(host.request(Method::POST, "/v1/keys").json(&json!({"name": "a", "role": "admin"}))).await;
    let path = format!("/v1/keys/{}", created.body["id"].as_str().unwrap());
    let refused = Answer::of(host.request(Method::DELETE, &path)).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    Answer::of(host.request(Method::POST, "/v1/keys").json(&json!({"name": "b", "role": "admin"}))).await;
    assert_eq!(Answer::of(host.request(Method::DELETE, &path)).await.status, 204);
}

#[tokio::test]
async fn tenants_are_created_changed_listed_and_removed() {
    let host = Setup::new().start().await;
    let policy = json!({
        "capabilities": {"http": ["*:443"], "files": [{"path": "/srv/acme"}]},
        "limits": {"memory": "64MiB", "wall": "1500ms"},
        "rates": {"steps": 10}
    });
    let created =
        host.post("/v1/tenants", &json!({"name": "acme", "description": "first", "policy": policy})).await;
    assert_eq!((created.status, created.header("location")), (201, "/v1/tenants/acme"));
    assert_eq!(created.body["policy"]["limits"], json!({"memory": "64MiB", "fuel": null, "wall": "1500ms"}));
    assert_eq!(created.body["policy"]["capabilities"]["files"][0]["read_only"], true);
    assert_eq!(host.post("/v1/tenants", &json!({"name": "acme"})).await.status, 409);

    let changed =
        Answer::of(host.admin(Method::PUT, "/v1/tenants/acme").json(&json!({"description": "second"}))).await;
    assert_eq!((changed.status, &changed.body["description"]), (200, &json!("second")));
    assert_eq!(changed.body["policy"]["rates"]["steps"], Value::Null);
    assert_eq!(changed.body["created"], created.body["created"]);
    assert_eq!(host.get("/v1/tenants/acme").await.body, changed.body);

    host.tenant("bolt", json!({})).await;
    let first = host.get("/v1/tenants?limit=2").await;
    assert_eq!(first.body["items"].as_array().unwrap().len(), 2);
    let cursor = first.body["next"].as_str().unwrap();
    let second = host.get(&format!("/v1/tenants?limit=2&cursor={cursor}")).await;
    assert_eq!(
        (second.body["items"][0]["name"].as_str(), &second.body["next"]),
        (Some("default"), &Value::Null)
    );

    let key = host.key("submitter", Some("acme")).await;
    assert_eq!(host.delete("/v1/tenants/acme").await.status, 204);
    assert_eq!(host.delete("/v1/tenants/acme").await.status, 404);
    assert_eq!(Answer::of(host.with_key(&key, Method::GET, "/v1/me")).await.status, 401);
    assert_eq!(host.delete("/v1/tenants/default").await.status, 409);
}

#[tokio::test]
async fn mistakes_in_a_tenant_are_told_all_at_once() {
    let host = Setup::new().start().await;
    let body = json!({"name": "acme", "policy": {
        "capabilities": {"http": ["nowhere"]}, "limits": {"memory": "much", "wall": "10"}
    }});
    let answer = host.post("/v1/tenants", &body).await;
    assert_eq!(answer.status, 400);
    let paths: Vec<&str> =
        answer.body["errors"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["capabilities.http[0]", "limits.memory", "limits.wall"]);
    for name in ["Acme", "a/b", "..", "", "-a", &"a".repeat(64)] {
        assert_eq!(host.post("/v1/tenants", &json!({"name": name})).await.status, 400, "{name}");
    }
    let many: Vec<String> = (0..60_000).map(|n| format!("plugin-{n}")).collect();
    let large = host.post("/v1/tenants", &json!({"name": "acme", "policy": {"plugins": many}})).await;
    assert_eq!(large.status, 400, "{}", large.detail());
}

#[tokio::test]
async fn a_tenants_rate_bounds_it_and_nobody_else() {
    let host = Setup::new().start().await;
    host.tenant("slow", json!({"rates": {"requests_per_second": 2}})).await;
    let key = host.key("submitter", Some("slow")).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let answer = Answer::of(host.with_key(&key, Method::GET, "/v1/me")).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
        }
        statuses.push(answer.status);
    }
    assert!(statuses.starts_with(&[200, 200]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(host.get("/v1/me").await.status, 200);
}
