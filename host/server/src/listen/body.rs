//! How long the body of a request may take.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::api::extract::BodyProblem;
use crate::problem::{Kind, Problem};

/// A body that fails when nothing of it came for `idle`, or when not all of it came within `whole`.
pub(super) struct TimedBody {
    body: Body,
    idle: Duration,
    /// When all of it must be there; none for an upload, which may be as long as it goes on.
    whole: Option<Instant>,
    /// Runs while the body waits for the client.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    /// Wrap a body, unless all of it is there.
    pub(super) fn wrap(body: Body, idle: Duration, whole: Option<Duration>) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let whole = whole.map(|whole| Instant::now() + whole);
        Body::new(Self { body, idle, whole, waiting: None })
    }

    fn deadline(&self) -> Instant {
        let idle = Instant::now() + self.idle;
        self.whole.map_or(idle, |whole| whole.min(idle))
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame);
        }
        let deadline = self.deadline();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let problem =
            Problem::new(Kind::Timeout, "the body did not come in time; what had come was thrown away");
        Poll::Ready(Some(Err(axum::Error::new(BodyProblem(problem)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt as _, stream};

    /// A part every 4 seconds.
    fn slow(parts: usize) -> Body {
        let parts = stream::iter(0..parts).then(|_| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok::<_, std::io::Error>("part")
        });
        Body::from_stream(parts)
    }

    async fn read(body: Body) -> Result<Bytes, Problem> {
        crate::api::extract::body(body, 1 << 20).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_a_timeout() {
        let stopped = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let problem = read(TimedBody::wrap(stopped, Duration::from_secs(5), None)).await.unwrap_err();
        assert_eq!(problem.status, 408);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_only_as_a_whole_allows() {
        let (idle, whole) = (Duration::from_secs(5), Duration::from_secs(30));
        assert_eq!(read(TimedBody::wrap(slow(7), idle, Some(whole))).await.unwrap().len(), 28);
        assert_eq!(read(TimedBody::wrap(slow(8), idle, Some(whole))).await.unwrap_err().status, 408);
        assert_eq!(read(TimedBody::wrap(slow(100), idle, None)).await.unwrap().len(), 400);
    }
}
