//! What a kubelet does for one pod: it starts the container, asks its probes, starts it again, and stops it in order.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::container::{Container, Identity, Place, within};
use super::described::{Pod, Probe};
use super::node::Node;
use super::volumes;

/// How often a pod is looked after.
const TICK: Duration = Duration::from_millis(50);
/// Before the second restart; it doubles with each.
const BACK_OFF: Duration = Duration::from_secs(10);

/// A pod on the node, from its creation to its end.
pub struct Life {
    /// What it is.
    pub pod: Pod,
    /// The revision of the template that it was made from; empty where no set made it.
    pub revision: String,
    /// Its address, which is new with each life.
    pub address: Ipv4Addr,
    /// Its network namespace, by its name in the network.
    pub place: String,
    /// Its folder: logs, and volumes that live as long as it does.
    pub folder: PathBuf,
    state: Mutex<State>,
    container: Mutex<Option<Container>>,
}

/// How a pod is.
#[derive(Debug, Clone, Default)]
pub struct State {
    wanted: Wanted,
    /// Since when its readiness probe has succeeded.
    pub ready_since: Option<Instant>,
    /// Whether it is about to stop.
    pub terminating: bool,
    /// How often its container was started again.
    pub restarts: u32,
    /// Whether its grace was over before it ended.
    pub killed: bool,
    /// The exit code that it ended with; -1 where a signal ended it.
    pub ended: Option<i32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Running,
    /// Its node is gone: nothing runs and nobody says so.
    Lost,
    Stopped,
}

/// Why a container is no longer looked after.
enum End {
    Exited(i32),
    Unhealthy,
    Lost,
    Stopped,
}

impl Life {
    /// A pod that is about to start.
    pub fn new(pod: Pod, revision: String, address: Ipv4Addr, place: String, folder: PathBuf) -> Self {
        let (state, container) = (Mutex::default(), Mutex::default());
        Self { pod, revision, address, place, folder, state, container }
    }

    /// How it is now.
    pub fn state(&self) -> State {
        self.locked().clone()
    }

    /// Whether its container runs.
    pub fn is_running(&self) -> bool {
        self.with(|container| container.ended().is_none()).unwrap_or(false)
    }

    /// Ask for its end, in order.
    pub fn ask_to_stop(&self) {
        self.locked().wanted = Wanted::Stopped;
    }

    /// Take its node away, or give it back.
    pub fn set_lost(&self, lost: bool) {
        self.locked().wanted = if lost { Wanted::Lost } else { Wanted::Running };
    }

    /// Do something with the container; none where there is none.
    pub fn with<T>(&self, act: impl FnOnce(&mut Container) -> T) -> Option<T> {
        self.container.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
    }

    /// What its containers wrote, of every life of this pod.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_ready(&self, node: &Node, ready: bool) {
        let mut state = self.locked();
        if state.ready_since.is_some() != ready {
            state.ready_since = ready.then(Instant::now);
            drop(state);
            node.publish();
        }
    }
}

/// Look after a pod until its end.
pub fn look_after(node: &Node, life: &Arc<Life>) {
    let folder = life.folder.join(format!("volumes-{}", life.address));
    let volumes = volumes::make(&life.pod, &folder, &node.claims(), &life.folder.join("compiled"));
    let mut back_off = Duration::ZERO;
    loop {
        let place = Place {
            network: &life.place,
            hostname: &life.pod.hostname,
            hosts: hosts(life),
            resolver: node.resolver(&life.pod.namespace),
            folder: &life.folder,
            volumes: volumes.clone(),
            identity: Identity {
                user: life.pod.user.unwrap_or(0),
                group: life.pod.run_as_group.unwrap_or(0),
                volumes: life.pod.group,
            },
        };
        let container = node.start(life, &place);
        *life.container.lock().unwrap_or_else(PoisonError::into_inner) = Some(container);
        let end = watch(node, life);
        life.set_ready(node, false);
        match end {
            End::Exited(code) if !life.pod.restarts => {
                life.locked().ended = Some(code);
                return;
            }
            End::Exited(_) => {}
            End::Unhealthy => {
                stop(node, life);
            }
            End::Lost => {
                life.with(Container::kill);
                while life.locked().wanted == Wanted::Lost {
                    std::thread::sleep(TICK);
                }
                back_off = Duration::ZERO;
            }
            End::Stopped => {
                let code = stop(node, life);
                life.locked().ended = Some(code);
                return;
            }
        }
        let again = Instant::now() + back_off;
        while Instant::now() < again && life.locked().wanted == Wanted::Running {
            std::thread::sleep(TICK);
        }
        back_off = if back_off.is_zero() { BACK_OFF } else { back_off * 2 };
        let mut state = life.locked();
        state.restarts += 1;
        if state.wanted == Wanted::Stopped {
            state.ended = Some(-1);
            return;
        }
    }
}

