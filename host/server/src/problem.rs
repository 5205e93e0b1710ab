//! Errors of the API: RFC 9457 problem details, each with a `type` that stays what it is.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use inquisitor_conductor::ConductorError;
use inquisitor_engine::EngineError;
use inquisitor_engine::journal::{JournalError, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every problem's `type` begins with. The rest is [`Kind::slug`].
pub(crate) const TYPE_PREFIX: &str = "urn:inquisitor:problem:";

/// Content type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// An error as a client sees it (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:inquisitor:problem:not-found",
    "title": "There is no such thing, or it is not yours",
    "status": 404,
    "detail": "there is no inquiry 0190b2f0-0000-7000-8000-000000000000"
}))]
pub struct Problem {
    /// What kind of problem it is; stable, for programs.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Box<str>,
    /// The kind in words.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// Id of the request; the host's log has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request: Option<Box<str>>,
    /// Seconds after which asking again makes sense; also the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// What is wrong with a manifest, a component or a request, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub errors: Vec<serde_json::Value>,
}

/// The kinds of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 400: not what the endpoint takes.
    BadRequest,
    /// 401: no key, or not a good one.
    Unauthorized,
    /// 403: the key's role or the tenant's policy does not allow it.
    Forbidden,
    /// 404: not there, or somebody else's.
    NotFound,
    /// 405: not with this method.
    MethodNotAllowed,
    /// 408: the request did not come in time.
    Timeout,
    /// 409: against something that is there.
    Conflict,
    /// 413: too large.
    TooLarge,
    /// 415: not a content type that is read.
    UnsupportedMediaType,
    /// 422: a manifest with mistakes; `errors` has them.
    InvalidManifest,
    /// 422: a component that cannot be installed; `errors` has why.
    InvalidPlugin,
    /// 422: an idempotency key that was used for something else.
    IdempotencyKeyReused,
    /// 429: too often or too much at once.
    TooManyRequests,
    /// 500: a defect of this host.
    Internal,
    /// 503: the cluster cannot commit, or this host is stopping.
    Unavailable,
}

impl Kind {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidManifest,
        Self::InvalidPlugin,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The end of the problem's `type`.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::InvalidManifest => "invalid-manifest",
            Self::InvalidPlugin => "invalid-plugin",
            Self::IdempotencyKeyReused => "idempotency-key-reused",
            Self::TooManyRequests => "too-many-requests",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not what this endpoint takes",
            Self::Unauthorized => "A good key is needed",
            Self::Forbidden => "The key's role or the tenant's policy does not allow it",
            Self::NotFound => "There is no such thing, or it is not yours",
            Self::MethodNotAllowed => "This is not possible with this method",
            Self::Timeout => "The request did not come in time",
            Self::Conflict => "It is against something that is there",
            Self::TooLarge => "The request is too large",
            Self::UnsupportedMediaType => "This content type is not read here",
            Self::InvalidManifest => "The manifest has mistakes",
            Self::InvalidPlugin => "The component cannot be installed",
            Self::IdempotencyKeyReused => "The idempotency key was used for something else",
            Self::TooManyRequests => "Too often, or too much at once",
            Self::Internal => "Something is wrong with this host",
            Self::Unavailable => "The host cannot do this now",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidManifest | Self::InvalidPlugin | Self::IdempotencyKeyReused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", kind.slug()).into(),
            title: kind.title().into(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            request: None,
            retry_after: None,
            errors: Vec::new(),
        }
    }

    /// With the header and the member that say when to ask again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// With what is wrong, one by one.
    pub(crate) fn errors(mut self, errors: Vec<serde_json::Value>) -> Self {
        self.errors = errors;
        self
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// A defect or a failing disk: the details go to the log, not to a stranger.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a request failed");
        Self::new(Kind::Internal, "the host's log has the reason, under the id of this request")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For `with_request`, which knows the id of the request and stands around everything.
        response.extensions_mut().insert(self);
        response
    }
}

/// A response with the id of its request, if it is a problem; and as a problem, if it is an error that the router or a library
/// answered with in its own words.
pub(crate) fn with_request(mut response: Response, request: &str) -> Response {
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| bare(&response));
    let Some(problem) = problem else { return response };
    let problem = Problem { request: Some(request.into()), ..problem };
    let mut answer = problem.into_response();
    answer.extensions_mut().remove::<Problem>();
    // What was said beside the body stays, as `Allow`.
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    for (name, value) in answer.headers() {
        parts.headers.insert(name, value.clone());
    }
    Response::from_parts(parts, answer.into_body())
}

