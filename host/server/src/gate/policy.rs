//! What a tenant's policy says of a plan. Pure: all that is not allowed, at once.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Component, Path};

use inquisitor_engine::confine::FileProblem;
use inquisitor_engine::gating::{Bounds, Policy};
use inquisitor_manifest::plan::{Action, Plan, PlannedInstrument};
use inquisitor_manifest::secret;
use inquisitor_manifest::spec::{Destination, FileGrant, Limits, Parameters, Substrate};
use serde_json::{Value, json};

use crate::quantity::{duration, size};

/// Something that a plan asks for and the policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Where in the policy, or in the manifest where it is a file.
    rule: String,
    /// What was asked for and what is allowed.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

impl From<FileProblem> for Violation {
    fn from(problem: FileProblem) -> Self {
        Self { rule: problem.field, message: problem.message }
    }
}

/// For the problem's `errors`.
pub(super) fn as_errors(violations: &[Violation]) -> Vec<Value> {
    violations.iter().map(|found| json!({"rule": found.rule, "message": found.message})).collect()
}

/// What travels with an inquiry that was allowed.
pub(super) fn bounds(tenant: &str, policy: &Policy) -> Bounds {
    Bounds { tenant: tenant.to_owned(), secrets: Some(policy.secrets.clone()), limits: policy.limits.clone() }
}

/// All that the policy does not allow, save for the files of substrates and destinations, which take a look into the file
/// system: the engine has the rules for these.
pub(super) fn violations(plan: &Plan, policy: &Policy) -> Vec<Violation> {
    let mut found = Found::default();
    kind(plan, policy, &mut found);
    for instrument in plan.instruments.values() {
        plugin(instrument, policy, &mut found);
    }
    authorities("capabilities.http", &plan.capabilities.http, &policy.capabilities.http, &mut found);
    authorities("capabilities.tcp", &plan.capabilities.tcp, &policy.capabilities.tcp, &mut found);
    for grant in &plan.capabilities.files {
        folder(grant, &policy.capabilities.files, &mut found);
    }
    for name in secrets(plan) {
        if !policy.secrets.contains(&name) {
            found.add("secrets", &format!("the secret `{name}`"), &listed(&policy.secrets));
        }
    }
    limits(&plan.limits, &policy.limits, &mut found);
    if let Some(most) = policy.rates.steps
        && plan.steps.len() > most as usize
    {
        let asked = format!("an inquiry of {} steps", plan.steps.len());
        found.add("rates.steps", &asked, &format!("at most {most}"));
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, rule: &str, asked: &str, allowed: &str) {
        let message = format!("asks for {asked}; allowed is {allowed}");
        let violation = Violation { rule: rule.to_owned(), message };
        if !self.0.contains(&violation) {
            self.0.push(violation);
        }
    }
}

/// At most this many names of a list are told.
const TOLD: usize = 10;

