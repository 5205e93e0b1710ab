//! The plugins that manifests may name, and those that running inquiries were planned with.
//!
//! A file that is not a good plugin is kept as its error and reported to whoever asks for it, so that one bad plugin
//! never stops a host.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use inquisitor_manifest::spec::{Destination, Manifest};
use inquisitor_manifest::{
    ParameterOwner, ParameterProblem, PluginInfo, PluginReference, Quantity, ResolveError, WantedCapability,
    resolve_among,
};
use inquisitor_runtime::{Capability, Description};
use inquisitor_runtime::{Plugin, Runtime};

use crate::journal::Journal;

/// Components that a folder is searched for at most; the rest are left out with an error that says so.
pub const MAX_COMPONENTS: usize = 1000;

/// Plugins of running inquiries that are kept beside the installed ones. Past it all are dropped, and loaded again from
/// compiled code when they are next called.
const MAX_PLANNED: usize = 64;

/// Bytes of a component file that are read at most; a larger one is no plugin.
pub const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// An installed plugin.
#[derive(Clone)]
pub struct Installed {
    /// The plugin, ready to run.
    pub plugin: Plugin,
    /// The file that it came from.
    pub path: PathBuf,
    /// What the plan compiler is told of it.
    info: Arc<PluginInfo>,
}

/// A file that is not a good plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// The plugins of this host, in order of precedence.
#[derive(Default)]
pub struct Catalogue {
    installed: Vec<Installed>,
    broken: Vec<Broken>,
    /// Plugins of running inquiries that are no longer installed, loaded from the journal's blobs.
    planned: Mutex<HashMap<String, Plugin>>,
}

impl Catalogue {
    /// Load the named files, then every `*.wasm` of the folders in order of name. A plugin that a file was named for takes
    /// the place of those by the same name in the folders. Never fails: what cannot be loaded is in
    /// [`Catalogue::broken`].
    pub async fn load(runtime: &Runtime, files: &[PathBuf], folders: &[PathBuf]) -> Self {
        let mut catalogue = Self::default();
        for path in files {
            match load_file(runtime, path).await {
                Ok(plugin) => catalogue.add(plugin, path.clone()),
                Err(message) => catalogue.broken.push(Broken { path: path.clone(), message }),
            }
        }
        let named: Vec<String> =
            catalogue.installed.iter().map(|installed| installed.plugin.description().name.clone()).collect();
        let mut paths = Vec::new();
        for folder in folders {
            match components(folder) {
                Ok(found) => paths.extend(found),
                Err(message) => catalogue.broken.push(Broken { path: folder.clone(), message }),
            }
        }
        if paths.len() > MAX_COMPONENTS {
            for path in paths.drain(MAX_COMPONENTS..) {
                let message = format!("left out: a host loads at most {MAX_COMPONENTS} plugins at start");
                catalogue.broken.push(Broken { path, message });
            }
        }
        for path in paths {
            match load_file(runtime, &path).await {
                Ok(plugin) if named.contains(&plugin.description().name) => {}
                Ok(plugin) => catalogue.add(plugin, path),
                Err(message) => catalogue.broken.push(Broken { path, message }),
            }
        }
        catalogue
    }

    /// A catalogue of one plugin.
    pub fn of(plugin: Plugin, path: PathBuf) -> Self {
        let mut catalogue = Self::default();
        catalogue.add(plugin, path);
        catalogue
    }

    fn add(&mut self, plugin: Plugin, path: PathBuf) {
        let is_new = !self.installed.iter().any(|installed| installed.plugin.digest() == plugin.digest());
        if is_new {
            let info = Arc::new(info(&plugin));
            self.installed.push(Installed { plugin, path, info });
        }
    }

    /// The installed plugins, in order of precedence.
    pub fn installed(&self) -> &[Installed] {
        &self.installed
    }

    /// Files that are not good plugins.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// The bytes of an installed component, checked against the digest: the file may have been replaced since.
    ///
    /// # Errors
    /// A sentence that says which file cannot be read or has changed.
    pub(crate) fn component(&self, digest: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(installed) = self.installed.iter().find(|installed| installed.plugin.digest() == digest)
        else {
            return Ok(None);
        };
        let bytes = read_component(&installed.path)?;
        if inquisitor_manifest::digest(&bytes) != digest {
            return Err(format!(
                "{} was replaced while this host was running; submit again",
                installed.path.display()
            ));
        }
        Ok(Some(bytes))
    }

    /// The plugin of this digest: installed, or from the blob that the inquiry was submitted with.
    ///
    /// # Errors
    /// A sentence that says why it cannot be had.
    pub(crate) async fn plugin(
        &self,
        runtime: &Runtime,
        journal: &dyn Journal,
        digest: &str,
    ) -> Result<Plugin, String> {
        if let Some(installed) = self.installed.iter().find(|installed| installed.plugin.digest() == digest) {
            return Ok(installed.plugin.clone());
        }
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(plugin) = planned {
            return Ok(plugin);
        }
        let bytes = journal.blob(digest).await.map_err(|error| error.to_string())?;
        let plugin = runtime.load(&bytes).await.map_err(|error| error.to_string())?;
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if planned.len() >= MAX_PLANNED {
            planned.clear();
        }
        planned.insert(digest.to_owned(), plugin.clone());
        Ok(plugin)
    }
}

