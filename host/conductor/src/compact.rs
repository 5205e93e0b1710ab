//! Giving the disk back what the files of log and state no longer need.
//!
//! redb uses freed pages again, so a file is bounded by the most that was ever in it at once, and by how redb grows it: to the
//! double, up to 4 GiB at a time. It cuts off what is free at the end by itself; what lies between stays.
//!
//! The log's file is looked at after each purge, when most of it has just become free. What is left then is small, so moving it
//! takes no longer than a few commits. Where it is not small, it waits for the next start. The state mostly grows; a member that
//! got a whole snapshot, or whose continuous inquiries were many once, can have a file of several times its rows, and moving
//! these takes long. So it happens at a start alone, and how much there is to move is known from the last snapshot.

use std::path::Path;
use std::time::Instant;

use crate::database::{Room, Store};
use crate::error::{ConductorError, chain};

/// Files below this size are left alone.
pub(crate) const LARGE: u64 = 64 << 20;
/// The most that is moved while the member runs, so that what waits for the log waits less than an election timeout: to move 4 MiB
/// takes a tenth of a second in a debug build.
const MOVED_ONLINE: u64 = 16 << 20;

/// Whether the log's file is compacted after a purge.
fn log_is_wasteful(room: Room) -> bool {
    room.file >= LARGE && room.used <= room.file / 4 && room.used <= MOVED_ONLINE
}

/// Whether the log's file is compacted at a start.
fn log_is_wasteful_at_start(room: Room) -> bool {
    room.file >= LARGE && room.used <= room.file / 2
}

/// Whether the state's file is compacted at a start. Rows take about one and a half of their bytes in a file.
fn state_is_wasteful_at_start(file: u64, snapshot: u64) -> bool {
    file >= LARGE && snapshot <= file / 4
}

/// After a purge of the log: how much of its file is in use.
pub(crate) fn after_purge(store: &Store) -> Result<u64, ConductorError> {
    let room = store.room()?;
    if !log_is_wasteful(room) {
        return Ok(room.used);
    }
    compact(store)?;
    Ok(store.room()?.used)
}

/// When the member starts. What cannot be given back is no reason not to.
pub(crate) fn at_start(log: &Store, state: &Store, snapshot: &Path) {
    let done = log_at_start(log).and_then(|()| state_at_start(state, snapshot));
    if let Err(error) = done {
        tracing::warn!(error = chain(&error), "free space of the data files could not be given back");
    }
}

fn log_at_start(log: &Store) -> Result<(), ConductorError> {
    // Walking through a file that is not large would only cost.
    if log.size()? >= LARGE && log_is_wasteful_at_start(log.room()?) {
        compact(log)?;
    }
    Ok(())
}

fn state_at_start(state: &Store, snapshot: &Path) -> Result<(), ConductorError> {
    let Ok(snapshot) = std::fs::metadata(snapshot) else { return Ok(()) };
    if state_is_wasteful_at_start(state.size()?, snapshot.len()) {
        compact(state)?;
    }
    Ok(())
}

fn compact(store: &Store) -> Result<(), ConductorError> {
    let (begun, before) = (Instant::now(), store.size()?);
    let freed = store.compact()?;
    tracing::info!(
        file = %store.path().display(),
        bytes = before,
        freed,
        took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "free space was given back"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_left_alone_and_large_ones_that_are_mostly_free_are_not() {
        let room = |file: u64, used: u64| Room { file: file << 20, used: used << 20 };
        assert!(!log_is_wasteful(room(63, 0)) && log_is_wasteful(room(64, 16)));
        assert!(!log_is_wasteful(room(64, 17)), "more than a quarter is in use");
        assert!(!log_is_wasteful(room(1024, 17)), "moving so much takes too long while the member runs");
        assert!(log_is_wasteful_at_start(room(1024, 512)) && !log_is_wasteful_at_start(room(1024, 513)));
        assert!(state_is_wasteful_at_start(400 << 20, 100 << 20));
        assert!(
            !state_is_wasteful_at_start(399 << 20, 100 << 20) && !state_is_wasteful_at_start(63 << 20, 0)
        );
    }
}
