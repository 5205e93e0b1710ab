//! From options, environment and the configuration file to what a host is started with. Pure, save for key files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use inquisitor_conductor::{CertificatePaths, ClusterConfig, ConductorConfig, Credentials, PeerList};
use inquisitor_server::{ServerConfig, TlsFiles};

use crate::args::serve::Serve;
use crate::args::{Global, LogFormat};
use crate::quantity::{Period, Size};
use crate::secret::Secret;
use crate::settings::{self, Settings};

/// The usual port.
const PORT: u16 = 8000;
/// The usual port of members.
const RAFT_PORT: u16 = 4321;

/// What is known without having been said.
pub(super) struct Surroundings {
    /// Name of the machine.
    pub(super) machine: String,
    /// Where a host keeps its state.
    pub(super) data_dir: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn of_this_process() -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { machine, data_dir: settings::default_data_dir().ok() }
    }
}

/// What the host runs with: options, then the environment, then the file, then what is usual. Every field that has a usual
/// value has one.
///
/// # Errors
/// When options contradict each other.
pub(super) fn effective(
    global: &Global,
    args: &Serve,
    settings: &Settings,
    surroundings: &Surroundings,
) -> anyhow::Result<Settings> {
    fn either<T: Clone>(given: &Option<T>, kept: &Option<T>) -> Option<T> {
        given.clone().or_else(|| kept.clone())
    }
    fn all<T: Clone>(given: &[T], kept: &[T]) -> Vec<T> {
        if given.is_empty() { kept.to_vec() } else { given.to_vec() }
    }
    let usual = ServerConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    let bounds = &args.bounds;

    // A key and a file with one are two ways to say one thing: the nearer one counts.
    let (api_key, api_key_file) = match (&args.api_key, &args.api_key_file) {
        (None, None) => (settings.api_key.clone(), settings.api_key_file.clone()),
        (key, file) => (key.clone(), file.clone()),
    };
    if api_key.is_some() && api_key_file.is_some() {
        bail!("the configuration has both api-key and api-key-file; leave one out");
    }
    let (cluster_secret, cluster_secret_file) = match (&args.cluster_secret, &args.cluster_secret_file) {
        (None, None) => (settings.cluster_secret.clone(), settings.cluster_secret_file.clone()),
        (secret, file) => (secret.clone(), file.clone()),
    };
    if cluster_secret.is_some() && cluster_secret_file.is_some() {
        bail!("the configuration has both cluster-secret and cluster-secret-file; leave one out");
    }
    let raft_peers = either(&args.raft_peers, &settings.raft_peers);
    let raft_listen = either(&args.raft_listen, &settings.raft_listen)
        .or_else(|| raft_peers.is_some().then_some((Ipv4Addr::UNSPECIFIED, RAFT_PORT).into()));
    let has_key = api_key.is_some() || api_key_file.is_some();
    let ip = if has_key { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let pod_name = either(&args.pod_name, &settings.pod_name);
    let (http_tls_cert, http_tls_key) = (
        either(&args.http_tls_cert, &settings.http_tls_cert),
        either(&args.http_tls_key, &settings.http_tls_key),
    );
    if http_tls_cert.is_some() != http_tls_key.is_some() {
        bail!(
            "HTTPS takes a certificate and its key: name both --http-tls-cert and --http-tls-key, or neither"
        );
    }
    let data_dir = either(&args.data_dir, &settings.data_dir)
        .or_else(|| surroundings.data_dir.clone())
        .context("there is no folder for data; name one with --data-dir")?;
    Ok(Settings {
        log_level: either(&global.log_level, &settings.log_level).or_else(|| Some("info".to_owned())),
        log_format: global.log_format.map(log_format).or_else(|| settings.log_format.clone()),
        otlp_endpoint: either(&global.otlp_endpoint, &settings.otlp_endpoint),
        data_dir: Some(data_dir),
        artifact_dir: either(&args.artifact_dir, &settings.artifact_dir),
        plugin_dir: all(&args.sources.plugin_dir, &settings.plugin_dir),
        cache_dir: either(&args.sources.cache_dir, &settings.cache_dir)
            .or_else(|| Some(settings::default_cache_dir())),
        secret_dir: either(&args.secret_dir, &settings.secret_dir),
        allow_secret: all(&args.allow_secret, &settings.allow_secret),
        manifest_dir: either(&args.manifest_dir, &settings.manifest_dir),
        substrate_dir: either(&args.substrate_dir, &settings.substrate_dir),
        raft_node_id: either(&args.raft_node_id, &settings.raft_node_id)
            .or_else(|| pod_name.clone())
            .or_else(|| Some(surroundings.machine.clone())),
        raft_peers,
        raft_listen,
        cluster_secret,
        cluster_secret_file,
        raft_tls_ca: either(&args.raft_tls_ca, &settings.raft_tls_ca),
        raft_tls_cert: either(&args.raft_tls_cert, &settings.raft_tls_cert),
        raft_tls_key: either(&args.raft_tls_key, &settings.raft_tls_key),
        pod_name,
        pod_namespace: either(&args.pod_namespace, &settings.pod_namespace),
        http_listen: either(&args.http_listen, &settings.http_listen).or(Some((ip, PORT).into())),
        api_key,
        api_key_file,
        http_tls_cert,
        http_tls_key,
        address_file: either(&args.address_file, &settings.address_file),
        max_plugin_size: either(&bounds.max_plugin_size, &settings.max_plugin_size)
            .or(Some(Size(usual.max_plugin_bytes))),
        max_body_size: either(&bounds.max_body_size, &settings.max_body_size)
            .or(Some(Size(usual.max_body_bytes))),
        max_connections: either(&bounds.max_connections, &settings.max_connections)
            .or(Some(usual.max_connections)),
        max_requests: either(&bounds.max_requests, &settings.max_requests).or(Some(usual.max_requests)),
        max_event_streams: either(&bounds.max_event_streams, &settings.max_event_streams)
            .or(Some(usual.max_event_streams)),
        max_running: either(&bounds.max_running, &settings.max_running).or(Some(usual.max_running)),
        header_timeout: either(&bounds.header_timeout, &settings.header_timeout)
            .or(Some(Period(usual.header_timeout))),
        body_timeout: either(&bounds.body_timeout, &settings.body_timeout)
            .or(Some(Period(usual.body_timeout))),
        shutdown_timeout: either(&bounds.shutdown_timeout, &settings.shutdown_timeout)
            .or(Some(Period(usual.shutdown_timeout))),
        context: None,
        contexts: Default::default(),
    })
}

fn log_format(format: LogFormat) -> String {
    match format {
        LogFormat::Json => "json".to_owned(),
        LogFormat::Text => "text".to_owned(),
    }
}

/// What the server is started with.
///
/// # Errors
/// When the key cannot be read or cannot be one.
pub(super) fn server(effective: &Settings) -> anyhow::Result<ServerConfig> {
    let api_key = match (&effective.api_key, &effective.api_key_file) {
        (Some(key), _) => Some(key.clone()),
        (None, Some(file)) => Some(Secret::read(file)?),
        (None, None) => None,
    };
    let api_key = api_key.map(|key| checked_key(&key)).transpose()?;
    let usual = ServerConfig::new(effective.http_listen.unwrap_or((Ipv4Addr::LOCALHOST, PORT).into()));
    let tls = effective
        .http_tls_cert
        .clone()
        .zip(effective.http_tls_key.clone())
        .map(|(certificate, key)| TlsFiles { certificate, key });
    Ok(ServerConfig {
        tls,
        api_key,
        manifest_dir: effective.manifest_dir.clone(),
        artifact_dir: effective.artifact_dir.clone(),
        substrate_dir: effective.substrate_dir.clone(),
        max_plugin_bytes: effective.max_plugin_size.map_or(usual.max_plugin_bytes, |size| size.0),
        max_body_bytes: effective.max_body_size.map_or(usual.max_body_bytes, |size| size.0),
        max_connections: effective.max_connections.unwrap_or(usual.max_connections),
        max_requests: effective.max_requests.unwrap_or(usual.max_requests),
        max_event_streams: effective.max_event_streams.unwrap_or(usual.max_event_streams),
        max_running: effective.max_running.unwrap_or(usual.max_running),
        header_timeout: effective.header_timeout.map_or(usual.header_timeout, |period| period.0),
        body_timeout: effective.body_timeout.map_or(usual.body_timeout, |period| period.0),
        shutdown_timeout: effective.shutdown_timeout.map_or(usual.shutdown_timeout, |period| period.0),
        ..usual
    })
}

/// How the conductor is opened: alone, or as a member of the cluster that the peers name.
///
/// # Errors
/// When the peers are no list, or members have nothing, or two things, to prove themselves with.
pub(super) async fn conductor(effective: &Settings) -> anyhow::Result<ConductorConfig> {
    let data_dir = effective.data_dir.clone().context("there is no data directory")?;
    let mut config = ConductorConfig::new(data_dir, effective.raft_node_id.clone().unwrap_or_default());
    let Some(peers) = &effective.raft_peers else { return Ok(config) };
    let peers: PeerList = peers.parse().context("RAFT_PEERS")?;
    let files = (&effective.raft_tls_ca, &effective.raft_tls_cert, &effective.raft_tls_key);
    let secret = match (&effective.cluster_secret, &effective.cluster_secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(file)) => Some(Secret::read(file)?),
        (None, None) => None,
    };
    let credentials = match (files, secret) {
        ((Some(ca), Some(certificate), Some(key)), None) => {
            let paths =
                CertificatePaths { ca: ca.clone(), certificate: certificate.clone(), key: key.clone() };
            Credentials::from_files(paths).await?
        }
        ((None, None, None), Some(secret)) => Credentials::from_secret(secret.expose().trim().as_bytes())?,
        ((None, None, None), None) => bail!(
            "members of a cluster prove themselves: set CLUSTER_SECRET to the same on all, as `openssl rand -hex 32` prints one, \
             or name certificates with RAFT_TLS_CA, RAFT_TLS_CERT and RAFT_TLS_KEY"
        ),
        (_, Some(_)) => bail!("members prove themselves with a secret or with certificates; leave one out"),
        (_, None) => {
            bail!("certificates of members are three files: RAFT_TLS_CA, RAFT_TLS_CERT and RAFT_TLS_KEY")
        }
    };
    let listen = effective.raft_listen.unwrap_or((Ipv4Addr::UNSPECIFIED, RAFT_PORT).into());
    config.cluster = Some(ClusterConfig::new(peers, listen, credentials));
    Ok(config)
}

