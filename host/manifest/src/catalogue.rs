//! What the compiler asks of the host: which plugins are installed, and whether units and expressions are right.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::diagnostic::nearest;
use crate::parameters_schema::ParametersSchema;
use crate::problem::ParameterProblem;
use crate::spec::Manifest;

/// An installed plugin, as the compiler needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Its own name.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// Other names that manifests may use; the name of another plugin takes precedence.
    pub aliases: Vec<String>,
    /// JSON Schema of the session's parameters.
    pub parameters_schema: ParametersSchema,
    /// JSON Schema of a step's parameters.
    pub step_parameters_schema: ParametersSchema,
    /// What it may give readings of.
    pub quantities: Vec<Quantity>,
    /// The access that it would like.
    pub capabilities: Vec<WantedCapability>,
    /// Bytes of linear memory that it needs to start.
    pub minimum_memory: u64,
}

/// What a plugin measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Its name.
    pub name: String,
    /// UCUM code.
    pub unit: String,
}

/// Access that a plugin would like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedCapability {
    /// Outgoing HTTP to this authority; `*` where the parameters decide.
    Http(String),
    /// Outgoing TCP to this address; `*` where the parameters decide.
    Tcp(String),
    /// This directory, to read.
    ReadFiles(String),
    /// This directory, to read and to write.
    WriteFiles(String),
}

/// What the compiler asks of the host.
pub trait Catalogue {
    /// The plugin that a manifest means. [`resolve_among`] does it for a list of installed ones.
    ///
    /// # Errors
    /// There is none, or more than one.
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError>;

    /// Whether a text is a UCUM code.
    ///
    /// # Errors
    /// It is none; the message says why, to go after "`code`: ".
    fn check_unit(&self, code: &str) -> Result<(), String>;

    /// Whether a text is an expression that can be evaluated over readings.
    ///
    /// # Errors
    /// It is none; the message says why.
    fn check_expression(&self, text: &str) -> Result<(), String>;

    /// What is wrong with parameters that no plugin consumes: those of the substrate, of tests, charts and reports.
    /// Pointers lead into the owner's object, as `/parameters/samples`. A catalogue that knows none of the consumers has
    /// nothing to say.
    fn check_parameters(&self, _manifest: &Manifest) -> Vec<(ParameterOwner, ParameterProblem)> {
        Vec::new()
    }
}

/// Who has parameters beside instruments and steps. Positions are those of the manifest's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterOwner {
    /// `substrate.source`.
    Substrate,
    /// An item of `analysis.statistical`.
    Test(usize),
    /// An item of `analysis.visualizations`.
    Visualization(usize),
    /// An item of `reporting.artifacts`.
    Artifact(usize),
    /// An item of `reporting.destinations`.
    Destination(usize),
}

/// How a manifest names a plugin: `name`, `name@version` or `name@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginReference {
    /// Name or alias.
    pub name: String,
    /// Which of those by that name.
    pub selector: Selector,
}

/// Which of the plugins by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest.
    Newest,
    /// Exactly this version.
    Version(String),
    /// Exactly these bytes: SHA-256 of the component, lower-case hex.
    Digest(String),
}

/// Why a text does not name a plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The name is empty, too long or has characters that names have not.
    #[error("a name has 1 to 64 letters, digits, `-`, `_` or `.` and begins with a letter or a digit")]
    Name,
    /// What stands after `@` is no semantic version.
    #[error("`{0}` is not a semantic version")]
    Version(String),
    /// What stands after `@sha256:` is no digest.
    #[error("a SHA-256 digest has 64 hexadecimal digits")]
    Digest,
}

/// Characters of a plugin's name, as the plugin contract has it.
const MAX_NAME: usize = 64;

impl FromStr for PluginReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, selector) = match text.split_once('@') {
            None => (text, Selector::Newest),
            Some((name, after)) => (name, selector(after)?),
        };
        let right = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || name.len() > MAX_NAME || !name.bytes().all(right) {
            return Err(ReferenceError::Name);
        }
        Ok(Self { name: name.to_owned(), selector })
    }
}

