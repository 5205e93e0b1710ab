//! Answers that hold much memory while they are sent: components, artifacts, exports of readings. So many at once and no more,
//! however slowly their readers read.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;

use crate::places::{Place, Places};
use crate::problem::{Kind, Problem};

/// Large answers that are sent at once. The largest is a component, of 64 MiB unless the host allows more.
const AT_ONCE: usize = 16;
/// How long a request waits for its turn.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are handed on at once.
const PART: usize = 64 << 10;

/// The turns.
pub(crate) struct LargeAnswers(Places);

impl Default for LargeAnswers {
    fn default() -> Self {
        Self(Places::new(AT_ONCE))
    }
}

impl LargeAnswers {
    /// Wait for a turn, for a key of this tenant or for one above tenants.
    ///
    /// # Errors
    /// 429 where there is none in time.
    pub(crate) async fn turn(&self, tenant: Option<&str>) -> Result<Place, Problem> {
        match tokio::time::timeout(WAIT, self.0.wait(tenant)).await {
            Ok(Some(turn)) => Ok(turn),
            _ => {
                let detail = "as many large answers are being sent as may be, to this tenant or to all";
                Err(Problem::new(Kind::TooManyRequests, detail).retry_after(WAIT.as_secs()))
            }
        }
    }
}

/// A body of these bytes that keeps its turn until it is sent.
pub(crate) fn body(turn: Place, bytes: Bytes) -> Body {
    let parts = stream::unfold((bytes, turn), |(mut rest, turn)| async move {
        if rest.is_empty() {
            return None;
        }
        let part = rest.split_to(PART.min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(part), (rest, turn)))
    });
    Body::from_stream(parts.boxed())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_turn_is_kept_until_the_body_is_sent() {
        let answers = LargeAnswers::default();
        let bytes = Bytes::from(vec![7; 3 * PART + 5]);
        let sent = body(answers.turn(None).await.unwrap(), bytes.clone());
        assert_eq!(answers.0.taken(), 1);
        assert_eq!(sent.collect().await.unwrap().to_bytes(), bytes);
        assert_eq!(answers.0.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_is_told_when_to_ask_again() {
        let answers = LargeAnswers::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE {
            turns.push(answers.turn(None).await.unwrap());
        }
        let problem = answers.turn(None).await.unwrap_err();
        assert_eq!((problem.status, problem.retry_after), (429, Some(5)));
    }
}
