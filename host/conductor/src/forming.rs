//! How a new disk becomes a member: it forms a cluster with others that are new, or is taken in by one that is there.
//!
//! # Forming
//! Members that are all new begin a cluster without a word from an operator: each writes down the same first membership, the
//! genesis ids of all that are listed, and Raft's own election makes one cluster of them, by a majority. That is safe as long
//! as no two disks act under one genesis id. So a new disk says hello to all that it lists before it starts Raft; each of
//! them records, durably, the first incarnation that it hears for a name ([`crate::claims`]) and answers with it. The disk
//! may act under the genesis id once a majority of the list, itself included, has recorded its incarnation. Two majorities
//! have a member in common, and that one has recorded only one of two incarnations.
//!
//! A majority would do, but a new member prefers to hear all, and settles for a majority only after
//! [`ClusterConfig::forming_grace`](crate::ClusterConfig::forming_grace): when one member with data is scaled to three, the
//! two new ones must not form a cluster of their own just because the first is restarting.
//!
//! # A lost disk
//! If anybody has recorded another incarnation for the name, that disk was lost, and with it what it had promised. The new
//! disk must not act for it: it joins under its own id, in place of the old one ([`crate::members`]).
//!
//! # A cluster that is there
//! A new disk whose genesis id is in the membership of a cluster that has begun was late; it starts and is replicated to.
//! Another one joins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use inquisitor_peer::{Class, MemberName, PeerIdentity};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::error::ConductorError;
use crate::identity::genesis_id;
use crate::network::links::{Links, Question};
use crate::network::wire::{self, Established, Hello, HelloReply, Target};
use crate::node::{Node, Stage, jitter};
use crate::raft::Member;

/// How long one member may take to answer.
const HELLO_DEADLINE: Duration = Duration::from_secs(2);
/// Between two rounds of hellos, and up to twice as long.
const PAUSE: Duration = Duration::from_millis(150);

/// How a new disk starts Raft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Under the genesis id, with the first membership.
    Genesis,
    /// Under the genesis id, in a cluster that has begun.
    Late(Uuid),
    /// Under the disk's own id, taken in by a cluster.
    Joined(Uuid),
}

/// What a new disk should do, by what it has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Advice {
    Wait(String),
    Begin(Beginning),
    /// Ask these to be taken in; says why.
    Join(Vec<Target>, &'static str),
}

/// What a new disk knows of itself and has heard.
struct Situation<'a> {
    name: &'a MemberName,
    incarnation: Uuid,
    /// The normal form of the list.
    list: String,
    /// All that are listed.
    listed: Vec<&'a MemberName>,
    /// The last answers of the others.
    heard: BTreeMap<MemberName, HelloReply>,
    /// Whether a majority is enough.
    is_grace_over: bool,
}

impl Situation<'_> {
    fn advice(&self) -> Advice {
        let established = || self.heard.values().filter_map(|reply| reply.established.as_ref());
        let founded: BTreeMap<Uuid, &Established> =
            established().filter_map(|there| Some((there.cluster?, there))).collect();
        if founded.len() > 1 {
            let ids: Vec<String> = founded.keys().map(Uuid::to_string).collect();
            return Advice::Wait(format!(
                "the listed members belong to different clusters, {}; list those of one",
                ids.join(" and ")
            ));
        }
        let founded = founded.into_iter().next();
        let is_lost =
            self.heard.values().any(|reply| reply.owner.is_some_and(|owner| owner != self.incarnation));
        if let Some((cluster, there)) = founded {
            let is_genesis = there.members.iter().any(|one| one.id == genesis_id(self.name.as_str()));
            return match (is_lost, is_genesis) {
                (true, _) => {
                    Advice::Join(there.members.clone(), "another disk had this member's name before")
                }
                (false, false) => Advice::Join(there.members.clone(), "the cluster does not know it yet"),
                (false, true) if self.owns_name() => Advice::Begin(Beginning::Late(cluster)),
                (false, true) => Advice::Wait(self.missing()),
            };
        }
        if is_lost {
            return Advice::Wait(
                "another disk had this member's name before and was lost; waits for a cluster that takes this one \
                 in its place"
                    .to_owned(),
            );
        }
        let other_list = self.heard.iter().find(|(_, reply)| reply.list != self.list);
        if let Some((name, reply)) = other_list {
            return Advice::Wait(format!(
                "`{name}` lists other members, {}, than this one, {}; give both the same list",
                reply.list, self.list
            ));
        }
        let genesis = |one: &Target| self.listed.iter().any(|name| genesis_id(name.as_str()) == one.id);
        if established().any(|there| !there.members.iter().all(genesis)) {
            return Advice::Wait("a listed member belongs to a cluster that has no leader yet".to_owned());
        }
        let is_complete = self.heard.len() + 1 >= self.listed.len();
        match self.owns_name() && (is_complete || self.is_grace_over) {
            true => Advice::Begin(Beginning::Genesis),
            false => Advice::Wait(self.missing()),
        }
    }

    /// Whether a majority of the list has recorded this disk as the owner of its name.
    fn owns_name(&self) -> bool {
        let recorded = self.heard.values().filter(|reply| reply.owner == Some(self.incarnation)).count();
        2 * (recorded + 1) > self.listed.len()
    }

    fn missing(&self) -> String {
        let missing: Vec<&str> = self
            .listed
            .iter()
            .filter(|name| **name != self.name && !self.heard.contains_key(**name))
            .map(|name| name.as_str())
            .collect();
        match missing.is_empty() {
            true => "waits until a majority has recorded it".to_owned(),
            false => format!("waits for {}", missing.join(", ")),
        }
    }
}

