//! The ledger over HTTP, checked as a stranger would.

use inquisitor_ledger::{
    Checkpoint, Frontier, Hash, leaf_hash, verify_consistency, verify_export, verify_inclusion,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::inquiries::{echoing, ended, submission, submit};
use super::support::{Answer, Host, Setup};

fn hash(value: &Value) -> Hash {
    value.as_str().unwrap().parse().unwrap()
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

async fn with_some_entries() -> Host {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("logged", 3, 0)).await;
    ended(&host, &id).await;
    host
}

#[tokio::test]
async fn a_checkpoint_comes_in_both_forms_and_of_any_size() {
    let host = with_some_entries().await;
    let now = host.get("/v1/ledger/checkpoint").await;
    let size = now.body["size"].as_u64().unwrap();
    let text =
        Answer::of(host.admin(Method::GET, "/v1/ledger/checkpoint").header("accept", "text/plain")).await;
    let text: Checkpoint = text.body.as_str().unwrap().parse().unwrap();
    assert_eq!((text.size, text.root), (size, hash(&now.body["root"])));
    let empty = host.get("/v1/ledger/checkpoint?size=0").await;
    assert_eq!(hash(&empty.body["root"]), inquisitor_ledger::empty_root());
    let beyond = host.get("/v1/ledger/checkpoint?size=100000").await;
    assert!(beyond.status == 404 && beyond.detail().contains("not yet 100000"), "{beyond:?}");
    assert_eq!(host.get("/v1/ledger/checkpoint?size=-1").await.status, 400);
}

#[tokio::test]
async fn every_entry_can_be_proven_and_every_beginning_too() {
    let host = with_some_entries().await;
    let now = host.get("/v1/ledger/checkpoint").await.body;
    let size = now["size"].as_u64().unwrap();
    let checkpoint = Checkpoint { size, root: hash(&now["root"]) };
    for index in 0..size {
        let proof = host.get(&format!("/v1/ledger/proofs/inclusion?index={index}&size={size}")).await.body;
        let leaf = hash(&proof["leaf_hash"]);
        verify_inclusion(&leaf, index, &hashes(&proof["proof"]), &checkpoint).unwrap();
        // The entry in the answer is the one that was hashed.
        let canonical = inquisitor_ledger::canonical_bytes(&proof["entry"]).unwrap();
        assert_eq!(leaf_hash(&canonical), leaf);

        let proof = host.get(&format!("/v1/ledger/proofs/consistency?from={index}&to={size}")).await.body;
        let older = Checkpoint { size: index, root: hash(&proof["from_root"]) };
        assert_eq!(hash(&proof["to_root"]), checkpoint.root);
        verify_consistency(&older, &checkpoint, &hashes(&proof["proof"])).unwrap();
    }
    for (path, status) in [
        ("inclusion?index=100000", 404),
        ("inclusion?index=3&size=2", 404),
        ("inclusion?index=0&size=100000", 404),
        ("inclusion", 400),
        ("consistency?from=3&to=2", 400),
        ("consistency?from=0&to=100000", 404),
        ("consistency?to=1", 400),
    ] {
        let answer = host.get(&format!("/v1/ledger/proofs/{path}")).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn an_export_verifies_offline() {
    let host = with_some_entries().await;
    let export = host.admin(Method::GET, "/v1/ledger/export").send().await.unwrap();
    assert_eq!(export.headers()["content-type"], "application/jsonl");
    let text = export.text().await.unwrap();
    let checkpoint = verify_export(text.lines(), None).unwrap();
    assert_eq!(
        checkpoint.root,
        hash(&host.get(&format!("/v1/ledger/checkpoint?size={}", checkpoint.size)).await.body["root"])
    );
    host.tenant("one", json!({})).await;
    let key = host.key("auditor", Some("one")).await;
    assert_eq!(Answer::of(host.with_key(&key, Method::GET, "/v1/ledger/export")).await.status, 403);
}

#[tokio::test]
async fn a_tenant_sees_its_own_entries_and_can_check_the_whole_tree() {
    let host = Setup::new().start().await;
    host.tenant("one", json!({})).await;
    host.tenant("two", json!({})).await;
    let key = host.key("admin", Some("one")).await;
    let mine =
        Answer::of(submission(host.with_key(&key, Method::POST, "/v1/inquiries"), &echoing("mine", 1, 0)))
            .await;
    let mine = mine.body["id"].as_str().unwrap().to_owned();
    let theirs = echoing("theirs", 1, 0).replace("  name:", "  tenant: two\n  name:");
    let theirs = submit(&host, &theirs).await;
    ended(&host, &mine).await;
    ended(&host, &theirs).await;

    let mut tree = Frontier::default();
    let mut items = Vec::new();
    let mut path = "/v1/ledger/entries?limit=4".to_owned();
    loop {
        let page = Answer::of(host.with_key(&key, Method::GET, &path)).await.body;
        items.extend(page["items"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/ledger/entries?limit=4&cursor={next}");
    }
    let whole = host.ledger().await;
    assert!(items.len() <= whole.len() && items.len() > 10);
    for (item, entry) in items.iter().zip(&whole) {
        let bytes = inquisitor_ledger::canonical_bytes(entry).unwrap();
        assert_eq!(hash(&item["leaf_hash"]), leaf_hash(&bytes));
        tree.append(&bytes);
        let is_own =
            entry["inquiry"] == mine.as_str() || (entry["inquiry"] == "" && entry["body"]["tenant"] == "one");
        assert_eq!(item.get("entry").is_some(), is_own, "{entry}");
        if is_own {
            assert_eq!(&item["entry"], entry);
        }
        assert!(!item.to_string().contains("theirs") && !item.to_string().contains(&theirs), "{item}");
    }
    let size = items.len();
    let checkpoint =
        Answer::of(host.with_key(&key, Method::GET, &format!("/v1/ledger/checkpoint?size={size}"))).await;
    assert_eq!(hash(&checkpoint.body["root"]), tree.checkpoint().root);
    let hidden = items.iter().position(|item| item.get("entry").is_none()).unwrap();
    let proof =
        Answer::of(host.with_key(&key, Method::GET, &format!("/v1/ledger/proofs/inclusion?index={hidden}")))
            .await;
    assert!(proof.body.get("entry").is_none() && proof.body["proof"].is_array(), "{proof:?}");
    assert_eq!(host.get("/v1/ledger/entries?from=1&cursor=2").await.status, 400);
    assert_eq!(host.get("/v1/ledger/entries?from=100000").await.body["items"], json!([]));
}
