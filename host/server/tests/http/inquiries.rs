//! Submitting, reading and cancelling inquiries.

use std::path::Path;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::support::{Answer, Host, PATIENCE, Setup};

/// A manifest whose one instrument answers after so many milliseconds, once for each step.
pub(crate) fn echoing(id: &str, steps: usize, delay_ms: u64) -> String {
    let steps: String = (0..steps)
        .map(|n| format!("          - {{ name: s{n}, type: measurement, instrument: probe, parameters: {{ message: m{n} }} }}\n"))
        .collect();
    format!(
        "manifest:\n  version: \"1.0\"\n  id: {id}\n  name: Echo of {id}\n  metadata: {{ author: t, tags: [demo, {id}] }}\n  \
         protocol:\n    type: sequential\n    phases:\n      - name: execution\n        steps:\n{steps}  substrate:\n    \
         source: {{ type: synthetic, generator: echo, parameters: {{ count: 1 }} }}\n  instruments:\n    \
         - {{ type: echo, id: probe, parameters: {{ response_delay_ms: {delay_ms}, mode: echo }} }}\n  reporting:\n    \
         artifacts:\n      - {{ type: detailed_report, format: html }}\n      - {{ type: console_summary, format: markdown }}\n"
    )
}

pub(crate) fn submission(request: RequestBuilder, manifest: &str) -> RequestBuilder {
    request.header("content-type", "application/yaml").body(manifest.to_owned())
}

