//! `inquisitor status`.

use std::process::ExitCode;
use std::time::Duration;

use inquisitor_server::api::ops::HostStatus;
use inquisitor_server::api::raft::Raft;

use crate::args::Global;
use crate::args::remote::Remote;
use crate::client::Client;
use crate::quantity::Period;
use crate::settings::Settings;
use crate::table::fields;
use crate::{exit, print};

pub(crate) async fn run(global: &Global, settings: &Settings, remote: &Remote) -> anyhow::Result<ExitCode> {
    let client = Client::new(remote, settings)?;
    let answer = client.get(&["v1", "status"], &[]).await?;
    let status: HostStatus = answer.typed()?;
    print::result(global.output, &answer.value, || Ok(shown(client.server(), &status)))?;
    let ready = status.ready.reasons.is_empty();
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

fn shown(server: &str, status: &HostStatus) -> String {
    let ready = if status.ready.reasons.is_empty() {
        "ready".to_owned()
    } else {
        format!("not ready: {}", status.ready.reasons.join("; "))
    };
    let inquiries = &status.inquiries;
    let mut plugins = format!("{} installed", status.plugins.installed);
    if status.plugins.broken > 0 {
        plugins.push_str(&format!(", {} broken", status.plugins.broken));
    }
    let stores = &status.stores;
    fields(&[
        ("host", format!("{server}, inquisitor {}", status.version)),
        ("state", ready),
        ("up for", Period(Duration::from_secs(status.uptime_seconds)).to_string()),
        ("cluster", member(&status.raft)),
        (
            "inquiries",
            format!(
                "{} running, {} queued, {} continuous; {} in all",
                inquiries.running, inquiries.queued, inquiries.continuous, inquiries.total
            ),
        ),
        ("plugins", plugins),
        ("tenants", format!("{} with {} keys", status.tenants, status.keys)),
        ("streams", status.event_streams.to_string()),
        ("ledger", format!("{} entries, root {}", status.ledger.size, status.ledger.root)),
        (
            "stores",
            format!(
                "log {}, state {}, blobs {}",
                print::bytes(stores.log),
                print::bytes(stores.state),
                print::bytes(stores.blobs)
            ),
        ),
    ])
}

fn member(raft: &Raft) -> String {
    let leader = raft.leader.as_deref().unwrap_or("nobody");
    format!("{} is {}, term {}, led by {leader}", raft.name, raft.role, raft.term)
}
