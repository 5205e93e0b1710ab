//! The API: one file for each resource, with its types, its handlers and their description.
//!
//! Each file has a function `routes` that `guarded` puts together; `openapi.json` is made from the same declarations, so
//! that no route is served and not described. `extract`, `json`, `page` and `shared` are what handlers share.

pub mod artifacts;
mod backup;
mod consistency;
pub mod events;
pub(crate) mod extract;
pub mod inquiries;
pub(crate) mod install;
mod json;
pub mod keys;
pub(crate) mod large;
pub mod ledger;
pub mod manifests;
pub mod ops;
pub mod page;
pub mod plugins;
pub mod policy;
mod problems;
pub mod raft;
pub mod readings;
pub mod roles;
mod shared;
pub mod tenants;
#[cfg(test)]
mod tests;
pub mod uploads;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::{gate, listen, metrics, problem};

/// What takes a key.
fn guarded() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(plugins::routes())
        .merge(uploads::routes())
        .merge(inquiries::routes())
        .merge(readings::routes())
        .merge(artifacts::routes())
        .merge(events::routes())
        .merge(ledger::routes())
        .merge(manifests::routes())
        .merge(tenants::routes())
        .merge(keys::routes())
        .merge(roles::routes())
        .merge(ops::routes())
        .merge(raft::routes())
        .merge(backup::routes())
}

/// What is answered to everybody.
fn open() -> OpenApiRouter<Arc<App>> {
    ops::open_routes().merge(raft::open_routes()).merge(metrics::scrape::routes())
}

/// Everything that the host answers, with what stands around it.
pub(crate) fn service(app: Arc<App>) -> Router {
    // Outwards from the handlers: a stranger must not take one of the places of those who work.
    let guarded = guarded()
        .route_layer(from_fn_with_state(app.clone(), consistency::enforce))
        .route_layer(from_fn_with_state(app.clone(), listen::bounded))
        .route_layer(from_fn_with_state(app.clone(), gate::enter));
    let (router, _) = guarded.merge(open()).split_for_parts();
    router
        .layer(from_fn_with_state(app.metrics.clone(), listen::panics))
        .layer(from_fn_with_state(app.metrics.clone(), metrics::http))
        .layer(from_fn(listen::linger))
        .layer(from_fn(listen::outermost))
        .with_state(app)
}

/// The description of the API as it is served.
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    /// SHA-256 of the bytes.
    pub(crate) tag: String,
}

/// The description of the API, made once.
pub(crate) fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        // What utoipa makes of types can always be written as JSON; a test sees to it.
        let text = describe().to_json().unwrap_or_default();
        Document { tag: hex::encode(Sha256::digest(&text)), bytes: Bytes::from(text) }
    });
    &DOCUMENT
}

fn describe() -> OpenApi {
    let mut openapi =
        OpenApiRouter::with_openapi(Description::openapi()).merge(guarded()).merge(open()).into_openapi();
    for (path, item) in &mut openapi.paths.paths {
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in operations {
            // The handlers' own names would be the same in several files.
            if let Some(operation) = operation {
                operation.operation_id = Some(operation_id(method, path));
                // What stands outside of `/v1` speaks of this member alone.
                if method == "get" && path.starts_with("/v1/") && !path.ends_with("openapi.json") {
                    consistency::describe(operation);
                }
            }
        }
    }
    openapi
}

/// `get_v1_inquiries_id` for `GET /v1/inquiries/{id}`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Inquisitor",
        description = "Ask a question of instruments that you don't trust; get an answer that anyone can check.\n\n\
            Every error is a problem as in RFC 9457 with a stable `type`. Lists come in pages: `next` of a page is the `cursor` of \
            the one after it. Every answer has the header `X-Request-Id`, which the host's log and its ledger know too; a request \
            may bring its own.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This host")),
    components(schemas(problem::Problem)),
    security(("bearer" = []), ("key" = [])),
    tags(
        (name = "plugins", description = "Components that measure."),
        (name = "inquiries", description = "Questions, and what became of them."),
        (name = "ledger", description = "The record of everything that was decided, with proofs."),
        (name = "manifests", description = "The directory of declared manifests."),
        (name = "tenants", description = "Those who share the host, and what each may do."),
        (name = "keys", description = "Keys and their roles."),
        (name = "host", description = "The host itself."),
    ),
    modifiers(&Security),
)]
struct Description;

/// The two ways to send a key.
struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("`Authorization: Bearer KEY`"));
        let key = ApiKeyValue::with_description("X-Inquisitor-Key", "`X-Inquisitor-Key: KEY`");
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    }
}
