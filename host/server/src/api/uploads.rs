//! Uploads that a client did not wait for (`Prefer: respond-async`), and what became of them.
//!
//! Their status is kept in memory, of the last `KEPT` of them: it is for the client that asked, shortly after. What was
//! installed is in the list of plugins and in the ledger.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, Path};
use super::install::Installer;
use super::plugins::Plugin;
use super::problems::OfSomething;
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

/// Uploads whose status is kept.
const KEPT: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// The component came in and is being checked, compiled and installed.
    Pending,
    /// It is installed.
    Done,
    /// It is not; `problem` says why.
    Failed,
}

/// An upload that its client did not wait for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// Identifier.
    pub id: String,
    /// How far it is.
    pub status: UploadStatus,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// Bytes of the component.
    pub size: u64,
    /// What was installed, once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Plugin>,
    /// Why it was not, once it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Uploads that are under way or that a client may ask about.
#[derive(Default)]
pub(crate) struct Uploads {
    pub(super) installer: Installer,
    /// Oldest first, each with the tenant that it is for.
    kept: Mutex<VecDeque<(Option<String>, Upload)>>,
}

impl Uploads {
    /// Remember one that came in.
    pub(super) fn begin(&self, tenant: Option<String>, digest: String, size: u64) -> String {
        let id = uuid::Uuid::now_v7().to_string();
        let upload = Upload {
            id: id.clone(),
            status: UploadStatus::Pending,
            digest,
            size,
            plugin: None,
            problem: None,
        };
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            // There are far fewer pending ones than are kept, so one that is over is near.
            let over = kept.iter().position(|(_, upload)| upload.status != UploadStatus::Pending);
            kept.remove(over.unwrap_or(0));
        }
        kept.push_back((tenant, upload));
        id
    }

    /// Remember what became of it.
    pub(super) fn finish(&self, id: &str, result: Result<Plugin, Problem>) {
        let mut kept = self.kept();
        // The youngest are at the end.
        let Some((_, upload)) = kept.iter_mut().rev().find(|(_, upload)| upload.id == id) else { return };
        match result {
            Ok(plugin) => {
                upload.status = UploadStatus::Done;
                upload.plugin = Some(plugin);
            }
            Err(problem) => {
                upload.status = UploadStatus::Failed;
                upload.problem = Some(problem);
            }
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<(Option<String>, Upload)> {
        self.kept().iter().rev().find(|(_, upload)| upload.id == id).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Option<String>, Upload)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Status of an upload.
///
/// Of an upload that was sent with `Prefer: respond-async`. Kept in memory for the last 1000 uploads to this host.
#[utoipa::path(
    get,
    path = "/v1/uploads/{id}",
    tag = "plugins",
    params(("id" = String, Path, description = "Id of the upload, from `Location` of the 202.")),
    responses((status = 200, description = "How far it is.", body = Upload), OfSomething)
)]
async fn upload(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<Upload>, Problem> {
    let missing = || {
        Problem::not_found(
            "there is no such upload; its status is forgotten after a restart and after many others",
        )
    };
    let (tenant, upload) = app.uploads.get(&id).ok_or_else(missing)?;
    let is_seen = match &tenant {
        Some(tenant) => principal.sees_tenant(tenant),
        // For everybody: the business of those above tenants.
        None => principal.sees().is_none(),
    };
    if !is_seen {
        return Err(missing());
    }
    principal.permit(&app, Action::PluginRead, &id, tenant.as_deref()).await.map(drop)?;
    Ok(Json(upload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_the_last_uploads_is_kept_and_pending_ones_longest() {
        let uploads = Uploads::default();
        let pending = uploads.begin(None, "d".into(), 1);
        let mut ids = Vec::new();
        for _ in 0..2 * KEPT {
            let id = uploads.begin(Some("t".into()), "d".into(), 1);
            uploads.finish(&id, Err(Problem::conflict("no")));
            ids.push(id);
        }
        assert_eq!(uploads.kept().len(), KEPT);
        assert_eq!(uploads.get(&pending).unwrap().1.status, UploadStatus::Pending);
        assert!(uploads.get(&ids[0]).is_none());
        let (tenant, last) = uploads.get(ids.last().unwrap()).unwrap();
        assert_eq!((tenant.as_deref(), last.status), (Some("t"), UploadStatus::Failed));
        assert_eq!(last.problem.unwrap().detail, "no");
    }
}
