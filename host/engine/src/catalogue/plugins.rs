//! The set of installed plugins at one moment. It never changes; a new one takes its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use inquisitor_manifest::{PluginInfo, Quantity, WantedCapability};
use inquisitor_runtime::{Capability, Description, Plugin};

use super::{Broken, Installed, Source};
use crate::gating::PluginRecord;

/// An upload is known by its digest and by who has it: two tenants may upload the same bytes.
pub(super) type UploadKey = (String, Option<String>);

/// The installed plugins, found by what manifests call them.
#[derive(Default, Clone)]
pub(super) struct Plugins {
    /// In order of precedence.
    files: Vec<Installed>,
    /// Files that are no good plugins.
    pub(super) broken: Vec<Broken>,
    uploads: BTreeMap<UploadKey, Installed>,
    /// Names and aliases.
    called: HashMap<String, Vec<Installed>>,
}

impl Plugins {
    pub(super) fn all(&self) -> impl Iterator<Item = &Installed> {
        self.files.iter().chain(self.uploads.values())
    }

    /// Those that have the name, or have it as an alias.
    pub(super) fn called(&self, name: &str) -> impl Iterator<Item = &Installed> {
        self.called.get(name).into_iter().flatten()
    }

    pub(super) fn by_digest(&self, digest: &str) -> Option<&Installed> {
        let of_file = self.files.iter().find(|installed| installed.plugin.digest() == digest);
        of_file.or_else(|| {
            let from = (digest.to_owned(), None);
            let (key, installed) = self.uploads.range(from..).next()?;
            (key.0 == digest).then_some(installed)
        })
    }

    pub(super) fn has_upload(&self, key: &UploadKey) -> bool {
        self.uploads.contains_key(key)
    }

    /// Add a file's plugin behind those that are there; one that is there already stays where it is.
    pub(super) fn add_file(&mut self, plugin: Plugin, source: Source) {
        if !self.files.iter().any(|installed| installed.plugin.digest() == plugin.digest()) {
            self.files.push(Installed::new(plugin, source));
        }
    }

    /// Take the files of another set, and what is wrong with them.
    pub(super) fn replace_files(&mut self, other: Self) {
        self.files = other.files;
        self.broken = other.broken;
    }

    /// Whether a file brought a plugin of this name.
    pub(super) fn has_file_named(&self, name: &str) -> bool {
        self.files.iter().any(|installed| installed.info.name == name)
    }

    pub(super) fn add_upload(&mut self, plugin: Plugin, record: &PluginRecord) {
        self.uploads.insert(key(record), Installed::new(plugin, Source::of(record)));
    }

    pub(super) fn remove_upload(&mut self, key: &UploadKey) {
        self.uploads.remove(key);
    }

    /// Keep the uploads for which this is true.
    pub(super) fn retain_uploads(&mut self, keep: impl Fn(&UploadKey) -> bool) {
        self.uploads.retain(|key, _| keep(key));
    }

    /// To be called when all changes are made.
    pub(super) fn indexed(mut self) -> Self {
        let mut called: HashMap<String, Vec<Installed>> = HashMap::new();
        for installed in self.files.iter().chain(self.uploads.values()) {
            let names = std::iter::once(&installed.info.name).chain(&installed.info.aliases);
            for name in names {
                called.entry(name.clone()).or_default().push(installed.clone());
            }
        }
        self.called = called;
        self
    }
}

pub(super) fn key(record: &PluginRecord) -> UploadKey {
    (record.digest.clone(), record.tenant.clone())
}

impl Installed {
    pub(super) fn new(plugin: Plugin, source: Source) -> Self {
        let info = Arc::new(info(&plugin));
        Self { plugin, source, info }
    }
}

fn info(plugin: &Plugin) -> PluginInfo {
    let description: &Description = plugin.description();
    PluginInfo {
        name: description.name.clone(),
        version: description.version.clone(),
        digest: plugin.digest().to_owned(),
        aliases: description.aliases.clone(),
        parameters_schema: serde_json::Value::Object(description.parameters_schema.clone()).into(),
        step_parameters_schema: serde_json::Value::Object(description.step_parameters_schema.clone()).into(),
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
