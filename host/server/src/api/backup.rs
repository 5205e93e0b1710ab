//! Backups of the host.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use http::{HeaderValue, header};
use inquisitor_conductor::Backup;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{BodyProblem, NoQuery};
use super::problems::Usual;
use super::raft;
use crate::app::{App, now};
use crate::gate::{Action, Principal};
use crate::problem::{Kind, Problem};

/// After how long it makes sense to ask again while another backup is being made.
const RETRY_SECONDS: u64 = 30;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(backup))
}

/// Back the cluster up.
///
/// A tar file with the state and all blobs that it names, of one moment, as `inquisitor backup verify` and `restore` take it: every
/// inquiry, plugin, tenant and key (of keys the hashes) and the ledger, on any member. The decision is an entry of the ledger,
/// and in the backup. One at a time on each member. For administrators above tenants. An answer that is shorter than its
/// `Content-Length` was broken off.
#[utoipa::path(
    post, path = "/v1/backup", tag = "host",
    responses(
        (status = 200, description = "The backup.", body = Vec<u8>, content_type = "application/x-tar"),
        Usual,
    )
)]
async fn backup(State(app): State<Arc<App>>, principal: Principal, _: NoQuery) -> Result<Response, Problem> {
    let permit = principal.permit(&app, Action::HostBackup, "", None).await?;
    let turn = app.backups.clone().try_acquire_owned().map_err(|_| {
        let detail = "this member is making a backup already; ask again later, or another member";
        Problem::new(Kind::TooManyRequests, detail).retry_after(RETRY_SECONDS)
    })?;
    raft::record(&app, permit).await?;
    let backup = app.conductor.backup(now()).await?;
    let manifest = backup.manifest();
    tracing::info!(
        request = principal.request,
        key = principal.key,
        bytes = backup.bytes(),
        index = manifest.applied.index,
        blobs = manifest.blobs.count,
        "a backup is being sent"
    );
    let name: String = manifest.created.chars().map(|one| if one == ':' { '-' } else { one }).collect();
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"inquisitor-{name}.tar\""))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar")),
        (header::CONTENT_LENGTH, HeaderValue::from(backup.bytes())),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let sending = Sending { app, principal, backup, _turn: turn };
    let pieces = stream::try_unfold(sending, |mut sending| async move {
        // The headers are gone; all that is left is to cut the answer off.
        let piece = sending.piece().await.map_err(BodyProblem)?;
        Ok::<_, BodyProblem>(piece.map(|piece| (piece, sending)))
    });
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// A backup on its way.
struct Sending {
    app: Arc<App>,
    principal: Principal,
    backup: Backup,
    _turn: OwnedSemaphorePermit,
}

impl Sending {
    async fn piece(&mut self) -> Result<Option<bytes::Bytes>, Problem> {
        if !self.principal.still_holds(&self.app) {
            return Err(Problem::new(Kind::Unauthorized, "the key was revoked or has expired"));
        }
        self.backup.next().await.map_err(|error| Problem::internal(&error))
    }
}
