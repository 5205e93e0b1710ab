//! Commands that may arrive twice and must act once: the answers that were given, by the id of the request.
//!
//! Whoever got no answer sends the same bytes again and gets the first answer. Only the last [`MAX_REMEMBERED`] answers are
//! kept; a proposer gives up long before so many others have passed.

use inquisitor_engine::journal::Applied;

use crate::change::RequestId;
use crate::error::ConductorError;
use crate::keys::number_of;
use crate::record::decode_json;
use crate::rows::{ReadRows, Table, Writer};

/// Answers that are kept.
pub(crate) const MAX_REMEMBERED: u64 = 65_536;

/// The answer that the request got, if it was here before.
pub(super) fn answered(rows: &Writer<'_>, request: &RequestId) -> Result<Option<Applied>, ConductorError> {
    // JSON, as refusals have no form in postcard.
    let answer = rows.get(Table::Requests, request)?;
    answer.map(|answer| decode_json("an answer", &answer)).transpose()
}

/// Keeps an answer, and forgets the oldest where there are too many.
pub(super) fn remember(
    rows: &mut Writer<'_>,
    request: &RequestId,
    answer: &Applied,
) -> Result<(), ConductorError> {
    let json = serde_json::to_vec(answer).map_err(|error| ConductorError::damaged("an answer", error))?;
    let last = rows.range(Table::RequestOrder, &[], &[u8::MAX; 9], 1, true)?;
    let number = last.first().map(|(key, _)| number_of(key)).transpose()?.map_or(0, |last| last + 1);
    rows.put(Table::Requests, request, &json)?;
    rows.put(Table::RequestOrder, &number.to_be_bytes(), request)?;
    if rows.count(Table::RequestOrder)? > MAX_REMEMBERED {
        for (key, oldest) in rows.range(Table::RequestOrder, &[], &[u8::MAX; 9], 1, false)? {
            rows.delete(Table::RequestOrder, &key)?;
            rows.delete(Table::Requests, &oldest)?;
        }
    }
    Ok(())
}
