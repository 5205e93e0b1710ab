//! Clusters in one process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use inquisitor_conductor::{
    ClusterConfig, Conductor, ConductorConfig, ConductorError, Credentials, RaftStatus,
};
use inquisitor_engine::journal::Journal;
use inquisitor_ledger::verify_export;
use tempfile::TempDir;

use crate::net::Net;
use crate::support::*;

const SECRET: &[u8] = b"a secret of the tests, drawn by nobody";
pub(crate) const THREE: [&str; 3] = ["a", "b", "c"];

/// What must happen happens within this time, on however busy a machine.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let bound = Duration::from_secs(60);
    tokio::time::timeout(bound, future).await.unwrap_or_else(|_| panic!("not within {bound:?}: {what}"))
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    soon(what, async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !holds().await {
            pause.tick().await;
        }
    })
    .await;
}

/// Members, their disks and the network between them.
pub(crate) struct Cluster {
    pub(crate) net: Net,
    disks: BTreeMap<String, TempDir>,
    pub(crate) members: BTreeMap<String, Arc<Conductor>>,
    /// Names of the list that members are started with.
    pub(crate) list: Vec<String>,
    pub(crate) grace: Duration,
    pub(crate) snapshot_every: u64,
}

impl Cluster {
    /// Of nobody yet. Members wait for all others before they form it.
    pub(crate) fn new(list: &[&str]) -> Self {
        Self {
            net: Net::default(),
            disks: BTreeMap::new(),
            members: BTreeMap::new(),
            list: list.iter().map(|name| (*name).to_owned()).collect(),
            grace: Duration::from_secs(3600),
            snapshot_every: 10_000,
        }
    }

    /// Of three that have formed.
    pub(crate) async fn three() -> Self {
        let mut cluster = Self::new(&THREE);
        for name in THREE {
            cluster.start(name).await;
        }
        cluster.formed().await;
        cluster
    }

    pub(crate) fn config(&mut self, name: &str) -> ConductorConfig {
        let disk = self.disks.entry(name.to_owned()).or_insert_with(|| tempfile::tempdir().unwrap());
        let list: Vec<String> = self.list.iter().map(|name| format!("{name}.test:4321")).collect();
        let credentials = Credentials::from_secret(SECRET).unwrap();
        let cluster = ClusterConfig {
            forming_grace: self.grace,
            resolver: self.net.resolver(name),
            ..ClusterConfig::new(list.join(",").parse().unwrap(), "127.0.0.1:0".parse().unwrap(), credentials)
        };
        ConductorConfig {
            cluster: Some(cluster),
            snapshot_every: self.snapshot_every,
            ..ConductorConfig::new(disk.path().join("data"), name)
        }
    }

    /// Starts a member, also one that was killed a moment ago and may not have let go of its files yet.
    pub(crate) async fn start(&mut self, name: &str) {
        let config = self.config(name);
        let opened = soon("the directory is free", async {
            loop {
                match Conductor::open(config.clone()).await {
                    Err(ConductorError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                    opened => return opened,
                }
            }
        });
        let member = opened.await.unwrap();
        self.net.listens(name, member.peer_address().unwrap());
        self.members.insert(name.to_owned(), Arc::new(member));
    }

    /// Stops a member without a word.
    pub(crate) fn kill(&mut self, name: &str) {
        self.net.is_gone(name);
        self.members.remove(name).unwrap();
    }

    pub(crate) async fn shutdown(&mut self, name: &str) {
        let member = self.members.remove(name).unwrap();
        soon("a member stops", member.shutdown()).await;
        self.net.is_gone(name);
    }

    /// The disk of a member that does not run is replaced by an empty one.
    pub(crate) fn lose_disk(&mut self, name: &str) {
        self.disks.remove(name);
    }

    /// Another disk for a member.
    pub(crate) fn give_disk(&mut self, name: &str, disk: TempDir) {
        self.disks.insert(name.to_owned(), disk);
    }

    pub(crate) fn take_disk(&mut self, name: &str) -> TempDir {
        self.disks.remove(name).unwrap()
    }

    pub(crate) fn member(&self, name: &str) -> &Conductor {
        &self.members[name]
    }

    pub(crate) async fn status(&self, name: &str) -> RaftStatus {
        self.member(name).status().await.unwrap()
    }

    /// All that run are voters of one cluster with one leader.
    pub(crate) async fn formed(&self) {
        let names: Vec<&String> = self.members.keys().collect();
        until("one cluster", || async {
            let mut seen = Vec::new();
            for name in &names {
                let status = self.status(name).await;
                let voters = status.members.iter().filter(|member| member.voter).count();
                let all = status.members.len() == voters && voters >= names.len();
                if !status.obstacles.is_empty() || !status.has_leader || status.cluster.is_empty() || !all {
                    return false;
                }
                seen.push((status.cluster, status.leader));
            }
            seen.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await;
    }

    /// The name of the member that leads, once there is one among those that run.
    pub(crate) async fn leader(&self) -> String {
        let mut leader = None;
        soon("a leader", async {
            let mut pause = tokio::time::interval(Duration::from_millis(20));
            while leader.is_none() {
                pause.tick().await;
                for (name, member) in &self.members {
                    let status = member.status().await.unwrap();
                    if status.role == "leader" && status.has_leader {
                        leader = Some(name.clone());
                    }
                }
            }
        })
        .await;
        leader.unwrap()
    }

    /// A member that runs and does not lead.
    pub(crate) async fn follower(&self) -> String {
        let leader = self.leader().await;
        self.members.keys().find(|name| **name != leader).unwrap().clone()
    }

    pub(crate) fn others(&self, name: &str) -> Vec<String> {
        self.members.keys().filter(|other| *other != name).cloned().collect()
    }

    /// All that run have applied the same and have the same ledger.
    pub(crate) async fn agree(&self) {
        until("all have applied the same", || async {
            let mut seen = Vec::new();
            for name in self.members.keys() {
                let status = self.status(name).await;
                seen.push((status.last_log_index, status.applied_index, status.state_hash));
            }
            seen.iter().all(|one| one.0 == one.1) && seen.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await;
        let mut ledgers = Vec::new();
        for member in self.members.values() {
            let mut export = Vec::new();
            let checkpoint = member.export_ledger(&mut export).unwrap();
            let lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            assert_eq!(verify_export(lines, None).unwrap(), checkpoint);
            ledgers.push(export);
        }
        assert!(ledgers.windows(2).all(|pair| pair[0] == pair[1]), "ledgers differ");
    }

    /// Submits an inquiry through a member; its manifest goes with it.
    pub(crate) async fn submit(&self, name: &str, inquiry: &str) {
        let member = self.member(name);
        soon("a submission", async {
            let manifest = member.put_blob(b"manifest".to_vec()).await.unwrap();
            accepted(member, submit(inquiry, &manifest, plan("n", 1))).await;
        })
        .await;
    }

    pub(crate) async fn has(&self, name: &str, inquiry: &str) -> bool {
        self.member(name).inquiry(inquiry).await.unwrap().is_some()
    }
}
