//! What stands around every request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use tracing::Instrument as _;

use super::body::TimedBody;
use crate::app::App;
use crate::gate::Principal;
use crate::metrics::Metrics;
use crate::problem::{self, Kind, Problem};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a request id that a client may choose.
const MAX_REQUEST_ID: usize = 128;
/// The one route whose body may take as long as it goes on: uploads of components.
const UPLOAD: &str = "/v1/plugins";

/// Id of a request: the client's, if it sent a good one, else drawn.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The id of the request with these extensions; empty only outside of [`outermost`].
    pub(crate) fn of(extensions: &Extensions) -> &str {
        extensions.get::<Self>().map_or("", |id| &id.0)
    }

    fn of_headers(headers: &HeaderMap) -> Self {
        let chosen = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let good = |id: &&str| {
            (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match chosen.filter(good) {
            Some(id) => Self(id.into()),
            None => Self(uuid::Uuid::now_v7().to_string().into()),
        }
    }
}

/// The id, the log, and problems that name the id. Stands around everything else.
pub(crate) async fn outermost(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId::of_headers(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    // The route and not the path: a path may be long, and hold what is not meant for a log.
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!("request", request = &*id.0, %method, route);
    let response = match which_host(&request) {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(problem) => problem.into_response(),
    };
    let mut response = problem::with_request(response, &id.0);
    span.in_scope(|| log(&method, &response, began));
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A request says once which host it is for (RFC 9112, section 3.2): what stands before this host and this host might pick
/// different ones of two.
fn which_host(request: &Request) -> Result<(), Problem> {
    let said = request.headers().get_all(header::HOST).iter().count();
    let must_say = request.version() == Version::HTTP_11;
    match said {
        0 if must_say => Err(Problem::bad_request("the header Host is missing; HTTP/1.1 requests have one")),
        0 | 1 => Ok(()),
        _ => Err(Problem::bad_request("the header Host is there more than once; send one")),
    }
}

/// Reads that went well are many and dull.
fn log(method: &Method, response: &Response, began: Instant) {
    let status = response.status();
    let who = response.extensions().get::<Principal>();
    let (key, tenant) = (who.map(|who| who.key.as_str()), who.and_then(|who| who.tenant.as_deref()));
    let took_ms = began.elapsed().as_secs_f64() * 1000.0;
    let status = status.as_u16();
    if status >= 500 {
        tracing::warn!(status, key, tenant, took_ms, "answered");
    } else if status >= 400 || !method.is_safe() {
        tracing::info!(status, key, tenant, took_ms, "answered");
    } else {
        tracing::debug!(status, key, tenant, took_ms, "answered");
    }
}

/// A defect harms the request that met it and no other.
pub(crate) async fn panics(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            metrics.panicked();
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            tracing::error!(panic = message, "a request met a defect");
            Problem::new(Kind::Internal, "the host's log has the reason, under the id of this request")
                .into_response()
        }
    }
}

/// How many requests are answered at once, and how long a body may take. Stands before everything that works, and not before
/// the probes, which must be answered when the host is busy most of all.
pub(crate) async fn bounded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let tenant = request.extensions().get::<Principal>().and_then(|principal| principal.tenant.as_deref());
    let _place = match app.requests.take(tenant, "requests under way") {
        Ok(place) => place,
        Err(detail) => {
            return Problem::new(Kind::TooManyRequests, detail).retry_after(1).into_response();
        }
    };
    let is_upload = *request.method() == Method::POST
        && request.extensions().get::<MatchedPath>().is_some_and(|route| route.as_str() == UPLOAD);
    let whole = (!is_upload).then_some(app.config.body_timeout);
    let idle = app.config.header_timeout;
    next.run(request.map(|body: Body| TimedBody::wrap(body, idle, whole))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: &'static str) -> String {
        let headers = HeaderMap::from_iter([(REQUEST_ID.clone(), HeaderValue::from_static(value))]);
        RequestId::of_headers(&headers).0.to_string()
    }

    #[test]
    fn a_good_id_is_taken_and_any_other_replaced() {
        assert_eq!(id("order-42/7"), "order-42/7");
        for bad in ["", "two words", "tab\tbed"] {
            assert_eq!(id(bad).len(), 36, "{bad:?}");
        }
        let long: &'static str = "x".repeat(129).leak();
        assert_eq!(id(long).len(), 36);
        assert_eq!(id(&long[1..]), long[1..]);
    }
    #[tokio::test]
    async fn a_panic_is_a_problem_with_the_id_of_the_request() {
        use axum::middleware::{from_fn, from_fn_with_state};
        use tower::ServiceExt as _;

        async fn defect() {
            panic!("a defect with a secret in it")
        }
        let router = axum::Router::<()>::new()
            .route("/", axum::routing::get(defect))
            .layer(from_fn_with_state(Metrics::new().unwrap(), panics))
            .layer(from_fn(outermost));
        let request =
            Request::get("/").header("host", "x").header("x-request-id", "r-1").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let text = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let problem: Problem = serde_json::from_slice(&text).unwrap();
        assert_eq!(problem.request.as_deref(), Some("r-1"));
        assert!(!problem.detail.contains("secret"), "{problem:?}");
    }
}
