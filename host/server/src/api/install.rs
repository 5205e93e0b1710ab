//! How a component comes in: to a file while it is hashed, then checked and compiled, then kept as a blob, then installed.
//!
//! What is bounded: uploads from their first byte to their end ([`MAX_AT_ONCE`]; more are 429 before their body is read), those
//! that are compiled, which hold a component in memory ([`MAX_COMPILING`]), and the bytes of each. The same bytes sent twice at
//! once are compiled once. From the moment on when a component is whole, it is installed whatever becomes of the connection.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Body;
use futures::StreamExt as _;
use http::{HeaderMap, header};
use inquisitor_engine::catalogue::{Installed, Source};
use inquisitor_engine::gating::PluginRecord;
use inquisitor_engine::journal::{Command, Journal as _};
use inquisitor_runtime::{CheckReport, Severity};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::extract::{too_large, unread};
use crate::app::App;
use crate::gate::Permit;
use crate::places::{Place, Places};
use crate::problem::{Kind, Problem};

/// Uploads at once, from the first byte to the end of their installation.
const MAX_AT_ONCE: usize = 32;
/// Uploads that are compiled at once.
const MAX_COMPILING: usize = 2;
/// Seconds after which it makes sense to try again: about as long as a compilation takes.
const RETRY_AFTER: u64 = 5;

/// The bounds on uploads.
pub(crate) struct Installer {
    slots: Places,
    compiling: Semaphore,
    /// Digests that are being installed.
    digests: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Default for Installer {
    fn default() -> Self {
        Self {
            slots: Places::new(MAX_AT_ONCE),
            compiling: Semaphore::new(MAX_COMPILING),
            digests: Mutex::default(),
        }
    }
}

impl Installer {
    /// Begin an upload, with a key of this tenant or with one above tenants.
    ///
    /// # Errors
    /// 429 where as many are under way as may.
    pub(super) fn slot(&self, tenant: Option<&str>) -> Result<Place, Problem> {
        let slot = self.slots.take(tenant, "uploads under way");
        slot.map_err(|detail| Problem::new(Kind::TooManyRequests, detail).retry_after(RETRY_AFTER))
    }

    /// Wait until nobody else installs these bytes.
    async fn alone(&self, digest: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
            // At most as many live as there are slots.
            digests.retain(|_, lock| lock.strong_count() > 0);
            match digests.get(digest).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::default();
                    digests.insert(digest.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

/// Make the folder for components that come in, empty: what a host that was killed left there belongs to nobody.
///
/// # Errors
/// When it cannot be made or emptied.
pub(crate) fn prepare(incoming: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(incoming) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(incoming)
}

/// A component that came in whole. Its file goes with it.
pub(super) struct Received {
    file: NamedTempFile,
    pub(super) digest: String,
    pub(super) size: u64,
}

/// Write a body to a file of its own while hashing it.
///
/// # Errors
/// 413 where it is larger than the host takes, 400 where it is empty or ends early.
pub(super) async fn receive(
    incoming: &Path,
    limit: u64,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Problem> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > limit) {
        return Err(too_large(limit));
    }
    let failed = |error: io::Error| Problem::internal(&error);
    let folder = incoming.to_owned();
    let file = tokio::task::spawn_blocking(move || {
        let file = tempfile::Builder::new().prefix("upload-").suffix(".wasm").tempfile_in(folder)?;
        let handle = file.reopen()?;
        io::Result::Ok((file, handle))
    });
    let (file, handle) = file.await.map_err(|error| Problem::internal(&error))?.map_err(failed)?;
    let mut out = tokio::fs::File::from_std(handle);
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| unread(&error, limit))?;
        size += part.len() as u64;
        if size > limit {
            return Err(too_large(limit));
        }
        hash.update(&part);
        out.write_all(&part).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)?;
    if size == 0 {
        return Err(Problem::bad_request("the body is empty; send the bytes of a component"));
    }
    Ok(Received { file, digest: hex::encode(hash.finalize()), size })
}

/// A component on its way to being installed.
pub(super) struct Installation {
    pub(super) app: Arc<App>,
    pub(super) received: Received,
    /// Whom it is for; none: everybody.
    pub(super) tenant: Option<String>,
    /// Id of the key that sent it.
    pub(super) by: String,
    pub(super) permit: Permit,
    /// Held to the end.
    pub(super) slot: Place,
}

/// What became of a good component.
pub(super) struct Outcome {
    pub(super) plugin: Installed,
    /// Whether it is new; not so where the same bytes were there before.
    pub(super) is_new: bool,
}

impl Installation {
    /// Install it in a task of its own, so that a client that goes away leaves nothing half done.
    pub(super) async fn run(self) -> Result<Outcome, Problem> {
        match tokio::spawn(self.install()).await {
            Ok(result) => result,
            Err(error) => Err(Problem::internal(&error)),
        }
    }