impl inquisitor_manifest::Catalogue for Catalogue {
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
        let infos: Vec<Arc<PluginInfo>> =
            self.installed.iter().map(|installed| installed.info.clone()).collect();
        resolve_among(&infos, reference)
    }

    fn check_unit(&self, code: &str) -> Result<(), String> {
        inquisitor_findings::check_unit(code)
    }

    fn check_expression(&self, text: &str) -> Result<(), String> {
        inquisitor_findings::check_expression(text)
    }

    fn check_parameters(&self, manifest: &Manifest) -> Vec<(ParameterOwner, ParameterProblem)> {
        let substrate = manifest.substrate.iter().flat_map(|substrate| {
            let problems = inquisitor_substrate::check_parameters(substrate);
            problems.into_iter().map(|problem| (ParameterOwner::Substrate, problem))
        });
        let tests = manifest.analysis.statistical.iter().enumerate().flat_map(|(index, test)| {
            let problems = inquisitor_findings::analysis::check_parameters(test);
            problems.into_iter().map(move |problem| (ParameterOwner::Test(index), problem))
        });
        let charts = manifest.analysis.visualizations.iter().enumerate().flat_map(|(index, chart)| {
            let problems = inquisitor_report::check_chart(chart);
            problems
                .into_iter()
                .map(move |problem| (ParameterOwner::Visualization(index), in_parameters(problem)))
        });
        let artifacts = manifest.reporting.artifacts.iter().enumerate().flat_map(|(index, artifact)| {
            let problems = inquisitor_report::check_artifact(artifact);
            problems.into_iter().map(move |problem| (ParameterOwner::Artifact(index), in_parameters(problem)))
        });
        let destinations =
            manifest.reporting.destinations.iter().enumerate().flat_map(|(index, destination)| {
                let Destination::File { parameters, .. } = destination;
                parameters.keys().map(move |name| {
                    let pointer = format!("/parameters/{}", name.replace('~', "~0").replace('/', "~1"));
                    let message =
                        format!("a destination of the type file has no parameter `{name}`; it takes none");
                    (ParameterOwner::Destination(index), ParameterProblem { pointer, message })
                })
            });
        substrate.chain(tests).chain(charts).chain(artifacts).chain(destinations).collect()
    }
}

/// Reports speak of their parameters, manifests of the object that holds them.
fn in_parameters(problem: ParameterProblem) -> ParameterProblem {
    ParameterProblem { pointer: format!("/parameters{}", problem.pointer), ..problem }
}

fn info(plugin: &Plugin) -> PluginInfo {
    let description: &Description = plugin.description();
    PluginInfo {
        name: description.name.clone(),
        version: description.version.clone(),
        digest: plugin.digest().to_owned(),
        aliases: description.aliases.clone(),
        parameters_schema: description.parameters_schema.clone().into(),
        step_parameters_schema: description.step_parameters_schema.clone().into(),
        quantities: description
            .quantities
            .iter()
            .map(|quantity| Quantity { name: quantity.name.clone(), unit: quantity.unit.clone() })
            .collect(),
        capabilities: description.capabilities.iter().map(wanted).collect(),
        minimum_memory: description.minimum_memory,
    }
}

fn wanted(capability: &Capability) -> WantedCapability {
    match capability {
        Capability::Http(target) => WantedCapability::Http(target.clone()),
        Capability::Tcp(target) => WantedCapability::Tcp(target.clone()),
        Capability::ReadFiles(path) => WantedCapability::ReadFiles(path.clone()),
        Capability::WriteFiles(path) => WantedCapability::WriteFiles(path.clone()),
    }
}

async fn load_file(runtime: &Runtime, path: &Path) -> Result<Plugin, String> {
    let bytes = read_component(path)?;
    runtime.load(&bytes).await.map_err(|error| error.to_string())
}

/// Read a component file.
///
/// # Errors
/// A sentence with the file's name, when it cannot be read or is too large.
pub fn read_component(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    // A device has no end, and opening a pipe waits for a writer that may never come.
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(format!("{shown} is a device or a pipe, not a file"));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // The length is what was read, not what the metadata said: files grow.
    file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_COMPONENT_BYTES {
        return Err(format!("{shown} is larger than the {MAX_COMPONENT_BYTES} bytes that are read at most"));
    }
    Ok(bytes)
}

fn components(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot read the folder: {error}"))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "wasm"))
        .collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_device_without_an_end_is_no_component() {
        let error = read_component(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error, "/dev/zero is a device or a pipe, not a file");
    }

    #[test]
    fn a_component_is_read_up_to_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.wasm");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(MAX_COMPONENT_BYTES + 1).unwrap();
        assert!(read_component(&path).unwrap_err().contains("is larger than"));
        file.set_len(3).unwrap();
        assert_eq!(read_component(&path).unwrap(), [0; 3]);
    }
}
