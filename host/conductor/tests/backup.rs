//! Backups: made, checked, restored, of a member that is alone.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::Path;

use inquisitor_conductor::{Backup, Conductor, ConductorError, Verified, restore, verify};
use inquisitor_engine::journal::{Applied, Command, Journal};
use inquisitor_ledger::Checkpoint;
use support::*;

const AT: i64 = 1_700_000_000_123_456_789;

/// All bytes of a backup; as many as it said.
async fn bytes(mut backup: Backup) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await.unwrap() {
        assert!(!piece.is_empty());
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len() as u64, backup.bytes());
    bytes
}

/// Something of everything: ended and unfinished inquiries, a continuous one, keys, tenants, plugins, reports.
async fn fill(conductor: &Conductor) -> String {
    let manifest = manifest(conductor).await;
    done(conductor, create_tenant("acme", Some(5))).await;
    done(conductor, create_key("k1", Some("acme"))).await;
    done(conductor, create_key("k2", None)).await;
    done(conductor, revoke_key("k2")).await;
    run(conductor, "ended", &manifest, 3).await;
    done(conductor, submit_as("acme", "keyed", &manifest, plan("n", 1), Some("once"))).await;
    // More than one piece.
    let component = conductor.put_blob(vec![7; 600 << 10]).await.unwrap();
    done(conductor, install(&component, "1.0.0", Some("acme"))).await;
    done(conductor, submit("watch", &manifest, continuous(1, &component))).await;
    let token = leased(conductor, "watch", 0, 1).await;
    let mut with = readings(1.0);
    with.transcript = Some(conductor.put_blob(b"transcript".to_vec()).await.unwrap());
    done(conductor, record("watch", 0, token, with, true)).await;
    done(conductor, submit("reported", &manifest, plan("n", 0))).await;
    let empty = conductor.put_blob(Vec::new()).await.unwrap();
    let conclude = Command::Conclude {
        inquiry: "reported".into(),
        finding: Box::new(finding("well")),
        artifacts: vec![("empty.txt".into(), empty)],
        at: 1,
    };
    done(conductor, conclude).await;
    // Named by nothing, so in no backup.
    conductor.put_blob(b"forgotten".to_vec()).await.unwrap();
    component
}

/// What must be the same after a restore.
async fn seen(conductor: &Conductor) -> Vec<String> {
    let mut seen = Vec::new();
    for id in ["ended", "keyed", "watch", "reported"] {
        seen.push(format!("{:?}", conductor.inquiry(id).await.unwrap().unwrap()));
    }
    let registry = conductor.registry();
    seen.push(format!("{:?}", registry.tenants().collect::<Vec<_>>()));
    seen.push(format!("{:?}", registry.keys().collect::<Vec<_>>()));
    seen.push(format!("{:?}", registry.plugins().collect::<Vec<_>>()));
    seen.push(format!("{:?}", conductor.ledger_checkpoint().unwrap()));
    seen.push(format!("{:?}", conductor.unfinished().await.unwrap()));
    seen
}