fn selector(text: &str) -> Result<Selector, ReferenceError> {
    if let Some(digest) = text.strip_prefix("sha256:") {
        let right = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if right {
            Ok(Selector::Digest(digest.to_ascii_lowercase()))
        } else {
            Err(ReferenceError::Digest)
        };
    }
    match semver::Version::parse(text) {
        Ok(_) => Ok(Selector::Version(text.to_owned())),
        Err(_) => Err(ReferenceError::Version(crate::diagnostic::shorten(text.to_owned(), 40))),
    }
}

impl fmt::Display for PluginReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Newest => write!(formatter, "{}", self.name),
            Selector::Version(version) => write!(formatter, "{}@{version}", self.name),
            Selector::Digest(digest) => write!(formatter, "{}@sha256:{digest}", self.name),
        }
    }
}

/// Why no plugin, or no single one, is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No plugin has the name.
    #[error("no plugin `{name}` is installed")]
    NotInstalled {
        /// The name.
        name: String,
        /// Installed ones, the most similar first; may be empty.
        nearest: Vec<String>,
    },
    /// Several plugins have the name, and nothing tells which is meant.
    #[error("more than one installed plugin goes by `{name}`")]
    Ambiguous {
        /// The name.
        name: String,
        /// How to name each of them.
        candidates: Vec<String>,
    },
    /// Plugins by the name are installed, but not this one.
    #[error("`{wanted}` is not installed")]
    WrongVersion {
        /// What was asked for.
        wanted: String,
        /// Versions that are installed, the newest first.
        installed: Vec<String>,
    },
}

/// Choose among installed plugins: by name, else by alias; the newest version unless the reference says which.
///
/// # Errors
/// There is none, or more than one: an alias of several plugins, or two components of the same name and version.
pub fn resolve_among(
    installed: &[Arc<PluginInfo>],
    reference: &PluginReference,
) -> Result<Arc<PluginInfo>, ResolveError> {
    let name = reference.name.as_str();
    let mut named: Vec<&Arc<PluginInfo>> = installed.iter().filter(|plugin| plugin.name == name).collect();
    if named.is_empty() {
        named = installed.iter().filter(|plugin| plugin.aliases.iter().any(|alias| alias == name)).collect();
    }
    if named.is_empty() {
        return Err(ResolveError::NotInstalled { name: name.to_owned(), nearest: similar(installed, name) });
    }
    // The newest first; what is no semantic version counts as the oldest.
    let version = |plugin: &PluginInfo| semver::Version::parse(&plugin.version).ok();
    named.sort_by(|a, b| version(b).cmp(&version(a)).then_with(|| a.digest.cmp(&b.digest)));
    let matching: Vec<&Arc<PluginInfo>> = match &reference.selector {
        Selector::Newest => named.clone(),
        Selector::Version(version) => {
            named.iter().copied().filter(|plugin| &plugin.version == version).collect()
        }
        Selector::Digest(digest) => named.iter().copied().filter(|plugin| &plugin.digest == digest).collect(),
    };
    let Some(first) = matching.first() else {
        let mut versions: Vec<String> = named.iter().map(|plugin| plugin.version.clone()).collect();
        versions.dedup();
        return Err(ResolveError::WrongVersion { wanted: reference.to_string(), installed: versions });
    };
    let rivals: Vec<&Arc<PluginInfo>> = matching
        .iter()
        .copied()
        .filter(|plugin| {
            plugin.name != first.name || (plugin.version == first.version && plugin.digest != first.digest)
        })
        .collect();
    if rivals.is_empty() {
        return Ok(Arc::clone(first));
    }
    let candidates = std::iter::once(*first).chain(rivals).map(|plugin| {
        if plugin.name == first.name && matching.iter().all(|other| other.name == first.name) {
            format!("{}@sha256:{}", plugin.name, plugin.digest)
        } else {
            plugin.name.clone()
        }
    });
    let mut candidates: Vec<String> = candidates.collect();
    candidates.dedup();
    Err(ResolveError::Ambiguous { name: name.to_owned(), candidates })
}