/// Finds out how this new disk becomes a member. Returns once it may start Raft; says meanwhile what it waits for.
///
/// # Errors
/// When claims cannot be recorded.
pub(crate) async fn form(node: &Node, links: &Arc<Links>) -> Result<Beginning, ConductorError> {
    let incarnation = node.identity().incarnation;
    let name = links.local.name();
    let owner = links.claims.hear(name, incarnation).await?;
    let hello = Hello { list: links.config.peers.to_string() };
    let others: Vec<Target> = links
        .config
        .peers
        .iter()
        .filter(|(other, _)| *other != name)
        // The id is not known yet; a hello is for whoever has the name.
        .map(|(other, address)| Target {
            id: 0,
            member: Member { name: other.to_string(), address: address.to_string() },
        })
        .collect();
    let mut situation = Situation {
        name,
        incarnation,
        list: hello.list.clone(),
        listed: links.config.peers.iter().map(|(name, _)| name).collect(),
        heard: BTreeMap::new(),
        is_grace_over: false,
    };
    if owner != incarnation {
        return Err(ConductorError::damaged(
            "the state's file",
            format!("it says that `{name}` belongs to the disk {owner}, and this is {incarnation}"),
        ));
    }
    let begun = Instant::now();
    loop {
        let question = Question::new(wire::HELLO, &hello, HELLO_DEADLINE);
        let question = &question;
        let asked = others.iter().map(async |other| {
            let reply: Result<HelloReply, _> = links.ask(0, other, Class::Request, question).await;
            (other, reply, links.channel(&other.member).ok().and_then(|channel| channel.peer()))
        });
        for (other, reply, peer) in join_all(asked).await {
            match (reply, peer) {
                (Ok(reply), Some(peer)) => {
                    links.claims.hear(&peer.name, peer.incarnation).await?;
                    situation.heard.insert(peer.name.clone(), reply);
                }
                (Ok(_), None) => {}
                (Err(error), _) => {
                    tracing::debug!(member = other.member.name, %error, "no answer to a hello");
                }
            }
        }
        situation.is_grace_over = begun.elapsed() >= links.config.forming_grace;
        match situation.advice() {
            Advice::Begin(beginning) => return Ok(beginning),
            Advice::Wait(what) => node.set_stage(Stage::Forming(what)),
            Advice::Join(members, why) => match crate::members::ask_to_join(node, links, &members).await {
                Ok(cluster) => return Ok(Beginning::Joined(cluster)),
                Err(problem) => node.set_stage(Stage::Joining(format!("{why}; {problem}"))),
            },
        }
        sleep(PAUSE + jitter(PAUSE)).await;
    }
}

