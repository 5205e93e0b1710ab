//! The plugins that manifests may name, and those that running inquiries were planned with.
//!
//! A file that is not a good plugin is kept as its error and reported to whoever asks for it, so that one bad plugin
//! never stops a host. Uploaded plugins come and go while the host runs; an inquiry holds on to the digests that it was
//! planned with, whose components are blobs, and never notices.
//!
//! `plugins.rs` is the set at one moment, `view.rs` what one tenant sees of it, `files.rs` reads components.

mod files;
mod plugins;
mod view;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures::{StreamExt as _, stream};
use inquisitor_manifest::spec::Manifest;
use inquisitor_manifest::{ParameterOwner, ParameterProblem, PluginInfo, PluginReference, ResolveError};
use inquisitor_runtime::{Plugin, Runtime};

use crate::gating::{DEFAULT_TENANT, PluginRecord};
use crate::journal::Journal;
use crate::text::bounded;

use self::plugins::{Plugins, UploadKey};

pub use self::files::{MAX_COMPONENT_BYTES, read_component};
pub use self::view::View;

/// Components that a folder is searched for at most; the rest are left out with an error that says so.
pub const MAX_COMPONENTS: usize = 1000;

/// Plugins of running inquiries that are kept beside the installed ones. Past it all are dropped, and loaded again from
/// compiled code when they are next called.
const MAX_PLANNED: usize = 64;

/// Uploaded plugins that are loaded at once. What takes time is reading compiled code; compiling has a bound of its own in
/// the runtime.
const LOADED_AT_ONCE: usize = 4;

/// An installed plugin.
#[derive(Clone)]
pub struct Installed {
    /// The plugin, ready to run.
    pub plugin: Plugin,
    /// Where it came from.
    pub source: Source,
    /// What the plan compiler is told of it.
    pub info: Arc<PluginInfo>,
}

/// Where a plugin came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this host.
    File(PathBuf),
    /// Somebody uploaded it; its component is a blob.
    Uploaded {
        /// The tenant that has it; none for one that everybody has.
        tenant: Option<String>,
        /// When, in nanoseconds since the Unix epoch.
        uploaded: i64,
        /// Id of the key that uploaded it.
        uploaded_by: String,
        /// Bytes of the component.
        size: u64,
    },
}

impl Source {
    fn of(record: &PluginRecord) -> Self {
        Self::Uploaded {
            tenant: record.tenant.clone(),
            uploaded: record.uploaded,
            uploaded_by: record.uploaded_by.clone(),
            size: record.size,
        }
    }

    /// Which of two components of the same name and version is meant: the greater.
    fn nearness(&self) -> u8 {
        match self {
            Self::File(_) => 0,
            Self::Uploaded { tenant: None, .. } => 1,
            Self::Uploaded { tenant: Some(_), .. } => 2,
        }
    }

    /// The file, where it came from one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Uploaded { .. } => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Uploaded { tenant: None, .. } => write!(formatter, "uploaded for everybody"),
            Self::Uploaded { tenant: Some(tenant), .. } => write!(formatter, "uploaded by {tenant}"),
        }
    }
}

/// Something that should be a plugin and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What it is: the path of a file, or name, version and digest of an upload.
    pub name: String,
    /// Where it came from.
    pub source: Source,
    /// What is wrong with it.
    pub message: String,
}

impl Broken {
    fn file(path: PathBuf, message: String) -> Self {
        Self { name: path.display().to_string(), source: Source::File(path), message }
    }

    fn upload(record: &PluginRecord, message: String) -> Self {
        let name = format!("{} {} (sha256:{})", record.name, record.version, record.digest);
        Self { name, source: Source::of(record), message }
    }
}

/// The plugins of this host.
///
/// As a [`inquisitor_manifest::Catalogue`] it is what the default tenant sees.
#[derive(Default)]
pub struct Catalogue {
    /// Replaced as a whole, so that readers hold the lock for a clone of the pointer.
    plugins: RwLock<Arc<Plugins>>,
    /// Plugins of running inquiries that are no longer installed, loaded from the journal's blobs.
    planned: Mutex<HashMap<String, Plugin>>,
}

