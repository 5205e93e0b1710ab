//! Tenants and their policies.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use inquisitor_engine::gating::{self, MAX_RECORD_BYTES};
use inquisitor_engine::journal::{Applied, Command};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, Path, Query};
use super::json::Json;
use super::page::{self, Page};
use super::policy::Policy;
use super::problems::{OfSomething, Usual};
use crate::app::{App, now};
use crate::gate::{Action, Principal, find_tenant};
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, replace, remove))
}

/// Characters of a tenant's name.
const MAX_NAME: usize = 63;
/// Characters of a description.
const MAX_DESCRIPTION: usize = 1000;

/// Somebody who shares the host with others and sees nothing of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Name.
    #[schema(example = "acme")]
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub policy: Policy,
    /// When it was created (RFC 3339).
    pub created: String,
}

/// A tenant to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Name: lower-case letters, digits and hyphens, beginning and ending with none of these.
    #[schema(example = "acme", max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub description: String,
    /// What it may do; the default where it is left out.
    #[serde(default)]
    pub policy: Policy,
}

/// What takes the place of a tenant's description and policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub description: String,
    /// What it may do; the default where it is left out.
    #[serde(default)]
    pub policy: Policy,
}

impl From<&gating::Tenant> for Tenant {
    fn from(tenant: &gating::Tenant) -> Self {
        Self {
            name: tenant.name.clone(),
            description: tenant.description.clone(),
            policy: Policy::from(&tenant.policy),
            created: inquisitor_ledger::rfc3339(tenant.created),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Tenants on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the page before.
    cursor: Option<String>,
}

/// List tenants.
///
/// In the order of their names. A key with a tenant sees its own alone.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants", params(ListQuery),
    responses((status = 200, description = "A page of tenants.", body = Page<Tenant>), Usual)
)]
async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<Tenant>>, Problem> {
    let _permit = principal.permit(&app, Action::TenantRead, "", principal.sees()).await?;
    let limit = page::limit(query.limit)?;
    let registry = app.conductor.registry();
    let after = query.cursor.unwrap_or_default();
    let mut found: Vec<&gating::Tenant> = registry
        .tenants()
        .filter(|tenant| tenant.name > after && principal.sees_tenant(&tenant.name))
        .collect();
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(axum::Json(page::of(&found, limit, |tenant| Tenant::from(*tenant), |tenant| tenant.name.clone())))
}

/// Create a tenant.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    responses(
        (status = 201, description = "It is created.", body = Tenant, headers(("Location" = String, description = "Path of the tenant."))),
        (status = 409, description = "There is one of this name.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        Usual,
    )
)]
async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
    Json(new): Json<NewTenant>,
) -> Result<Response, Problem> {
    let permit = principal.permit(&app, Action::TenantManage, &new.name, None).await?;
    if !is_name(&new.name) {
        return Err(Problem::bad_request(format!(
            "`name` is not a tenant's name: at most {MAX_NAME} lower-case letters, digits and hyphens, with a letter or digit \
             at both ends"
        )));
    }
    let tenant = checked(new.name, new.description, &new.policy, now())?;
    let answer = Tenant::from(&tenant);
    let at = tenant.created;
    app.change(permit, Command::CreateTenant { tenant: Box::new(tenant), at }).await?;
    let location = [(header::LOCATION, format!("/v1/tenants/{}", answer.name))];
    Ok((StatusCode::CREATED, location, axum::Json(answer)).into_response())
}

/// Show a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "Name of the tenant.", example = "acme")),
    responses((status = 200, description = "The tenant.", body = Tenant), OfSomething)
)]
async fn show(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<axum::Json<Tenant>, Problem> {
    visible(&app, &principal, &name)?;
    let _permit = principal.permit(&app, Action::TenantRead, &name, Some(&name)).await?;
    let registry = app.conductor.registry();
    Ok(axum::Json(Tenant::from(find_tenant(&registry, &name)?)))
}

/// Replace a tenant's description and policy.
///
/// Inquiries that were submitted before keep the bounds that they were submitted with.
#[utoipa::path(
    put, path = "/v1/tenants/{name}", tag = "tenants", request_body = TenantChange,
    params(("name" = String, Path, description = "Name of the tenant.", example = "acme")),
    responses(
        (status = 200, description = "The tenant as it is now.", body = Tenant),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn replace(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
    _: NoQuery,
    Json(change): Json<TenantChange>,
) -> Result<axum::Json<Tenant>, Problem> {
    let created = visible(&app, &principal, &name)?;
    let permit = principal.permit(&app, Action::TenantManage, &name, Some(&name)).await?;
    let tenant = checked(name, change.description, &change.policy, created)?;
    let answer = Tenant::from(&tenant);
    app.change(permit, Command::UpdateTenant { tenant: Box::new(tenant), at: now() }).await?;
    Ok(axum::Json(answer))
}

/// Remove a tenant, its keys and its plugins.
///
/// Not possible while it has inquiries that have not ended. Its ended inquiries stay readable for keys above tenants.
#[utoipa::path(
    delete, path = "/v1/tenants/{name}", tag = "tenants",
    params(("name" = String, Path, description = "Name of the tenant.", example = "acme")),
    responses(
        (status = 204, description = "It is removed."),
        (status = 409, description = "It has inquiries that have not ended, or is the default tenant.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn remove(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    visible(&app, &principal, &name)?;
    let permit = principal.permit(&app, Action::TenantManage, &name, Some(&name)).await?;
    match app.change(permit, Command::RemoveTenant { tenant: name.clone(), at: now() }).await? {
        Applied::AlreadyDone => Err(no_tenant(&name)),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// When the tenant was created, if it is there for this principal.
fn visible(app: &App, principal: &Principal, name: &str) -> Result<i64, Problem> {
    let registry = app.conductor.registry();
    let found = registry.tenant(name).filter(|_| principal.sees_tenant(name));
    found.map(|tenant| tenant.created).ok_or_else(|| no_tenant(name))
}

fn no_tenant(name: &str) -> Problem {
    let name: String = name.chars().take(MAX_NAME).collect();
    Problem::not_found(format!("there is no tenant `{name}`"))
}

fn checked(
    name: String,
    description: String,
    policy: &Policy,
    created: i64,
) -> Result<gating::Tenant, Problem> {
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(Problem::bad_request(format!(
            "`description` has more than {MAX_DESCRIPTION} characters"
        )));
    }
    let policy = policy.check().map_err(|errors| {
        Problem::bad_request("the policy has mistakes; `errors` has them all").errors(errors)
    })?;
    let tenant = gating::Tenant { name, description, policy, created };
    let bytes = serde_json::to_vec(&tenant).map_err(|error| Problem::internal(&error))?.len();
    if bytes > MAX_RECORD_BYTES {
        let detail = format!("the tenant takes {bytes} bytes to keep; {MAX_RECORD_BYTES} are possible");
        return Err(Problem::bad_request(detail));
    }
    Ok(tenant)
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "acme", "team-7", "0"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "Acme", "a.b", "a/b", "..", "a b", "é", long.as_str()] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
