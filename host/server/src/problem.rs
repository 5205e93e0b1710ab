//! Errors of the API: RFC 9457 problem details, each with a `type` that stays what it is.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use inquisitor_engine::EngineError;
use inquisitor_engine::journal::{JournalError, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What every problem's `type` begins with. The rest is [`Kind::slug`].
pub(crate) const TYPE_PREFIX: &str = "urn:inquisitor:problem:";

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
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// Id of the request; the host's log has it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
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
            kind: format!("{TYPE_PREFIX}{}", kind.slug()),
            title: kind.title().to_owned(),
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
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error, "a request failed");
        Self::new(Kind::Internal, "the host's log has the reason, under the id of this request")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
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
