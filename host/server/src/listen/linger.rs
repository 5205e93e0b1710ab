//! Reading on after a refusal.
//!
//! A request may be refused before its body is read: a key that may not upload, a wrong content type. Were the connection closed
//! at once, the client would still be sending and see a broken connection in place of the answer. So what is on its way is read
//! and thrown away first, within bounds: more for those who have a good key than for strangers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::gate::Principal;

/// Bytes that are thrown away for the holder of a key, and how long that may take.
const KNOWN: (usize, Duration) = (64 << 20, Duration::from_secs(5));
/// The same for a stranger.
const STRANGER: (usize, Duration) = (1 << 20, Duration::from_secs(1));

/// Throw away what is left of the body of a refused request before the refusal is sent.
pub(crate) async fn linger(request: Request, next: Next) -> Response {
    // A stream of HTTP/2 is refused by itself, and whoever waits for `100 Continue` has sent nothing.
    let waits = request.headers().contains_key(header::EXPECT);
    if request.version() == Version::HTTP_2 || waits || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = Shared(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(shared.clone()))).await;
    if !response.status().is_success() {
        let is_known = response.extensions().get::<Principal>().is_some();
        let (most, patience) = if is_known { KNOWN } else { STRANGER };
        // Whatever it comes to, the answer is sent.
        let _ = tokio::time::timeout(patience, shared.throw_away(most)).await;
    }
    response
}

/// A body that is still there after whoever read it has let go of it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    async fn throw_away(mut self, most: usize) {
        let mut thrown = 0;
        while thrown <= most
            && let Some(Ok(frame)) = self.frame().await
        {
            thrown += frame.data_ref().map_or(0, Bytes::len);
        }
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
