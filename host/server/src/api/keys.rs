//! Keys: creating, listing and revoking them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use inquisitor_conductor::Registry;
use inquisitor_engine::gating::{KeyRecord, Role};
use inquisitor_engine::journal::Command;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, Path, Query};
use super::json::Json;
use super::page::{self, Page};
use super::problems::OfSomething;
use super::roles::role_schema;
use crate::app::{App, now};
use crate::gate::{Action, Principal, draw_secret, find_tenant, hash_secret};
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, revoke))
}

/// Characters of a key's name.
const MAX_NAME: usize = 100;

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Identifier; what the ledger says of who did something.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    #[schema(schema_with = role_schema)]
    pub role: Role,
    /// Its tenant; null for a key above tenants.
    pub tenant: Option<String>,
    /// When it was created (RFC 3339).
    pub created: String,
    /// When it stops working by itself (RFC 3339); null: never.
    pub expires: Option<String>,
    /// When it was revoked (RFC 3339).
    pub revoked: Option<String>,
    /// Whether it works now.
    pub works: bool,
}

/// A key that was just created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key itself. It is shown this once and kept nowhere.
    #[schema(example = "inq_4fW1c0p8Qm6ZrT2bYs9dXvKj3LhNgEu7AaRoCtPiVwB")]
    pub secret: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub key: Key,
}

/// A key to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it is for.
    #[schema(example = "nightly calibration", min_length = 1, max_length = 100)]
    pub name: String,
    /// What it may do.
    #[schema(schema_with = role_schema)]
    pub role: Role,
    /// Its tenant. For a key with a tenant, that tenant is what it is where it is left out; for a key above tenants, leaving it
    /// out makes another key above tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it is to stop working by itself (RFC 3339); never where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2030-01-01T00:00:00Z", format = DateTime)]
    pub expires: Option<String>,
}

impl Key {
    fn of(record: &KeyRecord, now: i64) -> Self {
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            role: record.role,
            tenant: record.tenant.clone(),
            created: inquisitor_ledger::rfc3339(record.created),
            expires: record.expires.map(inquisitor_ledger::rfc3339),
            revoked: record.revoked.map(inquisitor_ledger::rfc3339),
            works: works(record, now),
        }
    }
}

fn works(record: &KeyRecord, now: i64) -> bool {
    record.revoked.is_none() && record.expires.is_none_or(|expires| now < expires)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only keys of this tenant.
    #[param(max_length = 63)]
    tenant: Option<String>,
    /// Keys on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
}

/// List keys.
///
/// The oldest first, revoked and expired ones too. A key with a tenant sees those of its tenant.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", params(ListQuery),
    responses((status = 200, description = "A page of keys.", body = Page<Key>), OfSomething)
)]
async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<Key>>, Problem> {
    let registry = app.conductor.registry();
    let wanted = query.tenant.as_deref().or(principal.sees());
    if let Some(tenant) = wanted {
        visible_tenant(&registry, &principal, tenant)?;
    }
    let _permit = principal.permit(&app, Action::KeyRead, "", wanted).await?;
    let limit = page::limit(query.limit)?;
    let after = query.cursor.unwrap_or_default();
    let of_wanted = |key: &&KeyRecord| wanted.is_none() || key.tenant.as_deref() == wanted;
    let mut found: Vec<&KeyRecord> = registry.keys().filter(|key| key.id > after).filter(of_wanted).collect();
    found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let now = now();
    Ok(axum::Json(page::of(&found, limit, |key| Key::of(key, now), |key| key.id.clone())))
}

/// Create a key.
///
/// The answer has the secret, this once. A key with a tenant creates keys of its own tenant.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", request_body = NewKey,
    responses(
        (status = 201, description = "It is created.", body = CreatedKey, headers(("Location" = String, description = "Path of the key."))),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
    Json(new): Json<NewKey>,
) -> Result<Response, Problem> {
    let tenant = new.tenant.or_else(|| principal.tenant.clone());
    if let Some(tenant) = &tenant {
        visible_tenant(&app.conductor.registry(), &principal, tenant)?;
    }
    let id = uuid::Uuid::now_v7().to_string();
    let permit = principal.permit(&app, Action::KeyManage, &id, tenant.as_deref()).await?;
    let created = now();
    let name = checked_name(&new.name)?;
    let expires = new.expires.as_deref().map(|expires| checked_expiry(expires, created)).transpose()?;
    let secret = draw_secret();
    let secret_hash = hash_secret(&secret);
    let record = KeyRecord { id, name, secret_hash, role: new.role, tenant, created, expires, revoked: None };
    let key = Key::of(&record, created);
    app.change(permit, Command::CreateKey { key: Box::new(record), at: created }).await?;
    let headers =
        [(header::LOCATION, format!("/v1/keys/{}", key.id)), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, axum::Json(CreatedKey { secret, key })).into_response())
}

