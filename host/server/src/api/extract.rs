//! What handlers read of a request, with a [`Problem`] for whatever is not as it should be.

use axum::extract::{FromRequestParts, rejection};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::problem::{Kind, Problem};

/// Parameters of the query. Types deny unknown fields, so that a misspelt parameter is a 400 that names it.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(error) => Err(Problem::bad_request(format!(
                "the query is not what this endpoint takes: {}",
                text(&error)
            ))),
        }
    }
}

/// No parameters of the query at all: one that is given is a 400 that names it, as for [`Query`].
pub(crate) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let first = parts.uri.query().and_then(|query| query.split(['&', '=']).find(|name| !name.is_empty()));
        match first {
            None => Ok(Self),
            Some(name) => {
                let name: String = name.chars().take(64).collect();
                Err(Problem::bad_request(format!("this endpoint takes no parameters, and `{name}` is one")))
            }
        }
    }
}

/// Parameters of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            // What cannot be a name of anything is not there.
            Err(rejection::PathRejection::FailedToDeserializePathParams(_)) => {
                Err(Problem::not_found("there is nothing under this path"))
            }
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}

/// The reason that lies under axum's own sentence.
fn text(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// The whole body, of at most `limit` bytes.
///
/// # Errors
/// 413 where it is longer, whatever its length was said to be; what the layers around say of a body that does not come; 400
/// where the connection ends before it.
pub(crate) async fn body(body: axum::body::Body, limit: u64) -> Result<Bytes, Problem> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) => Err(unread(error.as_ref(), limit as u64)),
    }
}

/// Why a body could not be read: the layers of [`crate::listen`] put their own problem under the error.
pub(crate) fn unread(error: &(dyn std::error::Error + 'static), limit: u64) -> Problem {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return too_large(limit);
        }
        if let Some(problem) = error.downcast_ref::<BodyProblem>() {
            return problem.0.clone();
        }
        cause = error.source();
    }
    Problem::bad_request("the body ended before it was whole")
}

/// A problem that a layer found while the body came in; travels as the body's error to whoever reads it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(crate) struct BodyProblem(pub(crate) Problem);

pub(crate) fn too_large(limit: u64) -> Problem {
    Problem::new(
        Kind::TooLarge,
        format!("the body is larger than the {limit} bytes that are read here at most"),
    )
}

/// The content type without its parameters, in lower case; none where the header is not there.
///
/// # Errors
/// Where it is not text.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let value = value.to_str().map_err(|_| Problem::bad_request("the header Content-Type is not text"))?;
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(Some(essence))
}

/// The body must be of one of these types, or of none that is named, and not compressed: what it grows to would be for the
/// client to say.
pub(crate) fn expect_type(headers: &HeaderMap, types: &[&str]) -> Result<(), Problem> {
    let is_other = |name, usual: &[u8]| {
        headers.get_all(name).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(usual))
    };
    if is_other(header::CONTENT_ENCODING, b"identity") {
        let detail = "a body with Content-Encoding is not read here; send it as it is";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    // `gzip, chunked` would come in parts that nobody unpacked.
    if is_other(header::TRANSFER_ENCODING, b"chunked") {
        let detail =
            "a body with another Transfer-Encoding than `chunked` is not read here; send it as it is";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    match content_type(headers)? {
        Some(given) if !types.contains(&given.as_str()) => {
            let detail = format!("`{given}` is not read here; send {}", types.join(" or "));
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
        _ => Ok(()),
    }
}

/// Whether the client has what this tag stands for (`If-None-Match`). `tag` is without its quotes.
pub(crate) fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|one| one == "*" || one == tag)
}

/// Whether a client that sends this `Accept` wants `wanted` rather than `usual`. Weights count, what is not named does not.
pub(crate) fn prefers(headers: &HeaderMap, wanted: &str, usual: &str) -> bool {
    let accepts: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let quality = |media: &str| {
        let group = media.split_once('/').map_or("", |(group, _)| group);
        let mut best: Option<(u8, f32)> = None;
        for range in accepts.iter().flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            // The most specific range decides.
            let rank = match name.as_str() {
                name if name == media => 3,
                name if name.strip_suffix("/*") == Some(group) => 2,
                "*/*" => 1,
                _ => continue,
            };
            let weight =
                parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            if best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, weight));
            }
        }
        best
    };
    match (quality(wanted), quality(usual)) {
        (Some((_, wanted)), None) => wanted > 0.0,
        // A range that covers both says nothing of which.
        (Some((rank, wanted)), Some((usual_rank, usual))) => {
            wanted > usual || (wanted == usual && wanted > 0.0 && rank > usual_rank)
        }
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())])
    }

    #[test]
    fn the_more_specific_and_the_heavier_range_wins() {
        let csv = |value| prefers(&accept(value), "text/csv", "application/json");
        assert!(csv("text/csv"));
        assert!(csv("text/*"));
        assert!(csv("text/csv, */*;q=0.1"));
        assert!(csv("text/csv, */*"));
        assert!(!csv("*/*"));
        assert!(!csv("application/json, text/csv;q=0.5"));
        assert!(!csv("text/csv;q=0"));
        assert!(!csv("text/html"));
        assert!(!prefers(&HeaderMap::new(), "text/csv", "application/json"));
    }

    #[test]
    fn a_type_is_read_without_its_parameters() {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, "Text/YAML; charset=utf-8".parse().unwrap())]);
        assert_eq!(content_type(&headers).unwrap().as_deref(), Some("text/yaml"));
        assert!(expect_type(&headers, &["application/yaml", "text/yaml"]).is_ok());
        let problem = expect_type(&headers, &["application/json"]).unwrap_err();
        assert_eq!(problem.status, 415);
        assert!(
            problem.detail.contains("text/yaml") && problem.detail.contains("application/json"),
            "{problem:?}"
        );
        assert!(expect_type(&HeaderMap::new(), &["application/json"]).is_ok());
    }

    #[test]
    fn a_compressed_body_is_not_read() {
        let of = |encoding: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, encoding.parse().unwrap())]);
            expect_type(&headers, &["application/json"]).map_err(|problem| problem.status)
        };
        assert_eq!(of("identity"), Ok(()));
        for encoding in ["gzip", "br", "identity, gzip", ""] {
            assert_eq!(of(encoding), Err(415), "{encoding}");
        }
        let in_parts = |coding: &str| {
            let headers = HeaderMap::from_iter([(header::TRANSFER_ENCODING, coding.parse().unwrap())]);
            expect_type(&headers, &["application/json"]).map_err(|problem| problem.status)
        };
        assert_eq!(in_parts("Chunked"), Ok(()));
        assert_eq!(in_parts("gzip, chunked"), Err(415));
    }

    #[test]
    fn a_tag_is_found_among_others() {
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, "\"x\", W/\"abc\"".parse().unwrap())]);
        assert!(has_already(&headers, "abc") && has_already(&headers, "x"));
        assert!(!has_already(&headers, "ab") && !has_already(&HeaderMap::new(), "abc"));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_bound() {
        let whole = body(axum::body::Body::from("four"), 4).await.unwrap();
        assert_eq!(whole, "four");
        assert_eq!(body(axum::body::Body::from("four!"), 4).await.unwrap_err().status, 413);
    }
}
