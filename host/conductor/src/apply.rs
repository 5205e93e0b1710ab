//! What each command changes: the deterministic heart. Reads and writes rows, knows neither Raft nor files.
//!
//! - here: the order of things, and the ledger.
//! - `submission`: taking an inquiry in; `steps`: leases and records; `ending`: findings and ends.
//! - `gating`: tenants, keys and uploaded plugins; `once`: what may arrive twice.

mod ending;
mod gating;
mod once;
mod steps;
mod submission;

use inquisitor_engine::journal::{Applied, Refusal};
use inquisitor_ledger::{Entry, Frontier};
use uuid::Uuid;

use crate::change::{Change, Proposal};
use crate::entry::{Note, access_entry};
use crate::error::ConductorError;
use crate::keys::{node_key, numbered_key};
use crate::logged::Logged;
use crate::record::{InquiryRow, decode, encode};
use crate::rows::{ReadRows, Table, Writer};
use crate::state::CLUSTER;

/// What applying carries from one command to the next.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// The ledger's edge.
    pub(crate) ledger: Frontier,
    /// Sequence number of the next inquiry.
    pub(crate) next_sequence: u64,
}

/// What became of a change, and what the ledger should say of it beside the change.
struct Outcome {
    applied: Applied,
    /// Whether anything was changed, so that the ledger says so.
    changed: bool,
    note: Note,
}

impl From<Applied> for Outcome {
    fn from(applied: Applied) -> Self {
        let changed = matches!(applied, Applied::Done | Applied::Leased(_));
        Self { applied, changed, note: Note::None }
    }
}

/// Applies one command of the log entry with this term. Whatever it decides, it decides alike on every member: from the
/// rows, the command and the term alone.
pub(crate) fn apply(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    logged: &Logged,
    term: u64,
) -> Result<Applied, ConductorError> {
    let Some(request) = &logged.request else {
        return apply_proposal(rows, progress, &logged.proposal, term);
    };
    if let Some(answer) = once::answered(rows, request)? {
        return Ok(answer);
    }
    let answer = apply_proposal(rows, progress, &logged.proposal, term)?;
    once::remember(rows, request, &answer, once::MAX_REMEMBERED)?;
    Ok(answer)
}

fn apply_proposal(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    proposal: &Proposal,
    term: u64,
) -> Result<Applied, ConductorError> {
    let (access, change) = match proposal {
        Proposal::Plain(change) => (None, change),
        Proposal::Authorized(access, change) => (Some(access), change),
        Proposal::Decided(access) => {
            let index = progress.ledger.size();
            log(rows, &mut progress.ledger, &access_entry(access, "", index))?;
            return Ok(Applied::Done);
        }
        Proposal::Found(cluster) => return found(rows, cluster),
    };
    if let Some(access) = access {
        let index = progress.ledger.size();
        let entry = access_entry(access, change.inquiry().unwrap_or_default(), index);
        log(rows, &mut progress.ledger, &entry)?;
    }
    let outcome = apply_change(rows, progress, change, term)?;
    if outcome.changed {
        let index = progress.ledger.size();
        log(rows, &mut progress.ledger, &change.ledger_entry(index, term, &outcome.note))?;
    }
    Ok(outcome.applied)
}

/// The first leader's word counts.
fn found(rows: &mut Writer<'_>, cluster: &Uuid) -> Result<Applied, ConductorError> {
    if rows.has(Table::Meta, CLUSTER)? {
        return Ok(Applied::AlreadyDone);
    }
    rows.put(Table::Meta, CLUSTER, cluster.as_bytes())?;
    Ok(Applied::Done)
}

fn apply_change(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    change: &Change,
    term: u64,
) -> Result<Outcome, ConductorError> {
    match change {
        Change::Submit { .. } => submission::submit(rows, progress, change),
        Change::Lease { inquiry, step, round, attempt, executor, .. } => {
            let asked = steps::Lease { step: *step, round: *round, attempt: *attempt, term };
            steps::lease(rows, inquiry, &asked, executor)
        }
        Change::Record { .. } => steps::record(rows, change),
        Change::Update { inquiry, finding, at, .. } => ending::update(rows, inquiry, finding, *at),
        Change::Cancel { inquiry, at } => ending::cancel(rows, inquiry, *at),
        Change::Conclude { .. } | Change::Abort { .. } => ending::end(rows, change),
        Change::CreateTenant { tenant, .. } => gating::create_tenant(rows, tenant),
        Change::UpdateTenant { tenant, .. } => gating::update_tenant(rows, tenant),
        Change::RemoveTenant { tenant, .. } => gating::remove_tenant(rows, tenant),
        Change::CreateKey { key, .. } => gating::create_key(rows, key),
        Change::RevokeKey { id, at } => gating::revoke_key(rows, id, *at),
        Change::InstallPlugin { plugin, .. } => gating::install_plugin(rows, plugin),
        Change::RemovePlugin { digest, tenant, .. } => gating::remove_plugin(rows, digest, tenant.as_deref()),
    }
}

/// Adds an entry to the ledger.
fn log(rows: &mut Writer<'_>, ledger: &mut Frontier, entry: &Entry) -> Result<(), ConductorError> {
    let index = ledger.size();
    let bytes = entry.to_bytes()?;
    rows.put(Table::Ledger, &index.to_be_bytes(), &bytes)?;
    if !entry.inquiry.is_empty() {
        rows.put_quietly(Table::Entries, &numbered_key(&[&entry.inquiry], index), &[])?;
    }
    // The first is the leaf, whose hash can be made from the entry.
    for node in ledger.append(&bytes).into_iter().skip(1) {
        rows.put(Table::Nodes, &node_key(node.level, node.index), &node.hash.0)?;
    }
    Ok(())
}

fn refused(refusal: Refusal) -> Result<Outcome, ConductorError> {
    Ok(Applied::Refused(refusal).into())
}

fn done() -> Result<Outcome, ConductorError> {
    Ok(Applied::Done.into())
}

fn already_done() -> Result<Outcome, ConductorError> {
    Ok(Applied::AlreadyDone.into())
}

fn inquiry_row(rows: &impl ReadRows, inquiry: &str) -> Result<Option<InquiryRow>, ConductorError> {
    rows.get(Table::Inquiries, inquiry.as_bytes())?.map(|bytes| decode("an inquiry", &bytes)).transpose()
}

fn put_inquiry(rows: &mut Writer<'_>, inquiry: &str, row: &InquiryRow) -> Result<(), ConductorError> {
    rows.put(Table::Inquiries, inquiry.as_bytes(), &encode(row)?)
}

fn no_such_inquiry(inquiry: &str) -> Result<Outcome, ConductorError> {
    refused(Refusal::NoSuchInquiry { inquiry: inquiry.to_owned() })
}
