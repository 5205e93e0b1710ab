//! Reading the applied state: an inquiry, and the ledger.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use inquisitor_engine::journal::{Inquiry, Interim, Outline, Status, StepRecord, StepState, Token};
use inquisitor_findings::finding::Finding;
use inquisitor_ledger::{
    Checkpoint, Hash, LedgerError, NodeReader, consistency_proof, export_checkpoint_line, inclusion_proof,
    leaf_hash, root_at,
};

use crate::database::Store;
use crate::error::ConductorError;
use crate::keys::{inquiry_prefix, node_key, number_of, numbered_key, prefix_end};
use crate::record::{EndRow, InquiryRow, PlanRow, RecordRow, Rounds, Stage, StepRow, decode, decode_json};
use crate::rows::{ReadRows, Table, View};
use crate::state::Head;

/// Inquiries or ledger entries that one call returns at most; for more, ask again from where it ended.
pub const MAX_PAGE: usize = 1000;

/// Steps up to which an inquiry is read without a detour over a thread that may block: well below a millisecond of work.
const SMALL_STEPS: u32 = 8;

/// An entry's index and canonical bytes.
type Entry = (u64, Vec<u8>);

pub(crate) fn inquiry(store: &Store, id: &str) -> Result<Option<Inquiry>, ConductorError> {
    let view = View::new(store)?;
    match inquiry_row(&view, id)? {
        Some(row) => whole(&view, id, row).map(Some),
        None => Ok(None),
    }
}

/// The inquiry in outline; reads one row.
pub(crate) fn outline(store: &Store, id: &str) -> Result<Option<Outline>, ConductorError> {
    let row = inquiry_row(&View::new(store)?, id)?;
    Ok(row.map(|row| Outline {
        continuous: row.rounds.as_ref().is_some_and(Rounds::has_any),
        running: row.stage == Stage::Running,
        cancel_requested: row.cancel_requested.is_some(),
        tenant: row.tenant,
    }))
}

/// An inquiry that is read on the spot, or is too much for that.
pub(crate) enum Small {
    /// As it is; none where there is no such inquiry.
    Read(Option<Box<Inquiry>>),
    /// Nothing was read.
    Large,
}

/// The same, unless it has more steps than [`SMALL_STEPS`] or any that run again and again.
pub(crate) fn small_inquiry(store: &Store, id: &str) -> Result<Small, ConductorError> {
    let view = View::new(store)?;
    Ok(match inquiry_row(&view, id)? {
        None => Small::Read(None),
        Some(row) if row.steps > SMALL_STEPS || row.rounds.is_some() => Small::Large,
        Some(row) => Small::Read(Some(Box::new(whole(&view, id, row)?))),
    })
}

fn inquiry_row(view: &View<'_>, id: &str) -> Result<Option<InquiryRow>, ConductorError> {
    view.get(Table::Inquiries, id.as_bytes())?.map(|row| decode("an inquiry", &row)).transpose()
}

fn whole(view: &View<'_>, id: &str, row: InquiryRow) -> Result<Inquiry, ConductorError> {
    let plan = view
        .get(Table::Plans, id.as_bytes())?
        .ok_or_else(|| ConductorError::damaged("the state", format!("inquiry {id} has no plan")))?;
    let plan: PlanRow = decode("a plan", &plan)?;
    Ok(Inquiry {
        id: id.to_owned(),
        plan: decode_json("a plan", &plan.plan)?,
        manifest: row.manifest,
        base_dir: plan.base_dir,
        bounds: decode_json("the bounds of an inquiry", &plan.bounds)?,
        origin: row.origin.into(),
        submitted: row.submitted,
        cancel_requested: row.cancel_requested,
        interim: interim(view, id, &row.stage)?,
        status: status(view, id, &row.stage)?,
        steps: steps(view, id)?,
    })
}

/// A finding as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFinding {
    /// JSON of the finding, made when it was drawn.
    pub json: Bytes,
    /// Whether the inquiry goes on.
    pub interim: bool,
    /// When it was drawn, nanoseconds since the Unix epoch.
    pub at: i64,
}

/// The last finding of an inquiry; none where it has none.
pub(crate) fn finding(store: &Store, id: &str) -> Result<Option<StoredFinding>, ConductorError> {
    let view = View::new(store)?;
    let Some(row) = inquiry_row(&view, id)? else { return Ok(None) };
    let Some(end) = view.get(Table::Ends, id.as_bytes())? else { return Ok(None) };
    Ok(match (decode("a finding", &end)?, row.stage) {
        (EndRow::Interim { finding, at }, _) => Some(StoredFinding { json: finding, interim: true, at }),
        (EndRow::Concluded { finding, .. }, Stage::Concluded { at, .. }) => {
            Some(StoredFinding { json: finding, interim: false, at })
        }
        (EndRow::Concluded { .. } | EndRow::Aborted { .. }, _) => None,
    })
}

/// Whether an inquiry was submitted as far as is applied here.
pub(crate) fn has_inquiry(store: &Store, id: &str) -> Result<bool, ConductorError> {
    Ok(View::new(store)?.get(Table::Inquiries, id.as_bytes())?.is_some())
}

