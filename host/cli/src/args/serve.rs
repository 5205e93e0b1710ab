//! `inquisitor serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::PluginSources;
use crate::quantity::{Period, Size};
use crate::secret::Secret;

/// Run a host: the API, declared manifests and metrics, until it is told to stop.
///
/// Settings are also environment variables and keys of the configuration file (`http-listen = "0.0.0.0:8000"`); the
/// option goes before the variable, and that before the file. An empty variable counts as not set.
///
/// SIGTERM and SIGINT stop the host when what is under way is done; a second signal stops it at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  inquisitor serve                                   # on this machine alone, without keys
  API_KEY=$(openssl rand -hex 32) inquisitor serve   # for whoever has a key
  inquisitor serve --data-dir /var/lib/inquisitor --manifest-dir /etc/inquisitor/manifests
  inquisitor serve --print-config                    # what it would start with")]
pub(crate) struct Serve {
    /// Where the state is kept: the log, the ledger, plugins and readings. [default: inquisitor in the user's folder for data]
    #[arg(long, value_name = "DIR", env = "DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Folder of declared manifests. What is in it runs; what is taken away ends.
    #[arg(long, value_name = "DIR", env = "MANIFEST_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) manifest_dir: Option<PathBuf>,

    /// Folder for the reports that manifests want written to files, one folder below it for each tenant.
    #[arg(long, value_name = "DIR", env = "ARTIFACT_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) artifact_dir: Option<PathBuf>,

    /// Folder that file substrates of submitted inquiries are read from.
    #[arg(long, value_name = "DIR", env = "SUBSTRATE_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) substrate_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) sources: PluginSources,

    /// Name of this host in the cluster, in logs and in leases. [default: POD_NAME, else the machine's name]
    #[arg(long, value_name = "NAME", env = "RAFT_NODE_ID")]
    pub(crate) raft_node_id: Option<String>,

    /// All members of the cluster, this one included: `host:port` whose first label is the member's name, or `name=host:port`,
    /// separated by commas. [default: this host is alone]
    #[arg(long, value_name = "LIST", env = "RAFT_PEERS", help_heading = "Cluster")]
    pub(crate) raft_peers: Option<String>,

    /// Address for the other members. [default: 0.0.0.0:4321]
    #[arg(long, value_name = "ADDRESS", env = "RAFT_LISTEN", help_heading = "Cluster")]
    pub(crate) raft_listen: Option<SocketAddr>,