/// Submit and give the id.
pub(crate) async fn submit(host: &Host, manifest: &str) -> String {
    let answer = Answer::of(submission(host.admin(Method::POST, "/v1/inquiries"), manifest)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["id"].as_str().unwrap().to_owned()
}

/// Wait until an inquiry has ended, and give it.
pub(crate) async fn ended(host: &Host, id: &str) -> Value {
    // The stream of events ends with the inquiry.
    let events = host.admin(Method::GET, &format!("/v1/inquiries/{id}/events")).send().await.unwrap().text();
    tokio::time::timeout(PATIENCE, events).await.expect("the inquiry ends").unwrap();
    let inquiry = host.get(&format!("/v1/inquiries/{id}")).await.body;
    assert_ne!(inquiry["status"], "running", "{inquiry}");
    inquiry
}

#[tokio::test]
async fn an_inquiry_from_its_manifest_to_its_finding() {
    let host = Setup::new().start().await;
    let manifest = echoing("whole", 3, 0);
    let answer = Answer::of(submission(host.admin(Method::POST, "/v1/inquiries"), &manifest)).await;
    assert_eq!(
        (answer.status, &answer.body["tenant"], &answer.body["steps"]),
        (201, &json!("default"), &json!(3))
    );
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/v1/inquiries/{id}"));

    let inquiry = ended(&host, id).await;
    assert_eq!(inquiry["status"], "concluded", "{inquiry}");
    assert_eq!(inquiry["finding"]["verdict"], inquiry["verdict"]);
    assert_eq!(inquiry["recorded"], 3);
    assert_eq!(inquiry["tags"], json!(["demo", "whole"]));
    assert_eq!(inquiry["instruments"]["probe"]["plugin"], "echo");
    let step = &inquiry["step_details"][1];
    assert_eq!(
        (&step["name"], &step["outcome"], &step["attempts"]),
        (&json!("s1"), &json!("completed"), &json!(1))
    );
    assert!(step["usage"]["peak_memory"].as_u64().unwrap() > 0 && step["transcript"].is_string(), "{step}");

    let text = host.admin(Method::GET, &format!("/v1/inquiries/{id}/manifest")).send().await.unwrap();
    assert_eq!(text.headers()["content-type"], "application/yaml; charset=utf-8");
    assert_eq!(text.text().await.unwrap(), manifest);

    let artifacts = host.get(&format!("/v1/inquiries/{id}/artifacts")).await.body;
    assert_eq!(artifacts["items"][0]["name"], "detailed_report.html");
    let path = format!("/v1/inquiries/{id}/artifacts/detailed_report.html");
    let report = Answer::of(host.admin(Method::GET, &path)).await;
    assert_eq!((report.status, report.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(report.header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(report.header("x-content-type-options"), "nosniff");
    assert_eq!(report.header("content-disposition"), "attachment; filename=\"detailed_report.html\"");
    assert!(report.body.as_str().unwrap().contains("Echo of whole"));
    let again =
        Answer::of(host.admin(Method::GET, &path).header("if-none-match", report.header("etag"))).await;
    assert_eq!((again.status, again.body), (304, Value::Null));
    assert_eq!(host.get(&format!("/v1/inquiries/{id}/artifacts/other.html")).await.status, 404);
    assert_eq!(host.get(&format!("/v1/inquiries/{id}/artifacts/..%2f..%2fdata")).await.status, 404);

    let logs = host.get(&format!("/v1/inquiries/{id}/steps/0/logs")).await;
    assert_eq!(
        (&logs.body["step"], &logs.body["attempts"][0]["outcome"]),
        (&json!("s0"), &json!("completed"))
    );
    assert_eq!(host.get(&format!("/v1/inquiries/{id}/steps/3/logs")).await.status, 404);
    assert_eq!(host.get(&format!("/v1/inquiries/{id}/steps/x/logs")).await.status, 404);
    let round = host.get(&format!("/v1/inquiries/{id}/steps/0/logs?round=1")).await;
    assert_eq!(round.body["attempts"], json!([]));
}

#[tokio::test]
async fn a_finding_is_where_the_ledger_says() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("proven", 1, 0)).await;
    ended(&host, &id).await;
    let document = host.get(&format!("/v1/inquiries/{id}/findings")).await.body;
    assert_eq!(document["interim"], false);
    let provenance = &document["provenance"];
    let index = provenance["index"].as_u64().unwrap();
    let entry = &host.ledger().await[usize::try_from(index).unwrap()];
    assert_eq!((&entry["kind"], &entry["inquiry"]), (&json!("inquiry-concluded"), &json!(id)));
    assert_eq!(entry["body"]["finding"], provenance["finding_digest"]);
    assert!(provenance["checkpoint"]["size"].as_u64().unwrap() > index);
    assert_eq!(
        provenance["manifest_digest"],
        host.get(&format!("/v1/inquiries/{id}")).await.body["manifest_digest"]
    );
}

#[tokio::test]
async fn a_manifest_with_mistakes_is_told_all_of_them() {
    let host = Setup::new().start().await;
    let wrong = echoing("wrong", 1, 0)
        .replace("instrument: probe", "instrument: nobody")
        .replace("mode: echo", "mode: 3");
    let answer = Answer::of(submission(host.admin(Method::POST, "/v1/inquiries"), &wrong)).await;
    assert_eq!((answer.status, answer.kind()), (422, "invalid-manifest"), "{answer:?}");
    let errors = answer.body["errors"].as_array().unwrap();
    let codes: Vec<&str> = errors.iter().map(|error| error["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"unknown-instrument") && codes.contains(&"invalid-parameter"), "{codes:?}");
    for error in errors {
        assert!(error["line"].as_u64().unwrap() > 0 && error["column"].as_u64().unwrap() > 0, "{error}");
        assert_eq!(error["file"], "manifest");
    }
    let dry = Answer::of(submission(host.admin(Method::POST, "/v1/inquiries?dry_run=true"), &wrong)).await;
    assert_eq!(dry.body["errors"], answer.body["errors"]);
    let report = Answer::of(submission(host.admin(Method::POST, "/v1/inquiries/validate"), &wrong)).await;
    assert_eq!(
        (report.status, &report.body["valid"], &report.body["plan"]),
        (200, &json!(false), &Value::Null)
    );
    assert_eq!(report.body["diagnostics"], answer.body["errors"]);
    assert!(host.ledger().await.iter().all(|entry| entry["kind"] != "inquiry-submitted"));
}

#[tokio::test]
async fn a_good_manifest_is_validated_and_nothing_is_kept() {
    let host = Setup::new().start().await;
    for path in ["/v1/inquiries/validate", "/v1/inquiries?dry_run=true"] {
        let answer = Answer::of(submission(host.admin(Method::POST, path), &echoing("dry", 2, 0))).await;
        assert_eq!((answer.status, &answer.body["valid"]), (200, &json!(true)), "{answer:?}");
        let plan = &answer.body["plan"];
        assert_eq!((&plan["tenant"], &plan["continuous"]), (&json!("default"), &json!(false)));
        assert_eq!(plan["steps"][1]["after"], json!([0]), "{plan}");
    }
    assert_eq!(host.get("/v1/inquiries").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_dry_run_says_what_the_policy_does_not_allow() {
    let host = Setup::new().start().await;
    host.tenant("strict", json!({ "kinds": ["COMPLIANCE"] })).await;
    let key = host.key("submitter", Some("strict")).await;
    let post = |path: &'static str| {
        Answer::of(submission(host.with_key(&key, Method::POST, path), &echoing("refused", 1, 0)))
    };
    let refused = post("/v1/inquiries").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let dry = post("/v1/inquiries?dry_run=true").await;
    assert_eq!((dry.status, &dry.body["valid"]), (200, &json!(true)), "{dry:?}");
    assert!(!dry.body["violations"].as_array().unwrap().is_empty(), "{dry:?}");
    assert_eq!(dry.body["violations"], refused.body["errors"]);
}

#[tokio::test]
async fn bodies_that_are_no_manifest() {
    let host = Setup::new().configure(|config| config.max_body_bytes = 200_000).start().await;
    let post = |kind: Option<&str>, body: Vec<u8>| {
        let request = host.admin(Method::POST, "/v1/inquiries").body(body);
        Answer::of(match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        })
    };
    let bomb = {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..30 {
            let before = format!("*a{}", n - 1);
            text.push_str(&format!("a{n}: &a{n} [{}]\n", [before.as_str(); 10].join(",")));
        }
        text
    };
    for (what, kind, body, status, told) in [
        ("not UTF-8", None, b"id: \xff".to_vec(), 422, "not-utf8"),
        ("nothing", None, Vec::new(), 422, "empty"),
        ("deep", None, format!("a: {}{}", "[".repeat(100), "]".repeat(100)).into_bytes(), 422, "too-deep"),
        ("without an end", None, "[".repeat(100_000).into_bytes(), 422, "yaml-syntax"),
        ("aliases", Some("text/yaml"), bomb.into_bytes(), 422, "too-large"),
        ("no JSON", Some("application/json"), b"{".to_vec(), 422, "yaml-syntax"),
        ("a form", Some("application/x-www-form-urlencoded"), b"a=b".to_vec(), 415, "application/yaml"),
        ("too large", Some("application/yaml"), vec![b'#'; 200_001], 413, "200000 bytes"),
    ] {
        let answer = post(kind, body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let text = answer.body.to_string();
        assert!(text.contains(told), "{what}: {text}");
    }
}

#[tokio::test]
async fn json_is_a_manifest_too() {
    let host = Setup::new().start().await;
    let manifest = json!({ "manifest": {
        "version": "1.0", "id": "as-json", "name": "n", "metadata": { "author": "a" },
        "protocol": { "type": "sequential", "phases": [{ "name": "execution", "steps": [
            { "name": "s", "type": "measurement", "instrument": "probe", "parameters": { "message": "m" } },
        ]}]},
        "substrate": { "source": { "type": "synthetic", "generator": "echo", "parameters": { "count": 1 } } },
        "instruments": [{ "type": "echo", "id": "probe" }],
    }});
    let answer = host.post("/v1/inquiries", &manifest).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(ended(&host, answer.body["id"].as_str().unwrap()).await["status"], "concluded");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_inquiry() {
    let host = Setup::new().start().await;
    let post = |key: &str, manifest: String| {
        let request = host.admin(Method::POST, "/v1/inquiries").header("idempotency-key", key);
        Answer::of(submission(request, &manifest))
    };
    let first = post("k-1", echoing("once", 1, 0)).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, ""));
    let again = post("k-1", echoing("once", 1, 0)).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"), "{again:?}");
    assert_eq!((&again.body["id"], again.header("location")), (&first.body["id"], first.header("location")));
    let other = post("k-1", echoing("another", 1, 0)).await;
    assert_eq!((other.status, other.kind()), (422, "idempotency-key-reused"), "{other:?}");
    assert!(other.detail().contains(first.body["id"].as_str().unwrap()), "{}", other.detail());
    assert_eq!(post("k-2", echoing("once", 1, 0)).await.status, 201);
    assert_eq!(post("a b", echoing("once", 1, 0)).await.status, 400);
    assert_eq!(post(&"x".repeat(256), echoing("once", 1, 0)).await.status, 400);
}

#[tokio::test]
async fn another_manifest_of_a_running_id_is_a_conflict_until_it_is_cancelled() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("busy", 1, 50_000)).await;
    let findings = host.get(&format!("/v1/inquiries/{id}/findings")).await;
    assert_eq!(findings.status, 404);
    assert!(findings.detail().contains("no finding yet"), "{}", findings.detail());
    let other =
        Answer::of(submission(host.admin(Method::POST, "/v1/inquiries"), &echoing("busy", 2, 0))).await;
    assert_eq!((other.status, other.kind()), (409, "conflict"), "{other:?}");
    assert!(other.detail().contains(&id), "{}", other.detail());

    let cancelled = host.post(&format!("/v1/inquiries/{id}/cancel"), &Value::Null).await;
    assert_eq!((cancelled.status, &cancelled.body["cancel_requested"]), (202, &json!(true)), "{cancelled:?}");
    let inquiry = ended(&host, &id).await;
    assert_eq!(
        (&inquiry["status"], &inquiry["reason"]),
        (&json!("aborted"), &json!("cancelled")),
        "{inquiry}"
    );
    let again = host.post(&format!("/v1/inquiries/{id}/cancel"), &Value::Null).await;
    assert_eq!((again.status, again.kind()), (409, "conflict"), "{again:?}");
    let findings = host.get(&format!("/v1/inquiries/{id}/findings")).await;
    assert!(findings.status == 404 && findings.detail().contains("aborted"), "{findings:?}");
    submit(&host, &echoing("busy", 2, 0)).await;
}

#[tokio::test]
async fn lists_are_filtered_and_come_in_pages() {
    let host = Setup::new().start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let id = submit(&host, &echoing(&format!("m{}", n % 2), 1, 0)).await;
        ended(&host, &id).await;
        ids.push(id);
    }
    ids.reverse();
    let of = |answer: &Answer| -> Vec<String> {
        let items = answer.body["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut path = "/v1/inquiries?limit=2".to_owned();
    loop {
        let page = host.get(&path).await;
        assert!(of(&page).len() <= 2);
        seen.extend(of(&page));
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/v1/inquiries?limit=2&cursor={next}");
    }
    assert_eq!(seen, ids);
    assert_eq!(of(&host.get("/v1/inquiries?manifest=m1").await).len(), 2);
    assert_eq!(of(&host.get("/v1/inquiries?tag=m0").await).len(), 3);
    assert_eq!(of(&host.get("/v1/inquiries?state=concluded&tenant=default").await).len(), 5);
    for none in ["state=running", "state=aborted", "tag=none", "tenant=nobody", "kind=X", "verdict=FALSIFIED"]
    {
        assert!(of(&host.get(&format!("/v1/inquiries?{none}")).await).is_empty(), "{none}");
    }
    for wrong in ["state=odd", "cursor=x", "limit=0", "colour=red"] {
        assert_eq!(host.get(&format!("/v1/inquiries?{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn an_inquiry_of_another_tenant_is_not_there() {
    let host = Setup::new().start().await;
    host.tenant("one", json!({})).await;
    host.tenant("two", json!({})).await;
    let (own, other) = (host.key("submitter", Some("one")).await, host.key("admin", Some("two")).await);
    let answer =
        Answer::of(submission(host.with_key(&own, Method::POST, "/v1/inquiries"), &echoing("mine", 1, 0)))
            .await;
    assert_eq!((answer.status, &answer.body["tenant"]), (201, &json!("one")), "{answer:?}");
    let id = answer.body["id"].as_str().unwrap();
    ended(&host, id).await;
    let nobody = "0190b2f0-0000-7000-8000-000000000000";
    for (method, end) in [
        (Method::GET, ""),
        (Method::GET, "/findings"),
        (Method::GET, "/readings"),
        (Method::GET, "/readings?format=csv"),
        (Method::GET, "/artifacts"),
        (Method::GET, "/artifacts/detailed_report.html"),
        (Method::GET, "/manifest"),
        (Method::GET, "/events"),
        (Method::GET, "/steps/0/logs"),
        (Method::POST, "/cancel"),
    ] {
        let path = |id: &str| format!("/v1/inquiries/{id}{end}");
        let theirs = Answer::of(host.with_key(&other, method.clone(), &path(id))).await;
        let none = Answer::of(host.with_key(&other, method.clone(), &path(nobody))).await;
        assert_eq!((theirs.status, none.status), (404, 404), "{end}");
        assert_eq!(theirs.detail().replace(id, ""), none.detail().replace(nobody, ""), "{end}");
        let mine = Answer::of(host.with_key(&own, method, &path(id))).await;
        assert!(mine.status == 200 || (end == "/cancel" && mine.status == 409), "{end}: {mine:?}");
    }
    let list = Answer::of(host.with_key(&other, Method::GET, "/v1/inquiries")).await;
    assert_eq!(list.body["items"], json!([]));
    let named = echoing("mine", 1, 0).replace("  name:", "  tenant: one\n  name:");
    for path in ["/v1/inquiries", "/v1/inquiries/validate"] {
        let theirs = Answer::of(submission(host.with_key(&other, Method::POST, path), &named)).await;
        let none = named.replace("tenant: one", "tenant: six");
        let none = Answer::of(submission(host.with_key(&other, Method::POST, path), &none)).await;
        assert_eq!((theirs.status, none.status), (404, 404), "{path}: {theirs:?}");
        assert_eq!(theirs.detail().replace("one", ""), none.detail().replace("six", ""));
    }
    assert_eq!(host.get(&format!("/v1/inquiries/{}", "x".repeat(3000))).await.status, 404);
}

#[tokio::test]
async fn who_may_not_submit_may_not_whatever_is_sent() {
    let host = Setup::new().start().await;
    for role in ["auditor", "author"] {
        let key = host.key(role, Some("default")).await;
        let answer =
            Answer::of(submission(host.with_key(&key, Method::POST, "/v1/inquiries"), "nonsense")).await;
        assert_eq!(answer.status, 403, "{role}: {answer:?}");
    }
    let author = host.key("author", Some("default")).await;
    let valid = Answer::of(submission(
        host.with_key(&author, Method::POST, "/v1/inquiries/validate"),
        &echoing("a", 1, 0),
    ))
    .await;
    assert_eq!(valid.status, 200);
    assert_eq!(Answer::of(host.with_key(&author, Method::GET, "/v1/inquiries")).await.status, 403);
}

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

#[tokio::test]
async fn readings_say_what_became_of_them() {
    let folder = example("cold-chain");
    let setup = Setup::new().configure(|config| config.substrate_dir = Some(folder.clone()));
    let host = setup.shipping(&["echo", "thermal-probe"]).start().await;
    let manifest = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "yaml"))
        .unwrap();
    let id = submit(&host, &std::fs::read_to_string(manifest).unwrap()).await;
    let inquiry = ended(&host, &id).await;
    assert_eq!(inquiry["status"], "concluded", "{inquiry}");
    let expected: u64 = inquiry["finding"]["instruments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["readings"].as_u64().unwrap())
        .sum();
    let excluded: u64 = inquiry["finding"]["instruments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["excluded"].as_u64().unwrap())
        .sum();
    assert!(expected > 1000 && excluded > 0, "{expected} {excluded}");

    let csv = host
        .admin(Method::GET, &format!("/v1/inquiries/{id}/readings"))
        .header("accept", "text/csv")
        .send()
        .await
        .unwrap();
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    let csv = csv.text().await.unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|one| one == name).unwrap();
    let (step, round, index, used) = (column("step"), column("round"), column("index"), column("use"));
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len() as u64, expected);
    let unlisted = rows.iter().filter(|row| &row[used] == "unlisted").count();
    let counted = rows.iter().filter(|row| &row[used] == "excluded").count() as u64;
    assert!(
        if unlisted == 0 { counted == excluded } else { counted == 1000 },
        "{counted} {unlisted} {excluded}"
    );
    let place =
        |row: &csv::StringRecord| (row[step].to_owned(), row[round].to_owned(), row[index].to_owned());

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = host.get(&format!("/v1/inquiries/{id}/readings?limit=500{cursor}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        for item in page.body["items"].as_array().unwrap() {
            let text = |name: &str| item[name].to_string().trim_matches('"').to_owned();
            seen.push((text("step"), text("round"), text("index")));
            assert_eq!(item["exclusion"].is_null(), item["use"] != "excluded", "{item}");
        }
        let Some(next) = page.body["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, rows.iter().map(place).collect::<Vec<_>>());

    let one = host
        .get(&format!("/v1/inquiries/{id}/readings?instrument=logger-b&quantity=temperature&limit=1"))
        .await;
    assert_eq!(one.body["items"][0]["instrument"], "logger-b");
    assert_eq!(one.body["items"][0]["value_type"], "number");
    let none = host.get(&format!("/v1/inquiries/{id}/readings?quantity=pressure")).await;
    assert_eq!((&none.body["items"], &none.body["next"]), (&json!([]), &Value::Null));
    for wrong in ["cursor=x", "limit=501", "format=xml", "format=csv&limit=3", "colour=red"] {
        assert_eq!(host.get(&format!("/v1/inquiries/{id}/readings?{wrong}")).await.status, 400, "{wrong}");
    }
}
