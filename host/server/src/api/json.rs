//! Bodies in JSON.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use super::extract::{body, expect_type};
use crate::app::App;
use crate::problem::Problem;

/// A body in JSON. Types deny unknown fields, so that a misspelt one is a 400 that names it and its place.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        expect_type(request.headers(), &["application/json"])?;
        let bytes = body(request.into_body(), app.config.max_body_bytes).await?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Err(Problem::bad_request("the body is empty; this endpoint takes a JSON object"));
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        match path.as_str() {
            "." | "?" => Problem::bad_request(format!("the body: {message}")),
            path => Problem::bad_request(format!("the body, at `{path}`: {message}")),
        }
    })?;
    match parser.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(Problem::bad_request(format!("the body goes on after its JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read matters and not what for")]
    struct Outer {
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "what is read matters and not what for")]
    struct Inner {
        count: u32,
    }

    fn detail(text: &str) -> String {
        parse::<Outer>(text.as_bytes()).unwrap_err().detail
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        assert!(parse::<Outer>(br#"{"inner":[{"count":1}]}"#).is_ok());
        assert!(detail(r#"{"inner":[{"count":1},{"count":-1}]}"#).contains("at `inner[1].count`"));
        assert!(detail(r#"{"inner":[],"more":1}"#).contains("unknown field `more`"));
        assert!(detail("").contains("empty"));
        assert!(detail("{").contains("EOF"));
        assert!(detail(r#"{"inner":[]} x"#).contains("goes on"));
        assert!(!detail(&"[".repeat(10_000)).is_empty());
        assert!(parse::<Outer>(b"\xff\xfe").is_err());
    }
}
