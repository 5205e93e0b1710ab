//! The chart as `tests/deployment/pods.py` describes it: Helm's own code renders, and what would run is resolved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::{repository, target};

/// Everything of one rendering.
#[derive(Debug, Deserialize)]
pub struct Description {
    /// Pods of every kind, those of tests too.
    pub pods: Vec<Pod>,
    /// StatefulSets, which own some of the pods.
    pub sets: Vec<Set>,
    /// Services of all namespaces.
    pub services: Vec<Service>,
    /// Network policies of all namespaces.
    pub policies: Vec<Policy>,
    /// The Kubernetes objects as they were rendered.
    pub objects: Vec<Value>,
}

/// A pod as the API server would hold it, with all that it refers to.
#[derive(Debug, Clone, Deserialize)]
pub struct Pod {
    /// Its name, which is also its host name where it has none of its own.
    pub name: String,
    /// Where it lives.
    pub namespace: String,
    /// What selectors look at.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What the container sees as its host name.
    pub hostname: String,
    /// The headless service that gives it a name.
    pub subdomain: Option<String>,
    /// How long it may take to stop.
    pub grace_seconds: u64,
    /// The user of its processes; root where nothing is said.
    pub user: Option<u32>,
    /// Their group.
    pub run_as_group: Option<u32>,
    /// The group that owns its volumes.
    pub group: Option<u32>,
    /// Whether a container that ended is started again.
    pub restarts: bool,
    /// How long it may run at all.
    pub deadline_seconds: Option<u64>,
    /// What runs; exactly one here.
    pub containers: Vec<Container>,
    /// What would run before it.
    pub init_containers: Vec<Container>,
}

/// A container with its environment resolved.
#[derive(Debug, Clone, Deserialize)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// The entry point; none where the image's own is meant.
    pub command: Option<Vec<String>>,
    /// What follows the entry point.
    pub args: Vec<String>,
    /// From ConfigMaps, Secrets, fields and values.
    pub env: BTreeMap<String, String>,
    /// `startup`, `liveness`, `readiness`.
    pub probes: BTreeMap<String, Probe>,
    /// `preStop`, as Kubernetes writes it.
    pub lifecycle: Value,
    /// Whether the root file system cannot be written.
    pub read_only_root: bool,
    /// Whether a process may become more than it is.
    pub may_gain_privileges: bool,
    /// Whether it runs without any capability.
    pub drops_all_capabilities: bool,
    /// Folders from volumes.
    pub mounts: Vec<Mount>,
}

/// A question over HTTP that the kubelet asks again and again.
#[derive(Debug, Clone, Deserialize)]
pub struct Probe {
    /// `http` or `https`.
    pub scheme: String,
    /// The container's port.
    pub port: u16,
    /// What is asked for.
    pub path: String,
    /// Before the first one.
    pub delay_seconds: u64,
    /// From one to the next.
    pub period_seconds: u64,
    /// How long an answer may take.
    pub timeout_seconds: u64,
    /// So many failures in a row count.
    pub failures: u32,
}

/// A folder of a container that a volume is seen in.
#[derive(Debug, Clone, Deserialize)]
pub struct Mount {
    /// Where.
    pub path: PathBuf,
    /// Whether the container can only read it.
    pub read_only: bool,
    /// The volume's name in the pod.
    pub volume: String,
    /// What lies in it.
    pub source: Source,
}

/// What lies in a volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A ConfigMap or a Secret.
    Files {
        /// Name and text of each.
        files: BTreeMap<String, String>,
        /// Their permissions.
        mode: u32,
    },
    /// A disk that outlives the pod.
    Claim {
        /// The claim's name.
        claim: String,
    },
    /// A folder that lives as long as the pod.
    Empty {
        /// Always true.
        empty: bool,
    },
}

/// A StatefulSet.
#[derive(Debug, Clone, Deserialize)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The names of its pods, by ordinal.
    pub pods: Vec<String>,
    /// Whether pods are started and stopped without waiting for each other.
    pub parallel: bool,
    /// Whether pods of an old revision are replaced one after the other.
    pub rolling: bool,
    /// How long a pod has to be ready to count as available.
    pub min_ready_seconds: u64,
    /// A digest of the template.
    pub revision: String,
}

