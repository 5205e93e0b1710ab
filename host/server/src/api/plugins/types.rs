//! Plugins as clients see them.

use inquisitor_engine::catalogue::{Installed, Source};
use inquisitor_runtime::Capability;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a plugin comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginSource {
    /// A file of this host.
    Shipped,
    /// Somebody uploaded it.
    Uploaded,
}

/// An installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plugin {
    /// The plugin's own name: what manifests give as `type`.
    #[schema(example = "thermal-probe")]
    pub name: String,
    /// Semantic version.
    #[schema(example = "1.0.0")]
    pub version: String,
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// One line on what it measures.
    pub summary: String,
    /// Other names under which manifests may ask for it.
    pub aliases: Vec<String>,
    /// What it may give readings of.
    pub quantities: Vec<PluginQuantity>,
    /// The access that it would like; granted is what a manifest asks for and its tenant's policy allows.
    pub capabilities: Vec<PluginCapability>,
    /// Where it comes from.
    pub source: PluginSource,
    /// The tenant that alone has it; none where everybody has it.
    pub tenant: Option<String>,
    /// Bytes of the component; none where its file cannot be looked at now.
    pub size: Option<u64>,
    /// When it was uploaded (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<String>,
    /// Id of the key that uploaded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded_by: Option<String>,
}

/// What a plugin measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginQuantity {
    /// Name in readings and axioms; `*` where the parameters decide.
    pub name: String,
    /// UCUM code of the unit in which it is usually given.
    pub unit: String,
    /// What it is.
    pub description: String,
}

/// Access that a plugin would like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginCapability {
    /// `http`, `tcp`, `read-files` or `write-files`.
    pub capability: String,
    /// The authority, address or directory; `*` where the parameters decide.
    pub target: String,
}

/// A plugin with all that it says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PluginDetails {
    /// As in the list.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// JSON Schema of the parameters of a session.
    #[schema(value_type = Object)]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// JSON Schema of the parameters of a step.
    #[schema(value_type = Object)]
    pub step_parameters: serde_json::Map<String, serde_json::Value>,
    /// Whether it calibrates itself before it observes.
    pub calibrates: bool,
    /// Whether a session can be saved and gone on with.
    pub checkpoints: bool,
    /// Bytes of linear memory with which a session starts.
    pub minimum_memory: u64,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
}

impl Plugin {
    /// What is said of an installed plugin. Looks at its file where it comes with the host, so off the async threads.
    pub(crate) fn of(installed: &Installed) -> Self {
        let description = installed.plugin.description();
        let (source, tenant, size, uploaded, by) = match &installed.source {
            Source::File(path) => {
                let size = std::fs::metadata(path).ok().map(|metadata| metadata.len());
                (PluginSource::Shipped, None, size, None, None)
            }
            Source::Uploaded { tenant, uploaded, uploaded_by, size } => {
                let uploaded = inquisitor_ledger::rfc3339(*uploaded);
                let by = uploaded_by.clone();
                (PluginSource::Uploaded, tenant.clone(), Some(*size), Some(uploaded), Some(by))
            }
        };
        Self {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: installed.plugin.digest().to_owned(),
            summary: description.summary.clone(),
            aliases: description.aliases.clone(),
            quantities: description
                .quantities
                .iter()
                .map(|quantity| PluginQuantity {
                    name: quantity.name.clone(),
                    unit: quantity.unit.clone(),
                    description: quantity.description.clone(),
                })
                .collect(),
            capabilities: description.capabilities.iter().map(capability).collect(),
            source,
            tenant,
            size,
            uploaded,
            uploaded_by: by,
        }
    }

    /// Where it is.
    pub(super) fn location(&self) -> String {
        format!("/v1/plugins/{}", self.digest)
    }
}

fn capability(capability: &Capability) -> PluginCapability {
    let (name, target) = match capability {
        Capability::Http(target) => ("http", target),
        Capability::Tcp(target) => ("tcp", target),
        Capability::ReadFiles(target) => ("read-files", target),
        Capability::WriteFiles(target) => ("write-files", target),
    };
    PluginCapability { capability: name.to_owned(), target: target.clone() }
}
