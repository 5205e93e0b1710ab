//! Three members of etcd on this machine, and what is asked of them.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::grpc::{Call, GrpcClient, Range};
use crate::http::{Connection, HttpClient, post};
use crate::load::Client as _;
use crate::{Members, PAYLOAD_BYTES};

/// How long members may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers of clients that others do not have.
const READ: usize = 9999;
const FAILOVER: usize = 9998;

pub(crate) struct Etcd {
    folder: tempfile::TempDir,
    members: Vec<Member>,
}

struct Member {
    client: String,
    peer: String,
    child: Option<Child>,
}

/// A key of 16 characters that no other request has. Its characters are also base64 of 12 bytes, so that the gateway takes it.
pub(crate) fn key(client: usize, number: u64) -> String {
    format!("{client:04}{number:012}")
}

impl Etcd {
    /// With the timeouts that hosts have by default.
    ///
    /// # Panics
    /// When etcd is not there or does not come up.
    pub(crate) async fn start(below: &Path) -> Self {
        let folder = tempfile::tempdir_in(below).unwrap();
        let members = (0..3).map(|_| Member { client: free(), peer: free(), child: None }).collect();
        let mut etcd = Self { folder, members };
        for number in 0..3 {
            etcd.start_member(number);
        }
        etcd.until_ready().await;
        etcd
    }

    fn spawn(&self, number: usize) -> Child {
        let url = |address: &str| format!("http://{address}");
        let all: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(number, member)| format!("etcd-{number}={}", url(&member.peer)))
            .collect();
        let member = &self.members[number];
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        Command::new("etcd")
            .args(["--name", &format!("etcd-{number}")])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(["--listen-client-urls", &url(&member.client)])
            .args(["--advertise-client-urls", &url(&member.client)])
            .args(["--listen-peer-urls", &url(&member.peer)])
            .args(["--initial-advertise-peer-urls", &url(&member.peer)])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
            .args(["--heartbeat-interval", "100", "--election-timeout", "500"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("etcd cannot be run ({error}); `cargo xtask bench etcd` installs it")
            })
    }

    async fn status(&self, number: usize) -> Option<Value> {
        let mut connection = Connection::new(&self.members[number].client);
        let answer = connection.exchange(&post("/v3/maintenance/status", "", "{}")).await.ok()?;
        serde_json::from_slice(answer).ok()
    }

    /// Make the keys that are read: the same characters are another key through the gateway.
    pub(crate) async fn prepare(&self) {
        let (client, value) = (READ, Bytes::from(vec![b'x'; PAYLOAD_BYTES]));
        let mut native = GrpcClient::new(&self.members[0].client, client, Call::Puts(value));
        native.ask(0).await.unwrap();
        let mut connection = Connection::new(&self.members[0].client);
        connection.exchange(&put(&key(client, 0))).await.unwrap();
    }

    /// Puts, natively.
    pub(crate) fn puts(&self, members: &[usize]) -> Vec<GrpcClient> {
        self.clients(members, &Call::Puts(Bytes::from(vec![b'x'; PAYLOAD_BYTES])))
    }

    /// Linearizable reads of a key, natively.
    pub(crate) fn ranges(&self, members: &[usize]) -> Vec<GrpcClient> {
        self.clients(members, &Call::Range(Range { key: key(READ, 0).into() }))
    }

    fn clients(&self, members: &[usize], call: &Call) -> Vec<GrpcClient> {
        let client = |(client, member): (usize, &usize)| {
            GrpcClient::new(&self.members[*member].client, client, call.clone())
        };
        members.iter().enumerate().map(client).collect()
    }

    /// Puts through the gateway that takes JSON.
    pub(crate) fn json_puts(&self, members: &[usize]) -> Vec<HttpClient> {
        self.http_clients(members, |client, number| put(&key(client, number)))
    }

    /// Linearizable reads through it.
    pub(crate) fn json_ranges(&self, members: &[usize]) -> Vec<HttpClient> {
        let request = post("/v3/kv/range", "", &format!("{{\"key\":\"{}\"}}", key(READ, 0)));
        self.http_clients(members, move |_, _| request.clone())
    }

    fn http_clients(
        &self,
        members: &[usize],
        request: impl Fn(usize, u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Vec<HttpClient> {
        let addresses: Vec<&str> = self.members.iter().map(|member| member.client.as_str()).collect();
        HttpClient::all(&addresses, members, request)
    }
}

impl Members for Etcd {
    fn start_member(&mut self, number: usize) {
        let child = self.spawn(number);
        self.members[number].child = Some(child);
    }

    async fn until_ready(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut indexes = Vec::new();
            for number in 0..3 {
                let status = self.status(number).await.unwrap_or_default();
                let has_leader = status["leader"].as_str().is_some_and(|leader| leader != "0");
                indexes.push(status["raftAppliedIndex"].as_str().filter(|_| has_leader).map(str::to_owned));
            }
            if indexes[0].is_some() && indexes.iter().all(|index| *index == indexes[0]) {
                return;
            }
            assert!(Instant::now() < end, "etcd did not come up; see {}", self.folder.path().display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn leader(&self) -> usize {
        for number in 0..3 {
            let status = self.status(number).await.unwrap_or_default();
            if status["leader"].is_string() && status["leader"] == status["header"]["member_id"] {
                return number;
            }
        }
        panic!("etcd has no leader")
    }

    fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.members[number].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn write_to(&self, member: usize, number: u64) -> (Connection, Vec<u8>) {
        (Connection::new(&self.members[member].client), put(&key(FAILOVER, number)))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for number in 0..3 {
            self.kill(number);
        }
    }
}

/// A put through the gateway: keys and values are base64 there.
fn put(key: &str) -> Vec<u8> {
    let value = "eHh4".repeat(PAYLOAD_BYTES / 3);
    post("/v3/kv/put", "", &format!("{{\"key\":\"{key}\",\"value\":\"{value}eA==\"}}"))
}

fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
