//! What each command changes: the deterministic heart. Reads and writes rows, knows neither Raft nor files.

use inquisitor_engine::journal::{Applied, Refusal, Token};
use inquisitor_ledger::{Frontier, Hash};

use crate::change::{Change, PlanFacts};
use crate::error::ConductorError;
use crate::record::{EndRow, InquiryRow, RecordRow, Stage, StepRow, decode, encode};
use crate::rows::{ReadRows, Table, Writer, inquiry_prefix, node_key, prefix_end, record_key, step_key};

/// What applying carries from one command to the next.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// The ledger's edge.
    pub(crate) ledger: Frontier,
    /// Sequence number of the next inquiry.
    pub(crate) next_sequence: u64,
}

/// Applies one command of the log entry with this term. Whatever it decides, it decides alike on every member: from the
/// rows, the command and the term alone.
pub(crate) fn apply(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    change: &Change,
    term: u64,
) -> Result<Applied, ConductorError> {
    let answer = match change {
        Change::Submit { inquiry, plan, facts, manifest, base_dir, at } => {
            let submission =
                Submission { inquiry, plan, facts, manifest, base_dir: base_dir.as_deref(), at: *at };
            submit(rows, progress, &submission)?
        }
        Change::Lease { inquiry, step, attempt, executor, .. } => {
            lease(rows, inquiry, *step, *attempt, executor, term)?
        }
        Change::Record { inquiry, step, term, attempt, record, is_final, .. } => {
            let row = RecordRow { term: *term, is_final: *is_final, json: record.clone() };
            self::record(rows, inquiry, *step, *attempt, &row)?
        }
        Change::Conclude { inquiry, finding, verdict, artifacts, at } => {
            let end = EndRow::Concluded { finding: finding.clone(), artifacts: artifacts.clone() };
            conclude(rows, inquiry, &end, Stage::Concluded { verdict: verdict.clone(), at: *at })?
        }
        Change::Abort { inquiry, reason, name, at } => {
            let end = EndRow::Aborted { reason: reason.clone() };
            abort(rows, inquiry, &end, Stage::Aborted { reason: name.clone(), at: *at })?
        }
    };
    if matches!(answer, Applied::Done | Applied::Leased(_)) {
        log(rows, &mut progress.ledger, change, term)?;
    }
    Ok(answer)
}

/// Adds the command to the ledger.
fn log(
    rows: &mut Writer<'_>,
    ledger: &mut Frontier,
    change: &Change,
    term: u64,
) -> Result<(), ConductorError> {
    let index = ledger.size();
    let bytes = change.ledger_entry(index, term).to_bytes()?;
    rows.put(Table::Ledger, &index.to_be_bytes(), &bytes)?;
    // The first is the leaf, whose hash can be made from the entry.
    for node in ledger.append(&bytes).into_iter().skip(1) {
        rows.put(Table::Nodes, &node_key(node.level, node.index), &node.hash.0)?;
    }
    Ok(())
}

fn refused(refusal: Refusal) -> Result<Applied, ConductorError> {
    Ok(Applied::Refused(refusal))
}

fn inquiry_row(rows: &impl ReadRows, inquiry: &str) -> Result<Option<InquiryRow>, ConductorError> {
    rows.get(Table::Inquiries, inquiry.as_bytes())?.map(|bytes| decode("an inquiry", &bytes)).transpose()
}

fn no_such_inquiry(inquiry: &str) -> Result<Applied, ConductorError> {
    refused(Refusal::NoSuchInquiry { inquiry: inquiry.to_owned() })
}

struct Submission<'a> {
    inquiry: &'a str,
    plan: &'a [u8],
    facts: &'a PlanFacts,
    manifest: &'a str,
    base_dir: Option<&'a str>,
    at: i64,
}

fn submit(
    rows: &mut Writer<'_>,
    progress: &mut Progress,
    submission: &Submission<'_>,
) -> Result<Applied, ConductorError> {
    let plan = Hash::digest(submission.plan).0;
    let id = submission.inquiry;
    if let Some(there) = inquiry_row(rows, id)? {
        // The time may differ: whoever got no answer asks again later.
        let same = there.plan == plan
            && there.manifest == submission.manifest
            && there.base_dir.as_deref() == submission.base_dir;
        return if same { Ok(Applied::AlreadyDone) } else { refused(Refusal::IdTaken) };
    }
    let facts = submission.facts;
    let row = InquiryRow {
        sequence: progress.next_sequence,
        submitted: submission.at,
        manifest: submission.manifest.to_owned(),
        base_dir: submission.base_dir.map(str::to_owned),
        plan,
        steps: facts.steps,
        recorded: 0,
        manifest_id: facts.manifest_id.clone(),
        name: facts.name.clone(),
        tenant: facts.tenant.clone(),
        kind: facts.kind.clone(),
        stage: Stage::Running,
    };
    progress.next_sequence += 1;
    let sequence = row.sequence.to_be_bytes();
    rows.put(Table::Inquiries, id.as_bytes(), &encode(&row)?)?;
    rows.put(Table::Plans, id.as_bytes(), submission.plan)?;
    rows.put(Table::Order, &sequence, id.as_bytes())?;
    rows.put(Table::Unfinished, &sequence, id.as_bytes())?;
    Ok(Applied::Done)
}

