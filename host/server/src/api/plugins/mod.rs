//! Plugins: uploading, looking at and removing them.

mod remove;
mod types;
mod upload;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use inquisitor_engine::catalogue::{Installed, Source, read_component};
use inquisitor_engine::journal::Journal as _;
use inquisitor_manifest::{Catalogue as _, PluginReference};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, has_already};
use super::large;
use super::page::{self, Page};
use super::problems::OfSomething;
use super::shared::{off_thread, shortened};
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

pub use types::{Plugin, PluginCapability, PluginDetails, PluginQuantity, PluginSource};

use remove::{__path_remove, remove};
use upload::{__path_upload, owner, upload};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .routes(routes!(details, remove))
        .routes(routes!(component))
        .routes(routes!(schema))
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only plugins of this name or alias.
    #[param(max_length = 64)]
    name: Option<String>,
    /// For keys above tenants: only what this tenant sees.
    #[param(max_length = 63)]
    tenant: Option<String>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List plugins.
///
/// Those that come with the host, those that everybody has and the tenant's own, in order of name, version and digest.
#[utoipa::path(
    get,
    path = "/v1/plugins",
    tag = "plugins",
    params(ListQuery),
    responses((status = 200, description = "A page of plugins.", body = Page<Plugin>), OfSomething)
)]
async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Plugin>>, Problem> {
    let sees = scope(&app, &principal, query.tenant)?;
    principal.permit(&app, Action::PluginRead, "", principal.sees()).await.map(drop)?;
    let limit = page::limit(query.limit)?;
    let after = query.cursor.as_deref().map(position_of).transpose()?;
    let installed = app.plugins()?.installed();
    let page = off_thread(move || {
        let mut found: Vec<(Position, &Installed)> = installed
            .iter()
            .filter(|one| is_visible(one, sees.as_deref()) && is_named(one, query.name.as_deref()))
            .map(|one| (position(one), one))
            .filter(|(position, _)| after.as_ref().is_none_or(|after| position > after))
            .collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(position, _)| cursor_of(position));
        Page { items: found.into_iter().map(|(_, one)| Plugin::of(one)).collect(), next }
    });
    Ok(Json(page.await?))
}

/// Whose plugins are looked at; none: everybody's.
fn scope(app: &App, principal: &Principal, asked: Option<String>) -> Result<Option<String>, Problem> {
    match asked {
        None => Ok(principal.sees().map(str::to_owned)),
        Some(asked) => owner(app, principal, Some(asked)),
    }
}

fn is_visible(installed: &Installed, sees: Option<&str>) -> bool {
    match &installed.source {
        Source::File(_) | Source::Uploaded { tenant: None, .. } => true,
        Source::Uploaded { tenant: Some(owner), .. } => sees.is_none_or(|sees| sees == owner),
    }
}

fn is_named(installed: &Installed, name: Option<&str>) -> bool {
    let description = installed.plugin.description();
    name.is_none_or(|name| description.name == name || description.aliases.iter().any(|alias| alias == name))
}

/// Place in the list: name, version, digest, and the tenant, since two may have the same bytes.
type Position = (String, String, String, Option<String>);

fn position(installed: &Installed) -> Position {
    let description = installed.plugin.description();
    let tenant = match &installed.source {
        Source::File(_) => None,
        Source::Uploaded { tenant, .. } => tenant.clone(),
    };
    (description.name.clone(), description.version.clone(), installed.plugin.digest().to_owned(), tenant)
}

fn cursor_of(position: &Position) -> String {
    hex::encode(serde_json::to_vec(position).unwrap_or_default())
}

fn position_of(cursor: &str) -> Result<Position, Problem> {
    let bytes = hex::decode(cursor).map_err(|_| page::bad_cursor())?;
    serde_json::from_slice(&bytes).map_err(|_| page::bad_cursor())
}

/// Parameters of what names one plugin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OneQuery {
    /// For keys above tenants: the tenant as whose manifests would the name is read.
    #[param(max_length = 63)]
    tenant: Option<String>,
}

/// Details of a plugin.
#[utoipa::path(
    get,
    path = "/v1/plugins/{ref}",
    tag = "plugins",
    params(
        ("ref" = String, Path, description = "Digest, `name@version`, or a name or alias for the newest version of it.", example = "thermal-probe@1.0.0"),
        OneQuery,
    ),
    responses((status = 200, description = "All that it says of itself.", body = PluginDetails), OfSomething)
)]
async fn details(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(reference): Path<String>,
    Query(query): Query<OneQuery>,
) -> Result<Json<PluginDetails>, Problem> {
    let installed = readable(&app, &principal, &reference, query.tenant).await?;
    let details = off_thread(move || {
        let description = installed.plugin.description();
        PluginDetails {
            plugin: Plugin::of(&installed),
            parameters: description.parameters_schema.clone(),
            step_parameters: description.step_parameters_schema.clone(),
            calibrates: description.lifecycle.calibrate,
            checkpoints: description.lifecycle.checkpoint,
            minimum_memory: description.minimum_memory,
            imports: description.imports.clone(),
        }
    });
    Ok(Json(details.await?))
}

