//! Enough of Kubernetes to run what the chart renders: the controller of StatefulSets, and what `kubectl` and `helm` do by hand.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::container::Container;
use super::described::{Description, Pod, Set};
use super::kubelet::{Life, look_after};
use super::node::{NAME_SERVER, Node};

/// How long what must come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a condition is looked at again.
const GLANCE: Duration = Duration::from_millis(50);
/// The first part of the services' addresses; the first of them is the name server's.
const SERVICES: [u8; 3] = [10, 96, 0];
const FIRST_SERVICE: usize = 10;

/// A cluster of one node with the chart in it.
pub struct Cluster {
    node: Arc<Node>,
    description: Description,
    threads: Vec<JoinHandle<()>>,
    /// So many pods were started.
    started: usize,
    killed: Mutex<Vec<String>>,
}

impl Cluster {
    /// A cluster that answers for names, and runs nothing else yet. What is described comes with [`Cluster::apply`] and
    /// [`Cluster::start`].
    ///
    /// # Panics
    /// When the pod that answers for names is not among those described, or does not start.
    pub fn new(folder: &Path, description: Description) -> Self {
        let mut cluster = Self {
            node: Arc::new(Node::new(folder)),
            description,
            threads: Vec::new(),
            started: 0,
            killed: Mutex::default(),
        };
        cluster.set_world();
        cluster.start(NAME_SERVER);
        // It listens long before it hears that names have changed; that it answers is later.
        let server = cluster.address(NAME_SERVER);
        cluster.until("the name server", || answers_for_names(&server));
        cluster
    }

    /// The description that was applied last.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Bring what runs in line with a description, as an installation or an upgrade does, and wait until it is: pods of sets
    /// are made, replaced and removed; policies and services hold at once.
    ///
    /// # Panics
    /// When a pod does not become ready.
    pub fn apply(&mut self, description: Description) {
        self.description = description;
        self.set_world();
        self.settle();
    }

    /// Change the number of a set's pods and nothing else, as `kubectl scale` does: at most to what was described.
    ///
    /// # Panics
    /// When there is no such set, or a pod does not stop.
    pub fn scale(&mut self, set: &str, replicas: usize) {
        let found = self.description.sets.iter_mut().find(|it| it.name == set);
        let found = found.unwrap_or_else(|| panic!("there is no set {set}"));
        found.pods = (0..replicas).map(|number| format!("{set}-{number}")).collect();
        self.settle();
    }

    /// Bring the pods of sets in line with the description, and wait until they are.
    ///
    /// # Panics
    /// When a pod does not become ready.
    pub fn settle(&mut self) {
        for set in self.description.sets.clone() {
            self.roll(&set);
        }
    }

    /// The controller of StatefulSets.
    fn roll(&mut self, set: &Set) {
        let namespace = self.namespace_of(set);
        let id = |name: &String| format!("{namespace}/{name}");
        let beyond: Vec<String> = self
            .node
            .lives()
            .iter()
            .filter(|life| !life.revision.is_empty() && life.state().ended.is_none())
            .map(|life| life.pod.id())
            .filter(|running| !set.pods.iter().any(|name| id(name) == *running))
            .collect();
        if set.parallel {
            beyond.iter().for_each(|running| self.life(running).ask_to_stop());
        }
        for running in beyond.iter().rev() {
            self.stop(running);
        }
        for name in &set.pods {
            let there = self.node.life(&id(name)).is_some_and(|life| life.state().ended.is_none());
            if !there {
                self.start_as(&id(name), &set.revision);
                if !set.parallel {
                    self.until_available(&id(name), set.min_ready_seconds);
                }
            }
        }
        for name in set.pods.iter().rev().filter(|_| set.rolling) {
            let old = self.node.life(&id(name)).is_some_and(|life| life.revision != set.revision);
            if old {
                // One at a time, and only while all others are there.
                for other in set.pods.iter().filter(|other| *other != name) {
                    self.until_available(&id(other), set.min_ready_seconds);
                }
                self.stop(&id(name));
                self.start_as(&id(name), &set.revision);
            }
            self.until_available(&id(name), set.min_ready_seconds);
        }
    }

