//! Tenants, keys, uploaded plugins and decisions: what is kept, what is refused, and what the ledger says of it.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use inquisitor_engine::gating::{DEFAULT_TENANT, MAX_RECORD_BYTES, Policy};
use inquisitor_engine::journal::{Abort, Applied, Command, Journal, Refusal};
use support::*;

fn update_tenant(name: &str, description: &str) -> Command {
    let mut changed = tenant(name, Some(1));
    changed.description = description.into();
    // Whatever is said of it, a tenant was created when it was.
    changed.created = 999;
    Command::UpdateTenant { tenant: Box::new(changed), at: 1 }
}

#[tokio::test]
async fn the_default_tenant_always_exists() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let registry = conductor.registry();
    let default = registry.tenant(DEFAULT_TENANT).unwrap();
    assert!(default.policy.substrate_files.contains("."));
    assert_eq!(Policy { substrate_files: Default::default(), ..default.policy.clone() }, Policy::default());
    assert_eq!(registry.tenants().len(), 1);

    let exists = Refusal::TenantExists { tenant: DEFAULT_TENANT.into() };
    assert_eq!(refusal(&conductor, create_tenant(DEFAULT_TENANT, None)).await, exists);
    let refused = refusal(&conductor, remove_tenant(DEFAULT_TENANT)).await;
    assert!(
        matches!(&refused, Refusal::TenantInUse { reason, .. } if reason.contains("always")),
        "{refused}"
    );
    done(&conductor, update_tenant(DEFAULT_TENANT, "everybody")).await;
    already(&conductor, update_tenant(DEFAULT_TENANT, "everybody")).await;
    let registry = conductor.registry();
    assert_eq!(registry.tenant(DEFAULT_TENANT).unwrap().description, "everybody");
    assert_eq!(registry.tenants().len(), 1);

    let manifest = manifest(&conductor).await;
    done(&conductor, submit("q", &manifest, plan("n", 1))).await;
    let refused = refusal(&conductor, submit("r", &manifest, plan("n", 1))).await;
    assert!(matches!(refused, Refusal::TooMany { limit: 1, .. }), "{refused}");
}

