//! Plugins: uploading, looking at and removing them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inquisitor_engine::catalogue::{Installed, Source, read_component};
use inquisitor_engine::gating::PluginRecord;
use inquisitor_engine::journal::{Command, Journal as _};
use inquisitor_manifest::{Catalogue as _, PluginReference};
use inquisitor_runtime::Capability;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, expect_type, has_already};
use super::install::{self, Installation};
use super::large;
use super::page::{self, Page};
use super::problems::{OfSomething, Usual};
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, upload))
        .routes(routes!(details, remove))
        .routes(routes!(component))
        .routes(routes!(schema))
}

/// Content types of a component.
const COMPONENT_TYPES: [&str; 2] = ["application/wasm", "application/octet-stream"];

/// Where a plugin comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginSource {
    /// A file of this host.
    Shipped,
    /// Somebody uploaded it.
    Uploaded,
}

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plugin {
    /// The plugin's own name: what manifests give as `type`.
    #[schema(example = "thermal-probe")]
    pub name: String,
    /// Semantic version.
    #[schema(example = "1.0.0")]
    pub version: String,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// One line on what it measures.
    pub summary: String,
    /// Other names under which manifests may ask for it.
    pub aliases: Vec<String>,
    /// What it may give readings of.
    pub quantities: Vec<PluginQuantity>,
    /// The access that it would like; granted is what a manifest asks for and its tenant's policy allows.
    pub capabilities: Vec<PluginCapability>,
    /// Where it comes from.
    pub source: PluginSource,
    /// The tenant that alone has it; none where everybody has it.
    pub tenant: Option<String>,
    /// Bytes of the component; none where its file cannot be looked at now.
    pub size: Option<u64>,
    /// When it was uploaded (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<String>,
    /// Id of the key that uploaded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded_by: Option<String>,
}

/// What a plugin measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginQuantity {
    /// Name in readings and axioms; `*` where the parameters decide.
    pub name: String,
    /// UCUM code of the unit in which it is usually given.
    pub unit: String,
    /// What it is.
    pub description: String,
}

/// Access that a plugin would like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginCapability {
    /// `http`, `tcp`, `read-files` or `write-files`.
    pub capability: String,
    /// The authority, address or directory; `*` where the parameters decide.
    pub target: String,
}

/// A plugin with all that it says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetails {
    /// As in the list.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// JSON Schema of the parameters of a session.
    #[schema(value_type = Object)]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// JSON Schema of the parameters of a step.
    #[schema(value_type = Object)]
    pub step_parameters: serde_json::Map<String, serde_json::Value>,
    /// Whether it calibrates itself before it observes.
    pub calibrates: bool,
    /// Whether a session can be saved and gone on with.
    pub checkpoints: bool,
    /// Bytes of linear memory with which a session starts.
    pub minimum_memory: u64,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
}

impl Plugin {
    /// What is said of an installed plugin. Looks at its file where it comes with the host, so off the async threads.
    pub(super) fn of(installed: &Installed) -> Self {
        let description = installed.plugin.description();
        let (source, tenant, size, uploaded, by) = match &installed.source {
            Source::File(path) => {
                let size = std::fs::metadata(path).ok().map(|metadata| metadata.len());
                (PluginSource::Shipped, None, size, None, None)
            }
            Source::Uploaded { tenant, uploaded, uploaded_by, size } => {
                let uploaded = inquisitor_ledger::rfc3339(*uploaded);
                let by = uploaded_by.clone();
                (PluginSource::Uploaded, tenant.clone(), Some(*size), Some(uploaded), Some(by))
            }
        };
        Self {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: installed.plugin.digest().to_owned(),
            summary: description.summary.clone(),
            aliases: description.aliases.clone(),
            quantities: description
                .quantities
                .iter()
                .map(|quantity| PluginQuantity {
                    name: quantity.name.clone(),
                    unit: quantity.unit.clone(),
                    description: quantity.description.clone(),
                })
                .collect(),
            capabilities: description.capabilities.iter().map(capability).collect(),
            source,
            tenant,
            size,
            uploaded,
            uploaded_by: by,
        }
    }

    /// Where it is.
    fn location(&self) -> String {
        format!("/v1/plugins/{}", self.digest)
    }
}

fn capability(capability: &Capability) -> PluginCapability {
    let (name, target) = match capability {
        Capability::Http(target) => ("http", target),
        Capability::Tcp(target) => ("tcp", target),
        Capability::ReadFiles(target) => ("read-files", target),
        Capability::WriteFiles(target) => ("write-files", target),
    };
    PluginCapability { capability: name.to_owned(), target: target.clone() }
}

