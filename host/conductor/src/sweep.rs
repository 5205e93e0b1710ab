//! Deleting blobs that nothing names any more: records that made room for newer ones, uploads that were removed, puts whose
//! command was never proposed.
//!
//! # Why nothing in use is deleted
//! A blob goes when the state does not name it and its file has not been dated for [`MIN_SWEEP_AGE`] or longer. Files are
//! dated when they are put, when they are put again, and when a command that names them is proposed; so what a command on its
//! way will name is young, and what is applied is in the state. What is in the log of this member and not yet applied could be
//! old, so a sweep begins only when there is nothing such.
//!
//! The state is read in slices, so that no read transaction lives long, and goes on changing meanwhile. An inquiry that had
//! ended does not change, those that had not are looked at a second time, as are those that came since.

use std::collections::HashSet;
use std::time::Duration;

use inquisitor_engine::gating::PluginRecord;
use inquisitor_engine::journal::InquiryId;

use crate::blobs::{Blobs, StoredFile};
use crate::database::Store;
use crate::error::ConductorError;
use crate::keys::{inquiry_prefix, number_of, prefix_end};
use crate::list::{text, unfinished};
use crate::read;
use crate::record::{Digest, EndRow, InquiryRow, PlanRow, RecordRow, decode, digest};
use crate::rows::{ReadRows, Row, Table, View};

/// The least age of a blob that a sweep deletes. Much longer than a command takes from naming a blob to being applied.
pub const MIN_SWEEP_AGE: Duration = Duration::from_secs(3600);

/// Rows that are read in one transaction.
const SLICE: usize = 500;

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Swept {
    /// Files.
    pub deleted: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Deletes what nothing names. `logged` is the index of the last entry in the log. Blocking.
pub(crate) fn sweep(
    store: &Store,
    blobs: &Blobs,
    older_than: Duration,
    logged: Option<u64>,
) -> Result<Swept, ConductorError> {
    if older_than < MIN_SWEEP_AGE {
        let least = MIN_SWEEP_AGE.as_secs();
        return Err(ConductorError::Sweep(format!(
            "those of {} seconds may belong to a command that is on its way; ask for {least} or more",
            older_than.as_secs()
        )));
    }
    if read::head(store)?.applied.map(|id| id.index) < logged {
        return Err(ConductorError::Sweep(
            "this member has not applied all that is in its log, which may name some; try again later".into(),
        ));
    }
    // Most of the time there is nothing old, and nothing to read.
    let mut candidates: Vec<StoredFile> = Vec::new();
    blobs.for_each(|file| {
        if file.is_older(older_than) {
            candidates.push(file.clone());
        }
        Ok(())
    })?;
    if candidates.is_empty() {
        return Ok(Swept::default());
    }
    let named = named(store)?;
    let mut swept = Swept::default();
    for file in candidates {
        let in_use = file.digest.is_some_and(|digest| named.contains(&digest.0));
        if !in_use && blobs.remove_older(&file, older_than)? {
            swept.deleted += 1;
            swept.bytes += file.bytes;
        }
    }
    Ok(swept)
}

/// Digests of all blobs that the state names; 32 bytes of memory and the set's own for each.
pub(crate) fn named(store: &Store) -> Result<HashSet<Digest>, ConductorError> {
    let mut named = HashSet::new();
    let unfinished: Vec<InquiryId> = unfinished(store)?;
    let next = mark_from(store, 0, &mut named)?;
    for inquiry in &unfinished {
        mark(store, inquiry, &mut named)?;
    }
    mark_from(store, next, &mut named)?;
    for_each(store, Table::Plugins, &[], |_, row| mark_row(Table::Plugins, row, &mut named))?;
    Ok(named)
}

/// Marks what the inquiries from a sequence number on name, and returns the number of the next one that will come.
fn mark_from(store: &Store, mut from: u64, named: &mut HashSet<Digest>) -> Result<u64, ConductorError> {
    loop {
        let slice =
            View::new(store)?.range(Table::Order, &from.to_be_bytes(), &[u8::MAX; 9], SLICE, false)?;
        let Some((last, _)) = slice.last() else { return Ok(from) };
        from = number_of(last)? + 1;
        for (_, id) in slice {
            mark(store, &text(id)?, named)?;
        }
    }
}

/// Marks what one inquiry names.
fn mark(store: &Store, inquiry: &str, named: &mut HashSet<Digest>) -> Result<(), ConductorError> {
    let key = inquiry.as_bytes();
    let view = View::new(store)?;
    for table in [Table::Inquiries, Table::Plans, Table::Ends] {
        if let Some(row) = view.get(table, key)? {
            mark_row(table, &row, named)?;
        }
    }
    drop(view);
    for_each(store, Table::Records, &inquiry_prefix(inquiry), |_, row| mark_row(Table::Records, row, named))
}

/// Marks what one row names. All tables whose rows can name a blob are here.
pub(crate) fn mark_row(table: Table, row: &[u8], named: &mut HashSet<Digest>) -> Result<(), ConductorError> {
    match table {
        Table::Inquiries => {
            let row: InquiryRow = decode("an inquiry", row)?;
            named.insert(digest(&row.manifest)?);
        }
        Table::Plans => {
            let row: PlanRow = decode("a plan", row)?;
            named.extend(row.plugins);
        }
        Table::Ends => {
            if let EndRow::Concluded { artifacts, .. } = decode("an inquiry's end", row)? {
                for (_, artifact) in artifacts {
                    named.insert(digest(&artifact)?);
                }
            }
        }
        Table::Records => {
            let row: RecordRow = decode("a record", row)?;
            named.extend(row.blobs);
        }
        Table::Plugins => {
            let plugin: PluginRecord = decode("a plugin", row)?;
            named.insert(digest(&plugin.digest)?);
        }
        _ => {}
    }
    Ok(())
}

/// Walks the rows whose keys begin so, a slice in each transaction.
fn for_each(
    store: &Store,
    table: Table,
    prefix: &[u8],
    mut work: impl FnMut(&[u8], &[u8]) -> Result<(), ConductorError>,
) -> Result<(), ConductorError> {
    let end = prefix_end(prefix);
    let mut from = prefix.to_vec();
    loop {
        let slice: Vec<Row> = View::new(store)?.range(table, &from, &end, SLICE, false)?;
        for (key, value) in &slice {
            work(key, value)?;
        }
        match slice.last() {
            // The key that comes right after it.
            Some((last, _)) if slice.len() == SLICE => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(()),
        }
    }
}
