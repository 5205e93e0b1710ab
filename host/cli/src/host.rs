//! The host in this process: runtime, plugins, conductor and engine, opened for one command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use inquisitor_conductor::{Conductor, ConductorConfig};
use inquisitor_engine::catalogue::Catalogue;
use inquisitor_engine::secrets::AllowedSecrets;
use inquisitor_engine::{Engine, EngineConfig};
use inquisitor_runtime::{Runtime, RuntimeConfig};

use crate::args::PluginSources;
use crate::print;
use crate::settings::{self, Settings};

/// Name of the one member that a command without a server is.
const LOCAL: &str = "local";

/// The sandbox, with its cache where flags or configuration say.
///
/// # Errors
/// When the cache folder cannot be used or the engine does not start on this machine.
pub(crate) fn runtime(cache_dir: Option<&Path>, settings: &Settings) -> anyhow::Result<Runtime> {
    let cache = cache_dir
        .map(Path::to_owned)
        .or_else(|| settings.cache_dir.clone())
        .unwrap_or_else(settings::default_cache_dir);
    Ok(Runtime::new(RuntimeConfig::new(cache.join("compiled")))?)
}

/// Every plugin that manifests may name. Says on standard error which files of the folders are none.
///
/// # Errors
/// When a file or folder that was named on the command line cannot be used.
pub(crate) async fn catalogue(
    runtime: &Runtime,
    sources: &PluginSources,
    settings: &Settings,
) -> anyhow::Result<Arc<Catalogue>> {
    let catalogue = Catalogue::load(runtime, &sources.plugin, &plugin_folders(sources, settings)).await;
    for broken in catalogue.broken() {
        // A file that was asked for by name must not be replaced in silence by an installed one.
        let named = |paths: &[PathBuf]| paths.iter().any(|path| broken.source.path() == Some(path));
        if named(&sources.plugin) || named(&sources.plugin_dir) {
            anyhow::bail!("cannot use {} for plugins: {}", broken.name, broken.message);
        }
        print::note(&format!("warning: {} is left out: {}", broken.name, broken.message));
    }
    Ok(Arc::new(catalogue))
}

/// The folders of plugins: those of the command line, else of the configuration, else those that came with this binary.
pub(crate) fn plugin_folders(sources: &PluginSources, settings: &Settings) -> Vec<PathBuf> {
    let said = [&sources.plugin_dir, &settings.plugin_dir].into_iter().find(|folders| !folders.is_empty());
    said.cloned().unwrap_or_else(shipped_plugins)
}

/// The plugins that came with this binary: beside it, or where an installation or a build puts them.
fn shipped_plugins() -> Vec<PathBuf> {
    let Some(folder) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)) else {
        return Vec::new();
    };
    let candidates =
        [folder.join("plugins"), folder.join("../lib/inquisitor/plugins"), folder.join("../plugins")];
    candidates.into_iter().filter(|candidate| candidate.is_dir()).take(1).collect()
}

/// An engine on a conductor of its own.
pub(crate) struct Host {
    pub(crate) conductor: Arc<Conductor>,
    pub(crate) engine: Engine,
}

/// Open the data directory and start an engine on it.
///
/// # Errors
/// When the directory is held by another process, is not ours, or cannot be used.
pub(crate) async fn open(
    data_dir: &Path,
    runtime: Runtime,
    catalogue: Arc<Catalogue>,
    secrets: AllowedSecrets,
) -> anyhow::Result<Host> {
    let conductor = conductor(data_dir, LOCAL).await?;
    let config = EngineConfig { secrets: Arc::new(secrets), ..EngineConfig::new(LOCAL) };
    let engine = Engine::new(conductor.clone(), runtime, catalogue, config);
    Ok(Host { conductor, engine })
}

/// Open a data directory that is there already: reading must not make one.
///
/// # Errors
/// As for [`open`], and when there is none.
pub(crate) async fn existing_conductor(data_dir: &Path) -> anyhow::Result<Arc<Conductor>> {
    if !data_dir.is_dir() {
        anyhow::bail!("there is no data directory {}", data_dir.display());
    }
    conductor(data_dir, LOCAL).await
}

/// Open the state of the member of this name.
///
/// # Errors
/// As for [`open`].
async fn conductor(data_dir: &Path, member: &str) -> anyhow::Result<Arc<Conductor>> {
    member_of(ConductorConfig::new(data_dir, member)).await
}

/// Open the state of a member, alone or in its cluster.
///
/// # Errors
/// As for [`open`], and when the address for other members cannot be listened on.
pub(crate) async fn member_of(config: ConductorConfig) -> anyhow::Result<Arc<Conductor>> {
    let shown = config.data_dir.display().to_string();
    let conductor =
        Conductor::open(config).await.with_context(|| format!("cannot open the data directory {shown}"))?;
    Ok(Arc::new(conductor))
}