#[tokio::test]
async fn a_tenant_goes_with_its_keys_and_plugins_but_not_with_running_inquiries() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let manifest = manifest(&conductor).await;
    let component = conductor.put_blob(b"component".to_vec()).await.unwrap();
    let nobody = Refusal::NoSuchTenant { tenant: "pharma".into() };
    for command in [
        submit_as("pharma", "q", &manifest, plan("n", 1), None),
        create_key("a", Some("pharma")),
        install(&component, "1.0.0", Some("pharma")),
        remove_plugin(&component, Some("pharma")),
        update_tenant("pharma", "d"),
        remove_tenant("pharma"),
    ] {
        assert_eq!(refusal(&conductor, command).await, nobody);
    }
    let before = conductor.registry();
    done(&conductor, create_tenant("pharma", Some(2))).await;
    already(&conductor, create_tenant("pharma", Some(2))).await;
    let exists = Refusal::TenantExists { tenant: "pharma".into() };
    assert_eq!(refusal(&conductor, create_tenant("pharma", Some(3))).await, exists);
    done(&conductor, create_tenant("food", None)).await;
    for (id, tenant) in [("a", Some("pharma")), ("b", Some("food")), ("c", None)] {
        done(&conductor, create_key(id, tenant)).await;
    }
    done(&conductor, install(&component, "1.0.0", Some("pharma"))).await;
    assert!(before.tenant("pharma").is_none(), "a registry does not change under whoever holds it");
    assert!(conductor.registry().version > before.version);

    for (inquiry, count) in [("q", 1), ("r", 2)] {
        done(&conductor, submit_as("pharma", inquiry, &manifest, plan("n", 1), None)).await;
        assert_eq!(conductor.unfinished_of("pharma").await.unwrap(), count);
    }
    let many = refusal(&conductor, submit_as("pharma", "s", &manifest, plan("n", 1), None)).await;
    assert_eq!(
        many.to_string(),
        "there are 2 inquiries of the tenant `pharma` that have not ended already, and no more are possible"
    );
    done(&conductor, abort("q", Abort::Cancelled)).await;
    assert!(matches!(refusal(&conductor, remove_tenant("pharma")).await, Refusal::TenantInUse { .. }));
    done(&conductor, abort("r", Abort::Cancelled)).await;
    assert_eq!(conductor.unfinished_of("pharma").await.unwrap(), 0);
    let size = conductor.checkpoint().await.unwrap().size;
    done(&conductor, remove_tenant("pharma")).await;
    let entry = entries(&conductor, size).await.remove(0);
    assert_eq!((entry.kind.as_str(), entry.inquiry.as_str()), ("tenant-removed", ""));
    // Its inquiries are still there under this name.
    let again = refusal(&conductor, create_tenant("pharma", None)).await;
    assert_eq!(again, Refusal::TenantRemoved { tenant: "pharma".into() });
    assert_eq!(
        serde_json::Value::Object(entry.body),
        serde_json::json!({
            "tenant": "pharma", "keys": 1, "plugins": 1
        })
    );
    assert!(conductor.inquiry("q").await.unwrap().is_some(), "its ended inquiries stay readable");

    // After a restart everything is as it was.
    let shown = |registry: &inquisitor_conductor::Registry| {
        let tenants: Vec<_> = registry.tenants().cloned().collect();
        let keys: Vec<_> = registry.keys().cloned().collect();
        (tenants, keys, registry.plugins().cloned().collect::<Vec<_>>())
    };
    let registry = conductor.registry();
    assert!(registry.key("a").is_none() && registry.key_by_hash(&secret_hash("a")).is_none());
    assert_eq!(registry.plugins().len(), 0);
    assert_eq!(registry.keys().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    conductor.shutdown().await;
    let conductor = open(&data).await;
    assert_eq!(shown(&conductor.registry()), shown(&registry));
    // What the removed key held is free again.
    done(&conductor, create_key("a", None)).await;
}

#[tokio::test]
async fn keys_are_taken_once_and_stay_listed_when_they_are_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    done(&conductor, create_key("a", None)).await;
    already(&conductor, create_key("a", None)).await;
    let mut same_id = key("a", None);
    same_id.secret_hash = secret_hash("other");
    let mut same_secret = key("b", None);
    same_secret.secret_hash = secret_hash("a");
    for taken in [same_id, same_secret] {
        let command = Command::CreateKey { key: Box::new(taken), at: 1 };
        assert_eq!(refusal(&conductor, command).await, Refusal::KeyTaken);
    }
    assert_eq!(conductor.registry().key_by_hash(&secret_hash("a")).unwrap().id, "a");

    assert_eq!(refusal(&conductor, revoke_key("z")).await, Refusal::NoSuchKey { id: "z".into() });
    done(&conductor, revoke_key("a")).await;
    already(&conductor, revoke_key("a")).await;
    assert_eq!(conductor.registry().key_by_hash(&secret_hash("a")).unwrap().revoked, Some(700_000_000));
    assert_eq!(kinds(&conductor, 0).await, ["key-created", "key-revoked"]);
    let mut export = Vec::new();
    conductor.export_ledger(&mut export).unwrap();
    assert!(!String::from_utf8(export).unwrap().contains(&secret_hash("a")));
}

