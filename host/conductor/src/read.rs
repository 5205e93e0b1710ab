//! Reading the applied state: inquiries, the list of them, the ledger.

use std::collections::BTreeMap;
use std::io::Write;

use inquisitor_engine::journal::{Inquiry, InquiryId, Status, StepRecord, StepState, Token};
use inquisitor_findings::finding::{Finding, Verdict};
use inquisitor_ledger::{
    Checkpoint, Hash, LedgerError, NodeReader, consistency_proof, export_checkpoint_line, inclusion_proof,
    leaf_hash, root_at,
};
use serde::Serialize;

use crate::database::Store;
use crate::error::ConductorError;
use crate::record::{EndRow, InquiryRow, RecordRow, Stage, StepRow, decode, decode_json};
use crate::rows::{ReadRows, Table, View, inquiry_prefix, node_key, prefix_end};
use crate::state::Head;

/// Inquiries or ledger entries that one call returns at most; for more, ask again from where it ended.
pub const MAX_PAGE: usize = 1000;

/// An inquiry in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Identifier.
    pub id: InquiryId,
    /// Position in the order of submission, from 0; where to continue the list.
    pub sequence: u64,
    /// The manifest's id.
    pub manifest_id: String,
    /// The manifest's name.
    pub name: String,
    /// The tenant, if one is named.
    pub tenant: Option<String>,
    /// The type of inquiry, if one is named.
    pub kind: Option<String>,
    /// When it was submitted, nanoseconds since the Unix epoch.
    pub submitted: i64,
    /// Steps of the plan.
    pub steps: u32,
    /// Steps that have their final record.
    pub recorded: u32,
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

pub(crate) fn inquiry(store: &Store, id: &str) -> Result<Option<Inquiry>, ConductorError> {
    let view = View::new(store)?;
    let Some(row) = view.get(Table::Inquiries, id.as_bytes())? else { return Ok(None) };
    let row: InquiryRow = decode("an inquiry", &row)?;
    let plan = view
        .get(Table::Plans, id.as_bytes())?
        .ok_or_else(|| ConductorError::damaged("the state", format!("inquiry {id} has no plan")))?;
    Ok(Some(Inquiry {
        id: id.to_owned(),
        plan: decode_json("a plan", &plan)?,
        manifest: row.manifest,
        base_dir: row.base_dir,
        submitted: row.submitted,
        status: status(&view, id, &row.stage)?,
        steps: steps(&view, id)?,
    }))
}

fn status(view: &View<'_>, id: &str, stage: &Stage) -> Result<Status, ConductorError> {
    let at = match stage {
        Stage::Running => return Ok(Status::Running),
        Stage::Concluded { at, .. } | Stage::Aborted { at, .. } => *at,
    };
    let end = view.get(Table::Ends, id.as_bytes())?.ok_or_else(|| {
        ConductorError::damaged("the state", format!("inquiry {id} has ended without an end"))
    })?;
    Ok(match decode("an inquiry's end", &end)? {
        EndRow::Concluded { finding, artifacts } => {
            let finding: Finding = decode_json("a finding", &finding)?;
            Status::Concluded { finding: Box::new(finding), artifacts, at }
        }
        EndRow::Aborted { reason } => Status::Aborted { reason: decode_json("a reason", &reason)?, at },
    })
}

fn steps(view: &View<'_>, id: &str) -> Result<BTreeMap<usize, StepState>, ConductorError> {
    let prefix = inquiry_prefix(id);
    let end = prefix_end(&prefix);
    let mut steps = BTreeMap::new();
    for (key, value) in view.range(Table::Steps, &prefix, &end, usize::MAX, false)? {
        let row: StepRow = decode("a step", &value)?;
        let token = Token { term: row.term, attempt: row.attempt };
        let state = StepState { token, executor: row.executor, earlier: Vec::new(), record: None };
        steps.insert(step_of(&key, prefix.len())?, state);
    }
    // By step and attempt, so the earlier attempts come in their order.
    for (key, value) in view.range(Table::Records, &prefix, &end, usize::MAX, false)? {
        let row: RecordRow = decode("a record", &value)?;
        let record: StepRecord = decode_json("a record", &row.json)?;
        let step = step_of(&key, prefix.len())?;
        let state = steps.get_mut(&step).ok_or_else(|| {
            ConductorError::damaged("the state", format!("step {step} was recorded without a lease"))
        })?;
        if row.is_final {
            state.record = Some(record);
        } else {
            state.earlier.push(record);
        }
    }
    Ok(steps)
}

