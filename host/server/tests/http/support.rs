//! A host to test with, and what is asked of it.

#![allow(dead_code)] // Each file of tests uses a part of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use inquisitor_conductor::{Conductor, ConductorConfig};
use inquisitor_engine::EngineConfig;
use inquisitor_runtime::{CompilerCommand, Runtime, RuntimeConfig, compile_child_if_requested};
use inquisitor_server::{Parts, PluginFiles, ServerConfig, ServerError, serve};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The key of the environment.
pub(crate) const API_KEY: &str = "the-key-of-the-environment";
/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The compiling child, when the test program is started as one.
#[test]
fn compile_child() {
    compile_child_if_requested();
}

/// A component that `cargo xtask plugins` built.
pub(crate) fn plugin(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let path = target.join("plugins").join(name).with_extension("wasm");
    assert!(path.is_file(), "{} is missing; run `cargo xtask plugins` first", path.display());
    path
}

/// How to start a host.
pub(crate) struct Setup {
    pub(crate) config: ServerConfig,
    /// Plugins that come with the host.
    pub(crate) shipped: Vec<&'static str>,
    /// More plugins, by their files.
    pub(crate) named: Vec<PathBuf>,
    /// Whether compiling comes to an end.
    pub(crate) compiles: bool,
}

impl Setup {
    /// With an API key and the plugins `echo` and `table`.
    pub(crate) fn new() -> Self {
        let mut config = ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.api_key = Some(API_KEY.to_owned());
        config.shutdown_timeout = Duration::from_secs(5);
        Self { config, shipped: vec!["echo", "table"], named: Vec::new(), compiles: true }
    }