fn lease(
    rows: &mut Writer<'_>,
    inquiry: &str,
    step: u32,
    attempt: u32,
    executor: &str,
    term: u64,
) -> Result<Applied, ConductorError> {
    let Some(row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if step >= row.steps {
        return refused(Refusal::NoSuchStep { step: step as usize });
    }
    if row.stage != Stage::Running {
        return refused(Refusal::Ended);
    }
    let key = step_key(inquiry, step);
    let last = match rows.get(Table::Steps, &key)? {
        None => 0,
        Some(bytes) => {
            let there: StepRow = decode("a step", &bytes)?;
            if there.final_attempt.is_some() {
                return refused(Refusal::StepDone);
            }
            there.attempt
        }
    };
    if last.checked_add(1) != Some(attempt) {
        return refused(Refusal::AttemptOutOfOrder { asked: attempt, last });
    }
    let leased = StepRow { term, attempt, executor: executor.to_owned(), final_attempt: None };
    rows.put(Table::Steps, &key, &encode(&leased)?)?;
    Ok(Applied::Leased(Token { term, attempt }))
}

fn record(
    rows: &mut Writer<'_>,
    inquiry: &str,
    step: u32,
    attempt: u32,
    record: &RecordRow,
) -> Result<Applied, ConductorError> {
    let Some(mut row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if step >= row.steps {
        return refused(Refusal::NoSuchStep { step: step as usize });
    }
    let key = record_key(inquiry, step, attempt);
    let there = rows.get(Table::Records, &key)?;
    let encoded = encode(record)?;
    // Before all else: whoever got no answer the first time learns that it was recorded, whatever happened since.
    if there.as_ref() == Some(&encoded) {
        return Ok(Applied::AlreadyDone);
    }
    if row.stage != Stage::Running {
        return refused(Refusal::Ended);
    }
    let step_key = step_key(inquiry, step);
    let Some(bytes) = rows.get(Table::Steps, &step_key)? else { return refused(Refusal::LeaseLost) };
    let mut leased: StepRow = decode("a step", &bytes)?;
    if leased.final_attempt.is_some() {
        return refused(Refusal::StepDone);
    }
    // A token is good for one record: an attempt that was recorded is over.
    if (leased.term, leased.attempt) != (record.term, attempt) || there.is_some() {
        return refused(Refusal::LeaseLost);
    }
    rows.put(Table::Records, &key, &encoded)?;
    if record.is_final {
        leased.final_attempt = Some(attempt);
        rows.put(Table::Steps, &step_key, &encode(&leased)?)?;
        row.recorded += 1;
        rows.put(Table::Inquiries, inquiry.as_bytes(), &encode(&row)?)?;
    }
    Ok(Applied::Done)
}

fn conclude(
    rows: &mut Writer<'_>,
    inquiry: &str,
    end: &EndRow,
    stage: Stage,
) -> Result<Applied, ConductorError> {
    let Some(row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if row.stage != Stage::Running {
        return ended(rows, inquiry, end);
    }
    if row.recorded < row.steps {
        let step = first_missing(rows, inquiry)?;
        return refused(Refusal::StepsMissing { step: step as usize });
    }
    finish(rows, inquiry, row, end, stage)
}

fn abort(
    rows: &mut Writer<'_>,
    inquiry: &str,
    end: &EndRow,
    stage: Stage,
) -> Result<Applied, ConductorError> {
    let Some(row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if row.stage != Stage::Running {
        return ended(rows, inquiry, end);
    }
    finish(rows, inquiry, row, end, stage)
}

/// The answer to ending what has ended.
fn ended(rows: &mut Writer<'_>, inquiry: &str, end: &EndRow) -> Result<Applied, ConductorError> {
    let there = rows.get(Table::Ends, inquiry.as_bytes())?;
    if there == Some(encode(end)?) { Ok(Applied::AlreadyDone) } else { refused(Refusal::Ended) }
}

fn finish(
    rows: &mut Writer<'_>,
    inquiry: &str,
    mut row: InquiryRow,
    end: &EndRow,
    stage: Stage,
) -> Result<Applied, ConductorError> {
    row.stage = stage;
    rows.put(Table::Inquiries, inquiry.as_bytes(), &encode(&row)?)?;
    rows.put(Table::Ends, inquiry.as_bytes(), &encode(end)?)?;
    rows.delete(Table::Unfinished, &row.sequence.to_be_bytes())?;
    Ok(Applied::Done)
}

/// Position of the first step without a final record. There is one.
fn first_missing(rows: &impl ReadRows, inquiry: &str) -> Result<u32, ConductorError> {
    let prefix = inquiry_prefix(inquiry);
    let mut expected = 0;
    for (key, value) in rows.range(Table::Steps, &prefix, &prefix_end(&prefix), usize::MAX, false)? {
        let there: StepRow = decode("a step", &value)?;
        if key != step_key(inquiry, expected) || there.final_attempt.is_none() {
            break;
        }
        expected += 1;
    }
    Ok(expected)
}
