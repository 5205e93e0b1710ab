//! Lists of inquiries.

use inquisitor_engine::gating::Origin;
use inquisitor_engine::journal::{BlobDigest, InquiryId};
use inquisitor_findings::finding::Verdict;
use serde::Serialize;

use crate::database::Store;
use crate::error::ConductorError;
use crate::keys::{number_of, text_key};
use crate::read::MAX_PAGE;
use crate::record::{InquiryRow, Stage, TenantUseRow, UnfinishedRow, decode};
use crate::rows::{ReadRows, Table, View};

/// Inquiries that one page looks at, whatever it finds: a filter that few pass costs no more than this a call.
pub const MAX_PAGE_SCAN: usize = 5_000;

/// Rows that are read at once.
const SLICE: usize = 250;

/// An inquiry in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Identifier.
    pub id: InquiryId,
    /// Position in the order of submission, from 0; where to continue the list.
    pub sequence: u64,
    /// The manifest's text, as a blob.
    pub manifest: BlobDigest,
    /// SHA-256 of the manifest's text as the plan names it, lower-case hex.
    pub manifest_digest: String,
    /// The manifest's id.
    pub manifest_id: String,
    /// The manifest's name.
    pub name: String,
    /// The tenant that it belongs to.
    pub tenant: String,
    /// The type of inquiry, if one is named.
    pub kind: Option<String>,
    /// The manifest's tags.
    pub tags: Vec<String>,
    /// Who asked for it.
    pub origin: Origin,
    /// Whether some of its steps have more than one round.
    pub continuous: bool,
    /// When it was submitted, nanoseconds since the Unix epoch.
    pub submitted: i64,
    /// When somebody asked for it to end, nanoseconds since the Unix epoch.
    pub cancel_requested: Option<i64>,
    /// Steps of the plan.
    pub steps: u32,
    /// Steps that have a final record.
    pub recorded: u32,
    /// Rounds of all steps that were never leased because their time had passed.
    pub missed: u64,
    /// How far it is.
    pub stage: SummaryStage,
}

/// How far an inquiry in the list is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum SummaryStage {
    /// Steps are running or wait.
    Running,
    /// Ended with a finding.
    Concluded {
        /// The answer in a word.
        verdict: Verdict,
        /// When, nanoseconds since the Unix epoch.
        at: i64,
    },
    /// Ended without a finding.
    Aborted {
        /// Why in a word: `cancelled`, `timed-out`, `preflight` or `broken`.
        reason: String,
        /// When, nanoseconds since the Unix epoch.
        at: i64,
    },
}

/// How far an inquiry is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InquiryState {
    /// Steps are running or wait.
    Running,
    /// Ended with a finding.
    Concluded,
    /// Ended without a finding.
    Aborted,
}

/// Which inquiries to list; those that match everything given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InquiryFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// That are so far.
    pub state: Option<InquiryState>,
    /// With this tag.
    pub tag: Option<String>,
    /// Of the manifest with this id.
    pub manifest: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Concluded with this verdict.
    pub verdict: Option<Verdict>,
}

impl InquiryFilter {
    fn takes(&self, summary: &Summary) -> bool {
        let (state, verdict) = match &summary.stage {
            SummaryStage::Running => (InquiryState::Running, None),
            SummaryStage::Concluded { verdict, .. } => (InquiryState::Concluded, Some(*verdict)),
            SummaryStage::Aborted { .. } => (InquiryState::Aborted, None),
        };
        self.tenant.as_ref().is_none_or(|wanted| *wanted == summary.tenant)
            && self.state.is_none_or(|wanted| wanted == state)
            && self.tag.as_ref().is_none_or(|wanted| summary.tags.contains(wanted))
            && self.manifest.as_ref().is_none_or(|wanted| *wanted == summary.manifest_id)
            && self.kind.as_ref().is_none_or(|wanted| summary.kind.as_ref() == Some(wanted))
            && self.verdict.is_none_or(|wanted| verdict == Some(wanted))
    }

    /// Whether few may pass, so that a page may have to look at many.
    pub(crate) fn is_narrow(&self) -> bool {
        let by_state =
            self.state.is_some_and(|state| state != InquiryState::Running || self.tenant.is_some());
        by_state
            || self.tag.is_some()
            || self.manifest.is_some()
            || self.kind.is_some()
            || self.verdict.is_some()
    }

