//! Who may do what: keys, roles, policies and rates, and the decisions that go into the ledger.
//!
//! [`enter`] stands before every route under `/v1`: it finds out whose key it is and puts the [`Principal`] into the request,
//! so that a handler that forgets to ask is still not open to strangers. Every handler takes the [`Principal`] and asks
//! [`Principal::permit`] (or [`admit`] for an inquiry) before it looks at anything; nothing else decides. A refusal is
//! recorded in the ledger by the gate itself; what was allowed and changes something is recorded together with the change,
//! for which the handler passes the [`Permit`] on.

mod action;
mod key;
mod policy;
mod rates;
mod refusals;

pub(crate) use action::Action;
pub(crate) use key::{draw_secret, hash_secret};
pub(crate) use refusals::WINDOW;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use inquisitor_conductor::Registry;
use inquisitor_engine::catalogue::{Installed, Source};
use inquisitor_engine::gating::{Access, Bounds, Origin, Role, Tenant};
use inquisitor_manifest::plan::{Plan, PlannedInstrument};

use crate::app::{App, now};
use crate::listen::RequestId;
use crate::metrics::Denied;
use crate::problem::{Kind, Problem};
use key::SecretHash;
use rates::RateLimits;
use refusals::{Refusals, Refused};

/// Bytes of a resource's name or of a reason in a decision; what is longer is cut.
const MAX_TEXT: usize = 512;

/// Keys, rates and refusals of this host.
pub(crate) struct Gate {
    /// The key of the environment; without one, nobody is asked for a key.
    bootstrap: Option<SecretHash>,
    rates: RateLimits,
    refusals: Refusals,
    revoking: tokio::sync::Mutex<()>,
}

/// Whoever sent a request: the holder of a good key, or anybody where the host has no keys at all.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    /// Id of the key: `bootstrap` for the one of the environment, `local` where no key is asked for.
    pub(crate) key: String,
    pub(crate) role: Role,
    /// The key's tenant; none for a key above tenants.
    pub(crate) tenant: Option<String>,
    /// Id of the request.
    pub(crate) request: String,
}

/// An action that was allowed. Goes with the change into the log.
#[derive(Debug)]
#[must_use = "a change is recorded together with the decision that allowed it"]
pub(crate) struct Permit {
    access: Access,
}

impl Permit {
    pub(crate) fn into_access(self) -> Access {
        self.access
    }
}

impl Gate {
    /// A gate that knows the key of the environment.
    pub(crate) fn new(api_key: Option<&str>) -> Self {
        Self {
            bootstrap: api_key.map(SecretHash::of),
            rates: RateLimits::default(),
            refusals: Refusals::default(),
            revoking: tokio::sync::Mutex::default(),
        }
    }

