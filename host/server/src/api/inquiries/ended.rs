//! Answers about inquiries that have ended. Nothing of such an inquiry changes any more, so the answers that were given last
//! are kept as they were sent. Whether somebody may see one is asked each time, before it is looked for here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of all answers that are kept; where there are more, all are forgotten and made anew.
const MAX_KEPT: usize = 8 << 20;
/// Bytes of one that is kept: a larger one takes long to send, whoever makes it.
const MAX_ANSWER: usize = 64 << 10;

/// The answers by the inquiry's id.
#[derive(Default)]
pub(crate) struct EndedAnswers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<String, Bytes>,
    bytes: usize,
}

impl EndedAnswers {
    /// The answer about this inquiry, if it is kept.
    pub(super) fn get(&self, id: &str) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answers.get(id).cloned()
    }

    /// Keep an answer.
    pub(super) fn keep(&self, id: &str, answer: &Bytes) {
        if answer.len() > MAX_ANSWER {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let added = id.len() + answer.len();
        if kept.bytes + added > MAX_KEPT {
            *kept = Kept::default();
        }
        if kept.answers.insert(id.to_owned(), answer.clone()).is_none() {
            kept.bytes += added;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_within_their_bound() {
        let answers = EndedAnswers::default();
        let answer = Bytes::from(vec![b'x'; MAX_ANSWER]);
        for number in 0..1000 {
            answers.keep(&number.to_string(), &answer);
            answers.keep(&number.to_string(), &answer);
            assert!(answers.get(&number.to_string()).is_some());
        }
        assert_eq!(answers.get("0"), None);
        let kept = answers.0.lock().unwrap();
        assert!(kept.bytes <= MAX_KEPT && kept.answers.len() * MAX_ANSWER <= MAX_KEPT);
    }

    #[test]
    fn a_large_answer_is_not_kept() {
        let answers = EndedAnswers::default();
        answers.keep("a", &Bytes::from(vec![b'x'; MAX_ANSWER + 1]));
        assert_eq!(answers.get("a"), None);
    }
}
