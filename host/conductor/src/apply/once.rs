//! Commands that may arrive twice and must act once: the answers that were given, by the id of the request.
//!
//! Whoever got no answer sends the same bytes again and gets the first answer. Only the last [`MAX_REMEMBERED`] answers are
//! kept; a proposer gives up long before so many others have passed.

use inquisitor_engine::journal::Applied;

use crate::error::ConductorError;
use crate::keys::number_of;
use crate::logged::RequestId;
use crate::record::decode_json;
use crate::rows::{ReadRows, Table, Writer};

/// Answers that are kept.
pub(super) const MAX_REMEMBERED: u64 = 65_536;

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
    at_most: u64,
) -> Result<(), ConductorError> {
    let json = serde_json::to_vec(answer).map_err(|error| ConductorError::damaged("an answer", error))?;
    let last = rows.range(Table::RequestOrder, &[], &[u8::MAX; 9], 1, true)?;
    let number = last.first().map(|(key, _)| number_of(key)).transpose()?.map_or(0, |last| last + 1);
    rows.put(Table::Requests, request, &json)?;
    rows.put(Table::RequestOrder, &number.to_be_bytes(), request)?;
    if rows.count(Table::RequestOrder)? > at_most {
        for (key, oldest) in rows.range(Table::RequestOrder, &[], &[u8::MAX; 9], 1, false)? {
            rows.delete(Table::RequestOrder, &key)?;
            rows.delete(Table::Requests, &oldest)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use inquisitor_engine::journal::Refusal;

    use super::*;
    use crate::database::Commit;
    use crate::state;

    #[test]
    fn the_last_answers_are_kept_and_the_oldest_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = state::open(&dir.path().join("state.redb")).unwrap();
        let refused = Applied::Refused(Refusal::TooMany { what: "keys".into(), limit: 3 });
        store
            .write(Commit::Deferred, |transaction| {
                let mut rows = Writer::new(&store, transaction);
                for number in 0..5_u8 {
                    assert_eq!(answered(&rows, &[number; 16])?, None);
                    remember(&mut rows, &[number; 16], &refused, 3)?;
                }
                let kept: Vec<bool> = (0..5)
                    .map(|number| answered(&rows, &[number; 16]).unwrap() == Some(refused.clone()))
                    .collect();
                assert_eq!(kept, [false, false, true, true, true]);
                assert_eq!(rows.count(Table::RequestOrder)?, 3);
                Ok(())
            })
            .unwrap();
    }
}
