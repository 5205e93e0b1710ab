//! Three members of the conductor alone, over real sockets: what consensus and its state cost without HTTP, without a manifest
//! to read and plan, and without blobs. The write is a submission that is planned already. All three are in this process,
//! which spares them the way from the client.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use inquisitor_conductor::{ClusterConfig, Conductor, ConductorConfig, Credentials};
use inquisitor_engine::gating::{Bounds, Origin};
use inquisitor_engine::journal::{Applied, Command, Journal as _};
use inquisitor_manifest::plan::{Action, Plan, PlannedStep};

use crate::PAYLOAD_BYTES;
use crate::load::Client;

const SECRET: &[u8] = b"the-secret-of-the-cluster-in-benchmarks";

pub(crate) struct Conductors {
    members: Vec<Arc<Conductor>>,
    /// The blob of the manifest that all submissions name.
    manifest: String,
    _folder: tempfile::TempDir,
}

/// A client that proposes, or reads, on one member.
pub(crate) struct Proposer {
    member: Arc<Conductor>,
    what: What,
    client: usize,
}

enum What {
    Submits(String),
    /// Waits until a read is as new as the question, and reads an inquiry.
    Reads(String),
}

impl Conductors {
    pub(crate) async fn start(below: &Path) -> Self {
        let folder = tempfile::tempdir_in(below).unwrap();
        let addresses: Vec<String> = (0..3)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string())
            .collect();
        let list: Vec<String> =
            addresses.iter().enumerate().map(|(number, address)| format!("c{number}={address}")).collect();
        let mut members = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let credentials = Credentials::from_secret(SECRET).unwrap();
            let cluster =
                ClusterConfig::new(list.join(",").parse().unwrap(), address.parse().unwrap(), credentials);
            let config = ConductorConfig {
                cluster: Some(cluster),
                ..ConductorConfig::new(folder.path().join(number.to_string()), format!("c{number}"))
            };
            members.push(Arc::new(Conductor::open(config).await.unwrap()));
        }
        let mut conductors = Self { members, manifest: String::new(), _folder: folder };
        conductors.leader().await;
        conductors.manifest = conductors.members[0].put_blob(b"manifest".to_vec()).await.unwrap();
        let mut first = conductors.submits(&[0], 0).remove(0);
        first.client = usize::MAX;
        first.ask(0).await.unwrap();
        conductors
    }

    /// The member that leads, once all are of one cluster.
    pub(crate) async fn leader(&self) -> usize {
        loop {
            let (mut leader, mut well) = (None, 0);
            for (number, member) in self.members.iter().enumerate() {
                let status = member.status().await.unwrap();
                well += usize::from(status.has_leader && status.obstacles.is_empty());
                leader = if status.role == "leader" { Some(number) } else { leader };
            }
            match leader {
                Some(leader) if well == self.members.len() => return leader,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    pub(crate) fn submits(&self, members: &[usize], load: usize) -> Vec<Proposer> {
        self.clients(members, load, || What::Submits(self.manifest.clone()))
    }

    pub(crate) fn reads(&self, members: &[usize]) -> Vec<Proposer> {
        self.clients(members, 0, || What::Reads(inquiry(usize::MAX, 0)))
    }

    fn clients(&self, members: &[usize], load: usize, what: impl Fn() -> What) -> Vec<Proposer> {
        let client = |(client, member): (usize, &usize)| Proposer {
            member: self.members[*member].clone(),
            what: what(),
            client: load * 1000 + client,
        };
        members.iter().enumerate().map(client).collect()
    }

    pub(crate) async fn stop(&self) {
        for member in &self.members {
            member.shutdown().await;
        }
    }
}

impl Client for Proposer {
    async fn ask(&mut self, number: u64) -> Result<(), String> {
        match &self.what {
            What::Submits(manifest) => {
                let command = submit(inquiry(self.client, number), manifest.clone());
                match self.member.propose(command).await {
                    Ok(Applied::Done) => Ok(()),
                    Ok(other) => Err(format!("{other:?}")),
                    Err(error) => Err(error.to_string()),
                }
            }
            What::Reads(inquiry) => {
                self.member.linearize().await.map_err(|error| error.to_string())?;
                match self.member.inquiry(inquiry).await {
                    Ok(Some(_)) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
        }
    }
}

fn inquiry(client: usize, number: u64) -> String {
    format!("{client:020}-{number:012}")
}

/// A submission of one step; its name fills it up to the payload.
fn submit(inquiry: String, manifest: String) -> Command {
    let plan = Plan {
        manifest_id: "load".into(),
        name: "x".repeat(PAYLOAD_BYTES / 2),
        manifest_digest: manifest.clone(),
        tenant: None,
        kind: None,
        tags: Vec::new(),
        instruments: BTreeMap::new(),
        steps: vec![PlannedStep {
            name: "a".into(),
            phase: "execution".into(),
            action: Action::Analyze,
            after: Vec::new(),
            needs: Vec::new(),
            break_on_failure: false,
        }],
        substrate: None,
        execution: Default::default(),
        preflight: Vec::new(),
        falsification: Default::default(),
        arbitration: Default::default(),
        belief: None,
        analysis: Default::default(),
        reporting: Default::default(),
        limits: Default::default(),
        capabilities: Default::default(),
    };
    Command::Submit {
        inquiry,
        plan: Box::new(plan),
        manifest,
        base_dir: None,
        bounds: Box::new(Bounds::of_host()),
        origin: Origin::Local,
        idempotency_key: None,
        at: 1_000_000_001,
    }
}