#[tokio::test]
async fn a_restored_host_has_everything_and_goes_on_as_a_cluster_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("old")).await;
    let component = fill(&conductor).await;
    let backup = conductor.backup(AT).await.unwrap();
    let (status, before) = (conductor.status().await.unwrap(), seen(&conductor).await);
    // What comes after it is not in it.
    let manifest = manifest(&conductor).await;
    done(&conductor, submit("later", &manifest, plan("n", 1))).await;
    let manifested = backup.manifest().clone();
    assert_eq!((manifested.inquiries, manifested.unfinished, manifested.blobs.count), (4, 2, 4));
    assert_eq!(manifested.state_hash.to_string(), status.state_hash);
    assert_eq!(manifested.created, "2023-11-14T22:13:20.123456789Z");
    let bytes = bytes(backup).await;
    let verified = verify(bytes.as_slice(), None).unwrap();
    assert_eq!(verified, Verified { manifest: manifested, bytes: bytes.len() as u64 });

    let new = dir.path().join("new");
    let restored = restore(bytes.as_slice(), &new, None).unwrap();
    let again = open(&new).await;
    assert_eq!(seen(&again).await, before);
    let now = again.status().await.unwrap();
    assert_eq!((now.cluster.clone(), now.node_id.clone()), (restored.cluster.to_string(), restored.node_id));
    assert!(now.cluster != status.cluster && now.node_id != status.node_id && now.term > status.term);
    assert_eq!(now.members.len(), 1);
    assert_eq!(again.sizes().await.unwrap().blobs, 4);
    assert_eq!(again.blob(&component).await.unwrap(), vec![7; 600 << 10]);
    // The same key is the same submission, and work goes on.
    let repeated = submit_as("acme", "another", &manifest, plan("n", 1), Some("once"));
    let applied = again.propose(repeated).await.unwrap();
    assert!(!matches!(applied, Applied::Done), "{applied:?}");
    let token = leased(&again, "keyed", 0, 1).await;
    done(&again, record("keyed", 0, token, readings(4.0), true)).await;
    done(&again, conclude("keyed", "all well")).await;
    let Applied::Leased(token) = again.propose(lease_round("watch", 0, 1, 2)).await.unwrap() else {
        panic!("round 1 cannot be leased")
    };
    assert!(token.term > status.term, "tokens of before are outlasted");
    // The ledger goes on where the backup ends.
    let noted: Checkpoint = verified.manifest.ledger;
    let mut export = Vec::new();
    again.export_ledger(&mut export).unwrap();
    let lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    assert!(inquisitor_ledger::verify_export(lines, Some(&noted)).unwrap().size > noted.size);
    again.shutdown().await;
    let again = open(&new).await;
    assert_eq!(again.status().await.unwrap().cluster, restored.cluster.to_string());
    // And it can be backed up itself.
    let second = self::bytes(again.backup(AT + 1).await.unwrap()).await;
    let second = verify(second.as_slice(), Some(&noted)).unwrap();
    assert_eq!(second.manifest.cluster, restored.cluster);
}

#[tokio::test]
async fn every_changed_or_missing_byte_is_noticed_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    run(&conductor, "q", &manifest, 2).await;
    let bytes = bytes(conductor.backup(AT).await.unwrap()).await;
    verify(bytes.as_slice(), None).unwrap();
    // Each byte of the small parts, and a share of the large one, each time another bit.
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let error = verify(changed.as_slice(), None).expect_err(&format!("byte {at}"));
        assert!(
            matches!(error, ConductorError::Backup { .. } | ConductorError::NewerFormat { .. }),
            "byte {at}: {error}"
        );
    }
    for at in (0..bytes.len()).step_by(101) {
        let error = verify(&bytes[..at], None).expect_err(&format!("cut at {at}")).to_string();
        assert!(error.contains("cut off") || error.contains("ends"), "cut at {at}: {error}");
    }
    let find = |part: &[u8]| bytes.windows(part.len()).position(|window| window == part).unwrap();
    let named = |at: usize| {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        verify(changed.as_slice(), None).unwrap_err().to_string()
    };
    let sums = find(b"  inquisitor-backup.json");
    assert!(named(sums).contains("SHA256SUMS"), "{}", named(sums));
    let entry = find(br#""kind":"step-recorded""#);
    assert!(named(entry).contains("state.snap"), "{}", named(entry));
    // The content of the blob, not its mention.
    let blob = bytes.windows(9).position(|window| window == b"manifest\0").unwrap();
    assert!(named(blob).contains("blobs/"), "{}", named(blob));
}

