//! Findings, and how inquiries end.

use bytes::Bytes;
use inquisitor_engine::journal::Refusal;

use super::submission::release;
use super::{Outcome, already_done, done, inquiry_row, no_such_inquiry, put_inquiry, refused};
use crate::change::Change;
use crate::error::ConductorError;
use crate::keys::{inquiry_prefix, step_key};
use crate::record::{EndRow, Stage, StepRow, decode, encode};
use crate::rows::{ReadRows, Table, Writer};

/// Replaces the finding of an inquiry that has not ended.
pub(super) fn update(
    rows: &mut Writer<'_>,
    inquiry: &str,
    finding: &Bytes,
    at: i64,
) -> Result<Outcome, ConductorError> {
    let Some(row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if row.stage != Stage::Running {
        return refused(Refusal::Ended);
    }
    let interim = encode(&EndRow::Interim { finding: finding.clone(), at })?;
    if rows.get(Table::Ends, inquiry.as_bytes())?.as_ref() == Some(&interim) {
        return already_done();
    }
    rows.put(Table::Ends, inquiry.as_bytes(), &interim)?;
    done()
}

/// Notes that somebody asked for the end.
pub(super) fn cancel(rows: &mut Writer<'_>, inquiry: &str, at: i64) -> Result<Outcome, ConductorError> {
    let Some(mut row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    if row.stage != Stage::Running {
        return refused(Refusal::Ended);
    }
    if row.cancel_requested.is_some() {
        return already_done();
    }
    row.cancel_requested = Some(at);
    put_inquiry(rows, inquiry, &row)?;
    done()
}

/// Concludes or aborts.
pub(super) fn end(rows: &mut Writer<'_>, change: &Change) -> Result<Outcome, ConductorError> {
    let (inquiry, end, stage) = match change {
        Change::Conclude { inquiry, finding, verdict, artifacts, at } => (
            inquiry,
            EndRow::Concluded { finding: finding.clone(), artifacts: artifacts.clone() },
            Stage::Concluded { verdict: verdict.clone(), at: *at },
        ),
        Change::Abort { inquiry, reason, name, at } => (
            inquiry,
            EndRow::Aborted { reason: reason.clone() },
            Stage::Aborted { reason: name.clone(), at: *at },
        ),
        _ => return Err(ConductorError::damaged("a command in the log", "it ends nothing")),
    };
    let Some(mut row) = inquiry_row(rows, inquiry)? else { return no_such_inquiry(inquiry) };
    let end = encode(&end)?;
    if row.stage != Stage::Running {
        let same = rows.get(Table::Ends, inquiry.as_bytes())?.as_ref() == Some(&end);
        return if same { already_done() } else { refused(Refusal::Ended) };
    }
    if matches!(stage, Stage::Concluded { .. }) && row.recorded < row.steps {
        let step = first_missing(rows, inquiry)?;
        return refused(Refusal::StepsMissing { step: step as usize });
    }
    row.stage = stage;
    put_inquiry(rows, inquiry, &row)?;
    rows.put(Table::Ends, inquiry.as_bytes(), &end)?;
    release(rows, &row)?;
    done()
}

/// Position of the first step without any final record. There is one.
fn first_missing(rows: &impl ReadRows, inquiry: &str) -> Result<u32, ConductorError> {
    let mut expected = 0;
    for (key, value) in rows.starting_with(Table::Steps, &inquiry_prefix(inquiry), usize::MAX)? {
        let there: StepRow = decode("a step", &value)?;
        // One that is in a later round has recorded the first.
        let is_recorded = there.round > 0 || there.final_attempt.is_some();
        if key != step_key(inquiry, expected) || !is_recorded {
            break;
        }
        expected += 1;
    }
    Ok(expected)
}
