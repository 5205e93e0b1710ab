//! Uploading plugins.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::types::Plugin;
use crate::api::extract::{Query, expect_type};
use crate::api::install::{self, Installation};
use crate::api::problems::Usual;
use crate::api::shared::{no_tenant, off_thread};
use crate::api::uploads::Upload;
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

/// Content types of a component.
const COMPONENT_TYPES: [&str; 2] = ["application/wasm", "application/octet-stream"];

/// Parameters of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
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
        (status = 202, description = "It is here and will be installed.", body = Upload, headers(
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
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tenant = owner(&app, &principal, query.tenant)?;
    let permit = principal.permit(&app, Action::PluginUpload, "", tenant.as_deref()).await?;
    expect_type(&headers, &COMPONENT_TYPES)?;
    let slot = app.uploads.installer.slot(principal.sees())?;
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
    let upload = app.uploads.get(&id).map(|(_, upload)| upload);
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
pub(super) fn owner(
    app: &App,
    principal: &Principal,
    asked: Option<String>,
) -> Result<Option<String>, Problem> {
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

/// Whether the client asks not to wait (RFC 7240).
fn wants_no_wait(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_found_among_others() {
        let with = |value: &str| {
            wants_no_wait(&HeaderMap::from_iter([(
                HeaderName::from_static("prefer"),
                value.parse().unwrap(),
            )]))
        };
        assert!(with("respond-async") && with("wait=10, Respond-Async"));
        assert!(!with("respond-asynchronously") && !wants_no_wait(&HeaderMap::new()));
    }
}
