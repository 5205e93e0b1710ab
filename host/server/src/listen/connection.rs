//! One connection: HTTP/1.1 or HTTP/2, as the client likes, with what bounds it.

use std::convert::Infallible;
use std::sync::Arc;
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

/// What bounds a connection.
pub(super) struct Bounds {
    /// How long a client may take to send the headers of a request; up to twice that where it is not the first.
    pub(super) header_timeout: Duration,
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
                if watch.is_over() {
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
    // The request is under way until the last byte of its answer is: event streams are.
    Ok(response.map(|body| {
        Body::new(body.map_err(move |error| {
            let _ = &under_way;
            error
        }))
    }))
}
