//! `inquisitor key`.

use std::process::ExitCode;

use anyhow::Context as _;
use inquisitor_engine::gating::Role;
use inquisitor_server::api::keys::{CreatedKey, Key, NewKey};
use reqwest::Method;

use crate::args::client::{KeyArgs, KeyCommand, RoleName};
use crate::args::remote::Remote;
use crate::args::{Global, Output};
use crate::client::Client;
use crate::print;
use crate::quantity::Period;
use crate::settings::Settings;
use crate::table::{Table, fields, time};

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &KeyArgs,
) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    match &args.command {
        KeyCommand::List => list(global, &client).await?,
        KeyCommand::Show { id } => {
            let answer = client.get(&["v1", "keys", id], &[]).await?;
            print::result(global.output, &answer.value, || Ok(shown(&answer.typed()?)))?;
        }
        KeyCommand::Create { name, role, tenant, expires_in } => {
            let key = NewKey {
                name: name.clone(),
                role: of_name(*role),
                tenant: tenant.clone(),
                expires: expires_in.map(expiry).transpose()?,
            };
            create(global, &client, &key).await?;
        }
        KeyCommand::Revoke { id } => {
            client.answer(&client.request(Method::DELETE, &["v1", "keys", id], &[])?).await?;
            print::note(&format!("revoked the key {id}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(global: &Global, client: &Client) -> anyhow::Result<()> {
    let list = client.items(&["v1", "keys"], &[], None).await?;
    print::result(global.output, &list.items, || {
        let mut table = Table::new(&["id", "name", "role", "tenant", "state", "created"]);
        for key in list.typed::<Key>()? {
            let state = state(&key);
            table.row([
                &key.id,
                &key.name,
                key.role.as_str(),
                key.tenant.as_deref().unwrap_or_default(),
                &state,
                &time(&key.created),
            ]);
        }
        Ok(table.text("no keys"))
    })
}

async fn create(global: &Global, client: &Client, key: &NewKey) -> anyhow::Result<()> {
    let answer = client.send(Method::POST, &["v1", "keys"], key).await?;
    let created: CreatedKey = answer.typed()?;
    if global.output == Output::Text {
        print::note(shown(&created.key).trim_end());
        print::note("this is the secret; it is shown this once, and the host keeps only a hash of it:");
    }
    print::result(global.output, &answer.value, || Ok(created.secret.clone()))
}

fn of_name(role: RoleName) -> Role {
    match role {
        RoleName::Admin => Role::Admin,
        RoleName::Operator => Role::Operator,
        RoleName::Submitter => Role::Submitter,
        RoleName::Author => Role::Author,
        RoleName::Auditor => Role::Auditor,
    }
}

/// The time from now on, as the API takes it.
fn expiry(period: Period) -> anyhow::Result<String> {
    let length = jiff::SignedDuration::try_from(period.0).context("--expires-in")?;
    let at = jiff::Timestamp::now().checked_add(length).context("--expires-in is beyond all calendars")?;
    Ok(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn state(key: &Key) -> String {
    match (&key.revoked, &key.expires) {
        (Some(revoked), _) => format!("revoked {}", time(revoked)),
        (None, Some(expires)) if key.works => format!("works until {}", time(expires)),
        (None, Some(expires)) => format!("expired {}", time(expires)),
        (None, None) => "works".to_owned(),
    }
}

fn shown(key: &Key) -> String {
    fields(&[
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("role", key.role.as_str().to_owned()),
        ("tenant", key.tenant.clone().unwrap_or_else(|| "above tenants".to_owned())),
        ("state", state(key)),
        ("created", time(&key.created)),
    ])
}
