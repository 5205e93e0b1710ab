//! Who may do what: tenants and their policies, keys and their roles, and the decisions that go into the ledger.
//!
//! These are the types that the journal keeps. Deciding is the server's; what a tenant allowed travels with its inquiries as
//! [`Bounds`], so that whoever runs a step needs to look nothing up.

use std::collections::BTreeSet;

use inquisitor_manifest::spec::{Capabilities, Limits};
use serde::{Deserialize, Serialize};

/// The tenant that always exists: inquiries of keys without a tenant, of `inquisitor run` and of declared manifests that name
/// none belong to it.
pub const DEFAULT_TENANT: &str = "default";

/// Tenants that there may be.
pub const MAX_TENANTS: usize = 10_000;
/// Keys that there may be, revoked ones included.
pub const MAX_KEYS: usize = 100_000;
/// Uploaded plugins that there may be.
pub const MAX_PLUGINS: usize = 10_000;
/// Bytes of a tenant, a key or a plugin as JSON.
pub const MAX_RECORD_BYTES: usize = 256 << 10;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything in its tenant; without a tenant, everything.
    Admin,
    /// Runs the service: inquiries of its tenant, plugins of everybody, declared manifests; no tenants and no keys.
    Operator,
    /// Submits, validates, watches and cancels inquiries of its tenant.
    Submitter,
    /// Uploads and removes plugins of its tenant, and validates manifests with them.
    Author,
    /// Reads everything of its tenant, keys and policy included, and changes nothing.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Operator, Self::Submitter, Self::Author, Self::Auditor];

    /// The word in manifests, in the API and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Submitter => "submitter",
            Self::Author => "author",
            Self::Auditor => "auditor",
        }
    }
}

/// Somebody who shares the host with others and sees nothing of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// Name: lower-case letters, digits and hyphens, at most 63.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it may do.
    pub policy: Policy,
    /// When it was created, in nanoseconds since the Unix epoch.
    pub created: i64,
}

/// What the inquiries of a tenant may do. The default allows what harms nobody: every kind of inquiry with every plugin that
/// the tenant can see, and no network, files or secrets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Kinds of inquiry; none: any, also inquiries without one.
    pub kinds: Option<BTreeSet<String>>,
    /// Plugins, as `name`, `name@version` or `sha256:…`; none: any that the tenant can see.
    pub plugins: Option<BTreeSet<String>>,
    /// What manifests may grant to instruments. A host of `*` is any host, a port of `*` any port; a folder stands for all in it.
    pub capabilities: Capabilities,
    /// Folders and files of the host's substrate folder that file substrates may read, relative to it; `.` is all of it.
    pub substrate_files: BTreeSet<String>,
    /// Secrets that manifests may refer to, of those that the host allows at all.
    pub secrets: BTreeSet<String>,
    /// The most that a call may use.
    pub limits: Limits,
    /// How often and how much at once.
    pub rates: Rates,
}

/// How often and how much at once; none means as much as the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests of any kind in a second.
    pub requests_per_second: Option<u32>,
    /// Requests that are answered at once.
    pub concurrent_requests: Option<u32>,
    /// Inquiries submitted in a minute.
    pub submissions_per_minute: Option<u32>,
    /// Inquiries that have not ended.
    pub unfinished_inquiries: Option<u32>,
    /// Plugins uploaded in an hour.
    pub uploads_per_hour: Option<u32>,
    /// Steps of one inquiry.
    pub steps: Option<u32>,
}

/// A key as it is kept. Its secret is shown once, to whoever created it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Identifier, public.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the secret, lower-case hex.
    pub secret_hash: String,
    /// What it may do.
    pub role: Role,
    /// Its tenant; none for a key that is above tenants.
    pub tenant: Option<String>,
    /// When it was created, in nanoseconds since the Unix epoch.
    pub created: i64,
    /// When it stops working by itself.
    pub expires: Option<i64>,
    /// When it was revoked.
    pub revoked: Option<i64>,
}

/// An uploaded plugin. Its component is a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    /// SHA-256 of the component, lower-case hex.
    pub digest: String,
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// Bytes of the component.
    pub size: u64,
    /// The tenant that it belongs to; none for one that everybody has.
    pub tenant: Option<String>,
    /// Id of the key that uploaded it.
    pub uploaded_by: String,
    /// When, in nanoseconds since the Unix epoch.
    pub uploaded: i64,
}

/// The tenant of an inquiry, and what that tenant allowed when it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The tenant's name.
    pub tenant: String,
    /// Secrets that the manifest may refer to; none: all that the host allows.
    pub secrets: Option<BTreeSet<String>>,
    /// The most that a call may use.
    pub limits: Limits,
}

impl Bounds {
    /// Of the default tenant, and bounded by the host alone.
    pub fn of_host() -> Self {
        Self { tenant: DEFAULT_TENANT.to_owned(), secrets: None, limits: Limits::default() }
    }
}

/// Who asked for an inquiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Origin {
    /// Somebody at the command line of this host.
    Local,
    /// The holder of a key.
    Key {
        /// The key's id.
        key: String,
    },
    /// A file of the directory of declared manifests.
    Declared {
        /// Path relative to the directory.
        file: String,
    },
}

/// A decision of gating, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What was asked for, as `inquiry.submit`.
    pub action: String,
    /// On what: an id or a name; empty where there is none yet.
    pub resource: String,
    /// The tenant concerned.
    pub tenant: Option<String>,
    /// Id of the key; none where there was none that is known.
    pub key: Option<String>,
    /// The key's role.
    pub role: Option<Role>,
    /// Id of the request.
    pub request: String,
    /// Whether it was allowed.
    pub allowed: bool,
    /// Why, where it was not.
    pub reason: Option<String>,
    /// How many decisions this entry stands for: 1, save for refusals of callers without a key, which are counted together.
    pub count: u32,
    /// Nanoseconds since the Unix epoch.
    pub at: i64,
}