    async fn install(self) -> Result<Outcome, Problem> {
        let Self { app, received, tenant, by, permit, slot } = self;
        let digest = &received.digest;
        let _alone = app.uploads.installer.alone(digest).await;
        if let Some(plugin) = there(&app, digest, tenant.as_deref()) {
            return Ok(Outcome { plugin, is_new: false });
        }
        let _turn =
            app.uploads.installer.compiling.acquire().await.map_err(|error| Problem::internal(&error))?;
        let file = received.file;
        // The file goes as soon as it is read.
        let bytes = tokio::task::spawn_blocking(move || std::fs::read(file.path())).await;
        let bytes =
            bytes.map_err(|error| Problem::internal(&error))?.map_err(|error| Problem::internal(&error))?;
        let report = app.runtime.check(&bytes).await;
        if !report.is_ok() {
            return Err(refused(&report));
        }
        // Compiled by now, so this reads what the check has left in memory.
        let plugin = app.runtime.load(&bytes).await.map_err(|error| Problem::internal(&error))?;
        let description = plugin.description();
        let taken = app.plugins()?.installed().into_iter().find(|one| {
            let other = one.plugin.description();
            matches!(one.source, Source::File(_))
                && other.name == description.name
                && other.version == description.version
        });
        if let Some(taken) = taken {
            return Err(Problem::conflict(format!(
                "{} {} comes with this host and is another component, {}; a new component needs a new version",
                description.name,
                description.version,
                taken.plugin.digest()
            )));
        }
        let now = crate::app::now();
        let record = PluginRecord {
            digest: digest.clone(),
            name: description.name.clone(),
            version: description.version.clone(),
            size: received.size,
            tenant: tenant.clone(),
            uploaded_by: by,
            uploaded: now,
        };
        app.conductor.put_blob(bytes).await?;
        let command = Command::InstallPlugin { plugin: Box::new(record.clone()), at: now };
        let applied = app.change(permit, command).await?;
        app.catalogue.add_uploaded(plugin, &record);
        drop(slot);
        let plugin = there(&app, digest, tenant.as_deref()).ok_or_else(|| {
            // Somebody else removed it in this very moment.
            Problem::conflict(format!(
                "{} {} was removed while it was installed",
                record.name, record.version
            ))
        })?;
        tracing::info!(plugin = record.name, version = record.version, digest, tenant, "plugin installed");
        Ok(Outcome { plugin, is_new: applied == inquisitor_engine::journal::Applied::Done })
    }
}

/// The plugin of this digest that the tenant has of its own, or that comes with the host.
fn there(app: &App, digest: &str, tenant: Option<&str>) -> Option<Installed> {
    app.catalogue.installed().into_iter().find(|one| {
        one.plugin.digest() == digest
            && match &one.source {
                Source::File(_) => true,
                Source::Uploaded { tenant: owner, .. } => owner.as_deref() == tenant,
            }
    })
}

/// What is wrong with a component, as `plugin check` says it.
fn refused(report: &CheckReport) -> Problem {
    let errors = || report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    // The host's own disk or compiler says nothing of the component.
    if let Some(own) = errors().find(|finding| finding.name == "io") {
        return Problem::internal(&io::Error::other(own.message.clone()));
    }
    let first = errors().next().map(|finding| finding.message.clone()).unwrap_or_default();
    let listed = report.findings.iter().filter_map(|finding| serde_json::to_value(finding).ok()).collect();
    Problem::new(Kind::InvalidPlugin, first).errors(listed)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn a_body_becomes_a_file_that_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let received = receive(folder.path(), 3, &HeaderMap::new(), Body::from("abc")).await.unwrap();
        assert_eq!(received.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((received.size, files(folder.path())), (3, 1));
        drop(received);
        assert_eq!(files(folder.path()), 0);
    }

    #[tokio::test]
    async fn nothing_stays_of_a_body_that_is_too_large_or_breaks_off() {
        let folder = tempfile::tempdir().unwrap();
        let too_large = receive(folder.path(), 3, &HeaderMap::new(), Body::from("abcd")).await.err().unwrap();
        assert_eq!(too_large.status, 413);
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, 4.into())]);
        assert_eq!(receive(folder.path(), 3, &headers, Body::empty()).await.err().unwrap().status, 413);
        let broken = stream::iter([Ok("ab"), Err(io::Error::other("reset"))]);
        let broken =
            receive(folder.path(), 3, &HeaderMap::new(), Body::from_stream(broken)).await.err().unwrap();
        assert_eq!(broken.status, 400);
        let empty = receive(folder.path(), 3, &HeaderMap::new(), Body::empty()).await.err().unwrap();
        assert!(empty.detail.contains("empty"), "{empty:?}");
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn what_a_killed_host_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = folder.path().join("incoming");
        prepare(&incoming).unwrap();
        std::fs::write(incoming.join("upload-x.wasm"), "half").unwrap();
        prepare(&incoming).unwrap();
        assert_eq!(files(&incoming), 0);
    }

    #[tokio::test]
    async fn the_same_bytes_are_installed_by_one_at_a_time() {
        let installer = Installer::default();
        let first = installer.alone("a").await;
        let _other = installer.alone("b").await;
        let second = installer.alone("a");
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        drop(installer.alone("c").await);
        assert!(installer.digests.lock().unwrap().len() <= 2);
    }

    #[test]
    fn more_than_may_are_told_to_come_again() {
        let installer = Installer::default();
        let slots: Vec<_> = (0..MAX_AT_ONCE).map(|_| installer.slot(None).unwrap()).collect();
        let problem = installer.slot(None).err().unwrap();
        assert_eq!((problem.status, problem.retry_after), (429, Some(RETRY_AFTER)));
        drop(slots);
        assert!(installer.slot(None).is_ok());
    }
}