impl Catalogue {
    /// A catalogue of the files' plugins: see [`Catalogue::load_files`].
    pub async fn load(runtime: &Runtime, files: &[PathBuf], folders: &[PathBuf]) -> Self {
        let catalogue = Self::default();
        catalogue.load_files(runtime, files, folders, |_, _| {}).await;
        catalogue
    }

    /// Load the named files, then every `*.wasm` of the folders in order of name. A plugin that a file was named for takes
    /// the place of those by the same name in the folders. Never fails: what cannot be loaded is in
    /// [`Catalogue::broken`]. All are there when it is done, and none before.
    ///
    /// `tell` is called before each one with how many are done, and how many there are: compiling may take long.
    pub async fn load_files(
        &self,
        runtime: &Runtime,
        files: &[PathBuf],
        folders: &[PathBuf],
        tell: impl Fn(usize, usize),
    ) {
        let mut plugins = Plugins::default();
        let mut paths = Vec::new();
        for folder in folders {
            match files::components(folder) {
                Ok(found) => paths.extend(found),
                Err(message) => plugins.broken.push(Broken::file(folder.clone(), message)),
            }
        }
        if paths.len() > MAX_COMPONENTS {
            for path in paths.drain(MAX_COMPONENTS..) {
                let message = format!("left out: a host loads at most {MAX_COMPONENTS} plugins at start");
                plugins.broken.push(Broken::file(path, message));
            }
        }
        let of = files.len() + paths.len();
        for (done, path) in files.iter().enumerate() {
            tell(done, of);
            match load_file(runtime, path).await {
                Ok(plugin) => plugins.add_file(plugin, Source::File(path.clone())),
                Err(message) => plugins.broken.push(Broken::file(path.clone(), message)),
            }
        }
        let named = plugins.clone();
        for (done, path) in paths.into_iter().enumerate() {
            tell(files.len() + done, of);
            match load_file(runtime, &path).await {
                Ok(plugin) if named.has_file_named(&plugin.description().name) => {}
                Ok(plugin) => plugins.add_file(plugin, Source::File(path)),
                Err(message) => plugins.broken.push(Broken::file(path, message)),
            }
        }
        tell(of, of);
        self.change(|current| current.replace_files(plugins));
    }

    /// A catalogue of one plugin.
    pub fn of(plugin: Plugin, path: PathBuf) -> Self {
        let mut plugins = Plugins::default();
        plugins.add_file(plugin, Source::File(path));
        Self::from(plugins)
    }