    pub(crate) fn configure(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn shipping(mut self, plugins: &[&'static str]) -> Self {
        self.shipped = plugins.to_vec();
        self
    }

    pub(crate) fn naming(mut self, plugin: PathBuf) -> Self {
        self.named.push(plugin);
        self
    }

    /// With a compiler that never gets done, and nothing compiled before. Not waited for: it does not get ready.
    pub(crate) async fn start_loading(mut self) -> Host {
        self.compiles = false;
        self.start_unready(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Start in a folder of its own, and wait until it is ready.
    pub(crate) async fn start(self) -> Host {
        self.start_in(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// The same in a folder where a host was before.
    pub(crate) async fn start_in(self, folder: Arc<tempfile::TempDir>) -> Host {
        let host = self.start_unready(folder).await;
        host.wait_until_ready().await;
        host
    }

    /// Start one that is asked by this client.
    pub(crate) async fn start_with(self, client: reqwest::Client) -> Host {
        let mut host = self.start_unready(Arc::new(tempfile::tempdir().unwrap())).await;
        // The name in certificates.
        host.url = host.url.replace("127.0.0.1", "localhost");
        host.client = client;
        host.wait_until_ready().await;
        host
    }

    /// Try to start one that cannot.
    pub(crate) async fn fails_to_start(self) -> ServerError {
        let folder = tempfile::tempdir().unwrap();
        let parts = self.parts(folder.path()).await;
        serve(self.config, parts, std::future::pending()).await.expect_err("it cannot start")
    }

    async fn parts(&self, folder: &Path) -> Parts {
        let data_dir = folder.join("data");
        let mut runtime = RuntimeConfig::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("http-cache"));
        runtime.compiler = CompilerCommand {
            program: None,
            arguments: ["support::compile_child", "--exact", "--nocapture", "--test-threads=1"]
                .map(Into::into)
                .into(),
        };
        if !self.compiles {
            runtime = RuntimeConfig::new(folder.join("cache"));
            runtime.compiler = CompilerCommand {
                program: Some("/bin/sh".into()),
                arguments: ["-c", "exec sleep 600"].map(Into::into).into(),
            };
        }
        let runtime = Runtime::new(runtime).unwrap();
        let shipped = self.shipped.iter().map(|name| plugin(name));
        let files: Vec<PathBuf> = shipped.chain(self.named.clone()).collect();
        let conductor = Conductor::open(ConductorConfig::new(&data_dir, "test")).await.unwrap();
        Parts {
            conductor: Arc::new(conductor),
            runtime,
            plugins: PluginFiles { files, folders: Vec::new() },
            engine: EngineConfig::new("test"),
            data_dir,
            on_listening: None,
        }
    }

    async fn start_unready(self, folder: Arc<tempfile::TempDir>) -> Host {
        let mut parts = self.parts(folder.path()).await;
        let conductor = parts.conductor.clone();
        let scheme = if self.config.tls.is_some() { "https" } else { "http" };
        let (listening, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        parts.on_listening = Some(Box::new(move |address| listening.send(address).unwrap()));
        let task = tokio::spawn(async move {
            serve(self.config, parts, async {
                let _ = stopped.await;
            })
            .await
        });
        let address = address.await.expect("the host listens");
        let url = format!("{scheme}://{address}");
        Host { address, url, client: client(), folder, conductor, stop: Some(stop), task: Some(task) }
    }
}

pub(crate) fn client() -> reqwest::Client {
    client_builder().build().unwrap()
}

pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    // Fails when a test before in this process did it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE)
}

/// A host that was started. Stops when dropped, and in good order by [`Host::stop`].
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) conductor: Arc<Conductor>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Host {
    /// Stop, and wait until it has.
    pub(crate) async fn stop(mut self) -> Arc<tempfile::TempDir> {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(PATIENCE, self.task.take().unwrap()).await.unwrap().unwrap().unwrap();
        self.folder.clone()
    }

    /// Ask to stop and do not wait; [`Host::stopped`] does.
    pub(crate) fn begin_to_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(crate) async fn stopped(&mut self) {
        tokio::time::timeout(PATIENCE, self.task.take().unwrap()).await.unwrap().unwrap().unwrap();
    }

    async fn wait_until_ready(&self) {
        let ready = async {
            while self.request(Method::GET, "/ready").send().await.unwrap().status() != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the host becomes ready");
    }

    /// Wait until so many requests are under way, the one that asks not among them.
    pub(crate) async fn wait_for_requests(&self, count: usize) {
        let wanted = format!("inquisitor_http_requests_in_flight {}", count + 1);
        let under_way = async {
            loop {
                let metrics =
                    self.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
                if metrics.lines().any(|line| line == wanted) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, under_way).await.expect("requests are under way");
    }

    /// A request without a key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request with a key.
    pub(crate) fn with_key(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(key)
    }

    /// A request of whoever runs the host.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.with_key(API_KEY, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.admin(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.admin(Method::POST, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.admin(Method::DELETE, path)).await
    }

    /// Create a tenant with a policy.
    pub(crate) async fn tenant(&self, name: &str, policy: Value) {
        let answer = self.post("/v1/tenants", &json!({"name": name, "policy": policy})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Create a key and give its secret.
    pub(crate) async fn key(&self, role: &str, tenant: Option<&str>) -> String {
        let answer = self.post("/v1/keys", &json!({"name": role, "role": role, "tenant": tenant})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["secret"].as_str().unwrap().to_owned()
    }

    /// The entries of the ledger.
    pub(crate) async fn ledger(&self) -> Vec<Value> {
        let entries = self.conductor.ledger_entries(0, 1000).await.unwrap();
        entries.iter().map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect()
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The body as JSON; a string where it is none, null where it is empty.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => String::from_utf8_lossy(&bytes).into(),
        };
        let answer = Self { status, headers, body };
        answer.check();
        answer
    }

    /// What is true of every answer.
    fn check(&self) {
        let id = self.header("x-request-id");
        assert!(!id.is_empty(), "no request id: {self:?}");
        if self.status >= 400 && self.header("content-type") != "application/json" && !self.body.is_null() {
            assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
            assert_eq!(self.body["status"], self.status, "{self:?}");
            assert_eq!(self.body["request"], id, "{self:?}");
            let kind = self.body["type"].as_str().unwrap_or_default();
            assert!(kind.starts_with("urn:inquisitor:problem:"), "{self:?}");
            assert!(!self.detail().is_empty(), "{self:?}");
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }

    /// The kind of the problem.
    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().trim_start_matches("urn:inquisitor:problem:")
    }
}
