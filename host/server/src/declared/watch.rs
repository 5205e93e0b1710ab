//! Being told when the directory changes. Nothing relies on it: network file systems tell nothing, and events get lost, so the
//! directory is looked at now and then all the same.

use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::files::{self, Identity};

/// Tells when something in the directory changes.
pub(super) struct Watch {
    wake: Arc<Notify>,
    current: Option<(Identity, RecommendedWatcher)>,
    /// Whether it was said that this system cannot tell.
    complained: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { wake: Arc::default(), current: None, complained: false }
    }

    /// Is woken after a change.
    pub(super) fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Watch the directory as it is now: another one may be in its place.
    pub(super) fn follow(&mut self, directory: &Path) {
        let identity = files::identity(directory).ok();
        if self.current.as_ref().map(|(identity, _)| *identity) == identity {
            return;
        }
        self.current = None;
        let Some(identity) = identity else { return };
        match watch(directory, self.wake.clone()) {
            Ok(watcher) => self.current = Some((identity, watcher)),
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(
                    directory = %directory.display(),
                    error = &error as &dyn std::error::Error,
                    "changes of the directory of declared manifests are noticed late: it cannot be watched"
                );
            }
            Err(_) => {}
        }
    }
}

fn watch(directory: &Path, wake: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the files must not be a reason to read them again. An error may stand for events that were lost.
        if !event.is_ok_and(|event| is_read(event.kind)) {
            wake.notify_one();
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn is_read(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}