#[tokio::test]
async fn a_version_is_one_component_and_one_that_is_in_use_stays() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let mut components = Vec::new();
    for bytes in [b"one", b"two", b"six"] {
        components.push(conductor.put_blob(bytes.to_vec()).await.unwrap());
    }
    let [one, two, six] = components.as_slice() else { panic!("three were put") };
    for tenant in ["pharma", "food"] {
        done(&conductor, create_tenant(tenant, None)).await;
    }
    let missing = conductor.propose(install(&"00".repeat(32), "9", None)).await.unwrap_err().to_string();
    assert!(missing.contains("put it first"), "{missing}");

    done(&conductor, install(one, "1.0.0", Some("pharma"))).await;
    already(&conductor, install(one, "1.0.0", Some("pharma"))).await;
    let taken =
        Refusal::VersionTaken { name: "thermometer".into(), version: "1.0.0".into(), digest: one.clone() };
    assert_eq!(refusal(&conductor, install(two, "1.0.0", Some("pharma"))).await, taken);
    // Another tenant does not see it, and everybody's are apart.
    done(&conductor, install(two, "1.0.0", Some("food"))).await;
    done(&conductor, install(six, "2.0.0", None)).await;
    already(&conductor, install(six, "2.0.0", Some("food"))).await;
    let refused = refusal(&conductor, install(two, "2.0.0", Some("pharma"))).await;
    assert!(matches!(&refused, Refusal::VersionTaken { digest, .. } if digest == six), "{refused}");

    let none = Refusal::NoSuchPlugin { plugin: one.clone() };
    assert_eq!(refusal(&conductor, remove_plugin(one, None)).await, none);
    let empty = Refusal::NoSuchTenant { tenant: String::new() };
    assert_eq!(refusal(&conductor, remove_plugin(six, Some(""))).await, empty);
    done(&conductor, submit_as("pharma", "q", &manifest, continuous(3, one), None)).await;
    done(&conductor, submit_as("food", "r", &manifest, continuous(3, six), None)).await;
    let used = |inquiry: &str| Refusal::PluginInUse { inquiry: inquiry.into() };
    assert_eq!(refusal(&conductor, remove_plugin(one, Some("pharma"))).await, used("q"));
    assert_eq!(refusal(&conductor, remove_plugin(six, None)).await, used("r"));
    done(&conductor, remove_plugin(two, Some("food"))).await;
    for inquiry in ["q", "r"] {
        done(&conductor, abort(inquiry, Abort::Cancelled)).await;
    }
    done(&conductor, remove_plugin(one, Some("pharma"))).await;
    // Name and version are free again.
    done(&conductor, install(two, "1.0.0", Some("pharma"))).await;
    let left: Vec<_> =
        conductor.registry().plugins().map(|plugin| (plugin.tenant.clone(), plugin.digest.clone())).collect();
    assert_eq!(left, [(None, six.clone()), (Some("pharma".into()), two.clone())]);
}

#[tokio::test]
async fn a_decision_is_recorded_whatever_becomes_of_the_change() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    let change = submit_as(DEFAULT_TENANT, "q", &manifest, plan("n", 1), Some("once"));
    done(&conductor, authorized("inquiry.submit", "", change.clone())).await;
    already(&conductor, authorized("inquiry.submit", "", change)).await;
    let again = submit_as(DEFAULT_TENANT, "r", &manifest, plan("n", 1), Some("once"));
    let answer = conductor.propose(authorized("inquiry.submit", "", again)).await.unwrap();
    assert_eq!(answer, Applied::Earlier("q".into()));
    refusal(&conductor, authorized("key.revoke", "z", revoke_key("z"))).await;
    let refused = access("tenant.create", "pharma", false);
    done(&conductor, Command::Decide { access: Box::new(refused) }).await;

    let entries = entries(&conductor, 0).await;
    let shown: Vec<_> = entries.iter().map(|entry| (entry.kind.as_str(), entry.inquiry.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("access-decided", "q"),
            ("inquiry-submitted", "q"),
            ("access-decided", "q"),
            ("access-decided", "r"),
            ("access-decided", ""),
            ("access-decided", ""),
        ]
    );
    insta::assert_json_snapshot!(entries.last().unwrap().body, @r#"
    {
      "action": "tenant.create",
      "allowed": false,
      "count": 1,
      "key": "k",
      "reason": "the role may not",
      "request": "r-1",
      "resource": "pharma",
      "role": "operator",
      "tenant": "default"
    }
    "#);

    let nested = authorized("a", "", authorized("b", "", cancel("q")));
    let error = conductor.propose(nested).await.unwrap_err().to_string();
    assert!(error.contains("one change"), "{error}");
    let mut export = Vec::new();
    let checkpoint = conductor.export_ledger(&mut export).unwrap();
    let lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    assert_eq!(inquisitor_ledger::verify_export(lines, None).unwrap(), checkpoint);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_manifest_of_one_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, create_tenant("pharma", None)).await;
    let mut other = plan("n", 1);
    other.manifest_digest = "cd".repeat(32);
    other.manifest_id = "other".into();
    let ask =
        |tenant: &str, inquiry: &str, plan, key: &str| submit_as(tenant, inquiry, &manifest, plan, Some(key));
    done(&conductor, ask("pharma", "q", plan("n", 1), "k1")).await;
    let earlier = conductor.propose(ask("pharma", "r", plan("n", 1), "k1")).await.unwrap();
    assert_eq!(earlier, Applied::Earlier("q".into()));
    let reused = Refusal::IdempotencyKeyReused { inquiry: "q".into() };
    assert_eq!(refusal(&conductor, ask("pharma", "r", other.clone(), "k1")).await, reused);
    done(&conductor, ask("pharma", "r", other, "k2")).await;
    done(&conductor, ask(DEFAULT_TENANT, "s", plan("n", 1), "k1")).await;
    // Also when it has ended.
    done(&conductor, abort("q", Abort::Cancelled)).await;
    let earlier = conductor.propose(ask("pharma", "t", plan("n", 1), "k1")).await.unwrap();
    assert_eq!(earlier, Applied::Earlier("q".into()));
    for key in ["", &"k".repeat(256)] {
        assert!(conductor.propose(ask("pharma", "u", plan("n", 1), key)).await.is_err());
    }
}

