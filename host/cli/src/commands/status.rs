//! `inquisitor status` and `inquisitor raft status`.

use std::process::ExitCode;
use std::time::Duration;

use inquisitor_server::api::ops::{HostStatus, Raft};

use crate::args::Global;
use crate::args::client::{RaftArgs, RaftCommand, StatusArgs};
use crate::client::Client;
use crate::quantity::Period;
use crate::settings::Settings;
use crate::table::fields;
use crate::{exit, print};

pub(crate) async fn run(global: &Global, settings: &Settings, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.remote, settings)?;
    let answer = client.get(&["v1", "status"], &[]).await?;
    let status: HostStatus = answer.typed()?;
    print::result(global.output, &answer.value, || Ok(shown(client.server(), &status)))?;
    let ready = status.ready.reasons.is_empty();
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(exit::ERROR) })
}

pub(crate) async fn raft(global: &Global, settings: &Settings, args: &RaftArgs) -> anyhow::Result<ExitCode> {
    let RaftCommand::Status = args.command;
    let client = Client::new(&args.remote, settings)?;
    let answer = client.get(&["raft", "status"], &[]).await?;
    print::result(global.output, &answer.value, || Ok(of_member(&answer.typed()?)))?;
    Ok(ExitCode::SUCCESS)
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

fn of_member(raft: &Raft) -> String {
    let index = |index: Option<u64>| index.map(|index| index.to_string()).unwrap_or_default();
    fields(&[
        ("member", raft.name.clone()),
        ("node id", raft.node_id.clone()),
        ("cluster", raft.cluster.clone()),
        ("role", raft.role.clone()),
        ("term", raft.term.to_string()),
        ("leader", raft.leader.clone().unwrap_or_else(|| "nobody".to_owned())),
        ("last log", index(raft.last_log_index)),
        ("applied", index(raft.applied_index)),
        ("snapshot", index(raft.snapshot_index)),
        ("purged", index(raft.purged_index)),
        ("state hash", raft.state_hash.clone()),
    ])
}