fn step_of(key: &[u8], prefix: usize) -> Result<usize, ConductorError> {
    match key.get(prefix..prefix + 4) {
        Some([a, b, c, d]) => Ok(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        _ => Err(ConductorError::damaged("the state", "a step's key is too short")),
    }
}

pub(crate) fn unfinished(store: &Store) -> Result<Vec<InquiryId>, ConductorError> {
    let rows = View::new(store)?.range(Table::Unfinished, &[], &[u8::MAX; 9], usize::MAX, false)?;
    rows.into_iter().map(|(_, id)| text(id)).collect()
}

/// Newest first, those before `before` in the order of submission.
pub(crate) fn list(store: &Store, before: Option<u64>, limit: usize) -> Result<Vec<Summary>, ConductorError> {
    let view = View::new(store)?;
    let to = before.map_or_else(|| vec![u8::MAX; 9], |sequence| sequence.to_be_bytes().to_vec());
    let rows = view.range(Table::Order, &[], &to, limit.min(MAX_PAGE), true)?;
    rows.into_iter().map(|(_, id)| summary(&view, text(id)?)).collect()
}

fn summary(view: &View<'_>, id: InquiryId) -> Result<Summary, ConductorError> {
    let row = view.get(Table::Inquiries, id.as_bytes())?.ok_or_else(|| {
        ConductorError::damaged("the state", format!("inquiry {id} is listed and not there"))
    })?;
    let row: InquiryRow = decode("an inquiry", &row)?;
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
        manifest_id: row.manifest_id,
        name: row.name,
        tenant: row.tenant,
        kind: row.kind,
        submitted: row.submitted,
        steps: row.steps,
        recorded: row.recorded,
        stage,
    })
}

fn text(bytes: Vec<u8>) -> Result<String, ConductorError> {
    String::from_utf8(bytes).map_err(|error| ConductorError::damaged("an inquiry's id", error))
}

pub(crate) fn head(store: &Store) -> Result<Head, ConductorError> {
    Head::read(&View::new(store)?)
}

pub(crate) fn checkpoint(store: &Store) -> Result<Checkpoint, ConductorError> {
    Ok(head(store)?.ledger()?.checkpoint())
}

/// Canonical bytes of entries from an index on.
pub(crate) fn ledger_entries(store: &Store, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, ConductorError> {
    let rows = View::new(store)?.range(
        Table::Ledger,
        &from.to_be_bytes(),
        &[u8::MAX; 9],
        limit.min(MAX_PAGE),
        false,
    )?;
    Ok(rows.into_iter().map(|(_, entry)| entry).collect())
}

impl NodeReader for View<'_> {
    type Error = ConductorError;

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, ConductorError> {
        if level == 0 {
            return Ok(self.get(Table::Ledger, &index.to_be_bytes())?.map(|entry| leaf_hash(&entry)));
        }
        let Some(bytes) = self.get(Table::Nodes, &node_key(level, index))? else { return Ok(None) };
        let hash = <[u8; 32]>::try_from(bytes).map_err(|_| {
            ConductorError::damaged("the ledger", format!("hash {index} at level {level} is cut"))
        })?;
        Ok(Some(Hash(hash)))
    }
}

/// Refuses sizes that the ledger has not reached.
fn view_with(store: &Store, size: u64) -> Result<View<'_>, ConductorError> {
    let view = View::new(store)?;
    let now = Head::read(&view)?.ledger()?.size();
    if size > now {
        return Err(LedgerError::OutOfRange { position: size, size: now }.into());
    }
    Ok(view)
}

pub(crate) fn checkpoint_at(store: &Store, size: u64) -> Result<Checkpoint, ConductorError> {
    Ok(Checkpoint { size, root: root_at(&view_with(store, size)?, size)? })
}

pub(crate) fn inclusion(store: &Store, index: u64, size: u64) -> Result<Vec<Hash>, ConductorError> {
    Ok(inclusion_proof(&view_with(store, size)?, index, size)?)
}

pub(crate) fn consistency(store: &Store, from: u64, to: u64) -> Result<Vec<Hash>, ConductorError> {
    Ok(consistency_proof(&view_with(store, to)?, from, to)?)
}

/// Writes the ledger as it is now as JSON lines, the checkpoint last. Reads it in slices: it only grows, so the first entries
/// stay what they are while it is written.
pub(crate) fn export(store: &Store, out: &mut dyn Write) -> Result<Checkpoint, ConductorError> {
    let failed = || ConductorError::io("write", std::path::Path::new("the export"));
    let checkpoint = checkpoint(store)?;
    let mut next = 0;
    while next < checkpoint.size {
        let wanted = usize::try_from(checkpoint.size - next).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let entries = ledger_entries(store, next, wanted)?;
        if entries.is_empty() {
            return Err(ConductorError::damaged("the ledger", format!("entry {next} is missing")));
        }
        next += entries.len() as u64;
        for entry in entries {
            out.write_all(&entry).map_err(failed())?;
            out.write_all(b"\n").map_err(failed())?;
        }
    }
    out.write_all(&export_checkpoint_line(&checkpoint)?).map_err(failed())?;
    out.write_all(b"\n").map_err(failed())?;
    out.flush().map_err(failed())?;
    Ok(checkpoint)
}
