//! Roles, and who the holder of a key is.

use std::sync::Arc;

use axum::extract::State;
use inquisitor_engine::gating::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::NoQuery;
use super::policy::Policy;
use super::problems::Usual;
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(roles)).routes(routes!(me))
}

/// A role, for `openapi.json`.
pub(super) fn role_schema() -> RefOr<Schema> {
    let names = Role::ALL.map(Role::as_str);
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()))
}

/// What the keys of a role may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleActions {
    /// The role.
    #[schema(schema_with = role_schema)]
    pub role: Role,
    /// The actions that its keys may do, of their tenant or, without one, of all.
    pub actions: Vec<String>,
}

/// All roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Roles {
    /// The roles, the mightiest first.
    pub items: Vec<RoleActions>,
}

/// Who the holder of a key is to this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Id of the key: `bootstrap` for the one of the host's environment, `local` where the host asks for none.
    pub key: String,
    /// What it may do.
    #[schema(schema_with = role_schema)]
    pub role: Role,
    /// Its tenant; null for a key above tenants.
    pub tenant: Option<String>,
    /// The policy of its tenant; null for a key above tenants.
    pub policy: Option<Policy>,
    /// The actions that it may do.
    pub actions: Vec<String>,
}

/// List roles.
#[utoipa::path(
    get, path = "/v1/roles", tag = "keys",
    responses((status = 200, description = "What each role may do.", body = Roles), Usual)
)]
async fn roles(_: Principal, _: NoQuery) -> axum::Json<Roles> {
    let actions = |role: Role| {
        let may = Action::ALL.into_iter().filter(|action| action.roles().contains(&role));
        may.map(|action| action.name().to_owned()).collect()
    };
    let items = Role::ALL.into_iter().map(|role| RoleActions { role, actions: actions(role) }).collect();
    axum::Json(Roles { items })
}

/// Show whose key this is.
///
/// Every key may ask.
#[utoipa::path(
    get, path = "/v1/me", tag = "keys",
    responses((status = 200, description = "The key, its role and what it may do.", body = Me), Usual)
)]
async fn me(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
) -> Result<axum::Json<Me>, Problem> {
    let registry = app.conductor.registry();
    let policy = principal
        .sees()
        .and_then(|tenant| registry.tenant(tenant))
        .map(|tenant| Policy::from(&tenant.policy));
    let may = Action::ALL.into_iter().filter(|action| principal.allowed(*action, principal.sees()).is_ok());
    let actions = may.map(|action| action.name().to_owned()).collect();
    let Principal { key, role, tenant, .. } = principal;
    Ok(axum::Json(Me { key, role, tenant, policy, actions }))
}
