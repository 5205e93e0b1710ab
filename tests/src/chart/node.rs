//! The node that all pods are on: its network, the disks, and what is published of the pods' states.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::container::{Container, Place};
use super::discovery;
use super::kubelet::{Life, State};
use super::rules::{Seen, World};
use crate::netns::Network;

/// The pod that answers for names.
pub const NAME_SERVER: &str = "kube-system/kube-dns";

/// What the kubelet's threads share.
pub struct Node {
    folder: PathBuf,
    network: Mutex<Network>,
    world: Mutex<World>,
    lives: Mutex<BTreeMap<String, Arc<Life>>>,
    /// The rules that each place has.
    applied: Mutex<BTreeMap<String, String>>,
}

impl Node {
    /// A node without pods, with its disks in this folder.
    ///
    /// # Panics
    /// When its folders cannot be made.
    pub fn new(folder: &Path) -> Self {
        let node = Self {
            folder: folder.to_path_buf(),
            network: Mutex::new(Network::new()),
            world: Mutex::default(),
            lives: Mutex::default(),
            applied: Mutex::default(),
        };
        std::fs::create_dir_all(node.claims())
            .unwrap_or_else(|error| panic!("no folder for claims: {error}"));
        node
    }

    /// The folder with a folder for each claim.
    pub fn claims(&self) -> PathBuf {
        self.folder.join("claims")
    }

    /// The folder of a pod, which later pods of the same name have too.
    pub fn folder_of(&self, id: &str) -> PathBuf {
        self.folder.join("pods").join(id)
    }

    /// Services and policies of the cluster. [`Node::publish`] makes a change of them known.
    pub fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.world)
    }

    /// A pod by `namespace/name`, the last one of this name.
    pub fn life(&self, id: &str) -> Option<Arc<Life>> {
        locked(&self.lives).get(id).cloned()
    }

    /// Every pod.
    pub fn lives(&self) -> Vec<Arc<Life>> {
        locked(&self.lives).values().cloned().collect()
    }

    /// A network namespace for a new pod, with a way to the addresses of services; its address.
    ///
    /// # Panics
    /// When there is one of this name, or it cannot be made.
    pub fn make_place(&self, place: &str) -> Ipv4Addr {
        let mut network = locked(&self.network);
        let address = network.add(place);
        let way = ["route", "add", "default", "via", &Network::OWN_ADDRESS.to_string()].map(str::to_owned);
        let status = network.command(place, "ip").args(way).status();
        assert!(status.is_ok_and(|status| status.success()), "no route for {place}");
        address
    }

    /// Let nothing get to or from a place any more.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn unplug(&self, place: &str) {
        locked(&self.network).unplug(place);
    }

    /// Undo [`Node::unplug`].
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn rejoin(&self, place: &str) {
        locked(&self.network).rejoin(place);
    }

    /// Take a pod in. Its rules are in place when this returns.
    pub fn add(&self, life: &Arc<Life>) {
        locked(&self.lives).insert(life.pod.id(), Arc::clone(life));
        self.publish();
    }

    /// Start the container of a pod.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self, life: &Life, place: &Place<'_>) -> Container {
        Container::start(&locked(&self.network), life.pod.container(), place)
    }

    /// What a pod of this namespace has in `/etc/resolv.conf`.
    pub fn resolver(&self, namespace: &str) -> String {
        let server = self.world().addresses.get(NAME_SERVER).copied();
        let server = server.map_or(String::new(), |address| format!("nameserver {address}\n"));
        format!(
            "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\n{server}options ndots:5\n"
        )
    }

    /// Make what has changed known: endpoints and policies as rules of each pod, names to the name server, targets to
    /// whoever discovers them.
    ///
    /// # Panics
    /// When it cannot be done.
    pub fn publish(&self) {
        let lives = self.lives();
        // One at a time, so that what is newer is published later.
        let mut world = self.world();
        world.pods = lives.iter().filter_map(|life| seen(life)).collect();
        let mut applied = locked(&self.applied);
        for life in &lives {
            let Some(pod) = world.pods.get(&life.pod.id()) else { continue };
            let rules = world.rules(pod, Network::OWN_ADDRESS);
            if applied.get(&life.place) != Some(&rules) {
                self.filter(&life.place, &rules);
                applied.insert(life.place.clone(), rules);
            }
        }
        self.share("names", "hosts", &world.names());
        self.share("discovered", "targets.json", &discovery::targets(&world));
        if let Some(life) = lives.iter().find(|life| life.pod.id() == NAME_SERVER) {
            life.with(|container| container.signal("HUP"));
        }
    }

    /// Put a file into a claim, at once.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn share(&self, claim: &str, name: &str, text: &str) {
        let folder = self.claims().join(claim);
        let (new, there) = (folder.join(format!(".{name}")), folder.join(name));
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&new, text))
            .and_then(|()| std::fs::rename(&new, &there))
            .unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    fn filter(&self, place: &str, rules: &str) {
        let mut command = locked(&self.network).command(place, "nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run nft: {error}"));
        let written = child.stdin.take().map(|mut pipe| pipe.write_all(rules.as_bytes()));
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("nft: {error}"));
        assert!(
            output.status.success() && written.is_none_or(|written| written.is_ok()),
            "rules of {place}: {}\n{rules}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A pod as others see it; none once it has ended.
fn seen(life: &Life) -> Option<(String, Seen)> {
    let State { ready_since, terminating, ended, .. } = life.state();
    let subdomain = life.pod.subdomain.clone().map(|subdomain| (life.pod.hostname.clone(), subdomain));
    let seen = Seen {
        name: life.pod.name.clone(),
        namespace: life.pod.namespace.clone(),
        address: life.address,
        ready: ready_since.is_some() && !terminating,
        subdomain,
    };
    ended.is_none().then(|| (life.pod.id(), seen))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
