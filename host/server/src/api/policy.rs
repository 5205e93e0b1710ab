//! Policies of tenants as the API has them: limits as in manifests (`64MiB`, `10s`), and all mistakes at once.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use inquisitor_engine::gating;
use inquisitor_manifest::spec;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::quantity::{duration, size};

/// What the inquiries of a tenant may do. What is left out is the default, which allows every kind of inquiry with every plugin
/// that the tenant can see, and no network, files or secrets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({
    "plugins": ["thermal-probe", "table@1.0.0"],
    "capabilities": {"http": ["api.example.org:443"]},
    "substrate_files": ["acme"],
    "limits": {"memory": "64MiB", "wall": "10s"},
    "rates": {"submissions_per_minute": 60, "unfinished_inquiries": 100}
}))]
pub struct Policy {
    /// Kinds of inquiry; null: any, also inquiries without one.
    pub kinds: Option<BTreeSet<String>>,
    /// Plugins, as `name`, `name@version` or `sha256:…`; null: any that the tenant can see.
    pub plugins: Option<BTreeSet<String>>,
    /// What manifests may grant to instruments.
    pub capabilities: Capabilities,
    /// Folders and files of the host's substrate folder that file substrates may read, relative to it; `.` is all of it.
    pub substrate_files: BTreeSet<String>,
    /// Names of secrets that manifests may refer to, of those that the host allows at all.
    pub secrets: BTreeSet<String>,
    /// The most that a call may use.
    pub limits: Limits,
    /// How often and how much at once.
    pub rates: Rates,
}

/// What manifests may grant to instruments.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Authorities `host:port` for outgoing HTTP; a host of `*` is any host, a port of `*` any port.
    pub http: Vec<String>,
    /// Addresses `host:port` for outgoing TCP; `*` as for HTTP.
    pub tcp: Vec<String>,
    /// Folders of the host; each stands for all in it.
    pub files: Vec<FileGrant>,
}

/// A folder of the host that manifests may grant to instruments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// Absolute path.
    pub path: String,
    /// Whether only reading is allowed. True where it is left out.
    #[serde(default = "yes")]
    pub read_only: bool,
}

fn yes() -> bool {
    true
}

/// The most that a call may use; null means as much as the host allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory, as `64MiB`.
    #[schema(example = "64MiB")]
    pub memory: Option<String>,
    /// Fuel: instructions, roughly.
    pub fuel: Option<u64>,
    /// Wall time, as `10s`.
    #[schema(example = "10s")]
    pub wall: Option<String>,
}

/// How often and how much at once; null means as much as the host allows, 0 nothing at all. Each member of a cluster counts
/// for itself, save for inquiries that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests of any kind in a second.
    pub requests_per_second: Option<u32>,
    /// Requests that are answered at once; streams of events have a bound of their own.
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

/// A mistake in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    path: String,
    message: String,
}

impl Policy {
    /// The policy as it is kept.
    ///
    /// # Errors
    /// All mistakes in it, as `{path, message}` for the problem's `errors`.
    pub(crate) fn check(&self) -> Result<gating::Policy, Vec<Value>> {
        let mut mistakes = Vec::new();
        self.find_mistakes(&mut mistakes);
        let memory = read(self.limits.memory.as_deref(), inquisitor_manifest::size);
        if memory.is_err() {
            add(&mut mistakes, "limits.memory", "it is no size; write it as `64MiB`, `500kB` or `100B`");
        }
        let wall = read(self.limits.wall.as_deref(), inquisitor_manifest::duration);
        if wall.is_err() {
            add(
                &mut mistakes,
                "limits.wall",
                "it is no length of time; write it as `10s`, `500ms` or `1h30min`",
            );
        }
        let (Ok(memory), Ok(wall), []) = (memory, wall, mistakes.as_slice()) else {
            let as_json = |mistake: Mistake| json!({"path": mistake.path, "message": mistake.message});
            return Err(mistakes.into_iter().map(as_json).collect());
        };
        Ok(gating::Policy {
            kinds: self.kinds.clone(),
            plugins: self.plugins.clone(),
            capabilities: spec::Capabilities {
                http: self.capabilities.http.clone(),
                tcp: self.capabilities.tcp.clone(),
                files: self
                    .capabilities
                    .files
                    .iter()
                    .map(|grant| spec::FileGrant { path: grant.path.clone(), read_only: grant.read_only })
                    .collect(),
            },
            substrate_files: self.substrate_files.clone(),
            secrets: self.secrets.clone(),
            limits: spec::Limits { memory, fuel: self.limits.fuel, wall },
            rates: gating::Rates {
                requests_per_second: self.rates.requests_per_second,
                concurrent_requests: self.rates.concurrent_requests,
                submissions_per_minute: self.rates.submissions_per_minute,
                unfinished_inquiries: self.rates.unfinished_inquiries,
                uploads_per_hour: self.rates.uploads_per_hour,
                steps: self.rates.steps,
            },
        })
    }

