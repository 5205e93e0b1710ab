//! One connection: HTTP/1.1 or HTTP/2, as the client likes, with what bounds it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower::ServiceExt as _;

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

/// What bounds a connection.
pub(super) struct Bounds {
    /// How long a client may take to send the headers of a request, and how long a connection may be without one.
    pub(super) header_timeout: Duration,
}

/// Serve the connection until it ends, or until `stop` becomes true and what is under way is done.
pub(super) async fn serve<I>(io: I, router: Router, bounds: &Bounds, mut stop: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = {
        let activity = activity.clone();
        hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), request, UnderWay::begin(activity.clone()))
        })
    };
    let builder = builder(bounds);
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut looks = tokio::time::interval(bounds.header_timeout);
    looks.tick().await;
    let (mut seen, mut closing) = (0, *stop.borrow());
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
                // Nothing was asked for since the last look and nothing is under way: hyper's own bound on headers does not
                // hold while it waits for the first bytes, nor for HTTP/2.
                let begun = activity.begun.load(Ordering::Relaxed);
                if activity.under_way.load(Ordering::Relaxed) == 0 && begun == seen {
                    if closing {
                        return;
                    }
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                seen = begun;
            }
            _ = stop.changed(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES);
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
    // The request is under way until the last byte of its answer is: event streams are.
    Ok(response.map(|body| {
        Body::new(body.map_err(move |error| {
            let _ = &under_way;
            error
        }))
    }))
}

/// What a connection does.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    under_way: AtomicUsize,
}

/// A request that is under way until this is dropped.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