    /// The table to walk, and what its keys begin with.
    fn index(&self) -> (Table, Vec<u8>) {
        match (&self.tenant, self.state) {
            (Some(tenant), _) => (Table::TenantOrder, text_key(&[tenant])),
            (None, Some(InquiryState::Running)) => (Table::Unfinished, Vec::new()),
            (None, _) => (Table::Order, Vec::new()),
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The part; it may be empty where a filter passes few.
    pub items: Vec<T>,
    /// Where to go on; none at the end of the list.
    pub next: Option<u64>,
}

/// Newest first, those before `before` in the order of submission.
pub(crate) fn list(
    store: &Store,
    filter: &InquiryFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<Page<Summary>, ConductorError> {
    let view = View::new(store)?;
    let limit = limit.clamp(1, MAX_PAGE);
    let (table, prefix) = filter.index();
    // Sequence numbers never come near the largest one.
    let mut next = before.unwrap_or(u64::MAX);
    let mut items = Vec::new();
    let mut looked_at = 0;
    while looked_at < MAX_PAGE_SCAN {
        let to = [prefix.as_slice(), &next.to_be_bytes()].concat();
        // One more than are wanted says whether there is a next page.
        let wanted = if filter.is_narrow() { SLICE } else { SLICE.min(limit - items.len() + 1) };
        let slice = view.range(table, &prefix, &to, wanted, true)?;
        let is_last = slice.len() < wanted;
        let mut rows = slice.into_iter().peekable();
        while let Some((key, value)) = rows.next() {
            next = number_of(&key)?;
            looked_at += 1;
            let id = if table == Table::Unfinished { unfinished_row(&value)?.inquiry } else { text(value)? };
            let summary = listed(&view, id)?;
            if filter.takes(&summary) {
                items.push(summary);
            }
            if items.len() == limit {
                let is_end = is_last && rows.peek().is_none();
                return Ok(Page { items, next: (!is_end).then_some(next) });
            }
        }
        if is_last {
            return Ok(Page { items, next: None });
        }
    }
    Ok(Page { items, next: Some(next) })
}

/// One inquiry in a row; none where there is no such inquiry.
pub(crate) fn summary(store: &Store, id: &str) -> Result<Option<Summary>, ConductorError> {
    let view = View::new(store)?;
    view.get(Table::Inquiries, id.as_bytes())?.map(|row| summarise(id.to_owned(), &row)).transpose()
}

fn listed(view: &View<'_>, id: InquiryId) -> Result<Summary, ConductorError> {
    match view.get(Table::Inquiries, id.as_bytes())? {
        Some(row) => summarise(id, &row),
        None => Err(ConductorError::damaged("the state", format!("inquiry {id} is listed and not there"))),
    }
}

fn summarise(id: InquiryId, row: &[u8]) -> Result<Summary, ConductorError> {
    let row: InquiryRow = decode("an inquiry", row)?;
    let stage = match row.stage {
        Stage::Running => SummaryStage::Running,
        Stage::Concluded { verdict, at } => {
            let verdict = serde_json::from_value(serde_json::Value::String(verdict))
                .map_err(|error| ConductorError::damaged("a verdict", error))?;
            SummaryStage::Concluded { verdict, at }
        }
        Stage::Aborted { reason, at } => SummaryStage::Aborted { reason, at },
    };
    Ok(Summary {
        id,
        sequence: row.sequence,
        manifest: row.manifest,
        manifest_digest: row.manifest_digest,
        manifest_id: row.manifest_id,
        name: row.name,
        tenant: row.tenant,
        kind: row.kind,
        tags: row.tags,
        origin: row.origin.into(),
        continuous: row.rounds.is_some(),
        submitted: row.submitted,
        cancel_requested: row.cancel_requested,
        steps: row.steps,
        recorded: row.recorded,
        missed: row.missed,
        stage,
    })
}

/// Ids of those that have not ended, oldest first.
pub(crate) fn unfinished(store: &Store) -> Result<Vec<InquiryId>, ConductorError> {
    let rows = View::new(store)?.starting_with(Table::Unfinished, &[], usize::MAX)?;
    rows.into_iter().map(|(_, row)| Ok(unfinished_row(&row)?.inquiry)).collect()
}

/// Those that have not ended and that a file asked for, oldest first.
pub(crate) fn declared(store: &Store) -> Result<Vec<Summary>, ConductorError> {
    let view = View::new(store)?;
    let mut found = Vec::new();
    for (_, row) in view.starting_with(Table::Unfinished, &[], usize::MAX)? {
        let row = unfinished_row(&row)?;
        if row.declared {
            found.push(listed(&view, row.inquiry)?);
        }
    }
    Ok(found)
}

/// How many of a tenant's have not ended.
pub(crate) fn unfinished_of(store: &Store, tenant: &str) -> Result<usize, ConductorError> {
    let row = View::new(store)?.get(Table::TenantUse, tenant.as_bytes())?;
    let row: Option<TenantUseRow> = row.map(|bytes| decode("a tenant's use", &bytes)).transpose()?;
    Ok(row.map_or(0, |row| usize::try_from(row.unfinished).unwrap_or(usize::MAX)))
}

fn unfinished_row(row: &[u8]) -> Result<UnfinishedRow, ConductorError> {
    decode("an unfinished inquiry", row)
}

pub(crate) fn text(bytes: Vec<u8>) -> Result<String, ConductorError> {
    String::from_utf8(bytes).map_err(|error| ConductorError::damaged("an inquiry's id", error))
}
