//! Hosts of the real binary that form a cluster: on addresses of the loopback network, or each at a place of its own in a
//! network that can be cut.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::netns::Network;
use crate::server::{API_KEY, PATIENCE, ended, get};
use crate::{Ended, binary, inquisitor, plugin, released, settle};

/// What the members prove themselves with.
const SECRET: &str = "the-secret-of-the-cluster-in-tests";

/// Ports of members that have an address to themselves.
const HTTP_PORT: u16 = 8000;
const RAFT_PORT: u16 = 4321;

/// Members that end with the test.
pub struct Cluster {
    folder: Folder,
    network: Option<Network>,
    members: Vec<Member>,
    peers: String,
    /// What members run where they have no network of their own.
    program: fn() -> Command,
    /// What they are started with beside the usual.
    options: Vec<String>,
}

/// Where members keep what they have, and their logs.
enum Folder {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

struct Member {
    name: String,
    http: String,
    raft: String,
    child: Option<Child>,
}

impl Cluster {
    /// Start so many members and wait until all of them are ready.
    ///
    /// # Panics
    /// When they do not come up.
    pub fn start(size: usize) -> Self {
        Self::prepare(size).started()
    }

    /// The same of the release binary and with more options: for benchmarks.
    ///
    /// # Panics
    /// When they were not built or do not come up.
    pub fn release(size: usize, options: &[&str]) -> Self {
        let mut cluster = Self::prepare(size);
        cluster.program = released;
        cluster.options = options.iter().map(|option| (*option).to_owned()).collect();
        cluster.started()
    }

    fn started(mut self) -> Self {
        for member in 0..self.members.len() {
            self.start_member(member);
        }
        for member in 0..self.members.len() {
            self.until_ready(member);
        }
        self
    }

    /// So many members, none of them started.
    ///
    /// # Panics
    /// When the machine has no ports left.
    pub fn prepare(size: usize) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self::on_loopback(Folder::Temporary(folder), size)
    }

    /// The same in this folder, which stays when they have ended.
    ///
    /// # Panics
    /// When the machine has no ports left.
    pub fn prepare_in(folder: &Path, size: usize) -> Self {
        Self::on_loopback(Folder::Kept(folder.to_owned()), size)
    }

    fn on_loopback(folder: Folder, size: usize) -> Self {
        let members: Vec<Member> = (0..size)
            .map(|number| {
                let host = format!("127.0.0.{}", number + 2);
                Member { name: member_name(number), http: free(&host), raft: free(&host), child: None }
            })
            .collect();
        let peers: Vec<String> =
            members.iter().map(|member| format!("{}={}", member.name, member.raft)).collect();
        let (program, options) = (inquisitor as fn() -> Command, Vec::new());
        Self { folder, network: None, members, peers: peers.join(","), program, options }
    }

    /// So many members at places of this network, which get the members' names (`host-0` and so on) and know each other by
    /// them. None is started; the folder stays when they have ended.
    ///
    /// # Panics
    /// When the network has such places already or cannot have them.
    pub fn prepare_on(mut network: Network, folder: &Path, size: usize) -> Self {
        let mut hosts = String::new();
        let mut members = Vec::new();
        for number in 0..size {
            let name = member_name(number);
            let address = network.add(&name);
            hosts.push_str(&format!("{address} {name}\n"));
            let (http, raft) = (format!("{address}:{HTTP_PORT}"), format!("{address}:{RAFT_PORT}"));
            members.push(Member { name, http, raft, child: None });
        }
        for member in &members {
            network.set_hosts(&member.name, &hosts);
        }
        let peers: Vec<String> =
            members.iter().map(|member| format!("{}:{RAFT_PORT}", member.name)).collect();
        Self {
            folder: Folder::Kept(folder.to_owned()),
            network: Some(network),
            members,
            peers: peers.join(","),
            program: inquisitor,
            options: Vec::new(),
        }
    }

    /// Start a member on whatever is in its folder.
    ///
    /// # Panics
    /// When the binary cannot be run.
    pub fn start_member(&mut self, number: usize) {
        let folder = self.member_folder(number);
        std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("no folder: {error}"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap_or_else(|error| panic!("no log: {error}"));
        let echo = plugin("echo");
        let member = &mut self.members[number];
        let mut command = match &self.network {
            Some(network) => {
                let mut command = network.command(&member.name, binary());
                settle(&mut command);
                command
            }
            None => (self.program)(),
        };
        let child = command
            .args(["serve", "--http-listen", &member.http, "--raft-listen", &member.raft])
            .args(["--raft-node-id", &member.name, "--raft-peers", &self.peers])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--plugin-dir")
            .arg(echo.parent().unwrap_or(Path::new(".")))
            .args(&self.options)
            .env("API_KEY", API_KEY)
            .env("CLUSTER_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run the binary: {error}"));
        member.child = Some(child);
    }

