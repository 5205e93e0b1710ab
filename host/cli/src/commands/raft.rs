//! `inquisitor raft`: the cluster that a host is a member of.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use inquisitor_server::api::raft::{Raft, Transfer};
use reqwest::Method;

use crate::args::Global;
use crate::args::client::{Address, RaftArgs, RaftCommand};
use crate::args::remote::Remote;
use crate::client::Client;
use crate::print;
use crate::quantity::Period;
use crate::settings::Settings;
use crate::table::{Table, fields};

/// Between two looks at a member that joins.
const POLL: Duration = Duration::from_millis(500);

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
        RaftCommand::Add { member, wait } => return add(global, &client, member, wait.0).await,
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

/// How a member that is to join stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// A voter at its address.
    In,
    /// On its way; says how far.
    Joining(String),
    /// It cannot come to be one.
    Never(String),
}

fn standing(raft: &Raft, wanted: &Address) -> Standing {
    let alone = raft.members.len() <= 1 && raft.members.iter().all(|member| member.address.is_empty());
    if alone {
        return Standing::Never(format!(
            "{} is alone and listens to nobody; start it with RAFT_PEERS first, itself among them",
            raft.name
        ));
    }
    // A disk that was lost may have left another one of the name.
    let mut named = raft.members.iter().filter(|member| member.name == wanted.name).peekable();
    if named.peek().is_none() {
        return Standing::Joining("it has not asked to be taken in yet".to_owned());
    }
    let mut how = String::new();
    for member in named {
        how = match (member.voter, member.address == wanted.address, member.lag) {
            (true, true, _) if member.problem.is_none() => return Standing::In,
            (true, true, _) => member.problem.clone().unwrap_or_default(),
            (true, false, _) => format!("a member of this name is at {}", member.address),
            (false, _, Some(lag)) => format!("it is a learner, and lacks {lag} entries of the log or blobs"),
            (false, _, None) => "it is a learner, and catches up".to_owned(),
        };
    }
    Standing::Joining(how)
}

/// The list of members with the new one in it.
fn peers(raft: &Raft, wanted: &Address) -> String {
    let others =
        raft.members.iter().filter(|member| member.name != wanted.name && !member.address.is_empty());
    let mut all: Vec<String> = others.map(|member| format!("{}={}", member.name, member.address)).collect();
    all.push(format!("{}={}", wanted.name, wanted.address));
    all.dedup();
    all.join(",")
}

async fn add(global: &Global, client: &Client, wanted: &Address, wait: Duration) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut told = None;
    loop {
        let answer = client.get(&["raft", "status"], &[]).await?;
        let raft: Raft = answer.typed()?;
        let how = match standing(&raft, wanted) {
            Standing::In => {
                let member = raft.members.iter().find(|member| member.name == wanted.name && member.voter);
                print::result(global.output, &member, || {
                    Ok(format!("{} is a voter at {}", wanted.name, wanted.address))
                })?;
                return Ok(ExitCode::SUCCESS);
            }
            Standing::Never(why) => anyhow::bail!("nobody can join: {why}"),
            Standing::Joining(how) => how,
        };
        if told.is_none() {
            print::note(&format!(
                "start {} with an empty data directory, the cluster's secret, and\n  RAFT_NODE_ID={}\n  RAFT_PEERS={}",
                wanted.name,
                wanted.name,
                peers(&raft, wanted)
            ));
        }
        if told.as_ref() != Some(&how) {
            print::note(&inquisitor_report::printable(&how));
            told = Some(how.clone());
        }
        if begun.elapsed() >= wait {
            anyhow::bail!("{} is no voter at {} after {}: {how}", wanted.name, wanted.address, Period(wait));
        }
        tokio::time::sleep(POLL.min(wait)).await;
    }
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

#[cfg(test)]
mod tests {
    use inquisitor_server::api::raft::Member;

    use super::*;

    fn member(name: &str, address: &str, voter: bool) -> Member {
        Member {
            name: name.into(),
            node_id: "1".into(),
            address: address.into(),
            voter,
            leader: false,
            matched_index: None,
            lag: Some(7),
            last_contact_ms: None,
            problem: None,
        }
    }

    fn raft(members: Vec<Member>) -> Raft {
        Raft {
            name: "a".into(),
            node_id: "1".into(),
            cluster: "c".into(),
            role: "leader".into(),
            term: 1,
            leader: None,
            has_leader: true,
            last_contact_ms: None,
            last_log_index: None,
            applied_index: None,
            snapshot_index: None,
            purged_index: None,
            state_hash: String::new(),
            members,
            obstacles: Vec::new(),
        }
    }

    #[test]
    fn a_member_is_in_once_it_is_a_voter_at_its_address() {
        let wanted: Address = "d=d.test:4321".parse().unwrap();
        let stands = |one: Option<Member>| {
            let a = member("a", "a.test:4321", true);
            standing(&raft(std::iter::once(a).chain(one).collect()), &wanted)
        };
        let joining = |standing: &Standing, how: &str| {
            assert!(matches!(standing, Standing::Joining(said) if said.contains(how)), "{standing:?}");
        };
        joining(&stands(None), "not asked");
        joining(&stands(Some(member("d", "d.test:4321", false))), "lacks 7 entries");
        joining(&stands(Some(member("d", "e.test:4321", true))), "is at e.test:4321");
        assert_eq!(stands(Some(member("d", "d.test:4321", true))), Standing::In);
        let alone = standing(&raft(vec![member("a", "", true)]), &wanted);
        assert!(matches!(&alone, Standing::Never(why) if why.contains("is alone")), "{alone:?}");
    }

    #[test]
    fn the_list_to_start_with_names_all_and_each_once() {
        let wanted: Address = "b=b.test:1".parse().unwrap();
        let raft = raft(vec![member("a", "a.test:1", true), member("b", "old.test:1", true)]);
        assert_eq!(peers(&raft, &wanted), "a=a.test:1,b=b.test:1");
        assert!("b=b.test:1,c=c.test:1".parse::<Address>().is_err());
    }
}
