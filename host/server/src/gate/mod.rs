//! Who may do what: keys, roles, policies and rates, and the decisions that go into the ledger.
//!
//! Every handler takes a [`Principal`] and asks [`Principal::permit`] (or [`admit`] for an inquiry) before it looks at
//! anything; nothing else decides. A refusal is recorded in the ledger by the gate itself; what was allowed and changes
//! something is recorded together with the change, for which the handler passes the [`Permit`] on.

mod action;

pub(crate) use action::Action;

use inquisitor_engine::gating::{Access, Bounds, Role};
use inquisitor_manifest::plan::Plan;

use crate::app::App;
use crate::problem::Problem;

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

impl Principal {
    /// The tenant that this principal sees; none: all of them.
    pub(crate) fn sees(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Whether things of this tenant are there for this principal at all; if not, the answer is 404.
    pub(crate) fn sees_tenant(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }

    /// Decide whether the principal may do this to `resource` of `tenant` (none: what is above tenants). The key's role must
    /// allow the action. A refusal is recorded and is 403; something of another tenant must have been answered with 404 before.
    pub(crate) async fn permit(
        &self,
        app: &App,
        action: Action,
        resource: &str,
        tenant: Option<&str>,
    ) -> Result<Permit, Problem> {
        let _ = (app, action, resource, tenant);
        Err(Problem::forbidden("not decided yet"))
    }
}

/// Decide whether an inquiry may be submitted for `tenant`: the role, then the tenant's policy (kind, plugins, capabilities,
/// files, secrets, steps, rate of submissions). All that the policy does not allow is named at once in the problem's `errors`.
pub(crate) async fn admit(
    app: &App,
    principal: &Principal,
    tenant: &str,
    plan: &Plan,
    base_dir: Option<&std::path::Path>,
) -> Result<(Permit, Bounds), Problem> {
    let _ = (app, principal, tenant, plan, base_dir);
    Err(Problem::forbidden("not decided yet"))
}