/// Parameters of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// For keys above tenants: the tenant that alone has the plugin. Everybody has it where none is named. A key with a
    /// tenant uploads to its own.
    #[param(max_length = 63)]
    tenant: Option<String>,
}

/// Upload a plugin.
///
/// The component is checked, compiled and installed; manifests may name it as soon as this is answered. The same bytes again
/// are the same plugin. With `Prefer: respond-async` the answer comes once the component is here, with a resource to ask how
/// far it is.
#[utoipa::path(
    post,
    path = "/v1/plugins",
    tag = "plugins",
    params(
        UploadQuery,
        ("Prefer" = Option<String>, Header, description = "`respond-async`: do not wait for the compiler.", example = "respond-async"),
    ),
    request_body(
        description = "The bytes of a component.",
        content(
            (Vec<u8> = "application/wasm"),
            (Vec<u8> = "application/octet-stream"),
        ),
    ),
    responses(
        (status = 201, description = "It is installed.", body = Plugin, headers(("Location" = String, description = "Path of the plugin."))),
        (status = 200, description = "These bytes were installed before.", body = Plugin, headers(("Location" = String, description = "Path of the plugin."))),
        (status = 202, description = "It is here and will be installed.", body = super::uploads::Upload, headers(
            ("Location" = String, description = "Path of the upload's status."),
            ("Preference-Applied" = String, description = "`respond-async`"),
        )),
        (status = 404, description = "There is no such tenant.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name and version belong to other bytes.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The component is larger than this host takes.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is said to be no component.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The component cannot be installed; `errors` has what `inquisitor plugin check` prints.", body = Problem, content_type = "application/problem+json"),
        Usual,
    )
)]
async fn upload(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tenant = owner(&app, &principal, query.tenant)?;
    let permit = principal.permit(&app, Action::PluginUpload, "", tenant.as_deref()).await?;
    expect_type(&headers, &COMPONENT_TYPES)?;
    let slot = app.uploads.installer.slot()?;
    let received = install::receive(&app.incoming, app.config.max_plugin_bytes, &headers, body).await?;
    let (digest, size) = (received.digest.clone(), received.size);
    let by = principal.key;
    let installation = Installation { app: app.clone(), received, tenant: tenant.clone(), by, permit, slot };
    if !wants_no_wait(&headers) {
        let outcome = installation.run().await?;
        let plugin = off_thread(move || Plugin::of(&outcome.plugin)).await?;
        let status = if outcome.is_new { StatusCode::CREATED } else { StatusCode::OK };
        return Ok((status, [(header::LOCATION, plugin.location())], Json(plugin)).into_response());
    }
    let id = app.uploads.begin(tenant, digest, size);
    let location = format!("/v1/uploads/{id}");
    let upload = app.uploads.get(&id);
    tokio::spawn(async move {
        let result = match installation.run().await {
            Ok(outcome) => off_thread(move || Plugin::of(&outcome.plugin)).await,
            Err(problem) => Err(problem),
        };
        app.uploads.finish(&id, result);
    });
    let headers = [
        (header::LOCATION, location),
        (HeaderName::from_static("preference-applied"), "respond-async".to_owned()),
    ];
    Ok((StatusCode::ACCEPTED, headers, Json(upload)).into_response())
}

/// Whom an upload is for; none: everybody.
fn owner(app: &App, principal: &Principal, asked: Option<String>) -> Result<Option<String>, Problem> {
    let tenant = match (principal.sees(), asked) {
        (None, asked) => asked,
        (Some(own), None) => Some(own.to_owned()),
        (Some(own), Some(asked)) if own == asked => Some(asked),
        (Some(_), Some(asked)) => return Err(no_tenant(&asked)),
    };
    match &tenant {
        Some(name) if app.conductor.registry().tenant(name).is_none() => Err(no_tenant(name)),
        _ => Ok(tenant),
    }
}

pub(super) fn no_tenant(name: &str) -> Problem {
    Problem::not_found(format!("there is no tenant `{}`", shortened(name)))
}

/// A text from a request as it is quoted in an answer.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether the client asks not to wait (RFC 7240).
fn wants_no_wait(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
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
    let installed = app.catalogue.installed();
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
                Some(tenant) => app.catalogue.visible_to(tenant).resolve(&parsed),
                None => app.catalogue.everything().resolve(&parsed),
            };
            resolved.map_err(|error| missing(error.to_string()))?.digest.clone()
        }
    };
    let mut installed = app.catalogue.installed().into_iter();
    installed
        .find(|one| one.plugin.digest() == digest && is_visible(one, sees))
        .ok_or_else(|| missing(format!("there is no plugin {digest}")))
}

