//! `inquisitor raft`: the cluster that a host is a member of.

use std::process::ExitCode;

use inquisitor_server::api::raft::{Raft, Transfer};
use reqwest::Method;

use crate::args::Global;
use crate::args::client::{RaftArgs, RaftCommand};
use crate::args::remote::Remote;
use crate::client::Client;
use crate::print;
use crate::settings::Settings;
use crate::table::{Table, fields};

pub(crate) async fn run(
    global: &Global,
    settings: &Settings,
    remote: &Remote,
    args: &RaftArgs,
) -> anyhow::Result<ExitCode> {
    let mut remote = remote.clone();
    if let RaftCommand::TransferLeader { wait, .. } = &args.command {
        // A host that is about to stop waits no longer than it was told.
        remote.timeout = *wait;
        remote.retry_for = *wait;
    }
    let client = Client::new(&remote, settings)?;
    match &args.command {
        RaftCommand::Status => {
            let answer = client.get(&["raft", "status"], &[]).await?;
            print::result(global.output, &answer.value, || Ok(of_member(&answer.typed()?)))?;
        }
        RaftCommand::Members => {
            let answer = client.get(&["raft", "status"], &[]).await?;
            print::result(global.output, &answer.value["members"], || Ok(members(&answer.typed()?)))?;
        }
        RaftCommand::TransferLeader { to, .. } => {
            let answer = client
                .send(Method::POST, &["v1", "raft", "transfer-leader"], &Transfer { to: to.clone() })
                .await?;
            print::result(global.output, &answer.value, || Ok(led_by(&answer.typed()?)))?;
        }
        RaftCommand::Remove { name } => {
            let request = client.request(Method::DELETE, &["v1", "raft", "members", name], &[])?;
            client.answer(&request).await?;
            print::note(&format!("{name} is no member any more"));
        }
        RaftCommand::Snapshot => {
            let request = client.request(Method::POST, &["v1", "raft", "snapshot"], &[])?.safe_to_repeat();
            client.answer(&request).await?;
            print::note("a snapshot is being made");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Name of the leader, where it is one of the members that are known.
fn leader(raft: &Raft) -> Option<&str> {
    raft.members.iter().find(|member| member.leader).map(|member| member.name.as_str())
}

fn led_by(raft: &Raft) -> String {
    format!("{} leads, term {}\n", leader(raft).unwrap_or("nobody"), raft.term)
}

fn members(raft: &Raft) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut table =
        Table::new(&["NAME", "ROLE", "ADDRESS", "LAG", "HEARD MS AGO", "PROBLEM"]).right(3).right(4);
    for member in &raft.members {
        let role = match (member.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        let (lag, heard) = (number(member.lag), number(member.last_contact_ms));
        let problem = member.problem.as_deref().unwrap_or_default();
        table.row([&member.name, role, &member.address, &lag, &heard, problem]);
    }
    table.text("no members are known yet")
}

fn of_member(raft: &Raft) -> String {
    let index = |index: Option<u64>| index.map(|index| index.to_string()).unwrap_or_default();
    fields(&[
        ("member", raft.name.clone()),
        ("node id", raft.node_id.clone()),
        ("cluster", raft.cluster.clone()),
        ("role", raft.role.clone()),
        ("term", raft.term.to_string()),
        ("leader", leader(raft).unwrap_or("nobody").to_owned()),
        ("last log", index(raft.last_log_index)),
        ("applied", index(raft.applied_index)),
        ("snapshot", index(raft.snapshot_index)),
        ("purged", index(raft.purged_index)),
        ("members", raft.members.len().to_string()),
        ("state hash", raft.state_hash.clone()),
    ])
}