/// A service with the pods that it selects.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub namespace: String,
    /// Labels, which a discovery reads.
    pub labels: BTreeMap<String, String>,
    /// Annotations, which a discovery reads.
    pub annotations: BTreeMap<String, String>,
    /// Whether it has no address of its own and gives each pod a name.
    pub headless: bool,
    /// Whether it leads to pods that are not ready.
    pub unready_too: bool,
    /// What it maps.
    pub ports: Vec<ServicePort>,
    /// Names of the pods that it selects.
    pub pods: Vec<String>,
}

/// A port of a service.
#[derive(Debug, Clone, Deserialize)]
pub struct ServicePort {
    /// Its name.
    pub name: String,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// The service's own.
    pub port: u16,
    /// The pods'.
    pub target: u16,
}

/// A network policy with the pods that it selects.
#[derive(Debug, Clone, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Where it lives.
    pub namespace: String,
    /// Names of the pods of its namespace that it is for.
    pub pods: Vec<String>,
    /// `Ingress`, `Egress` or both.
    pub restricts: Vec<String>,
    /// What may come in.
    pub ingress: Vec<Rule>,
    /// What may go out.
    pub egress: Vec<Rule>,
}

/// What a policy lets through.
#[derive(Debug, Clone, Deserialize)]
pub struct Rule {
    /// None: every port.
    pub ports: Vec<RulePort>,
    /// Whether it is for every peer.
    pub anybody: bool,
    /// Peers, as `namespace/name`.
    pub pods_anywhere: Vec<String>,
    /// Peers by address.
    pub cidrs: Vec<Block>,
}

/// A port that a rule opens.
#[derive(Debug, Clone, Deserialize)]
pub struct RulePort {
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// The pod's port, after a service has been resolved.
    pub port: u16,
}

/// Addresses.
#[derive(Debug, Clone, Deserialize)]
pub struct Block {
    /// Address and length.
    pub cidr: String,
    /// Parts of it that are left out.
    #[serde(default)]
    pub except: Vec<String>,
}

impl Pod {
    /// `namespace/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The container that runs.
    ///
    /// # Panics
    /// When the pod has more than one, or one that runs before: nothing here would start it.
    pub fn container(&self) -> &Container {
        assert!(
            self.containers.len() == 1 && self.init_containers.is_empty(),
            "{}: pods of one container are run here",
            self.name
        );
        &self.containers[0]
    }
}

impl Description {
    /// Render the chart with these values (YAML) in a cluster that has these objects (YAML documents).
    ///
    /// # Panics
    /// When the tools are missing, the chart refuses the values, or the description is not of this form.
    pub fn of(folder: &Path, values: &str, others: &str) -> Self {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
            path
        };
        let deployment = repository().join("tests/deployment");
        let output = Command::new(python())
            .current_dir(&deployment)
            .arg("pods.py")
            .arg(write("values.yaml", values))
            .arg(write("objects.yaml", others))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap_or_else(|error| panic!("cannot run pods.py: {error}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pods.py: {stderr}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("pods.py describes something else: {error}\n{stderr}"))
    }

    /// A pod by `namespace/name`.
    ///
    /// # Panics
    /// When there is none.
    pub fn pod(&self, id: &str) -> &Pod {
        self.pods.iter().find(|pod| pod.id() == id).unwrap_or_else(|| panic!("no pod {id} is described"))
    }

    /// The object of a kind that the chart renders one of.
    ///
    /// # Panics
    /// When there is none.
    pub fn object(&self, kind: &str) -> &Value {
        let found = self.objects.iter().find(|object| object["kind"] == kind);
        found.unwrap_or_else(|| panic!("the chart renders no {kind} with these values"))
    }
}

/// The interpreter that has Helm's code, where `cargo xtask test` and `tests/deployment/run.sh` put it.
pub fn python() -> PathBuf {
    target().join("python/deployment/bin/python")
}