    /// Wait until a member is ready.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn until_ready(&self, number: usize) {
        self.until("a member that is ready", || get(&self.members[number].http, "/ready").map(|_| ()));
    }

    /// Ask again until there is an answer that will do.
    ///
    /// # Panics
    /// When none comes in time, with what the members logged.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            if Instant::now() >= end {
                let logs: Vec<String> = (0..self.members.len()).map(|number| self.log(number)).collect();
                panic!("{what} did not come; the members' logs:\n{}", logs.join("\n\n"));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Kill a member, without a word before.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.members[number].child.take() {
            child.kill().and_then(|()| child.wait()).unwrap_or_else(|error| panic!("cannot kill: {error}"));
        }
    }

    /// Send a member a signal, as `STOP`.
    ///
    /// # Panics
    /// When it does not run or the signal cannot be sent.
    pub fn signal(&self, number: usize, name: &str) {
        let child = self.members[number].child.as_ref();
        let child = child.unwrap_or_else(|| panic!("{} does not run", self.members[number].name));
        let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name}");
    }

    /// Ask a member to stop, and wait until it has.
    ///
    /// # Panics
    /// When it does not end in time, or not in order.
    pub fn stop(&mut self, number: usize) {
        if !self.runs(number) {
            return;
        }
        self.signal(number, "TERM");
        let Some(mut child) = self.members[number].child.take() else { return };
        let status = self.until("the end of a member", || child.try_wait().ok().flatten());
        assert!(status.success(), "{status}; {}", self.log(number));
    }

    /// Whether a member was started and neither killed nor stopped since.
    pub fn runs(&self, number: usize) -> bool {
        self.members[number].child.is_some()
    }

    /// How a member ended by itself, if it has.
    pub fn ended_by_itself(&mut self, number: usize) -> Option<ExitStatus> {
        self.members[number].child.as_mut()?.try_wait().ok().flatten()
    }

    /// The network that the members are on; none where they are on loopback addresses.
    pub fn network(&mut self) -> Option<&mut Network> {
        self.network.as_mut()
    }

    /// How many members there are, whether they run or not.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// A member's name.
    pub fn name(&self, number: usize) -> &str {
        &self.members[number].name
    }

    /// Take a member's disk away. It must not run.
    ///
    /// # Panics
    /// When it cannot be removed.
    pub fn lose_disk(&self, number: usize) {
        std::fs::remove_dir_all(self.member_folder(number).join("data"))
            .unwrap_or_else(|error| panic!("cannot remove the data: {error}"));
    }

    /// What a member says of consensus; none where it does not answer.
    pub fn status(&self, number: usize) -> Option<Value> {
        serde_json::from_str(&get(&self.members[number].http, "/raft/status")?).ok()
    }

    /// The number of the member that leads, as soon as one of those that run says so.
    ///
    /// # Panics
    /// When none leads in time.
    pub fn leader(&self) -> usize {
        self.until("a leader", || {
            (0..self.members.len()).find(|number| {
                self.members[*number].child.is_some()
                    && self.status(*number).is_some_and(|status| status["role"] == "leader")
            })
        })
    }

    /// The address of a member's API, as `127.0.0.2:41234`.
    pub fn address(&self, number: usize) -> &str {
        &self.members[number].http
    }

    /// The address of a member's Raft port.
    pub fn raft_address(&self, number: usize) -> &str {
        &self.members[number].raft
    }

    /// Run a command that asks this member to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        number: usize,
        arguments: I,
    ) -> Ended {
        let mut command = inquisitor();
        command
            .env("INQUISITOR_SERVER", format!("http://{}", self.members[number].http))
            .env("INQUISITOR_KEY", API_KEY)
            .env("XDG_CONFIG_HOME", self.folder().join("config"));
        ended(command.args(arguments))
    }

    /// Wait until these inquiries have a finding, as this member sees it.
    ///
    /// # Panics
    /// When one of them has none in time.
    pub fn until_concluded(&self, number: usize, ids: &[String]) {
        self.until("the end of every inquiry", || {
            let listed = self.run(number, ["inquiry", "list", "--all", "-o", "json"]);
            let listed: Value = serde_json::from_str(&listed.stdout).ok()?;
            let concluded: BTreeSet<&str> = listed
                .as_array()?
                .iter()
                .filter(|inquiry| inquiry["status"] == "concluded")
                .filter_map(|inquiry| inquiry["id"].as_str())
                .collect();
            ids.iter().all(|id| concluded.contains(id.as_str())).then_some(())
        });
    }

    /// The folder that is all members' own.
    pub fn folder(&self) -> &Path {
        match &self.folder {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(folder) => folder,
        }
    }

    /// What a member logged.
    pub fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.member_folder(number).join("log")).unwrap_or_default()
    }

    fn member_folder(&self, number: usize) -> PathBuf {
        self.folder().join(format!("member-{number}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for number in 0..self.members.len() {
            self.kill(number);
        }
    }
}

fn member_name(number: usize) -> String {
    format!("host-{number}")
}

/// An address with a port that nobody listens on now.
fn free(host: &str) -> String {
    let listener = TcpListener::bind((host, 0)).unwrap_or_else(|error| panic!("no free port: {error}"));
    listener.local_addr().map_or_else(|error| panic!("no address: {error}"), |address| address.to_string())
}
