//! The reports of an inquiry.
//!
//! Their text comes from manifests and plugins that nobody trusts. A browser that opens one gets it as a download or sandboxed:
//! no scripts, no requests, no guessing of its type.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inquisitor_engine::journal::{Journal as _, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, Path, has_already};
use super::inquiries;
use super::large;
use super::problems::OfSomething;
use super::shared::shortened;
use crate::app::App;
use crate::gate::Principal;
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(artifact))
}

/// What a browser may do with an artifact: show it, with the styles that are in it.
const POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";

/// The reports of an inquiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifacts {
    /// All of them, in the manifest's order.
    pub items: Vec<Artifact>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Name of the file.
    #[schema(example = "detailed_report.html")]
    pub name: String,
    /// SHA-256 of its bytes, lower-case hex, as in the ledger.
    pub digest: String,
    /// Media type.
    #[schema(example = "text/html; charset=utf-8")]
    pub media_type: String,
}

/// List the reports of an inquiry. There are none before it is concluded.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/artifacts",
    tag = "inquiries",
    params(("id" = String, Path, description = "Id of the inquiry.")),
    responses((status = 200, description = "The reports.", body = Artifacts), OfSomething)
)]
async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<Artifacts>, Problem> {
    let artifacts = of(&app, &principal, &id).await?;
    let items = artifacts
        .into_iter()
        .map(|(name, digest)| Artifact { media_type: media_type(&name).to_owned(), name, digest })
        .collect();
    Ok(Json(Artifacts { items }))
}

/// Names and digests.
async fn of(app: &App, principal: &Principal, id: &str) -> Result<Vec<(String, String)>, Problem> {
    let (_, inquiry) = inquiries::read(app, principal, id).await?;
    Ok(match inquiry.status {
        Status::Concluded { artifacts, .. } => artifacts,
        Status::Running | Status::Aborted { .. } => Vec::new(),
    })
}

/// A report of an inquiry.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/artifacts/{name}",
    tag = "inquiries",
    params(
        ("id" = String, Path, description = "Id of the inquiry."),
        ("name" = String, Path, description = "Name of the report.", example = "detailed_report.html"),
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer."),
    ),
    responses(
        (status = 200, description = "The report.", content(
            (String = "text/markdown"), (String = "text/html"), (Object = "application/json"), (String = "image/svg+xml"), (Vec<u8> = "application/octet-stream"),
        ), headers(("ETag" = String, description = "Its digest."))),
        (status = 304, description = "The client has it."),
        OfSomething,
    )
)]
async fn artifact(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path((id, name)): Path<(String, String)>,
    _: NoQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let artifacts = of(&app, &principal, &id).await?;
    // The name is only ever compared with those of the inquiry.
    let found = artifacts.into_iter().find(|(known, _)| *known == name);
    let (name, digest) = found.ok_or_else(|| {
        Problem::not_found(format!("the inquiry {id} has no report `{}`", shortened(&name)))
    })?;
    let tag = [(header::ETAG, format!("\"{digest}\""))];
    if has_already(&headers, &digest) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let turn = app.large.turn(principal.sees()).await?;
    let bytes = app.conductor.blob(&digest).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type(&name))),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes.len())),
        (header::CONTENT_DISPOSITION, disposition(&name)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((tag, headers, large::body(turn, bytes.into())).into_response())
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("md") => "text/markdown; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// To be saved under its name, of which only plain characters are left.
fn disposition(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() || "-_.".contains(one) { one } else { '_' })
        .collect();
    HeaderValue::try_from(format!("attachment; filename=\"{plain}\""))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_saved_under_a_plain_name() {
        assert_eq!(disposition("report-2.md"), "attachment; filename=\"report-2.md\"");
        assert_eq!(disposition("a\"\r\nb/ü"), "attachment; filename=\"a___b__\"");
    }

    #[test]
    fn the_type_follows_the_ending_and_is_never_guessed() {
        assert_eq!(media_type("a.html"), "text/html; charset=utf-8");
        assert_eq!(media_type("a.html.exe"), "application/octet-stream");
        assert_eq!(media_type("html"), "application/octet-stream");
    }
}