/// The plugin that a path names, if this principal may look at it.
async fn readable(
    app: &App,
    principal: &Principal,
    reference: &str,
    tenant: Option<String>,
) -> Result<Installed, Problem> {
    let sees = scope(app, principal, tenant)?;
    principal.permit(app, Action::PluginRead, &shortened(reference), principal.sees()).await.map(drop)?;
    find(app, reference, sees.as_deref())
}

/// The plugin of this digest or name, as a manifest of this tenant would get it.
fn find(app: &App, reference: &str, sees: Option<&str>) -> Result<Installed, Problem> {
    let missing = |message: String| Problem::not_found(message);
    let digest = match digest_of(reference) {
        Some(digest) => digest.to_owned(),
        None => {
            let shown = shortened(reference);
            let parsed: PluginReference =
                reference.parse().map_err(|error| missing(format!("`{shown}` names no plugin: {error}")))?;
            let resolved = match sees {
                Some(tenant) => app.plugins()?.visible_to(tenant).resolve(&parsed),
                None => app.plugins()?.everything().resolve(&parsed),
            };
            resolved.map_err(|error| missing(error.to_string()))?.digest.clone()
        }
    };
    let mut installed = app.plugins()?.installed().into_iter();
    installed
        .find(|one| one.plugin.digest() == digest && is_visible(one, sees))
        .ok_or_else(|| missing(format!("there is no plugin {digest}")))
}

fn digest_of(reference: &str) -> Option<&str> {
    let digest = reference.strip_prefix("sha256:").unwrap_or(reference);
    let is_digest =
        digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest.then_some(digest)
}

/// The bytes of a plugin.
#[utoipa::path(
    get,
    path = "/v1/plugins/{ref}/component",
    tag = "plugins",
    params(
        ("ref" = String, Path, description = "Digest, `name@version`, or a name or alias."),
        OneQuery,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of an earlier answer."),
    ),
    responses(
        (status = 200, description = "The component.", body = Vec<u8>, content_type = "application/wasm", headers(("ETag" = String, description = "Its digest."))),
        (status = 304, description = "The client has it."),
        OfSomething,
    )
)]
async fn component(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(reference): Path<String>,
    Query(query): Query<OneQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let installed = readable(&app, &principal, &reference, query.tenant).await?;
    let digest = installed.plugin.digest().to_owned();
    let tag = [(header::ETAG, format!("\"{digest}\""))];
    if has_already(&headers, &digest) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let turn = app.large.turn(principal.sees()).await?;
    let bytes = match installed.source {
        Source::Uploaded { .. } => app.conductor.blob(&digest).await?,
        Source::File(path) => {
            let expected = digest.clone();
            let read = off_thread(move || {
                let bytes = read_component(&path)?;
                let is_same = inquisitor_manifest::digest(&bytes) == expected;
                if is_same {
                    Ok(bytes)
                } else {
                    Err(format!("{} was replaced since it was loaded", path.display()))
                }
            });
            read.await?.map_err(|message| Problem::internal(&std::io::Error::other(message)))?
        }
    };
    let description = installed.plugin.description();
    let name = format!("attachment; filename=\"{}-{}.wasm\"", description.name, description.version);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/wasm")),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes.len())),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ];
    Ok((tag, headers, large::body(turn, bytes.into())).into_response())
}

/// Parameters of a plugin's schema.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SchemaQuery {
    /// Whose parameters: of the `session` (the instrument in a manifest) or of a `step`.
    #[param(inline)]
    of: Option<SchemaOf>,
    /// For keys above tenants: the tenant as whose manifests would the name is read.
    #[param(max_length = 63)]
    tenant: Option<String>,
}

/// Whose parameters a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SchemaOf {
    Session,
    Step,
}

/// JSON Schema of a plugin's parameters.
#[utoipa::path(
    get,
    path = "/v1/plugins/{ref}/schema",
    tag = "plugins",
    params(("ref" = String, Path, description = "Digest, `name@version`, or a name or alias."), SchemaQuery),
    responses((status = 200, description = "The schema, as the plugin gave it.", body = Object, content_type = "application/schema+json"), OfSomething)
)]
async fn schema(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(reference): Path<String>,
    Query(query): Query<SchemaQuery>,
) -> Result<Response, Problem> {
    let installed = readable(&app, &principal, &reference, query.tenant).await?;
    let description = installed.plugin.description();
    let schema = match query.of.unwrap_or(SchemaOf::Session) {
        SchemaOf::Session => &description.parameters_schema,
        SchemaOf::Step => &description.step_parameters_schema,
    };
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], Json(schema).into_response().into_body())
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_its_place_and_nothing_else_is_one() {
        let position: Position = ("a".into(), "1.0.0".into(), "d".into(), None);
        assert_eq!(position_of(&cursor_of(&position)).unwrap(), position);
        for wrong in ["", "zz", "00", "5b5d"] {
            assert_eq!(position_of(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_told_from_a_name() {
        let digest = "ab".repeat(32);
        assert_eq!(digest_of(&digest), Some(digest.as_str()));
        assert_eq!(digest_of(&format!("sha256:{digest}")), Some(digest.as_str()));
        for name in ["echo", "../../etc/passwd", &"AB".repeat(32), &"ab".repeat(33)] {
            assert_eq!(digest_of(name), None, "{name}");
        }
    }
}