/// The problem that an error without a body of its own is.
fn bare(response: &Response) -> Option<Problem> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !(is_text && (status.is_client_error() || status.is_server_error())) {
        return None;
    }
    let (kind, detail) = match status {
        StatusCode::NOT_FOUND => {
            (Kind::NotFound, "there is nothing under this path; /openapi.json lists what there is")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            (Kind::MethodNotAllowed, "the header Allow lists the methods that this path has")
        }
        StatusCode::PAYLOAD_TOO_LARGE => (Kind::TooLarge, "the body is larger than what is read here"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (Kind::UnsupportedMediaType, "this content type is not read here")
        }
        StatusCode::REQUEST_TIMEOUT => (Kind::Timeout, "the request did not come in time"),
        StatusCode::SERVICE_UNAVAILABLE => (Kind::Unavailable, "the host cannot answer now"),
        status if status.is_server_error() => (Kind::Internal, "the host's log has the reason"),
        _ => (Kind::BadRequest, "the request cannot be read"),
    };
    Some(Problem::new(kind, detail))
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::NoSuchInquiry { .. }
            | Refusal::NoSuchStep { .. }
            | Refusal::NoSuchTenant { .. }
            | Refusal::NoSuchKey { .. }
            | Refusal::NoSuchPlugin { .. } => Kind::NotFound,
            Refusal::IdempotencyKeyReused { .. } => Kind::IdempotencyKeyReused,
            Refusal::TooMany { .. } => Kind::TooManyRequests,
            _ => Kind::Conflict,
        };
        Self::new(kind, refusal.to_string())
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match &error {
            JournalError::Unavailable(_) => Self::new(Kind::Unavailable, error.to_string()).retry_after(1),
            JournalError::Storage(_) | JournalError::Blob { .. } => Self::internal(&error),
        }
    }
}

impl From<ConductorError> for Problem {
    fn from(error: ConductorError) -> Self {
        JournalError::from(error).into()
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => error.into(),
            EngineError::Refused { refusal, .. } => refusal.into(),
            EngineError::NoSuchInquiry(id) => Self::not_found(format!("there is no inquiry {id}")),
            other => Self::internal(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> Problem {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_gets_the_id_of_its_request() {
        let response = Problem::new(Kind::TooManyRequests, "slow down").retry_after(7).into_response();
        let response = with_request(response, "r-1");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let problem = body(response).await;
        assert_eq!((problem.request.as_deref(), problem.retry_after), (Some("r-1"), Some(7)));
        assert_eq!(&*problem.kind, "urn:inquisitor:problem:too-many-requests");
    }

    #[tokio::test]
    async fn errors_of_the_router_become_problems_and_keep_their_headers() {
        let bare = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")]).into_response();
        let response = with_request(bare, "r-2");
        assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        assert_eq!(body(response).await.status, 405);
        let text = (StatusCode::NOT_FOUND, "nothing").into_response();
        assert_eq!(body(with_request(text, "r-3")).await.request.as_deref(), Some("r-3"));
    }

    #[tokio::test]
    async fn answers_that_are_no_problems_stay_as_they_are() {
        let ok = with_request("fine".into_response(), "r");
        assert_eq!(axum::body::to_bytes(ok.into_body(), 100).await.unwrap(), "fine");
        let own = (StatusCode::SERVICE_UNAVAILABLE, Json(serde_json::json!({"status": "not ready"})))
            .into_response();
        let own = with_request(own, "r");
        assert_eq!(own.headers()[header::CONTENT_TYPE], "application/json");
    }

    #[test]
    fn kinds_are_distinct_and_refusals_have_one() {
        let problem = Problem::from(Refusal::NoSuchKey { id: "k".into() });
        assert_eq!((problem.status, problem.detail.as_str()), (404, "there is no key k"));
        assert_eq!(Problem::from(Refusal::Ended).status, 409);
        let unavailable = Problem::from(JournalError::Unavailable("no leader".into()));
        assert_eq!((unavailable.status, unavailable.retry_after), (503, Some(1)));
    }
}