/// The key without the newline that files and deployments leave at its end, if it can be sent in a header at all.
fn checked_key(key: &Secret) -> anyhow::Result<String> {
    let text = key.expose().trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(
            "the API key must be of letters, digits and signs of ASCII without spaces, as `openssl rand -hex 32` prints"
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    /// Options alone: tests run beside each other and share one environment, which is left out here.
    fn serve(options: &[&str]) -> (Global, Serve) {
        let command = ["inquisitor", "serve"].iter().chain(options);
        let Cli { global, command, .. } = Cli::try_parse_from(command).unwrap();
        match command {
            Command::Serve(serve) => (global, *serve),
            other => panic!("{other:?}"),
        }
    }

    fn of(options: &[&str], file: &str) -> anyhow::Result<Settings> {
        let surroundings =
            Surroundings { machine: "machine".to_owned(), data_dir: Some("/home/me/data".into()) };
        let (global, serve) = serve(options);
        effective(&global, &serve, &toml::from_str(file).unwrap(), &surroundings)
    }

    #[test]
    fn without_a_key_only_this_machine_is_served() {
        assert_eq!(of(&[], "").unwrap().http_listen, Some("127.0.0.1:8000".parse().unwrap()));
        for file in ["api-key = 'k'", "api-key-file = '/k'"] {
            assert_eq!(of(&[], file).unwrap().http_listen, Some("0.0.0.0:8000".parse().unwrap()));
        }
        let asked = of(&["--http-listen", "[::1]:0"], "http-listen = '1.2.3.4:5'").unwrap();
        assert_eq!(asked.http_listen, Some("[::1]:0".parse().unwrap()));
    }

    #[test]
    fn an_option_goes_before_the_file_and_that_before_what_is_usual() {
        let file = "data-dir = '/of-file'\nmax-requests = 7\nshutdown-timeout = '3s'\nplugin-dir = ['/p']";
        let settings = of(&["--data-dir", "/of-option", "--max-plugin-size", "1MiB"], file).unwrap();
        assert_eq!(settings.data_dir, Some("/of-option".into()));
        let server = server(&settings).unwrap();
        assert_eq!(
            (server.max_requests, server.max_plugin_bytes, server.max_connections),
            (7, 1 << 20, 4096)
        );
        assert_eq!(server.shutdown_timeout.as_secs(), 3);
        assert_eq!(settings.plugin_dir, [PathBuf::from("/p")]);
    }

    #[test]
    fn a_member_is_called_as_it_is_told_else_as_its_pod_else_as_its_machine() {
        let name = |options: &[&str]| of(options, "").unwrap().raft_node_id.unwrap();
        assert_eq!(name(&["--raft-node-id", "a", "--pod-name", "pod-0"]), "a");
        assert_eq!(name(&["--pod-name", "pod-0"]), "pod-0");
        assert_eq!(name(&[]), "machine");
    }

    #[test]
    fn a_certificate_without_a_key_is_refused() {
        let error = of(&["--http-tls-cert", "/cert"], "").unwrap_err().to_string();
        assert!(error.contains("--http-tls-key"), "{error}");
    }

    #[test]
    fn the_key_of_an_option_replaces_the_file_of_the_configuration() {
        let settings = of(&["--api-key", "of-option"], "api-key-file = '/k'").unwrap();
        assert_eq!(server(&settings).unwrap().api_key.as_deref(), Some("of-option"));
        let spaced = of(&[], "api-key = 'two words'").unwrap();
        assert!(!format!("{:#}", server(&spaced).unwrap_err()).contains("two words"));
    }

    #[test]
    fn the_printed_configuration_is_one_and_holds_no_secret() {
        let text = toml::to_string(&of(&["--api-key", "hunter22"], "").unwrap()).unwrap();
        assert!(!text.contains("hunter22"), "{text}");
        toml::from_str::<Settings>(&text).unwrap();
    }
}