    fn find_mistakes(&self, mistakes: &mut Vec<Mistake>) {
        let authorities = [("http", &self.capabilities.http), ("tcp", &self.capabilities.tcp)];
        for (name, patterns) in authorities {
            for (at, pattern) in patterns.iter().enumerate() {
                if !is_authority(pattern) {
                    let path = format!("capabilities.{name}[{at}]");
                    add(mistakes, path, "it is no `host:port`; either may be `*`");
                }
            }
        }
        for (at, grant) in self.capabilities.files.iter().enumerate() {
            let path = Path::new(&grant.path);
            if !path.is_absolute() || steps_up(path) || grant.path.contains('\0') {
                let at = format!("capabilities.files[{at}].path");
                add(mistakes, at, "it is no absolute path without `..`");
            }
        }
        for file in &self.substrate_files {
            let path = Path::new(file);
            if file.is_empty() || path.is_absolute() || steps_up(path) || file.contains('\0') {
                add(
                    mistakes,
                    "substrate_files",
                    "each is a path relative to the substrate folder, without `..`",
                );
            }
        }
        if self.secrets.iter().any(|name| !is_secret_name(name)) {
            add(mistakes, "secrets", "names of secrets are letters, digits and underscores");
        }
        for (name, list) in [("kinds", &self.kinds), ("plugins", &self.plugins)] {
            if list.iter().flatten().any(String::is_empty) {
                add(mistakes, name, "a name is empty");
            }
        }
    }
}

/// `None` where there is nothing, an error where there is something that cannot be read.
fn read(text: Option<&str>, parse: fn(&str) -> Option<u64>) -> Result<Option<u64>, ()> {
    text.map(|text| parse(text).ok_or(())).transpose()
}

fn add(mistakes: &mut Vec<Mistake>, path: impl Into<String>, message: &str) {
    mistakes.push(Mistake { path: path.into(), message: message.to_owned() });
}

fn is_authority(pattern: &str) -> bool {
    let Some((host, port)) = pattern.rsplit_once(':') else { return false };
    let good_host = host == "*"
        || (!host.is_empty()
            && !host.contains(['*', '/', '@'])
            && format!("{host}:1").parse::<http::uri::Authority>().is_ok());
    good_host && (port == "*" || port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn steps_up(path: &Path) -> bool {
    path.components().any(|component| component == Component::ParentDir)
}

fn is_secret_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

impl From<&gating::Policy> for Policy {
    fn from(policy: &gating::Policy) -> Self {
        let grant =
            |grant: &spec::FileGrant| FileGrant { path: grant.path.clone(), read_only: grant.read_only };
        Self {
            kinds: policy.kinds.clone(),
            plugins: policy.plugins.clone(),
            capabilities: Capabilities {
                http: policy.capabilities.http.clone(),
                tcp: policy.capabilities.tcp.clone(),
                files: policy.capabilities.files.iter().map(grant).collect(),
            },
            substrate_files: policy.substrate_files.clone(),
            secrets: policy.secrets.clone(),
            limits: Limits {
                memory: policy.limits.memory.map(size),
                fuel: policy.limits.fuel,
                wall: policy.limits.wall.map(duration),
            },
            rates: Rates {
                requests_per_second: policy.rates.requests_per_second,
                concurrent_requests: policy.rates.concurrent_requests,
                submissions_per_minute: policy.rates.submissions_per_minute,
                unfinished_inquiries: policy.rates.unfinished_inquiries,
                uploads_per_hour: policy.rates.uploads_per_hour,
                steps: policy.rates.steps,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let policy: Policy = serde_json::from_value(json!({
            "capabilities": {"http": ["*:443", "no-port", "x:0", "a/b:1"], "files": [{"path": "../up"}]},
            "substrate_files": ["data", "/etc", "a/../b"],
            "secrets": ["GOOD_1", "bad name"],
            "limits": {"memory": "much", "wall": "10"}
        }))
        .unwrap();
        let mistakes = policy.check().unwrap_err();
        insta::assert_json_snapshot!(mistakes);
    }

    #[test]
    fn the_default_is_the_default() {
        assert_eq!(Policy::default().check().unwrap(), gating::Policy::default());
    }

    proptest! {
        #[test]
        fn limits_come_back_as_they_were(memory: Option<u32>, wall: Option<u32>, fuel: Option<u64>, scale in 0_u32..4) {
            let factor = 1000_u64.pow(scale);
            let limits = spec::Limits {
                memory: memory.map(|memory| u64::from(memory) * 1024_u64.pow(scale) / 1024),
                fuel,
                wall: wall.map(|wall| u64::from(wall) * factor),
            };
            let policy = gating::Policy { limits, ..gating::Policy::default() };
            prop_assert_eq!(Policy::from(&policy).check().unwrap(), policy);
        }
    }
}