/// Answers a new disk.
pub(crate) async fn answer(
    node: &Node,
    links: &Links,
    peer: &PeerIdentity,
    hello: &Hello,
) -> Result<HelloReply, ConductorError> {
    let list = links.config.peers.to_string();
    let established = node.running().and_then(|running| {
        let membership = running.membership();
        let members: Vec<Target> =
            membership.nodes().map(|(id, member)| Target { id: *id, member: member.clone() }).collect();
        let cluster = *node.published.cluster.borrow();
        (!members.is_empty() || cluster.is_some()).then_some(Established { cluster, members })
    });
    // Members that are forming and disagree about the list are none of each other's business.
    let owner = match established.is_some() || hello.list == list {
        true => Some(links.claims.hear(&peer.name, peer.incarnation).await?),
        false => links.claims.owner(&peer.name),
    };
    Ok(HelloReply { owner, list, established })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);
    const CLUSTER: Uuid = Uuid::from_u128(3);

    struct Case {
        names: Vec<MemberName>,
        heard: BTreeMap<MemberName, HelloReply>,
        is_grace_over: bool,
    }

    impl Case {
        fn new(names: &[&str]) -> Self {
            let names = names.iter().map(|name| name.parse().unwrap()).collect();
            Self { names, heard: BTreeMap::new(), is_grace_over: false }
        }

        fn hears(mut self, name: &str, owner: Uuid, established: Option<Established>) -> Self {
            let reply = HelloReply { owner: Some(owner), list: "list".into(), established };
            self.heard.insert(name.parse().unwrap(), reply);
            self
        }

        fn after_grace(mut self) -> Self {
            self.is_grace_over = true;
            self
        }

        /// What `a` should do.
        fn advice(&self) -> Advice {
            let situation = Situation {
                name: &self.names[0],
                incarnation: OWN,
                list: "list".into(),
                listed: self.names.iter().collect(),
                heard: self.heard.clone(),
                is_grace_over: self.is_grace_over,
            };
            situation.advice()
        }
    }

    fn target(id: u64, name: &str) -> Target {
        Target { id, member: Member { name: name.into(), address: String::new() } }
    }

    fn cluster(founded: bool, members: &[Target]) -> Option<Established> {
        Some(Established { cluster: founded.then_some(CLUSTER), members: members.to_vec() })
    }

    fn genesis(names: &[&str]) -> Vec<Target> {
        names.iter().map(|name| target(genesis_id(name), name)).collect()
    }

    #[track_caller]
    fn waits(advice: &Advice, expected: &str) {
        assert!(matches!(advice, Advice::Wait(what) if what.contains(expected)), "{advice:?}");
    }

    #[test]
    fn all_that_are_listed_begin_at_once_and_a_majority_after_a_while() {
        let begin = Advice::Begin(Beginning::Genesis);
        assert_eq!(Case::new(&["a"]).advice(), begin);
        waits(&Case::new(&["a", "b", "c"]).advice(), "waits for b, c");
        waits(&Case::new(&["a", "b", "c"]).after_grace().advice(), "waits for b, c");
        let two = || Case::new(&["a", "b", "c"]).hears("b", OWN, None);
        waits(&two().advice(), "waits for c");
        assert_eq!(two().after_grace().advice(), begin);
        assert_eq!(two().hears("c", OWN, None).advice(), begin);
        // Another one may have written the first membership already.
        assert_eq!(two().hears("c", OWN, cluster(false, &genesis(&["a", "b", "c"]))).advice(), begin);
    }

    #[test]
    fn whoever_lost_a_disk_never_acts_for_it() {
        let lost = || Case::new(&["a", "b", "c"]).hears("b", OTHER, None).after_grace();
        waits(&lost().advice(), "was lost");
        waits(&lost().hears("c", OWN, None).advice(), "was lost");
        let there = genesis(&["a", "b", "c"]);
        let joins = lost().hears("c", OWN, cluster(true, &there)).advice();
        assert_eq!(joins, Advice::Join(there, "another disk had this member's name before"));
    }

    #[test]
    fn a_cluster_that_is_there_is_never_doubled() {
        let three = || Case::new(&["a", "b", "c"]).after_grace();
        let late = three().hears("b", OWN, cluster(true, &genesis(&["a", "b", "c"]))).advice();
        assert_eq!(late, Advice::Begin(Beginning::Late(CLUSTER)));
        let others = vec![target(9, "b")];
        let joins = three().hears("b", OWN, cluster(true, &others)).hears("c", OWN, None).advice();
        assert_eq!(joins, Advice::Join(others.clone(), "the cluster does not know it yet"));
        waits(&three().hears("b", OWN, cluster(false, &others)).advice(), "no leader yet");
        let mut two = three().hears("b", OWN, cluster(true, &others));
        let reply = HelloReply {
            owner: Some(OWN),
            list: "list".into(),
            established: Some(Established { cluster: Some(OTHER), members: others }),
        };
        two.heard.insert("c".parse().unwrap(), reply);
        waits(&two.advice(), "different clusters");
    }

    #[test]
    fn different_lists_are_shown_and_nothing_begins() {
        let mut case = Case::new(&["a", "b"]).hears("b", OWN, None).after_grace();
        let name: MemberName = "b".parse().unwrap();
        case.heard.insert(name, HelloReply { owner: None, list: "b=b:1,d=d:1".into(), established: None });
        waits(&case.advice(), "`b` lists other members, b=b:1,d=d:1, than this one, list");
    }
}