    /// Start a pod that is described.
    ///
    /// # Panics
    /// When it is not, or cannot be started.
    pub fn start(&mut self, id: &str) {
        self.start_as(id, "");
    }

    fn start_as(&mut self, id: &str, revision: &str) {
        let pod: Pod = self.description.pod(id).clone();
        // A new pod has a new address, whatever its name.
        self.started += 1;
        let place = format!("{id}#{}", self.started);
        let address = self.node.make_place(&place);
        let folder = self.node.folder_of(id);
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("no folder for {id}: {error}"));
        let life = Arc::new(Life::new(pod, revision.to_owned(), address, place, folder));
        self.node.add(&life);
        let node = Arc::clone(&self.node);
        self.threads.push(std::thread::spawn(move || {
            look_after(&node, &life);
            node.publish();
        }));
    }

    /// Stop a pod in order and wait for its end.     ///
    /// # Panics
    /// When there is none, or it does not end.
    pub fn stop(&self, id: &str) {
        let life = self.life(id);
        life.ask_to_stop();
        self.until("the end of a pod", || life.state().ended);
        if life.state().killed {
            self.killed.lock().unwrap_or_else(PoisonError::into_inner).push(id.to_owned());
        }
    }

    /// Pods whose grace was over before they had ended.
    pub fn killed(&self) -> Vec<String> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kill the container of a pod without a word before; the kubelet will start it again.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn kill_container(&self, id: &str) {
        let before = self.life(id).state().restarts;
        self.life(id).with(|container| container.signal("KILL"));
        self.until("a restart", || (self.life(id).state().restarts > before).then_some(()));
    }

    /// Take the node of a pod away: its processes are gone, nothing answers at its address, and the cluster still has the pod.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn lose(&self, id: &str) {
        self.node.unplug(&self.life(id).place);
        self.life(id).set_lost(true);
        self.until("a lost pod", || (!self.life(id).is_running()).then_some(()));
    }

    /// Give a lost pod its node back.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn give_back(&self, id: &str) {
        self.node.rejoin(&self.life(id).place);
        self.life(id).set_lost(false);
    }

    /// Start a pod that ends by itself, and wait for that; its exit code and what it wrote.
    ///
    /// # Panics
    /// When it cannot be started or does not end.
    pub fn run_to_end(&mut self, id: &str) -> (i32, String) {
        let _ = std::fs::remove_file(self.node.folder_of(id).join("log"));
        self.start(id);
        let life = self.life(id);
        let code = self.until("the end of a pod", || life.state().ended);
        (code, life.log())
    }

    /// Run a command in a pod as `kubectl exec` does, at most for so long; none where it was not done by then.
    ///
    /// # Panics
    /// When the pod does not run or the command cannot be started.
    pub fn exec(&self, id: &str, command: &[&str], time: Duration) -> Option<Output> {
        let seconds = time.as_secs_f64().to_string();
        let mut words = vec!["timeout".to_owned(), "--signal=KILL".to_owned(), seconds];
        words.extend(command.iter().map(|word| (*word).to_owned()));
        let command = self.life(id).with(|container| container.exec(&words));
        let mut command = command.unwrap_or_else(|| panic!("{id} does not run"));
        let output = command.stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        // A killed command has no exit code, or the one that stands for the signal.
        (!matches!(output.status.code(), None | Some(137))).then_some(output)
    }

    /// Whether a connection from a pod to this address comes about. What is dropped takes a second.
    ///
    /// # Panics
    /// When the pod does not run.
    pub fn connects(&self, from: &str, address: &str, port: u16) -> bool {
        let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
        let output = self.exec(from, &["/bin/bash", "-c", &connect], Duration::from_secs(1));
        output.is_some_and(|output| output.status.success())
    }

    /// The address of a pod.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn address(&self, id: &str) -> String {
        self.life(id).address.to_string()
    }

    /// Whether a pod is ready.
    pub fn is_ready(&self, id: &str) -> bool {
        self.node.life(id).is_some_and(|life| life.state().ready_since.is_some())
    }

    /// A pod's life.
    ///
    /// # Panics
    /// When there is no such pod.
    pub fn life(&self, id: &str) -> Arc<Life> {
        self.node.life(id).unwrap_or_else(|| panic!("there is no pod {id}"))
    }

    /// Wait until a pod has been ready for so long.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn until_available(&self, id: &str, seconds: u64) {
        self.until(&format!("{id} that is ready"), || {
            let since = self.life(id).state().ready_since?;
            (since.elapsed() >= Duration::from_secs(seconds)).then_some(())
        });
    }

    /// Ask again until there is an answer that will do.
    ///
    /// # Panics
    /// When none comes in time, with the end of every pod's log.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < end, "{what} did not come\n{}", self.logs());
            std::thread::sleep(GLANCE);
        }
    }

    /// The end of each pod's log, for who wants to know why.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for life in self.node.lives() {
            let log = life.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(40)..].join("\n");
            text.push_str(&format!("== {} {:?}\n{last}\n", life.pod.id(), life.state()));
        }
        text
    }

    /// Put a file into a claim, at once.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn share(&self, claim: &str, name: &str, text: &str) {
        self.node.share(claim, name, text);
    }

    /// Read a file of a claim; empty where there is none.
    pub fn shared(&self, claim: &str, name: &str) -> String {
        std::fs::read_to_string(self.node.claims().join(claim).join(name)).unwrap_or_default()
    }

    /// Take a file out of a claim.
    ///
    /// # Panics
    /// When there is none.
    pub fn take(&self, claim: &str, name: &str) {
        std::fs::remove_file(self.node.claims().join(claim).join(name))
            .unwrap_or_else(|error| panic!("{claim}/{name}: {error}"));
    }

    /// Take a claim away with all that is in it; a pod that asks for it again gets a new disk.
    ///
    /// # Panics
    /// When there is none.
    pub fn delete_claim(&self, claim: &str) {
        std::fs::remove_dir_all(self.node.claims().join(claim))
            .unwrap_or_else(|error| panic!("the claim {claim}: {error}"));
    }

    /// Whether a claim has a file.
    pub fn has(&self, claim: &str, name: &str) -> bool {
        self.node.claims().join(claim).join(name).exists()
    }

    fn set_world(&self) {
        let mut world = self.node.world();
        world.services = self.description.services.clone();
        world.policies = self.description.policies.clone();
        let mut ids: Vec<String> = world
            .services
            .iter()
            .filter(|service| !service.headless)
            .map(|service| format!("{}/{}", service.namespace, service.name))
            .collect();
        ids.sort_by_key(|id| (id != NAME_SERVER, id.clone()));
        for id in ids {
            let number = u8::try_from(FIRST_SERVICE + world.addresses.len()).unwrap_or(u8::MAX);
            let [first, second, third] = SERVICES;
            // An address stays with its service.
            world.addresses.entry(id).or_insert_with(|| [first, second, third, number].into());
        }
        drop(world);
        self.node.publish();
    }

    fn namespace_of(&self, set: &Set) -> String {
        let first = format!("{}-0", set.name);
        let pod = self.description.pods.iter().find(|pod| pod.name == first);
        pod.map(|pod| pod.namespace.clone()).unwrap_or_default()
    }
}

/// Whether a name server answers a question, whatever it answers.
fn answers_for_names(server: &str) -> Option<()> {
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["cluster", "local"] {
        question.push(u8::try_from(label.len()).ok()?);
        question.extend(label.bytes());
    }
    // The end of the name, type A, class IN.
    question.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
    socket.send_to(&question, (server, 53)).ok()?;
    socket.recv(&mut [0; 512]).ok().map(|_| ())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for life in self.node.lives() {
            life.ask_to_stop();
            life.with(Container::kill);
        }
        for thread in self.threads.drain(..) {
            // It has said already what went wrong.
            let _ = thread.join();
        }
    }
}
