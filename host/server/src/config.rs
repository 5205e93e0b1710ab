//! What a host is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a host is started with. Every field is a flag of `inquisitor serve`, an environment variable and a key of its
/// configuration file; that is the command line's business.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where HTTP is served.
    pub http_listen: SocketAddr,
    /// Certificate and key for TLS; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// The bootstrap admin key. Without one, the host listens on loopback only and asks nobody for a key.
    pub api_key: Option<String>,
    /// The directory of declared manifests.
    pub manifest_dir: Option<PathBuf>,
    /// The folder under which reports go that a manifest wants written to files, one folder for each tenant.
    pub artifact_dir: Option<PathBuf>,
    /// The folder that file substrates of submitted inquiries are read from.
    pub substrate_dir: Option<PathBuf>,
    /// Bytes of an uploaded component.
    pub max_plugin_bytes: u64,
    /// Bytes of any other request body.
    pub max_body_bytes: u64,
    /// Connections that are open at once; more wait in the system's queue.
    pub max_connections: usize,
    /// Requests that are answered at once, over all tenants; more get 429.
    pub max_requests: usize,
    /// Event streams that are open at once, over all tenants; more get 429.
    pub max_event_streams: usize,
    /// How long a client may take to send the headers of a request (up to twice that where it is not the connection's first),
    /// and between two parts of a body. Between two requests a connection may rest for 75 seconds.
    pub header_timeout: Duration,
    /// How long a client may take to send a whole body that is no upload.
    pub body_timeout: Duration,
    /// How long a stopping host waits for what is under way.
    pub shutdown_timeout: Duration,
    /// Inquiries that run once, driven at the same time.
    pub max_running: usize,
}

/// Files of a certificate chain and its private key, PEM. Read again when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl ServerConfig {
    /// The usual settings for a host that listens here.
    pub fn new(http_listen: SocketAddr) -> Self {
        Self {
            http_listen,
            tls: None,
            api_key: None,
            manifest_dir: None,
            artifact_dir: None,
            substrate_dir: None,
            max_plugin_bytes: 64 << 20,
            max_body_bytes: 8 << 20,
            max_connections: 4096,
            max_requests: 1024,
            max_event_streams: 2048,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(25),
            max_running: 64,
        }
    }

    /// The folder that file substrates are read from: that of the substrate, or else the one of the declared manifests.
    pub(crate) fn base_dir(&self) -> Option<&std::path::Path> {
        self.substrate_dir.as_deref().or(self.manifest_dir.as_deref())
    }
}