#[tokio::test]
async fn another_manifest_of_the_same_id_waits_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    done(&conductor, create_tenant("pharma", None)).await;
    let mut edited = plan("n", 1);
    edited.manifest_digest = "cd".repeat(32);
    // The same manifest runs beside itself.
    for inquiry in ["q", "r"] {
        done(&conductor, submit(inquiry, &manifest, plan("n", 1))).await;
    }
    let ask = submit("s", &manifest, edited.clone());
    let in_use =
        |inquiry: &str| Refusal::ManifestIdInUse { id: "cold-chain".into(), inquiry: inquiry.into() };
    assert_eq!(refusal(&conductor, ask.clone()).await, in_use("q"));
    done(&conductor, abort("q", Abort::Cancelled)).await;
    assert_eq!(refusal(&conductor, ask.clone()).await, in_use("r"), "the one that is named still runs");
    done(&conductor, submit_as("pharma", "t", &manifest, edited, None)).await;
    done(&conductor, abort("r", Abort::Cancelled)).await;
    done(&conductor, ask).await;
}

#[tokio::test]
async fn what_cannot_be_kept_of_a_tenant_a_key_or_a_plugin_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    for name in ["", "Pharma", "a b", "a\0b", &"a".repeat(64)] {
        let error = conductor.propose(create_tenant(name, None)).await.unwrap_err().to_string();
        assert!(error.contains("a tenant's name has 1 to 63"), "{name:?}: {error}");
    }
    let mut large = tenant("large", None);
    large.description = "d".repeat(MAX_RECORD_BYTES);
    let command = Command::CreateTenant { tenant: Box::new(large), at: 1 };
    let error = conductor.propose(command).await.unwrap_err().to_string();
    assert!(error.contains(&format!("at most {MAX_RECORD_BYTES}")), "{error}");
    let mut plain = key("a", None);
    plain.secret_hash = "the secret itself".into();
    let error = conductor.propose(Command::CreateKey { key: Box::new(plain), at: 1 }).await.unwrap_err();
    assert!(error.to_string().contains("hash") && !error.to_string().contains("itself"), "{error}");
    let component = conductor.put_blob(b"component".to_vec()).await.unwrap();
    assert!(conductor.propose(install(&component, "1\0", None)).await.is_err());
    assert_eq!(conductor.checkpoint().await.unwrap().size, 0);
}