/// Ask the probes until something has to be done.
fn watch(node: &Node, life: &Life) -> End {
    let probes = &life.pod.container().probes;
    let schedule = |name: &str| probes.get(name).map(|probe| Schedule::new(probe, life.address));
    let mut startup = schedule("startup");
    let (mut liveness, mut readiness) = (None, None);
    let mut is_up = false;
    let deadline = life.pod.deadline_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        match life.locked().wanted {
            Wanted::Lost => return End::Lost,
            Wanted::Stopped => return End::Stopped,
            Wanted::Running => {}
        }
        if let Some(status) = life.with(Container::ended).flatten() {
            return End::Exited(status.code().unwrap_or(-1));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            life.with(Container::kill);
            return End::Exited(-1);
        }
        if let Some(probe) = &mut startup {
            match probe.ask_if_due() {
                Some(Answer::Good) => startup = None,
                Some(Answer::Bad) => return End::Unhealthy,
                None => {}
            }
        } else if !is_up {
            // The others begin once the container has started.
            is_up = true;
            (liveness, readiness) = (schedule("liveness"), schedule("readiness"));
            if readiness.is_none() {
                life.set_ready(node, true);
            }
        }
        if let Some(Answer::Bad) = liveness.as_mut().and_then(Schedule::ask_if_due) {
            return End::Unhealthy;
        }
        match readiness.as_mut().and_then(Schedule::ask_if_due) {
            Some(Answer::Good) => life.set_ready(node, true),
            Some(Answer::Bad) => life.set_ready(node, false),
            None => {}
        }
        std::thread::sleep(TICK);
    }
}

/// `preStop`, the signal, and the end when the grace is over. Returns the exit code.
fn stop(node: &Node, life: &Life) -> i32 {
    let end = Instant::now() + Duration::from_secs(life.pod.grace_seconds);
    life.locked().terminating = true;
    node.publish();
    let hook = &life.pod.container().lifecycle["preStop"]["exec"]["command"];
    let hook: Vec<String> = serde_json::from_value(hook.clone()).unwrap_or_default();
    if !hook.is_empty()
        && let Some(mut command) = life.with(|container| container.exec(&hook))
    {
        let log = || std::fs::File::options().create(true).append(true).open(life.folder.join("hook"));
        command.stdout(log().map_or_else(|_| Stdio::null(), Stdio::from));
        command.stderr(log().map_or_else(|_| Stdio::null(), Stdio::from));
        within(&mut command, end.saturating_duration_since(Instant::now()));
    }
    let status = life.with(|container| {
        container.signal("TERM");
        container.wait(end)
    });
    let mut code = status.flatten().and_then(|status| status.code());
    if let Some(None) = status {
        life.with(Container::kill);
        life.locked().killed = true;
        code = None;
    }
    life.locked().terminating = false;
    code.unwrap_or(-1)
}

/// `/etc/hosts` as the kubelet writes it.
fn hosts(life: &Life) -> String {
    let mut names = life.pod.hostname.clone();
    if let Some(subdomain) = &life.pod.subdomain {
        let namespace = &life.pod.namespace;
        names = format!("{names}.{subdomain}.{namespace}.svc.cluster.local {names}");
    }
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{} {names}\n", life.address)
}

enum Answer {
    Good,
    /// It has failed so often in a row that it counts.
    Bad,
}

/// A probe with its times.
struct Schedule<'a> {
    probe: &'a Probe,
    address: SocketAddr,
    next: Instant,
    failures: u32,
}

impl<'a> Schedule<'a> {
    fn new(probe: &'a Probe, address: Ipv4Addr) -> Self {
        assert_eq!(probe.scheme, "http", "probes over TLS are not asked here");
        let next = Instant::now() + Duration::from_secs(probe.delay_seconds);
        Self { probe, address: SocketAddr::from((address, probe.port)), next, failures: 0 }
    }

    fn ask_if_due(&mut self) -> Option<Answer> {
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + Duration::from_secs(self.probe.period_seconds);
        let time = Duration::from_secs(self.probe.timeout_seconds);
        if ask(self.address, &self.probe.path, time).is_some_and(|status| (200..400).contains(&status)) {
            self.failures = 0;
            return Some(Answer::Good);
        }
        self.failures += 1;
        (self.failures >= self.probe.failures).then_some(Answer::Bad)
    }
}

/// The status that is answered in time.
fn ask(address: SocketAddr, path: &str, time: Duration) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, time).ok()?;
    stream.set_read_timeout(Some(time)).ok()?;
    let head = "Connection: close\r\nUser-Agent: kube-probe/1.31\r\nAccept: */*\r\n\r\n";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{head}").ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).ok()?;
    // "HTTP/1.1 200"
    std::str::from_utf8(&start[9..]).ok()?.parse().ok()
}