#[tokio::test]
async fn a_ledger_that_is_not_the_noted_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    let manifest = manifest(&conductor).await;
    run(&conductor, "q", &manifest, 2).await;
    let earlier = conductor.checkpoint_at(3).await.unwrap();
    let bytes = bytes(conductor.backup(AT).await.unwrap()).await;
    verify(bytes.as_slice(), Some(&earlier)).unwrap();
    let forged = Checkpoint { root: inquisitor_ledger::empty_root(), ..earlier };
    let error = verify(bytes.as_slice(), Some(&forged)).unwrap_err().to_string();
    assert!(error.contains("the ledger: as it was noted"), "{error}");
    let later = Checkpoint { size: 1000, ..earlier };
    let error = verify(bytes.as_slice(), Some(&later)).unwrap_err().to_string();
    assert!(error.contains("1000 were noted"), "{error}");
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(read) = std::fs::read_dir(dir) else { return Vec::new() };
    read.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn nothing_is_restored_over_anything_and_a_failed_restore_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    fill(&conductor).await;
    let bytes = bytes(conductor.backup(AT).await.unwrap()).await;
    let before = seen(&conductor).await;
    conductor.shutdown().await;

    let error = restore(bytes.as_slice(), &data, None).unwrap_err().to_string();
    assert!(error.contains("nothing is restored over"), "{error}");
    let conductor = open(&data).await;
    assert_eq!(seen(&conductor).await, before);
    let occupied = dir.path().join("occupied");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("notes.txt"), "mine").unwrap();
    let error = restore(bytes.as_slice(), &occupied, None).unwrap_err().to_string();
    assert!(error.contains("`notes.txt`") && names(&occupied) == ["notes.txt"], "{error}");

    let new = dir.path().join("new");
    let mut broken = bytes.clone();
    let at = broken.windows(10).rposition(|window| window == [7; 10]).unwrap();
    broken[at] = 8;
    let error = restore(broken.as_slice(), &new, None).unwrap_err().to_string();
    assert!(error.contains("blobs/"), "{error}");
    assert_eq!(names(&new), Vec::<String>::new());
    // One that was killed: everything is there but for what is written last.
    restore(bytes.as_slice(), &new, None).unwrap();
    std::fs::remove_file(new.join("inquisitor-data")).unwrap();
    let config = inquisitor_conductor::ConductorConfig::new(&new, "a");
    let error = Conductor::open(config).await.err().unwrap().to_string();
    assert!(error.contains("no file `inquisitor-data`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_host_is_backed_up_with_what_only_its_log_has() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let conductor = open(&data).await;
    let held = Backup::of_directory(&data, false, AT).await.err().unwrap();
    assert!(matches!(held, ConductorError::InUse { .. }), "{held}");
    fill(&conductor).await;
    let before = seen(&conductor).await;
    // A crash: what was applied and not synced is in the log alone.
    let copied = dir.path().join("copied");
    copy(&data, &copied);
    conductor.shutdown().await;
    for data in [&data, &copied] {
        let (backup, left_out) = Backup::of_directory(data, false, AT).await.unwrap();
        assert_eq!(left_out, 0);
        let busy =
            Conductor::open(inquisitor_conductor::ConductorConfig::new(data, "a")).await.err().unwrap();
        assert!(matches!(busy, ConductorError::InUse { .. }), "no host starts meanwhile: {busy}");
        let new = dir.path().join("new").join(data.file_name().unwrap());
        restore(bytes(backup).await.as_slice(), &new, None).unwrap();
        let again = open(&new).await;
        assert_eq!(seen(&again).await, before);
    }
    // The host starts on its directory as if nothing had been.
    assert_eq!(seen(&open(&data).await).await, before);
    let missing = Backup::of_directory(&dir.path().join("nowhere"), false, AT).await.err().unwrap();
    assert!(missing.to_string().contains("name the directory that a host ran on"), "{missing}");
}

/// Copies the files of a host that runs, as a volume's snapshot would.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(std::fs::copy(&path, &target).unwrap()),
        }
    }
}

#[tokio::test]
async fn nothing_is_swept_away_while_a_backup_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let conductor = open(&dir.path().join("data")).await;
    fill(&conductor).await;
    let backup = conductor.backup(AT).await.unwrap();
    let error = conductor.sweep_blobs(inquisitor_conductor::MIN_SWEEP_AGE).await.unwrap_err().to_string();
    assert!(error.contains("a backup is being made"), "{error}");
    drop(backup);
    conductor.sweep_blobs(inquisitor_conductor::MIN_SWEEP_AGE).await.unwrap();
}
