//! The host itself: whether it lives and is ready, how the cluster stands, and the description of the API.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use inquisitor_engine::journal::Journal as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, has_already};
use super::problems::Usual;
use super::raft::{self, Raft};
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

/// What is answered without a key.
pub(super) fn open_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(openapi))
        .routes(routes!(openapi_v1))
}

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// That the host lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    pub status: String,
}

/// Whether the host should be sent requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// `ready` or `not-ready`.
    #[schema(example = "ready")]
    pub status: String,
    /// What is missing.
    pub reasons: Vec<String>,
}

/// The host at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostStatus {
    /// Version of the host.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Seconds since it was started.
    pub uptime_seconds: u64,
    /// Whether it should be sent requests, and what is missing if not.
    pub ready: Ready,
    /// How the cluster stands, as this member sees it.
    pub raft: Raft,
    /// The ledger as it stands here.
    pub ledger: LedgerHead,
    /// Inquiries, in all and on this member.
    pub inquiries: InquiryCounts,
    /// Plugins of this host.
    pub plugins: PluginCounts,
    /// Number of tenants.
    pub tenants: u64,
    /// Number of keys, revoked ones included.
    pub keys: u64,
    /// Streams of events that are open here.
    pub event_streams: u64,
    /// Bytes on this member's disk.
    pub stores: StoreBytes,
}

/// Position and root of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerHead {
    /// Number of entries.
    pub size: u64,
    /// Merkle tree hash, lower-case hex.
    pub root: String,
}

/// Numbers of inquiries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InquiryCounts {
    /// Ever submitted.
    pub total: u64,
    /// Not ended.
    pub unfinished: u64,
    /// Driven on this member now, the continuous ones not among them.
    pub running: u64,
    /// Waiting on this member for their turn.
    pub queued: u64,
    /// Continuous ones that are driven on this member.
    pub continuous: u64,
}

/// Numbers of plugins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginCounts {
    /// Installed, of all tenants.
    pub installed: u64,
    /// That cannot be used; the host's log says why.
    pub broken: u64,
}

/// Bytes on this member's disk, by store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreBytes {
    /// The log of consensus.
    pub log: u64,
    /// The state that it makes.
    pub state: u64,
    /// Components, manifests, readings, transcripts and reports.
    pub blobs: u64,
}

/// Say that the host lives.
///
/// For liveness probes: answered for as long as the process can answer at all.
#[utoipa::path(
    get, path = "/health", tag = "host", security(()),
    responses((status = 200, description = "It lives.", body = Health))
)]
async fn health() -> axum::Json<Health> {
    axum::Json(Health { status: "ok".to_owned() })
}

/// Say whether requests should be sent here.
///
/// For readiness probes: not while plugins are loaded, while the cluster cannot commit, or while the host stops.
#[utoipa::path(
    get, path = "/ready", tag = "host", security(()),
    responses(
        (status = 200, description = "Requests may come.", body = Ready),
        (status = 503, description = "They should go elsewhere; `reasons` says why.", body = Ready),
    )
)]
async fn ready(State(app): State<Arc<App>>) -> (StatusCode, axum::Json<Ready>) {
    let ready = readiness(&app).await;
    let status = if ready.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(ready))
}

async fn readiness(app: &App) -> Ready {
    let reasons = app.readiness.reasons(&app.conductor).await;
    let status = if reasons.is_empty() { "ready" } else { "not-ready" };
    Ready { status: status.to_owned(), reasons }
}

/// Show the host at a glance.
///
/// For keys above tenants.
#[utoipa::path(
    get, path = "/v1/status", tag = "host",
    responses((status = 200, description = "The host at a glance.", body = HostStatus), Usual)
)]
async fn status(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
) -> Result<axum::Json<HostStatus>, Problem> {
    let _permit = principal.permit(&app, Action::HostRead, "", None).await?;
    let checkpoint = app.conductor.checkpoint().await?;
    let sizes = app.conductor.sizes().await.map_err(|error| Problem::internal(&error))?;
    let (counts, registry) = (app.dispatcher.counts(), app.conductor.registry());
    Ok(axum::Json(HostStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: app.started.elapsed().as_secs(),
        ready: readiness(&app).await,
        raft: raft::of(&app).await?,
        ledger: LedgerHead { size: checkpoint.size, root: checkpoint.root },
        inquiries: InquiryCounts {
            total: sizes.inquiries,
            unfinished: sizes.unfinished,
            running: counts.running as u64,
            queued: counts.queued as u64,
            continuous: counts.continuous as u64,
        },
        plugins: PluginCounts {
            installed: app.catalogue.installed().len() as u64,
            broken: app.catalogue.broken().len() as u64,
        },
        tenants: registry.tenants().count() as u64,
        keys: registry.keys().count() as u64,
        event_streams: app.hub.open_streams() as u64,
        stores: StoreBytes { log: sizes.log_bytes, state: sizes.state_bytes, blobs: sizes.blob_bytes },
    }))
}

/// Describe the API.
///
/// This document, in OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", tag = "host", security(()),
    responses(
        (status = 200, description = "The description.", body = Object, headers(("ETag" = String, description = "Tag of this version."))),
        (status = 304, description = "It is the one of `If-None-Match`."),
    )
)]
async fn openapi(headers: HeaderMap) -> Response {
    let document = super::document();
    let tag = format!("\"{}\"", document.tag);
    if has_already(&headers, &document.tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, tag)];
    (headers, document.bytes.clone()).into_response()
}

/// Describe the API.
///
/// The same document as `/openapi.json`.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "host", security(()),
    responses(
        (status = 200, description = "The description.", body = Object, headers(("ETag" = String, description = "Tag of this version."))),
        (status = 304, description = "It is the one of `If-None-Match`."),
    )
)]
async fn openapi_v1(headers: HeaderMap) -> Response {
    openapi(headers).await
}