fn listed<'a>(allowed: impl IntoIterator<Item = &'a String>) -> String {
    let all: Vec<&String> = allowed.into_iter().collect();
    let told: Vec<String> = all.iter().take(TOLD).map(|name| format!("`{name}`")).collect();
    match all.len().saturating_sub(told.len()) {
        0 if told.is_empty() => "nothing".to_owned(),
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

fn kind(plan: &Plan, policy: &Policy, found: &mut Found) {
    let Some(kinds) = &policy.kinds else { return };
    if plan.kind.as_ref().is_none_or(|kind| !kinds.contains(kind)) {
        let asked = plan.kind.as_ref().map_or("no type".to_owned(), |kind| format!("the type `{kind}`"));
        found.add("kinds", &asked, &listed(kinds));
    }
}

fn plugin(instrument: &PlannedInstrument, policy: &Policy, found: &mut Found) {
    let Some(plugins) = &policy.plugins else { return };
    let PlannedInstrument { plugin, version, digest, .. } = instrument;
    let names = [plugin.clone(), format!("{plugin}@{version}"), format!("sha256:{digest}")];
    if !names.iter().any(|name| plugins.contains(name)) {
        found.add("plugins", &format!("the plugin `{plugin}@{version}`"), &listed(plugins));
    }
}

/// Plugins that the tenant uploaded under a name that everybody has a plugin by, and that are allowed by that name alone: the
/// name means what everybody has. `is_borrowed` tells which instruments are of such a plugin.
pub(super) fn borrowed_names(
    plan: &Plan,
    policy: &Policy,
    is_borrowed: impl Fn(&PlannedInstrument) -> bool,
) -> Vec<Violation> {
    let mut found = Found::default();
    let Some(plugins) = &policy.plugins else { return found.0 };
    for instrument in plan.instruments.values() {
        let PlannedInstrument { plugin, version, digest, .. } = instrument;
        let by_name = plugins.contains(plugin) || plugins.contains(&format!("{plugin}@{version}"));
        if by_name && !plugins.contains(&format!("sha256:{digest}")) && is_borrowed(instrument) {
            let asked = format!(
                "the plugin `{plugin}@{version}` that the tenant uploaded under a name which everybody has a plugin by"
            );
            found.add(
                "plugins",
                &asked,
                &format!("the one that everybody has, or `sha256:{digest}` where the policy names it"),
            );
        }
    }
    found.0
}

fn authorities(rule: &str, asked: &[String], allowed: &[String], found: &mut Found) {
    for authority in asked {
        if !allowed.iter().any(|pattern| authority_matches(pattern, authority)) {
            found.add(rule, &format!("`{authority}`"), &listed(allowed));
        }
    }
}

/// Whether a pattern `host:port`, either of which may be `*`, stands for an authority.
fn authority_matches(pattern: &str, authority: &str) -> bool {
    let (Some((host, port)), Some((asked_host, asked_port))) =
        (pattern.rsplit_once(':'), authority.rsplit_once(':'))
    else {
        return false;
    };
    (host == "*" || host.eq_ignore_ascii_case(asked_host)) && (port == "*" || port == asked_port)
}

fn folder(grant: &FileGrant, allowed: &[FileGrant], found: &mut Found) {
    let covers = |rule: &FileGrant| is_below(&rule.path, &grant.path) && (grant.read_only || !rule.read_only);
    if allowed.iter().any(covers) {
        return;
    }
    let words =
        |grant: &FileGrant| format!("{}{}", grant.path, if grant.read_only { "" } else { " to write" });
    let told: Vec<String> = allowed.iter().map(words).collect();
    found.add("capabilities.files", &format!("`{}`", words(grant)), &listed(&told));
}

/// Whether `path` is `folder` or lies in it, by their names alone: nothing that steps upwards does.
fn is_below(folder: &str, path: &str) -> bool {
    let path = Path::new(path);
    !path.components().any(|component| component == Component::ParentDir) && path.starts_with(folder)
}

/// Names of the secrets that a plan refers to.
fn secrets(plan: &Plan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for instrument in plan.instruments.values() {
        names.extend(secret::names_in(&instrument.parameters));
    }
    for step in &plan.steps {
        if let Action::Observe { parameters, .. } = &step.action {
            names.extend(secret::names_in(parameters));
        }
    }
    match &plan.substrate {
        Some(Substrate::Synthetic { parameters, .. }) => names.extend(secret::names_in(parameters)),
        Some(Substrate::File { path, parameters }) => {
            names.extend(secret::names_in(parameters));
            names.extend(names_in_text(path));
        }
        None => {}
    }
    for artifact in &plan.reporting.artifacts {
        names.extend(secret::names_in(&artifact.parameters));
    }
    for Destination::File { path, parameters } in &plan.reporting.destinations {
        names.extend(secret::names_in(parameters));
        names.extend(names_in_text(path));
    }
    names
}

fn names_in_text(text: &str) -> BTreeSet<String> {
    secret::names_in(&Parameters::from_iter([(String::new(), Value::from(text))]))
}

/// A manifest that names a limit must not name more than is allowed; one that names none gets what is allowed.
fn limits(asked: &Limits, allowed: &Limits, found: &mut Found) {
    let units = |fuel: u64| format!("{fuel} units");
    let checks: [(&str, _, _, &dyn Fn(u64) -> String); 3] = [
        ("limits.memory", asked.memory, allowed.memory, &size),
        ("limits.fuel", asked.fuel, allowed.fuel, &units),
        ("limits.wall", asked.wall, allowed.wall, &duration),
    ];
    for (rule, asked, allowed, words) in checks {
        if let (Some(asked), Some(allowed)) = (asked, allowed)
            && asked > allowed
        {
            found.add(rule, &words(asked), &format!("at most {}", words(allowed)));
        }
    }
}

#[cfg(test)]
mod tests;
