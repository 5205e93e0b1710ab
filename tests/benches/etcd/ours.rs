//! Three hosts of the release binary on this machine, and what is asked of them.

use inquisitor_tests::cluster::Cluster;
use inquisitor_tests::server::API_KEY;
use serde_json::Value;

use crate::http::{Connection, HttpClient, get, post};
use crate::{Members, PAYLOAD_BYTES};

/// One step that takes a minute: with `--max-running 1` nearly nothing runs beside the submits.
const MANIFEST: &str = r#"version: "1.0.0"
name: One step
metadata: { author: bench }
protocol: { type: sequential, phases: [execution] }
instruments: [{ id: a, type: echo, parameters: { response_delay_ms: 60000 } }]
"#;

pub(crate) struct Ours {
    cluster: Cluster,
    /// The inquiry that is read.
    read: String,
}

/// A manifest of the payload's size. Those that run beside each other are one text or have different ids.
fn manifest(id: &str) -> String {
    let padding = PAYLOAD_BYTES - MANIFEST.len() - id.len() - "id: \n#\n".len();
    format!("id: {id}\n{MANIFEST}#{}\n", "x".repeat(padding))
}

fn key() -> String {
    format!("X-Inquisitor-Key: {API_KEY}\r\n")
}

/// A submission that no other is.
fn submit(body: &str, client: usize, number: u64) -> Vec<u8> {
    let headers =
        format!("{}Content-Type: application/yaml\r\nIdempotency-Key: {client}-{number}\r\n", key());
    post("/v1/inquiries", &headers, body)
}

impl Ours {
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::release(3, &["--max-running", "1"]);
        let mut connection = Connection::new(cluster.address(0));
        let answer = connection.exchange(&submit(&manifest("load"), usize::MAX, 0)).await.unwrap();
        let inquiry: Value = serde_json::from_slice(answer).unwrap();
        let read = inquiry["id"].as_str().unwrap().to_owned();
        Self { cluster, read }
    }

    /// Submissions of one manifest, each under an idempotency key of its own.
    pub(crate) fn submits(&self, members: &[usize], load: usize) -> Vec<HttpClient> {
        let body = manifest("load");
        self.clients(members, move |client, number| submit(&body, load * 1000 + client, number))
    }

    /// Submissions of manifests that nobody submitted before.
    pub(crate) fn distinct_submits(&self, members: &[usize], load: usize) -> Vec<HttpClient> {
        self.clients(members, move |client, number| {
            let client = load * 1000 + client;
            submit(&manifest(&format!("load-{client}-{number}")), client, number)
        })
    }

    /// Linearizable reads of an inquiry.
    pub(crate) fn reads(&self, members: &[usize]) -> Vec<HttpClient> {
        let request = get(&format!("/v1/inquiries/{}", self.read), &key());
        self.clients(members, move |_, _| request.clone())
    }

    fn clients(
        &self,
        members: &[usize],
        request: impl Fn(usize, u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Vec<HttpClient> {
        let addresses: Vec<&str> = (0..3).map(|number| self.cluster.address(number)).collect();
        HttpClient::all(&addresses, members, request)
    }
}

impl Members for Ours {
    fn start_member(&mut self, number: usize) {
        self.cluster.start_member(number);
    }

    async fn until_ready(&self) {
        for number in 0..3 {
            self.cluster.until_ready(number);
        }
        self.cluster.until("members that have applied the same", || {
            let indexes: Option<Vec<Value>> =
                (0..3).map(|number| Some(self.cluster.status(number)?["applied_index"].clone())).collect();
            indexes.filter(|indexes| indexes.windows(2).all(|pair| pair[0] == pair[1]))
        });
    }

    async fn leader(&self) -> usize {
        self.cluster.leader()
    }

    fn kill(&mut self, number: usize) {
        self.cluster.kill(number);
    }

    fn write_to(&self, member: usize, number: u64) -> (Connection, Vec<u8>) {
        let request = submit(&manifest("load"), usize::MAX, number);
        (Connection::new(self.cluster.address(member)), request)
    }
}
