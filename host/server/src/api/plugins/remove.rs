//! Removing plugins.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use inquisitor_engine::gating::PluginRecord;
use inquisitor_engine::journal::Command;

use super::{OneQuery, digest_of, find, scope};
use crate::api::extract::{Path, Query};
use crate::api::problems::OfSomething;
use crate::api::shared::shortened;
use crate::app::{App, now};
use crate::gate::{Action, Principal};
use crate::problem::Problem;

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
pub(super) async fn remove(
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
            let shown = shortened(&reference);
            principal.permit(&app, Action::PluginRemove, &shown, principal.sees()).await.map(drop)?;
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
                let names: Vec<String> = several.iter().map(full_name).collect();
                let detail =
                    format!("several plugins are meant: {}; name one by digest and tenant", names.join(", "));
                return Err(Problem::conflict(detail));
            }
        },
    };
    // What everybody has takes a key above tenants.
    let permit =
        principal.permit(&app, Action::PluginRemove, &record.digest, record.tenant.as_deref()).await?;
    let (digest, tenant) = (record.digest.clone(), record.tenant.clone());
    let command = Command::RemovePlugin { digest: digest.clone(), tenant: tenant.clone(), at: now() };
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
    let owner =
        record.tenant.as_deref().map_or_else(|| "everybody".to_owned(), |tenant| format!("tenant {tenant}"));
    format!("{}@{} {} of {owner}", record.name, record.version, record.digest)
}