/// Show a key.
#[utoipa::path(
    get, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "Id of the key.")),
    responses((status = 200, description = "The key, without its secret.", body = Key), OfSomething)
)]
async fn show(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<axum::Json<Key>, Problem> {
    let key = find(&app.conductor.registry(), &principal, &id)?;
    let _permit = principal.permit(&app, Action::KeyRead, &id, key.tenant.as_deref()).await?;
    Ok(axum::Json(Key::of(&key, now())))
}

/// Revoke a key.
///
/// It stops working at once and stays listed. The last admin key above tenants can be revoked only where the host has an
/// `API_KEY`, for nobody could create another.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "Id of the key.")),
    responses(
        (status = 204, description = "It is revoked, now or before."),
        (status = 409, description = "It is the last admin key above tenants.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn revoke(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    // One at a time, so that two that are revoked together are not both the last but one.
    let _turn = app.gate.revoking().await;
    let registry = app.conductor.registry();
    let key = find(&registry, &principal, &id)?;
    let permit = principal.permit(&app, Action::KeyManage, &id, key.tenant.as_deref()).await?;
    if !app.gate.has_bootstrap() && is_last_admin(&registry, &key, now()) {
        return Err(Problem::conflict(
            "this is the last admin key above tenants and the host has no API_KEY, so nobody could create another; create one \
             first",
        ));
    }
    app.change(permit, Command::RevokeKey { id, at: now() }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn is_last_admin(registry: &Registry, key: &KeyRecord, now: i64) -> bool {
    let opens = |key: &KeyRecord| key.role == Role::Admin && key.tenant.is_none() && works(key, now);
    opens(key) && !registry.keys().any(|other| other.id != key.id && opens(other))
}

/// The key, if it is there for this principal: one with a tenant sees its tenant's keys.
fn find(registry: &Registry, principal: &Principal, id: &str) -> Result<KeyRecord, Problem> {
    let visible = |key: &&KeyRecord| match principal.sees() {
        None => true,
        Some(own) => key.tenant.as_deref() == Some(own),
    };
    let key = registry.key(id).filter(visible).cloned();
    key.ok_or_else(|| {
        Problem::not_found(format!("there is no key {}", id.chars().take(MAX_NAME).collect::<String>()))
    })
}

fn visible_tenant(registry: &Registry, principal: &Principal, tenant: &str) -> Result<(), Problem> {
    let found = find_tenant(registry, tenant);
    if principal.sees_tenant(tenant) {
        return found.map(|_| ());
    }
    // Exactly as if it were not there.
    Err(found.err().unwrap_or_else(|| Problem::not_found(format!("there is no tenant `{tenant}`"))))
}

fn checked_name(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("`name` says what the key is for, in 1 to {MAX_NAME} characters on one line");
        return Err(Problem::bad_request(detail));
    }
    Ok(name.to_owned())
}

fn checked_expiry(text: &str, now: i64) -> Result<i64, Problem> {
    let expires: jiff::Timestamp = text.parse().map_err(|_| {
        Problem::bad_request("`expires` is no time as in RFC 3339; write it as `2030-01-01T00:00:00Z`")
    })?;
    let expires = i64::try_from(expires.as_nanosecond()).map_err(|_| {
        Problem::bad_request("`expires` is later than the year 2262; leave it out for a key that never does")
    })?;
    if expires <= now {
        return Err(Problem::bad_request("`expires` has passed"));
    }
    Ok(expires)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_in_the_future_and_of_this_era() {
        assert_eq!(checked_expiry("1970-01-01T00:00:02Z", 1).unwrap(), 2_000_000_000);
        for bad in ["1970-01-01T00:00:00Z", "tomorrow", "9000-01-01T00:00:00Z", ""] {
            assert_eq!(checked_expiry(bad, 1).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn names_are_one_line() {
        assert_eq!(checked_name(" ci ").unwrap(), "ci");
        for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(checked_name(bad).is_err(), "{bad:?}");
        }
    }
}
