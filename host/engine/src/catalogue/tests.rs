//! Views and changes, with a real component.

use std::path::PathBuf;

use inquisitor_manifest::{Catalogue as _, ResolveError};

use super::*;
use crate::testing::{Memory, component, runtime};

fn record(digest: &str, tenant: Option<&str>) -> PluginRecord {
    PluginRecord {
        digest: digest.to_owned(),
        name: "plain".into(),
        version: "1.0.0".into(),
        size: 1,
        tenant: tenant.map(str::to_owned),
        uploaded_by: "key".into(),
        uploaded: 7,
    }
}

fn found(view: &View, reference: &str) -> Result<String, ResolveError> {
    view.resolve(&reference.parse().unwrap()).map(|info| info.digest.clone())
}

#[tokio::test]
async fn a_tenant_sees_files_shared_uploads_and_its_own_and_the_nearest_of_a_version_is_meant() {
    let cache = tempfile::tempdir().unwrap();
    let runtime = runtime(cache.path());
    let [file, shared, own] = [component(1), component(2), component(3)];
    let digests = [&file, &shared, &own].map(|bytes| inquisitor_manifest::digest(bytes));
    let load = async |bytes: &[u8]| runtime.load(bytes).await.unwrap();
    let catalogue = Catalogue::of(load(&file).await, PathBuf::from("plain.wasm"));
    let before = catalogue.visible_to("acme");
    assert_eq!(found(&before, "plain"), Ok(digests[0].clone()));

    catalogue.add_uploaded(load(&shared).await, &record(&digests[1], None));
    catalogue.add_uploaded(load(&own).await, &record(&digests[2], Some("acme")));
    let (acme, other) = (catalogue.visible_to("acme"), catalogue.visible_to("other"));
    for name in ["plain", "sum", "plain@1.0.0"] {
        assert_eq!(found(&acme, name), Ok(digests[2].clone()), "{name}");
        assert_eq!(found(&other, name), Ok(digests[1].clone()), "{name}");
    }
    let by_digest = |index: usize| format!("plain@sha256:{}", digests[index]);
    assert_eq!(found(&acme, &by_digest(0)), Ok(digests[0].clone()), "hidden, and still there");
    assert!(
        matches!(found(&other, &by_digest(2)), Err(ResolveError::WrongVersion { .. })),
        "of another tenant"
    );
    assert_eq!((acme.installed().count(), other.installed().count()), (3, 2));
    assert_eq!(found(&catalogue.everything(), &by_digest(2)), Ok(digests[2].clone()));
    assert_eq!(found(&before, "plain"), Ok(digests[0].clone()), "a view does not change");
    assert!(
        matches!(found(&other, "plein"), Err(ResolveError::NotInstalled { nearest, .. }) if nearest == ["plain"])
    );

    catalogue.remove_uploaded(&digests[2], Some("acme"));
    catalogue.remove_uploaded(&digests[1], None);
    assert_eq!(found(&catalogue.visible_to("acme"), "plain"), Ok(digests[0].clone()));
    assert_eq!(catalogue.installed().len(), 1);
}

#[tokio::test]
async fn syncing_makes_the_uploads_those_of_the_registry_and_running_inquiries_keep_theirs() {
    let cache = tempfile::tempdir().unwrap();
    let runtime = runtime(cache.path());
    let journal = Memory::default();
    let mut records = Vec::new();
    for mark in [1, 2] {
        records.push(record(&journal.put_blob(component(mark)).await.unwrap(), Some("acme")));
    }
    records.push(record(&journal.put_blob(b"no component".to_vec()).await.unwrap(), None));
    let catalogue = Catalogue::default();
    let broken = catalogue.sync(&runtime, &journal, &records).await;
    assert_eq!(broken.len(), 1);
    assert!(broken[0].name.starts_with("plain 1.0.0 (sha256:"), "{broken:?}");
    assert_eq!(catalogue.installed().len(), 2);

    assert!(catalogue.sync(&runtime, &journal, &records[1..2]).await.is_empty());
    let left: Vec<String> =
        catalogue.installed().iter().map(|installed| installed.plugin.digest().to_owned()).collect();
    assert_eq!(left, [records[1].digest.clone()]);
    let removed = catalogue.plugin(&runtime, &journal, &records[0].digest).await.unwrap();
    assert_eq!(removed.digest(), records[0].digest);
}
