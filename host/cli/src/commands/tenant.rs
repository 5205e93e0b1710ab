//! `inquisitor tenant`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_server::api::policy::{FileGrant, Policy};
use inquisitor_server::api::tenants::{NewTenant, Tenant, TenantChange};
use reqwest::Method;
use serde_json::Value;

use crate::args::Global;
use crate::args::client::{PolicyOptions, TenantArgs, TenantChange as Change, TenantCommand};
use crate::args::remote::Remote;
use crate::client::Client;
use crate::settings::Settings;
use crate::table::{Table, fields, time};
use crate::{input, print};

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &TenantArgs,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    match &args.command {
        TenantCommand::List => list(global, &client).await?,
        TenantCommand::Show { name } => {
            let answer = client.get(&["v1", "tenants", name], &[]).await?;
            print::result(global.output, &answer.value, || shown(&answer.typed()?))?;
        }
        TenantCommand::Create(change) => create(global, &client, change).await?,
        TenantCommand::Set(change) => set(global, &client, change).await?,
        TenantCommand::Rm { name } => {
            client.answer(&client.request(Method::DELETE, &["v1", "tenants", name], &[])?).await?;
            print::note(&format!("removed the tenant {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(global: &Global, client: &Client) -> anyhow::Result<()> {
    let list = client.items(&["v1", "tenants"], &[], None).await?;
    print::result(global.output, &list.items, || {
        let mut table = Table::new(&["name", "created", "description"]);
        for tenant in list.typed::<Tenant>()? {
            table.row([tenant.name, time(&tenant.created), tenant.description]);
        }
        Ok(table.text("no tenants"))
    })
}

async fn create(global: &Global, client: &Client, change: &Change) -> anyhow::Result<()> {
    let policy = changed(file(change.policy.as_deref())?.unwrap_or_default(), &change.options);
    let tenant = NewTenant {
        name: change.name.clone(),
        description: change.description.clone().unwrap_or_default(),
        policy,
    };
    let answer = client.send(Method::POST, &["v1", "tenants"], &tenant).await?;
    print::result(global.output, &answer.value, || shown(&answer.typed()?))
}

async fn set(global: &Global, client: &Client, change: &Change) -> anyhow::Result<()> {
    let path = ["v1", "tenants", change.name.as_str()];
    let before: Tenant = client.get(&path, &[]).await?.typed()?;
    let policy = changed(file(change.policy.as_deref())?.unwrap_or(before.policy), &change.options);
    let description = change.description.clone().unwrap_or(before.description);
    let answer = client.send(Method::PUT, &path, &TenantChange { description, policy }).await?;
    print::result(global.output, &answer.value, || shown(&answer.typed()?))
}

/// The policy of a file, where one was named.
fn file(path: Option<&Path>) -> anyhow::Result<Option<Policy>> {
    let Some(path) = path else { return Ok(None) };
    let file = input::text(path)?;
    let policy =
        serde_saphyr::from_str(&file.text).with_context(|| format!("{} is not a policy", file.name))?;
    Ok(Some(policy))
}

/// The policy with what options say.
fn changed(mut policy: Policy, options: &PolicyOptions) -> Policy {
    let set =
        |list: &Option<Vec<String>>| list.as_ref().map(|list| BTreeSet::from_iter(list.iter().cloned()));
    if let Some(kinds) = set(&options.kinds) {
        policy.kinds = Some(kinds);
    }
    if let Some(plugins) = set(&options.plugins) {
        policy.plugins = Some(plugins);
    }
    if let Some(http) = &options.allow_http {
        policy.capabilities.http.clone_from(http);
    }
    if let Some(tcp) = &options.allow_tcp {
        policy.capabilities.tcp.clone_from(tcp);
    }
    for (folders, read_only) in [(&options.allow_read, true), (&options.allow_write, false)] {
        if let Some(folders) = folders {
            policy.capabilities.files.retain(|grant| grant.read_only != read_only);
            let grants = folders.iter().map(|path| FileGrant { path: path.clone(), read_only });
            policy.capabilities.files.extend(grants);
        }
    }
    if let Some(files) = set(&options.substrate_files) {
        policy.substrate_files = files;
    }
    if let Some(secrets) = set(&options.secrets) {
        policy.secrets = secrets;
    }
    policy.limits.memory = options.memory.map(|size| size.to_string()).or(policy.limits.memory);
    policy.limits.wall = options.wall.map(|period| period.to_string()).or(policy.limits.wall);
    policy.limits.fuel = options.fuel.or(policy.limits.fuel);
    let rates = &mut policy.rates;
    rates.requests_per_second = options.requests_per_second.or(rates.requests_per_second);
    rates.concurrent_requests = options.concurrent_requests.or(rates.concurrent_requests);
    rates.submissions_per_minute = options.submissions_per_minute.or(rates.submissions_per_minute);
    rates.unfinished_inquiries = options.unfinished_inquiries.or(rates.unfinished_inquiries);
    rates.uploads_per_hour = options.uploads_per_hour.or(rates.uploads_per_hour);
    rates.steps = options.steps.or(rates.steps);
    policy
}

/// A tenant for people: the policy as a file of it would be written.
fn shown(tenant: &Tenant) -> anyhow::Result<String> {
    let head = fields(&[
        ("name", tenant.name.clone()),
        ("description", tenant.description.clone()),
        ("created", time(&tenant.created)),
    ]);
    let policy = serde_json::to_value(&tenant.policy).context("encoding the policy")?;
    let policy = serde_saphyr::to_string(&what_is_said(policy)).context("encoding the policy")?;
    let policy: String =
        policy.lines().map(|line| format!("  {}\n", inquisitor_report::printable(line))).collect();
    Ok(format!("{head}policy\n{policy}"))
}

/// The document without members that say nothing: nulls, and lists and objects that are empty.
fn what_is_said(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, what_is_said(value)))
            .filter(|(_, value)| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                _ => true,
            })
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_change_what_they_name_and_nothing_else() {
        let policy: Policy = serde_saphyr::from_str(
            "kinds: [audit]\nlimits: {memory: 64MiB, wall: 10s}\n\
             capabilities: {http: ['a:443'], files: [{path: /in}, {path: /out, read_only: false}]}\n",
        )
        .unwrap();
        let options = PolicyOptions {
            memory: Some("128MiB".parse().unwrap()),
            allow_read: Some(vec!["/data".to_owned()]),
            steps: Some(7),
            ..PolicyOptions::default()
        };
        let policy = changed(policy, &options);
        assert_eq!(policy.kinds, Some(BTreeSet::from(["audit".to_owned()])));
        assert_eq!(policy.limits.memory.as_deref(), Some("128MiB"));
        assert_eq!(policy.limits.wall.as_deref(), Some("10s"));
        assert_eq!(policy.capabilities.http, ["a:443"]);
        let files: Vec<_> =
            policy.capabilities.files.iter().map(|grant| (grant.path.as_str(), grant.read_only)).collect();
        assert_eq!(files, [("/out", false), ("/data", true)]);
        assert_eq!((policy.rates.steps, policy.rates.uploads_per_hour), (Some(7), None));
    }
}