    /// Whether a key of the environment opens this host, whatever becomes of the others.
    pub(crate) fn has_bootstrap(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// The turn to revoke a key: whether it is the last one must stay true until it is revoked.
    pub(crate) async fn revoking(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.revoking.lock().await
    }

    /// Record what was counted and not recorded yet. To be called every [`WINDOW`] and before stopping.
    pub(crate) async fn flush(&self, app: &App) {
        self.rates.forget_all_but(&app.conductor.registry());
        for access in self.refusals.flush(now()) {
            refusals::record(app, access).await;
        }
    }
}

/// Let in whoever has a good key and is not too fast: the middleware before everything under `/v1`.
pub(crate) async fn enter(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match admit_request(&app, &request) {
        Ok((principal, slot)) => {
            let seen = principal.clone();
            request.extensions_mut().insert(principal);
            let mut response = next.run(request).await;
            // For the access log, which stands outside.
            response.extensions_mut().insert(seen);
            drop(slot);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn admit_request(app: &App, request: &Request) -> Result<(Principal, rates::Slot), Problem> {
    let request_id = RequestId::of(request.extensions());
    let registry = app.conductor.registry();
    let gate = &app.gate;
    let principal = match key::authenticate(request, gate.bootstrap.as_ref(), &registry, now(), request_id) {
        Ok(principal) => principal,
        Err(error) => {
            if matches!(error, key::AuthError::NoGoodKey) {
                app.metrics.denied(Denied::Unauthenticated);
                gate.refusals.count_anonymous();
            }
            return Err(error.into());
        }
    };
    let slot = match principal.tenant.as_deref().and_then(|tenant| registry.tenant(tenant)) {
        Some(tenant) => gate.rates.request(tenant).inspect_err(|_| app.metrics.denied(Denied::Rate))?,
        None => rates::Slot::default(),
    };
    Ok((principal, slot))
}

impl FromRequestParts<Arc<App>> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        // Only a route that is served outside of `enter` has none.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Kind::Unauthorized, key::NO_GOOD_KEY))
    }
}

impl Principal {
    /// The tenant that this principal sees; none: all of them.
    pub(crate) fn sees(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Whether things of this tenant are there for this principal at all; if not, the answer is 404.
    pub(crate) fn sees_tenant(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }

    /// Whether the key is still neither revoked nor expired: for answers that go on for long.
    pub(crate) fn still_holds(&self, app: &App) -> bool {
        key::still_holds(&self.key, &app.conductor.registry(), now())
    }

    /// How long until the key expires; none where it never does.
    pub(crate) fn expires_in(&self, app: &App) -> Option<Duration> {
        let expires = app.conductor.registry().key(&self.key)?.expires?;
        Some(Duration::from_nanos(u64::try_from(expires.saturating_sub(now())).unwrap_or(0)))
    }

    /// Decide whether the principal may do this to `resource` of `tenant` (none: what is above tenants). The key's role must
    /// allow the action. A refusal is recorded and is 403; something of another tenant must have been answered with 404 before.
    /// Uploads to a tenant count against its rate.
    pub(crate) async fn permit(
        &self,
        app: &App,
        action: Action,
        resource: &str,
        tenant: Option<&str>,
    ) -> Result<Permit, Problem> {
        if let Err(reason) = self.allowed(action, tenant) {
            return Err(self.refuse(app, action, resource, tenant, Denied::Role, reason).await);
        }
        if action == Action::PluginUpload {
            self.within_rate(app, tenant, RateLimits::upload)?;
        }
        Ok(self.permitted(action, resource, tenant))
    }

    /// Whether role and tenant allow it; why not, if not.
    pub(crate) fn allowed(&self, action: Action, tenant: Option<&str>) -> Result<(), String> {
        if !action.roles().contains(&self.role) {
            return Err(format!(
                "{} takes a key of the role {}, and this one's is {}",
                action.name(),
                action.roles().iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", "),
                self.role.as_str()
            ));
        }
        let Some(own) = self.tenant.as_deref() else { return Ok(()) };
        if action.above_tenants() {
            return Err(format!("{} takes a key above tenants, and this one is of `{own}`", action.name()));
        }
        match tenant {
            Some(tenant) if tenant != own => {
                Err(format!("this key is of `{own}` and does nothing for other tenants"))
            }
            None if action.changes() => Err(format!(
                "what belongs to everybody takes a key above tenants, and this one is of `{own}`"
            )),
            _ => Ok(()),
        }
    }

    fn permitted(&self, action: Action, resource: &str, tenant: Option<&str>) -> Permit {
        Permit { access: self.decision(action, resource, tenant, None) }
    }

    fn decision(&self, action: Action, resource: &str, tenant: Option<&str>, reason: Option<&str>) -> Access {
        Access {
            action: action.name().to_owned(),
            resource: cut(resource),
            tenant: tenant.map(cut),
            key: Some(self.key.clone()),
            role: Some(self.role),
            request: self.request.clone(),
            allowed: reason.is_none(),
            reason: reason.map(cut),
            count: 1,
            at: now(),
        }
    }

    async fn refuse(
        &self,
        app: &App,
        action: Action,
        resource: &str,
        tenant: Option<&str>,
        kind: Denied,
        reason: String,
    ) -> Problem {
        app.metrics.denied(kind);
        let access = self.decision(action, resource, tenant, Some(&reason));
        if let Refused::Record(access) = app.gate.refusals.refused(access) {
            refusals::record(app, access).await;
        }
        Problem::forbidden(reason)
    }

    fn within_rate(
        &self,
        app: &App,
        tenant: Option<&str>,
        check: impl Fn(&RateLimits, &Tenant) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let registry = app.conductor.registry();
        let Some(tenant) = tenant.and_then(|tenant| registry.tenant(tenant)) else { return Ok(()) };
        check(&app.gate.rates, tenant).inspect_err(|_| app.metrics.denied(Denied::Rate))
    }
}

/// Decide whether an inquiry may be submitted for `tenant`: the role, then the tenant's policy (kind, plugins, capabilities,
/// files, secrets, limits, steps), then the rate of submissions. All that the policy does not allow is named at once in the
/// problem's `errors`.
///
/// `base_dir` is the folder that file substrates are read from, none where the host has none.
pub(crate) async fn admit(
    app: &App,
    principal: &Principal,
    tenant: &str,
    plan: &Plan,
    base_dir: Option<&Path>,
) -> Result<(Permit, Bounds), Problem> {
    let action = Action::InquirySubmit;
    let permit = principal.permit(app, action, &plan.manifest_id, Some(tenant)).await?;
    let registry = app.conductor.registry();
    let found = find_tenant(&registry, tenant)?;
    let violations = violations(app, found, plan, base_dir);
    if !violations.is_empty() {
        let reasons: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let detail = format!("the policy of the tenant `{tenant}` does not allow it: {}", reasons.join("; "));
        let problem =
            principal.refuse(app, action, &plan.manifest_id, Some(tenant), Denied::Policy, detail).await;
        return Err(problem.errors(policy::as_errors(&violations)));
    }
    principal.within_rate(app, Some(tenant), RateLimits::submission)?;
    Ok((permit, policy::bounds(tenant, &found.policy)))
}

/// What the policy of `tenant` does not allow in a plan, as [`admit`] would list it: for those who ask before they submit.
pub(crate) fn review(
    app: &App,
    tenant: &str,
    plan: &Plan,
    base_dir: Option<&Path>,
) -> Result<Vec<serde_json::Value>, Problem> {
    let registry = app.conductor.registry();
    let found = find_tenant(&registry, tenant)?;
    Ok(policy::as_errors(&violations(app, found, plan, base_dir)))
}

fn violations(app: &App, tenant: &Tenant, plan: &Plan, base_dir: Option<&Path>) -> Vec<policy::Violation> {
    let mut violations = policy::violations(plan, &tenant.policy);
    if tenant.policy.plugins.is_some() {
        let installed = app.catalogue.installed();
        let is_borrowed = |instrument: &PlannedInstrument| is_borrowed(&installed, instrument);
        violations.extend(policy::borrowed_names(plan, &tenant.policy, is_borrowed));
    }
    // Of a file of the directory or not: `base_dir` is the folder that was found for it.
    let origin = Origin::Declared { file: String::new() };
    let files =
        app.engine.check_files(plan, &origin, &tenant.name, base_dir, Some(&tenant.policy.substrate_files));
    violations.extend(files.into_iter().map(policy::Violation::from));
    violations
}

/// Whether a plugin is a tenant's alone and goes by a name or an alias of one that everybody has.
fn is_borrowed(installed: &[Installed], instrument: &PlannedInstrument) -> bool {
    let of_all = |one: &&Installed| !matches!(one.source, Source::Uploaded { tenant: Some(_), .. });
    let mut by_name = false;
    for one in installed.iter().filter(of_all) {
        if one.plugin.digest() == instrument.digest {
            return false;
        }
        by_name |= one.info.name == instrument.plugin || one.info.aliases.contains(&instrument.plugin);
    }
    by_name
}

/// The tenant, or the problem that it is not there.
pub(crate) fn find_tenant<'a>(registry: &'a Registry, tenant: &str) -> Result<&'a Tenant, Problem> {
    registry.tenant(tenant).ok_or_else(|| Problem::not_found(format!("there is no tenant `{}`", cut(tenant))))
}

/// At most [`MAX_TEXT`] bytes of a text, on a character's boundary.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}
