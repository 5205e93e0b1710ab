//! One connection: HTTP/1.1 or HTTP/2, as the client likes, with what bounds it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;

use super::activity::{Activity, UnderWay, Watch};

/// Bytes of the headers of a request.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Requests of one HTTP/2 connection that are under way at once.
const MAX_STREAMS: u32 = 128;
/// HTTP/2 requests that a client may begin and reset without the host having looked at them.
const MAX_RESETS: usize = 20;
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an HTTP/2 answer that wait for the client.
const MAX_SEND_BUFFER: usize = 256 << 10;
/// Bytes of an answer that are handed on at once. Of what was handed on nobody knows whether the client takes it.
const PART: usize = 64 << 10;

/// What bounds a connection.
pub(super) struct Bounds {
    /// How long a client may take to send the headers of a request; up to twice that where it is not the first.
    pub(super) header_timeout: Duration,
    /// Connections that may still be opened.
    pub(super) connections: Arc<Semaphore>,
}

/// Serve the connection until it ends, or until `stop` becomes true and what is under way is done.
pub(super) async fn serve<I>(
    io: I,
    activity: Arc<Activity>,
    router: Router,
    bounds: &Bounds,
    mut stop: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut watch = Watch::new(activity.clone(), bounds.header_timeout);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let under_way = activity.begin(request.version());
        answer(router.clone(), request, under_way)
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut looks = tokio::time::interval(bounds.header_timeout);
    looks.tick().await;
    let mut closing = *stop.borrow();
    if closing {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended");
                }
                return;
            }
            _ = looks.tick() => {
                // Not hyper's own bound on headers: it does not hold while it waits for the first bytes nor for HTTP/2, and
                // closes connections between two requests where proxies still use them.
                if watch.is_over(bounds.connections.available_permits() == 0) {
                    if closing {
                        return;
                    }
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
            _ = stop.changed(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    under_way: UnderWay,
) -> Result<Response, Infallible> {
    let response = router.oneshot(request.map(Body::new)).await?;
    Ok(response.map(|body| Body::new(Watched::new(body, under_way))))
}

/// The body of an answer, in parts, of which it is known how long one has waited for the client. The request is under way
/// until the last part is asked for: streams of events are.
struct Watched {
    body: Body,
    /// What is left of the last frame of the body.
    rest: Bytes,
    under_way: UnderWay,
}

impl Watched {
    fn new(body: Body, mut under_way: UnderWay) -> Self {
        // The head is; a client may take that and nothing of the body.
        under_way.handed_on();
        Self { body, rest: Bytes::new(), under_way }
    }

    fn part(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(PART.min(self.rest.len())))
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.under_way.asked();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        self.under_way.handed_on();
        Poll::Ready(Some(Ok(self.part())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_goes_out_in_parts_and_whole() {
        let activity = Arc::new(Activity::default());
        let bytes: Bytes = (0..PART * 2 + 7).map(|n| n as u8).collect();
        let mut body = Watched::new(Body::from(bytes.clone()), activity.begin(http::Version::HTTP_2));
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first.len(), PART);
        assert_eq!(body.size_hint().exact(), Some((PART + 7) as u64));
        assert!(!body.is_end_stream());
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!([first, rest].concat(), bytes);
        assert!(
            Body::new(Watched::new(Body::empty(), activity.begin(http::Version::HTTP_11))).is_end_stream()
        );
    }
}
