//! Declared manifests: what lies in the directory of this host, and how it stands.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use inquisitor_manifest::Diagnostic;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, Path, Query};
use super::page;
use super::problems::{OfSomething, Usual};
use super::shared::shortened;
use crate::app::App;
use crate::declared::{Declaration, State as ManifestState};
use crate::gate::{Action, Principal};
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// The declared manifests, a page of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeclaredManifests {
    /// By name of the file.
    pub items: Vec<DeclaredManifest>,
    /// Where the next page begins: the `cursor` to ask for it with. None on the last page.
    pub next: Option<String>,
    /// Whether this host was started with a directory of declared manifests.
    pub configured: bool,
    /// Whether this host leads and so makes what runs the same as what is declared. The others only show.
    pub leader: bool,
    /// When the directory was last read (RFC 3339); none before the first time.
    pub read: Option<String>,
    /// What is wrong with the directory as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A file of the directory of declared manifests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeclaredManifest {
    /// Name of the file in the directory.
    #[schema(example = "cold-chain.yaml")]
    pub file: String,
    /// How it stands.
    pub state: ManifestState,
    /// The tenant, as far as the file could be understood.
    pub tenant: Option<String>,
    /// The manifest's id, as far as the file could be understood.
    pub manifest: Option<String>,
    /// SHA-256 of the text, lower-case hex; none where it cannot be read.
    pub digest: Option<String>,
    /// Id of its inquiry: the one that runs, or the last one.
    pub inquiry: Option<String>,
    /// Why it is pending or broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Errors in the manifest.
    pub errors: usize,
    /// Warnings about the manifest.
    pub warnings: usize,
    /// The first 20 errors and warnings, each with its line, as `inquisitor validate` prints them.
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: Vec<Diagnostic>,
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those in this state.
    state: Option<ManifestState>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List declared manifests.
///
/// What lies in this host's directory of declared manifests, how each file stands, and what is wrong with it. A key with a
/// tenant sees the files of its tenant; those that could not be understood are seen by keys above tenants.
#[utoipa::path(
    get,
    path = "/v1/manifests",
    tag = "manifests",
    params(ListQuery),
    responses(
        (status = 200, description = "A page of them.", body = DeclaredManifests),
        Usual,
    )
)]
async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<DeclaredManifests>, Problem> {
    principal.permit(&app, Action::ManifestRead, "", principal.sees()).await.map(drop)?;
    let limit = page::limit(query.limit)?;
    let after = query.cursor.as_deref().map(after).transpose()?;
    let board = app.declared.board();
    let mut found = board
        .files
        .iter()
        .filter(|(file, _)| after.as_ref().is_none_or(|after| *file > after))
        .filter(|(_, declaration)| is_seen(&principal, declaration))
        .filter(|(_, declaration)| query.state.is_none_or(|state| declaration.state == state));
    let items: Vec<DeclaredManifest> =
        found.by_ref().take(limit).map(|(file, declaration)| view(file, declaration)).collect();
    let next = found.next().and_then(|_| items.last()).map(|last| hex::encode(&last.file));
    Ok(Json(DeclaredManifests {
        items,
        next,
        configured: app.config.manifest_dir.is_some(),
        leader: board.leads,
        read: board.looked.map(inquisitor_ledger::rfc3339),
        problem: board.problem.clone(),
    }))
}

/// A cursor is the name of the last file, in hex so that nobody takes it for a name.
fn after(cursor: &str) -> Result<String, Problem> {
    let bytes = hex::decode(cursor).map_err(|_| page::bad_cursor())?;
    String::from_utf8(bytes).map_err(|_| page::bad_cursor())
}

/// Show a declared manifest.
#[utoipa::path(
    get,
    path = "/v1/manifests/{file}",
    tag = "manifests",
    params(("file" = String, Path, description = "Name of the file in the directory.", example = "cold-chain.yaml")),
    responses(
        (status = 200, description = "How it stands.", body = DeclaredManifest),
        OfSomething,
    )
)]
async fn show(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(file): Path<String>,
    _: NoQuery,
) -> Result<Json<DeclaredManifest>, Problem> {
    principal.permit(&app, Action::ManifestRead, &file, principal.sees()).await.map(drop)?;
    // Looked up among what was read, so that a name never becomes a path.
    let board = app.declared.board();
    match board.files.get(&file).filter(|declaration| is_seen(&principal, declaration)) {
        Some(declaration) => Ok(Json(view(&file, declaration))),
        None => Err(Problem::not_found(format!("no file `{}` is declared", shortened(&file)))),
    }
}

/// A file that could not be understood may be anybody's.
fn is_seen(principal: &Principal, declaration: &Declaration) -> bool {
    match &declaration.tenant {
        Some(tenant) => principal.sees_tenant(tenant),
        None => principal.sees().is_none(),
    }
}

fn view(file: &str, declaration: &Declaration) -> DeclaredManifest {
    DeclaredManifest {
        file: file.to_owned(),
        state: declaration.state,
        tenant: declaration.tenant.clone(),
        manifest: declaration.manifest_id.clone(),
        digest: declaration.digest.clone(),
        inquiry: declaration.inquiry.clone(),
        message: declaration.message.clone(),
        errors: declaration.errors,
        warnings: declaration.warnings,
        diagnostics: declaration.diagnostics.clone(),
    }
}