fn digest_of(reference: &str) -> Option<&str> {
    let digest = reference.strip_prefix("sha256:").unwrap_or(reference);
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
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
    let turn = app.large.turn().await?;
    let bytes = match installed.source {
        Source::Uploaded { .. } => app.conductor.blob(&digest).await?,
        Source::File(path) => {
            let expected = digest.clone();
            let read = off_thread(move || {
                let bytes = read_component(&path)?;
                let is_same = inquisitor_manifest::digest(&bytes) == expected;
                if is_same { Ok(bytes) } else { Err(format!("{} was replaced since it was loaded", path.display())) }
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
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("attachment"))),
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
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], Json(schema).into_response().into_body()).into_response())
}

/// Remove an uploaded plugin.
///
/// Inquiries that have ended keep what they were run with. One that has not ended holds the plugin: cancel it or wait.
#[utoipa::path(
    delete,
    path = "/v1/plugins/{ref}",
    tag = "plugins",
    params(("ref" = String, Path, description = "Digest or `name@version`; a bare name where there is one version."), OneQuery),
    responses(
        (status = 204, description = "It is removed."),
        (status = 409, description = "An inquiry that has not ended uses it, it comes with the host, or the name fits several.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn remove(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(reference): Path<String>,
    Query(query): Query<OneQuery>,
) -> Result<StatusCode, Problem> {
    let narrowed = query.tenant.is_some();
    let sees = scope(&app, &principal, query.tenant)?;
    // From the records, so that one that cannot be loaded can be removed too.
    let records: Vec<PluginRecord> = app
        .conductor
        .registry()
        .plugins()
        .filter(|record| record.tenant.is_none() || sees.is_none() || record.tenant == sees)
        .filter(|record| is_meant(record, &reference))
        .cloned()
        .collect();
    let own = |record: &&PluginRecord| record.tenant == sees;
    let record = match records.as_slice() {
        [] => {
            let permit = principal.permit(&app, Action::PluginRemove, &shortened(&reference), principal.sees());
            permit.await.map(drop)?;
            // Only to say why: what comes with the host is no upload.
            let shipped = find(&app, &reference, sees.as_deref())?;
            return Err(Problem::conflict(format!(
                "{} {} comes with this host; remove its file and start the host again",
                shipped.plugin.description().name,
                shipped.plugin.description().version
            )));
        }
        [one] => one,
        // The tenant's own before everybody's, where a tenant is spoken of.
        several => match several.iter().filter(own).collect::<Vec<_>>().as_slice() {
            [one] if narrowed || sees.is_some() => *one,
            _ => {
                let names: Vec<String> = several.iter().map(|record| full_name(record)).collect();
                let detail = format!("several plugins are meant: {}; name one by digest and tenant", names.join(", "));
                return Err(Problem::conflict(detail));
            }
        },
    };
    let permit =
        principal.permit(&app, Action::PluginRemove, &record.digest, record.tenant.as_deref().or(principal.sees())).await?;
    if record.tenant.is_none() && principal.sees().is_some() {
        return Err(Problem::forbidden("everybody has this plugin; it takes a key above tenants to remove it"));
    }
    let (digest, tenant) = (record.digest.clone(), record.tenant.clone());
    let command = Command::RemovePlugin { digest: digest.clone(), tenant: tenant.clone(), at: super::now() };
    app.change(permit, command).await?;
    app.catalogue.remove_uploaded(&digest, tenant.as_deref());
    Ok(StatusCode::NO_CONTENT)
}

fn is_meant(record: &PluginRecord, reference: &str) -> bool {
    if let Some(digest) = digest_of(reference) {
        return record.digest == digest;
    }
    match reference.split_once('@') {
        None => record.name == reference,
        Some((name, version)) => record.name == name && record.version == version,
    }
}

fn full_name(record: &PluginRecord) -> String {
    let owner = record.tenant.as_deref().map_or_else(|| "everybody".to_owned(), |tenant| format!("tenant {tenant}"));
    format!("{}@{} {} of {owner}", record.name, record.version, record.digest)
}

/// Run what may block.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
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
    fn a_preference_is_found_among_others() {
        let with = |value: &str| {
            wants_no_wait(&HeaderMap::from_iter([(HeaderName::from_static("prefer"), value.parse().unwrap())]))
        };
        assert!(with("respond-async") && with("wait=10, Respond-Async"));
        assert!(!with("respond-asynchronously") && !wants_no_wait(&HeaderMap::new()));
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
