//! Leases and records of steps.

use inquisitor_engine::journal::{Applied, Refusal, Token};

use super::{Outcome, already_done, inquiry_row, no_such_inquiry, put_inquiry, refused};
use crate::change::Change;
use crate::entry::Note;
use crate::error::ConductorError;
use crate::keys::{record_key, round_key, step_key};
use crate::record::{InquiryRow, RecordRow, Rounds, Stage, StepRow, decode, encode};
use crate::rows::{ReadRows, Table, Writer};

/// What is asked for.
pub(super) struct Lease {
    pub(super) step: u32,
    pub(super) round: u32,
    pub(super) attempt: u32,
    /// Term of the log entry.
    pub(super) term: u64,
}

pub(super) fn lease(
    rows: &mut Writer<'_>,
    inquiry: &str,
    asked: &Lease,
    executor: &str,
) -> Result<Outcome, ConductorError> {
    let Some(mut row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if asked.step >= row.steps {
        return refused(Refusal::NoSuchStep { step: asked.step as usize });
    }
    if row.stage != Stage::Running {
        return refused(Refusal::Ended);
    }
    let key = step_key(inquiry, asked.step);
    let mut step = step_row(rows, &key)?.unwrap_or_else(|| StepRow {
        term: 0,
        attempt: 0,
        executor: String::new(),
        round: 0,
        final_attempt: None,
        missed: 0,
        kept: 0,
    });
    if asked.round == step.round {
        if step.final_attempt.is_some() {
            return refused(Refusal::StepDone);
        }
    } else if asked.round < step.round || step.final_attempt.is_none() || !has_rounds(&row, asked.step) {
        return refused(Refusal::RoundOutOfOrder { asked: asked.round, last: step.round });
    }
    // Whoever got no answer the first time asks again, and gets the lease that is his.
    let is_again = asked.round == step.round
        && (step.term, step.attempt, step.executor.as_str()) == (asked.term, asked.attempt, executor);
    if is_again && !rows.has(Table::Records, &record_key(inquiry, asked.step, asked.round, asked.attempt))? {
        let applied = Applied::Leased(Token { term: asked.term, attempt: asked.attempt });
        return Ok(Outcome { applied, changed: false, note: Note::None });
    }
    if step.attempt.checked_add(1) != Some(asked.attempt) {
        return refused(Refusal::AttemptOutOfOrder { asked: asked.attempt, last: step.attempt });
    }
    if asked.round > step.round {
        let missed = u64::from(asked.round - step.round - 1);
        step.round = asked.round;
        step.final_attempt = None;
        step.missed += missed;
        if missed > 0 {
            row.missed += missed;
            put_inquiry(rows, inquiry, &row)?;
        }
    }
    step.term = asked.term;
    step.attempt = asked.attempt;
    step.executor = executor.to_owned();
    rows.put(Table::Steps, &key, &encode(&step)?)?;
    Ok(Applied::Leased(Token { term: asked.term, attempt: asked.attempt }).into())
}

pub(super) fn record(rows: &mut Writer<'_>, change: &Change) -> Result<Outcome, ConductorError> {
    let Change::Record { inquiry, step, round, term, attempt, record, facts, is_final } = change else {
        return Err(ConductorError::damaged("a command in the log", "it is no record"));
    };
    let (step, round, attempt) = (*step, *round, *attempt);
    let Some(mut row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if step >= row.steps {
        return refused(Refusal::NoSuchStep { step: step as usize });
    }
    let record =
        RecordRow { term: *term, is_final: *is_final, blobs: facts.blobs.clone(), json: record.clone() };
    let encoded = encode(&record)?;
    let key = record_key(inquiry, step, round, attempt);
    let there = rows.get(Table::Records, &key)?;
    // Before all else: whoever got no answer the first time learns that it was recorded, whatever happened since.
    if there.as_ref() == Some(&encoded) {
        return already_done();
    }
    if row.stage != Stage::Running {
        return refused(Refusal::Ended);
    }
    let step_key = step_key(inquiry, step);
    let Some(mut leased) = step_row(rows, &step_key)? else { return refused(Refusal::LeaseLost) };
    if round > leased.round {
        return refused(Refusal::RoundOutOfOrder { asked: round, last: leased.round });
    }
    // A round before the last one has its final record, or the last one would not have begun.
    if round < leased.round || leased.final_attempt.is_some() {
        return refused(Refusal::StepDone);
    }
    // A token is good for one record: an attempt that was recorded is over.
    if (leased.term, leased.attempt) != (record.term, attempt) || there.is_some() {
        return refused(Refusal::LeaseLost);
    }
    rows.put(Table::Records, &key, &encoded)?;
    if !is_final {
        return Ok(Applied::Done.into());
    }
    leased.final_attempt = Some(attempt);
    leased.kept += 1;
    let note = prune(rows, inquiry, step, &mut leased, row.rounds.as_ref())?;
    rows.put(Table::Steps, &step_key, &encode(&leased)?)?;
    // Later rounds are only begun once this one is recorded.
    if round == 0 {
        row.recorded += 1;
        put_inquiry(rows, inquiry, &row)?;
    }
    Ok(Outcome { applied: Applied::Done, changed: true, note })
}

/// Makes room for the round that was just recorded.
fn prune(
    rows: &mut Writer<'_>,
    inquiry: &str,
    step: u32,
    leased: &mut StepRow,
    rounds: Option<&Rounds>,
) -> Result<Note, ConductorError> {
    let history = rounds.map_or(1, |rounds| rounds.history);
    if leased.kept <= history {
        return Ok(Note::None);
    }
    let prefix = step_key(inquiry, step);
    let oldest = rows.starting_with(Table::Records, &prefix, 1)?.pop();
    let round = oldest
        .and_then(|(key, _)| key[prefix.len()..].first_chunk().copied())
        .map(u32::from_be_bytes)
        .ok_or_else(|| ConductorError::damaged("the state", "the records of a step are missing"))?;
    for (key, _) in rows.starting_with(Table::Records, &round_key(inquiry, step, round), usize::MAX)? {
        rows.delete(Table::Records, &key)?;
    }
    leased.kept -= 1;
    Ok(Note::Pruned(round))
}

fn has_rounds(row: &InquiryRow, step: u32) -> bool {
    row.rounds.as_ref().is_some_and(|rounds| rounds.has(step))
}

fn step_row(rows: &impl ReadRows, key: &[u8]) -> Result<Option<StepRow>, ConductorError> {
    rows.get(Table::Steps, key)?.map(|bytes| decode("a step", &bytes)).transpose()
}