    fn now(&self) -> Arc<Plugins> {
        self.plugins.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Plugins)) {
        let mut current = self.plugins.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Plugins::clone(&current);
        change(&mut next);
        *current = Arc::new(next.indexed());
    }

    /// The installed plugins: those of files in order of precedence, then every upload by digest.
    pub fn installed(&self) -> Vec<Installed> {
        self.now().all().cloned().collect()
    }

    /// Files that are not good plugins. Those of uploads are the answer of [`Catalogue::sync`].
    pub fn broken(&self) -> Vec<Broken> {
        self.now().broken.clone()
    }

    /// What the inquiries of a tenant may name: the files of the host, what was uploaded for everybody, and its own.
    pub fn visible_to(&self, tenant: &str) -> View {
        View::of_tenant(self.now(), tenant)
    }

    /// Everything that is installed, whoever has it.
    pub fn everything(&self) -> View {
        View::of_everything(self.now())
    }

    /// Add a plugin that was uploaded and recorded. The same record again changes nothing.
    pub fn add_uploaded(&self, plugin: Plugin, record: &PluginRecord) {
        self.change(|plugins| plugins.add_upload(plugin, record));
    }

    /// Remove an uploaded plugin; `tenant` is the one that has it, none for one that everybody has. Running inquiries are
    /// not disturbed. One that is not there is no error.
    pub fn remove_uploaded(&self, digest: &str, tenant: Option<&str>) {
        let key: UploadKey = (digest.to_owned(), tenant.map(str::to_owned));
        self.change(|plugins| plugins.remove_upload(&key));
    }

    /// Make the uploaded plugins those of `records`: load what is new from its blob, drop what is gone. Returns those that
    /// could not be loaded; they are tried again the next time.
    pub async fn sync(
        &self,
        runtime: &Runtime,
        journal: &dyn Journal,
        records: &[PluginRecord],
    ) -> Vec<Broken> {
        let there = self.now();
        // Owned, for a borrow held across an await would keep the caller's future from being sent between threads.
        let mut new = Vec::new();
        for record in records {
            if !there.has_upload(&plugins::key(record)) {
                new.push(record.clone());
            }
        }
        let mut loading = stream::iter(new)
            .map(|record| async move {
                let loaded = load_blob(runtime, journal, &record.digest).await;
                (record, loaded)
            })
            .buffer_unordered(LOADED_AT_ONCE);
        let mut loaded = Vec::new();
        let mut broken = Vec::new();
        while let Some((record, result)) = loading.next().await {
            match result {
                Ok(plugin) => loaded.push((plugin, record)),
                Err(message) => broken.push(Broken::upload(&record, message)),
            }
        }
        let wanted: BTreeSet<UploadKey> = records.iter().map(plugins::key).collect();
        self.change(|plugins| {
            for (plugin, record) in loaded {
                plugins.add_upload(plugin, &record);
            }
            plugins.retain_uploads(|key| wanted.contains(key));
        });
        broken.sort_by(|a, b| a.name.cmp(&b.name));
        broken
    }

    /// The bytes of a component that came from a file, checked against the digest: the file may have been replaced since.
    /// None for others: they are blobs.
    ///
    /// # Errors
    /// A sentence that says which file cannot be read or has changed.
    pub(crate) fn component(&self, digest: &str) -> Result<Option<Vec<u8>>, String> {
        let plugins = self.now();
        let Some(path) = plugins.by_digest(digest).and_then(|installed| installed.source.path()) else {
            return Ok(None);
        };
        let bytes = read_component(path)?;
        if inquisitor_manifest::digest(&bytes) != digest {
            return Err(format!("{} was replaced while this host was running; submit again", path.display()));
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
        if let Some(installed) = self.now().by_digest(digest) {
            return Ok(installed.plugin.clone());
        }
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(plugin) = planned {
            return Ok(plugin);
        }
        let plugin = load_blob(runtime, journal, digest).await?;
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if planned.len() >= MAX_PLANNED {
            planned.clear();
        }
        planned.insert(digest.to_owned(), plugin.clone());
        Ok(plugin)
    }
}

impl From<Plugins> for Catalogue {
    fn from(plugins: Plugins) -> Self {
        Self { plugins: RwLock::new(Arc::new(plugins.indexed())), planned: Mutex::default() }
    }
}

impl inquisitor_manifest::Catalogue for Catalogue {
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
        self.visible_to(DEFAULT_TENANT).resolve(reference)
    }

    fn check_unit(&self, code: &str) -> Result<(), String> {
        self.visible_to(DEFAULT_TENANT).check_unit(code)
    }

    fn check_expression(&self, text: &str) -> Result<(), String> {
        self.visible_to(DEFAULT_TENANT).check_expression(text)
    }

    fn check_parameters(&self, manifest: &Manifest) -> Vec<(ParameterOwner, ParameterProblem)> {
        self.visible_to(DEFAULT_TENANT).check_parameters(manifest)
    }
}

async fn load_file(runtime: &Runtime, path: &Path) -> Result<Plugin, String> {
    let bytes = read_component(path)?;
    runtime.load(&bytes).await.map_err(|error| bounded(error.to_string()))
}

async fn load_blob(runtime: &Runtime, journal: &dyn Journal, digest: &str) -> Result<Plugin, String> {
    let bytes = journal.blob(digest).await.map_err(|error| error.to_string())?;
    runtime.load(&bytes).await.map_err(|error| bounded(error.to_string()))
}

#[cfg(test)]
mod tests;
