//! A backup over HTTP.

use inquisitor_conductor::verify;
use reqwest::Method;
use serde_json::{Value, json};

use super::inquiries::{echoing, ended, submit};
use super::support::{Answer, Setup};

#[tokio::test]
async fn an_administrator_above_tenants_gets_a_whole_backup_and_nobody_else() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("kept", 1, 0)).await;
    ended(&host, &id).await;
    host.tenant("acme", json!({})).await;
    let before = host.ledger().await.len() as u64;
    let response = host.admin(Method::POST, "/v1/backup").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/x-tar");
    let file = header("content-disposition");
    assert!(file.starts_with("attachment; filename=\"inquisitor-2") && file.ends_with("Z.tar\""), "{file}");
    let length: u64 = header("content-length").parse().unwrap();
    let bytes = response.bytes().await.unwrap();
    assert_eq!(bytes.len() as u64, length);
    let manifest = verify(&bytes[..], None).unwrap().manifest;
    // The decision is in the backup that it allowed.
    assert_eq!((manifest.ledger.size, manifest.inquiries), (before + 1, 1));
    let last: Value = host.ledger().await.pop().unwrap();
    assert_eq!((&last["body"]["action"], &last["body"]["allowed"]), (&json!("host.backup"), &json!(true)));

    for (role, tenant) in [("operator", None), ("auditor", None), ("admin", Some("acme"))] {
        let key = host.key(role, tenant).await;
        let refused = Answer::of(host.with_key(&key, Method::POST, "/v1/backup")).await;
        assert_eq!((refused.status, refused.kind()), (403, "forbidden"), "{role}");
    }
    let odd = Answer::of(host.admin(Method::POST, "/v1/backup?all=true")).await;
    assert_eq!(odd.status, 400);
}

#[tokio::test]
async fn one_backup_is_made_at_a_time() {
    let host = Setup::new().start().await;
    // More than connections hold, so that the first one stays under way while nobody reads it.
    let component = vec![0xa5; 24 << 20];
    let blob = inquisitor_engine::journal::Journal::put_blob(&*host.conductor, component).await.unwrap();
    let plugin = inquisitor_engine::gating::PluginRecord {
        digest: blob,
        name: "large".into(),
        version: "1.0.0".into(),
        size: 24 << 20,
        tenant: None,
        uploaded_by: "test".into(),
        uploaded: 1,
    };
    let command = inquisitor_engine::journal::Command::InstallPlugin { plugin: Box::new(plugin), at: 1 };
    inquisitor_engine::journal::Journal::propose(&*host.conductor, command).await.unwrap();
    let first = host.admin(Method::POST, "/v1/backup").send().await.unwrap();
    let second = Answer::of(host.admin(Method::POST, "/v1/backup")).await;
    assert_eq!((second.status, second.kind()), (429, "too-many-requests"), "{second:?}");
    assert!(!second.header("retry-after").is_empty());
    verify(&first.bytes().await.unwrap()[..], None).unwrap();
    let third = host.admin(Method::POST, "/v1/backup").send().await.unwrap();
    verify(&third.bytes().await.unwrap()[..], None).unwrap();
}
