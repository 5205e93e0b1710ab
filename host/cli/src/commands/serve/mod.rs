//! `inquisitor serve`: puts a host together and runs it until a signal comes.

mod config;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use inquisitor_engine::EngineConfig;
use inquisitor_engine::secrets::AllowedSecrets;
use inquisitor_server::{Parts, PluginFiles};
use tokio::sync::oneshot;

use crate::args::serve::Serve;
use crate::args::{Global, Output, PluginSources};
use crate::commands::signals::Signals;
use crate::logging::Across;
use crate::settings::Settings;
use crate::{exit, host, print};

/// Shorter keys can be guessed.
const SHORT_KEY: usize = 16;

pub(crate) async fn run(global: &Global, settings: &Settings, args: &Serve) -> anyhow::Result<ExitCode> {
    let effective = config::effective(global, args, settings, &config::Surroundings::of_this_process())?;
    if args.print_config {
        print_config(global, &effective)?;
        return Ok(ExitCode::SUCCESS);
    }
    let server = config::server(&effective)?;
    say_who_may_ask(&effective, server.api_key.as_deref());

    let mut signals = Signals::new().context("cannot listen for signals")?;
    let data_dir = effective.data_dir.clone().context("there is no data directory")?;
    let member = effective.raft_node_id.as_deref().unwrap_or_default();
    let runtime = host::runtime(None, &effective)?;
    let plugins = plugins(&args.sources, &effective)?;
    let secrets = AllowedSecrets {
        allowed: effective.allow_secret.iter().cloned().collect(),
        directory: effective.secret_dir.clone(),
    };
    let address_file = effective.address_file.clone().map(AddressFile);
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let tell = address_file.as_ref().map(|file| file.0.clone());
    let parts = Parts {
        conductor: host::member_of(config::conductor(&effective).await?).await?,
        runtime,
        plugins,
        engine: EngineConfig {
            secrets: Arc::new(secrets),
            traces: Arc::new(Across::default()),
            ..EngineConfig::new(member)
        },
        data_dir,
        on_listening: Some(Box::new(move |address| {
            if let Some(file) = tell
                && let Err(error) = write_address(&file, scheme, address)
            {
                tracing::error!(%error, file = %file.display(), "the address cannot be written");
            }
        })),
    };

    let (stop, stopped) = oneshot::channel::<()>();
    let watching = tokio::spawn(async move {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping when what is under way is done; a second signal stops at once");
        // The server may have ended by itself.
        let _ = stop.send(());
        let signal = signals.next().await;
        tracing::warn!(signal, "stopping at once; what was not recorded is done again at the next start");
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    let served = inquisitor_server::serve(server, parts, async move {
        let _ = stopped.await;
    })
    .await;
    watching.abort();
    drop(address_file);
    served.context("the host cannot run")?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Where the plugins are. They are loaded when the host listens already, so what can be seen at once is looked at here.
fn plugins(sources: &PluginSources, effective: &Settings) -> anyhow::Result<PluginFiles> {
    let files = sources.plugin.clone();
    if let Some(missing) = files.iter().find(|path| !path.exists()) {
        anyhow::bail!("cannot use {} for plugins: there is no such file", missing.display());
    }
    for folder in &sources.plugin_dir {
        std::fs::read_dir(folder).with_context(|| format!("cannot use {} for plugins", folder.display()))?;
    }
    Ok(PluginFiles { files, folders: host::plugin_folders(sources, effective) })
}

fn print_config(global: &Global, effective: &Settings) -> anyhow::Result<()> {
    if global.output == Output::Text {
        print::text(&toml::to_string(effective).context("encoding the configuration")?)
    } else {
        print::document(global.output, effective)
    }
}

fn say_who_may_ask(effective: &Settings, key: Option<&str>) {
    match key {
        None => tracing::warn!(
            "no API key is set: nobody is asked for one, and the host listens on loopback only; set API_KEY to serve others"
        ),
        Some(key) if key.len() < SHORT_KEY => {
            tracing::warn!("the API key has fewer than {SHORT_KEY} characters and can be guessed");
        }
        Some(_) if effective.http_tls_cert.is_none() => {
            tracing::info!(
                "plain HTTP: keys go over the network as they are unless a proxy in front speaks TLS"
            );
        }
        Some(_) => {}
    }
}

/// The file with the address, which goes when the host does.
struct AddressFile(PathBuf);

impl Drop for AddressFile {
    fn drop(&mut self) {
        // It may never have been written, or be gone.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whole or not at all, so that whoever waits for it never reads half of it.
fn write_address(path: &Path, scheme: &str, address: SocketAddr) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{scheme}://{}", reachable(address))?;
    file.persist(path)?;
    Ok(())
}

/// An address that this machine can be asked at: "every address" is none.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_file_holds_an_address_that_can_be_asked_and_goes_with_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("address");
        let file = AddressFile(path.clone());
        write_address(&path, "http", "0.0.0.0:8000".parse().unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "http://127.0.0.1:8000\n");
        write_address(&path, "https", "[::]:1".parse().unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "https://[::1]:1\n");
        drop(file);
        assert!(!path.exists());
    }
}