    /// What members prove themselves with, the same on all; at least 16 characters.
    #[arg(
        long,
        value_name = "SECRET",
        env = "CLUSTER_SECRET",
        hide_env_values = true,
        conflicts_with = "cluster_secret_file",
        help_heading = "Cluster"
    )]
    pub(crate) cluster_secret: Option<Secret>,

    /// File with what members prove themselves with.
    #[arg(long, value_name = "FILE", env = "CLUSTER_SECRET_FILE", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    pub(crate) cluster_secret_file: Option<PathBuf>,

    /// Authorities that sign members' certificates, PEM; in place of a secret.
    #[arg(long, value_name = "FILE", env = "RAFT_TLS_CA", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    pub(crate) raft_tls_ca: Option<PathBuf>,

    /// This member's certificate, with its name as a DNS name, PEM.
    #[arg(long, value_name = "FILE", env = "RAFT_TLS_CERT", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    pub(crate) raft_tls_cert: Option<PathBuf>,

    /// Private key of this member's certificate, PEM.
    #[arg(long, value_name = "FILE", env = "RAFT_TLS_KEY", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    pub(crate) raft_tls_key: Option<PathBuf>,

    /// Name of the pod that this host runs in.
    #[arg(long, value_name = "NAME", env = "POD_NAME", hide_short_help = true)]
    pub(crate) pod_name: Option<String>,

    /// Namespace of the pod that this host runs in; goes into every line of the log.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", hide_short_help = true)]
    pub(crate) pod_namespace: Option<String>,

    /// Address for HTTP; port 0 takes a free one. [default: 0.0.0.0:8000 with an API key, 127.0.0.1:8000 without]
    #[arg(long, value_name = "ADDRESS", env = "HTTP_LISTEN", help_heading = "HTTP")]
    pub(crate) http_listen: Option<SocketAddr>,

    /// The first administrator's key. Without one the host asks nobody for a key, and listens on loopback only.
    #[arg(
        long,
        value_name = "KEY",
        env = "API_KEY",
        hide_env_values = true,
        conflicts_with = "api_key_file",
        help_heading = "HTTP"
    )]
    pub(crate) api_key: Option<Secret>,

    /// File with the first administrator's key.
    #[arg(long, value_name = "FILE", env = "API_KEY_FILE", value_hint = ValueHint::FilePath, help_heading = "HTTP")]
    pub(crate) api_key_file: Option<PathBuf>,

    /// Certificate chain for HTTPS, PEM; read again when it changes.
    #[arg(long, value_name = "FILE", env = "HTTP_TLS_CERT", value_hint = ValueHint::FilePath, help_heading = "HTTP")]
    pub(crate) http_tls_cert: Option<PathBuf>,

    /// Private key for HTTPS, PEM.
    #[arg(long, value_name = "FILE", env = "HTTP_TLS_KEY", value_hint = ValueHint::FilePath, help_heading = "HTTP")]
    pub(crate) http_tls_key: Option<PathBuf>,

    /// Write the address that the host is reached at, as `http://127.0.0.1:41873`, into this file as soon as it listens.
    #[arg(long, value_name = "FILE", env = "ADDRESS_FILE", value_hint = ValueHint::FilePath, help_heading = "HTTP")]
    pub(crate) address_file: Option<PathBuf>,

    /// A secret that manifests may refer to as `${NAME}`, if their tenant's policy allows it. Repeatable, or separated by
    /// commas.
    #[arg(long, value_name = "NAME", env = "ALLOW_SECRETS", value_delimiter = ',')]
    pub(crate) allow_secret: Vec<String>,

    /// Folder with a file for each secret; secrets that have none are taken from the environment.
    #[arg(long, value_name = "DIR", env = "INQUISITOR_SECRET_DIR", value_hint = ValueHint::DirPath)]
    pub(crate) secret_dir: Option<PathBuf>,

    /// Print what the host would start with, secrets struck out, and end. The text is a configuration file.
    #[arg(long)]
    pub(crate) print_config: bool,

    #[command(flatten)]
    pub(crate) bounds: ServeBounds,
}

/// Limits of a host.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct ServeBounds {
    /// Largest component that can be uploaded. [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "MAX_PLUGIN_SIZE")]
    pub(crate) max_plugin_size: Option<Size>,

    /// Largest body of any other request. [default: 8MiB]
    #[arg(long, value_name = "SIZE", env = "MAX_BODY_SIZE")]
    pub(crate) max_body_size: Option<Size>,

    /// Connections open at once; more wait. [default: 4096]
    #[arg(long, value_name = "COUNT", env = "MAX_CONNECTIONS", value_parser = positive)]
    pub(crate) max_connections: Option<usize>,

    /// Requests answered at once; more get 429. [default: 1024]
    #[arg(long, value_name = "COUNT", env = "MAX_REQUESTS", value_parser = positive)]
    pub(crate) max_requests: Option<usize>,

    /// Event streams open at once; more get 429. [default: 2048]
    #[arg(long, value_name = "COUNT", env = "MAX_EVENT_STREAMS", value_parser = positive)]
    pub(crate) max_event_streams: Option<usize>,

    /// Inquiries that run at once; more wait in a queue. [default: 64]
    #[arg(long, value_name = "COUNT", env = "MAX_RUNNING", value_parser = positive)]
    pub(crate) max_running: Option<usize>,

    /// How long a client may take to send the headers of a request. [default: 10s]
    #[arg(long, value_name = "DURATION", env = "HEADER_TIMEOUT")]
    pub(crate) header_timeout: Option<Period>,

    /// How long a client may take to send the body of a request that is no upload. [default: 30s]
    #[arg(long, value_name = "DURATION", env = "BODY_TIMEOUT")]
    pub(crate) body_timeout: Option<Period>,

    /// How long a stopping host waits for what is under way. [default: 25s]
    #[arg(long, value_name = "DURATION", env = "SHUTDOWN_TIMEOUT")]
    pub(crate) shutdown_timeout: Option<Period>,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number from 1 is meant".to_owned()),
        Ok(count) => Ok(count),
    }
}