fn interim(view: &View<'_>, id: &str, stage: &Stage) -> Result<Option<Interim>, ConductorError> {
    if *stage != Stage::Running {
        return Ok(None);
    }
    match view.get(Table::Ends, id.as_bytes())?.map(|end| decode("a finding", &end)).transpose()? {
        Some(EndRow::Interim { finding, at }) => {
            Ok(Some(Interim { finding: decode_json("a finding", &finding)?, at }))
        }
        Some(EndRow::Concluded { .. } | EndRow::Aborted { .. }) => {
            Err(ConductorError::damaged("the state", format!("inquiry {id} runs and has ended")))
        }
        None => Ok(None),
    }
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
        EndRow::Interim { .. } => {
            return Err(ConductorError::damaged(
                "the state",
                format!("inquiry {id} has ended without an end"),
            ));
        }
    })
}

fn steps(view: &View<'_>, id: &str) -> Result<BTreeMap<usize, StepState>, ConductorError> {
    let prefix = inquiry_prefix(id);
    let mut steps = BTreeMap::new();
    for (key, value) in view.starting_with(Table::Steps, &prefix, usize::MAX)? {
        let row: StepRow = decode("a step", &value)?;
        let state = StepState {
            token: Token { term: row.term, attempt: row.attempt },
            executor: row.executor,
            round: row.round,
            missed: row.missed,
            earlier: Vec::new(),
            record: None,
            history: Vec::new(),
        };
        steps.insert(number_at(&key, prefix.len())? as usize, state);
    }
    // By step, round and attempt, so all come in their order.
    for (key, value) in view.starting_with(Table::Records, &prefix, usize::MAX)? {
        let row: RecordRow = decode("a record", &value)?;
        let step = number_at(&key, prefix.len())? as usize;
        let round = number_at(&key, prefix.len() + 4)?;
        let state = steps.get_mut(&step).ok_or_else(|| {
            ConductorError::damaged("the state", format!("step {step} was recorded without a lease"))
        })?;
        if round != state.round && !row.is_final {
            continue;
        }
        let record: StepRecord = decode_json("a record", &row.json)?;
        if round != state.round {
            state.history.push((round, record));
        } else if row.is_final {
            state.record = Some(record);
        } else {
            state.earlier.push(record);
        }
    }
    Ok(steps)
}

fn number_at(key: &[u8], at: usize) -> Result<u32, ConductorError> {
    match key.get(at..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => Ok(u32::from_be_bytes(*bytes)),
        None => Err(ConductorError::damaged("the state", "a step's key is too short")),
    }
}

pub(crate) fn head(store: &Store) -> Result<Head, ConductorError> {
    Head::read(&View::new(store)?)
}

/// Numbers of things, each known without walking.
pub(crate) struct Counts {
    pub(crate) ledger_entries: u64,
    pub(crate) inquiries: u64,
    pub(crate) unfinished: u64,
}

pub(crate) fn counts(store: &Store) -> Result<Counts, ConductorError> {
    let view = View::new(store)?;
    let head = Head::read(&view)?;
    Ok(Counts {
        ledger_entries: head.size,
        inquiries: head.next_sequence,
        unfinished: view.count(Table::Unfinished)?,
    })
}

pub(crate) fn checkpoint(store: &Store) -> Result<Checkpoint, ConductorError> {
    Ok(head(store)?.ledger()?.checkpoint())
}

/// Index and canonical bytes of entries from an index on.
pub(crate) fn ledger_entries(store: &Store, from: u64, limit: usize) -> Result<Vec<Entry>, ConductorError> {
    let rows = View::new(store)?.range(
        Table::Ledger,
        &from.to_be_bytes(),
        &[u8::MAX; 9],
        limit.min(MAX_PAGE),
        false,
    )?;
    rows.into_iter().map(|(key, entry)| Ok((number_of(&key)?, entry))).collect()
}

/// Index and canonical bytes of an inquiry's entries from an index on.
pub(crate) fn inquiry_entries(
    store: &Store,
    id: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<Entry>, ConductorError> {
    let view = View::new(store)?;
    let end = prefix_end(&inquiry_prefix(id));
    let keys = view.range(Table::Entries, &numbered_key(&[id], from), &end, limit.min(MAX_PAGE), false)?;
    keys.into_iter().map(|(key, _)| entry_of(&view, &key)).collect()
}

/// The same before an index, the last one first.
pub(crate) fn last_entries(
    store: &Store,
    id: &str,
    before: u64,
    limit: usize,
) -> Result<Vec<Entry>, ConductorError> {
    let view = View::new(store)?;
    let (from, to) = (inquiry_prefix(id), numbered_key(&[id], before));
    let keys = view.range(Table::Entries, &from, &to, limit.min(MAX_PAGE), true)?;
    keys.into_iter().map(|(key, _)| entry_of(&view, &key)).collect()
}

/// The ledger entry that a key of an inquiry's entries names.
fn entry_of(view: &View<'_>, key: &[u8]) -> Result<Entry, ConductorError> {
    let index = number_of(key)?;
    match view.get(Table::Ledger, &index.to_be_bytes())? {
        Some(entry) => Ok((index, entry)),
        None => Err(ConductorError::damaged("the ledger", format!("entry {index} is missing"))),
    }
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
        for (_, entry) in entries {
            out.write_all(&entry).map_err(failed())?;
            out.write_all(b"\n").map_err(failed())?;
        }
    }
    out.write_all(&export_checkpoint_line(&checkpoint)?).map_err(failed())?;
    out.write_all(b"\n").map_err(failed())?;
    out.flush().map_err(failed())?;
    Ok(checkpoint)
}