/// Names and aliases, the most similar first.
fn similar(installed: &[Arc<PluginInfo>], name: &str) -> Vec<String> {
    /// More than a reader compares at a glance.
    const MOST: usize = 5;
    let mut names: Vec<&str> = installed
        .iter()
        .flat_map(|plugin| std::iter::once(&plugin.name).chain(&plugin.aliases))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut found = Vec::new();
    while found.len() < MOST
        && let Some(near) = nearest(name, names.iter().copied())
    {
        names.retain(|candidate| *candidate != near);
        found.push(near.to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(name: &str, version: &str, digest: &str, aliases: &[&str]) -> Arc<PluginInfo> {
        Arc::new(PluginInfo {
            name: name.into(),
            version: version.into(),
            digest: digest.repeat(64),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            parameters_schema: serde_json::Value::Bool(true).into(),
            step_parameters_schema: serde_json::Value::Bool(true).into(),
            quantities: Vec::new(),
            capabilities: Vec::new(),
            minimum_memory: 0,
        })
    }

    fn resolve(installed: &[Arc<PluginInfo>], text: &str) -> Result<String, ResolveError> {
        let plugin = resolve_among(installed, &text.parse().unwrap())?;
        Ok(format!("{} {} {}", plugin.name, plugin.version, &plugin.digest[..1]))
    }

    #[test]
    fn references() {
        for wrong in ["", "@1.0.0", "a b", "-a", "a@", "a@1", "a@sha256:12", "ü"] {
            assert!(wrong.parse::<PluginReference>().is_err(), "{wrong:?}");
        }
        let text = format!("thermal@sha256:{}", "A".repeat(64));
        let reference: PluginReference = text.parse().unwrap();
        assert_eq!(reference.selector, Selector::Digest("a".repeat(64)));
    }

    #[test]
    fn names_win_over_aliases_and_the_newest_wins() {
        let installed = [
            plugin("echo", "1.9.0", "a", &[]),
            plugin("echo", "1.10.0", "b", &[]),
            plugin("thermal", "1.0.0", "c", &["echo", "heat"]),
        ];
        assert_eq!(resolve(&installed, "echo").unwrap(), "echo 1.10.0 b");
        assert_eq!(resolve(&installed, "echo@1.9.0").unwrap(), "echo 1.9.0 a");
        assert_eq!(resolve(&installed, "heat").unwrap(), "thermal 1.0.0 c");
        assert_eq!(resolve(&installed, &format!("echo@sha256:{}", "a".repeat(64))).unwrap(), "echo 1.9.0 a");
        assert_eq!(
            resolve(&installed, "echo@2.0.0"),
            Err(ResolveError::WrongVersion {
                wanted: "echo@2.0.0".into(),
                installed: vec!["1.10.0".into(), "1.9.0".into()]
            })
        );
        assert_eq!(
            resolve(&installed, "termal"),
            Err(ResolveError::NotInstalled { name: "termal".into(), nearest: vec!["thermal".into()] })
        );
    }

    #[test]
    fn what_nothing_tells_apart_is_ambiguous() {
        let shared = [plugin("a", "1.0.0", "a", &["x"]), plugin("b", "1.0.0", "b", &["x"])];
        assert_eq!(
            resolve(&shared, "x"),
            Err(ResolveError::Ambiguous { name: "x".into(), candidates: vec!["a".into(), "b".into()] })
        );
        let twins = [plugin("a", "1.0.0", "a", &[]), plugin("a", "1.0.0", "b", &[])];
        assert!(matches!(resolve(&twins, "a"), Err(ResolveError::Ambiguous { candidates, .. })
            if candidates[0].starts_with("a@sha256:a") && candidates[1].starts_with("a@sha256:b")));
    }
}
