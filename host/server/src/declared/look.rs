//! One look at the directory: every file read, and checked where that is needed. Blocking.

use std::collections::BTreeMap;
use std::path::Path;

use inquisitor_conductor::Registry;
use inquisitor_engine::catalogue::Catalogue;

use super::check::{Checked, check};
use super::files::{self, Content};

/// What a look found.
pub(super) struct Found {
    pub(super) names: files::Names,
    pub(super) checks: BTreeMap<String, Checked>,
    /// For each text that was not known before, whether it was valid.
    pub(super) validations: Vec<bool>,
}

/// Read and check every file. What is known and has not changed is not checked again, unless it could not be used: it may be
/// for a plugin that is there now.
///
/// # Errors
/// When the directory cannot be read; a sentence for people.
pub(super) fn read(
    directory: &Path,
    known: &BTreeMap<String, Checked>,
    registry: &Registry,
    catalogue: &Catalogue,
) -> Result<Found, String> {
    let names = files::names(directory)?;
    let mut found = Found { names, checks: BTreeMap::new(), validations: Vec::new() };
    let mut gone = Vec::new();
    for name in &found.names.files {
        let checked = match files::read(directory, name) {
            Content::Gone => {
                gone.push(name.clone());
                continue;
            }
            Content::Unusable(message) => Checked::unreadable(message),
            Content::Bytes(bytes) => {
                let digest = inquisitor_manifest::digest(&bytes);
                let before = known.get(name).filter(|before| before.digest.as_ref() == Some(&digest));
                match before {
                    Some(before) if before.wanted.is_ok() && before.registry == Some(registry.version) => {
                        before.clone()
                    }
                    _ => {
                        let (checked, _) = check(name, &bytes, registry, catalogue);
                        if before.is_none() {
                            found.validations.push(checked.wanted.is_ok());
                        }
                        checked
                    }
                }
            }
        };
        found.checks.insert(name.clone(), checked);
    }
    if !gone.is_empty() {
        // Files that went away one by one are no longer listed; a directory that went away as a whole fails here.
        let now = files::names(directory)?;
        for name in gone {
            if now.files.contains(&name) {
                let message = "it went away and came back while it was read".to_owned();
                found.checks.insert(name, Checked::unreadable(message));
            } else {
                found.names.files.remove(&name);
            }
        }
    }
    Ok(found)
}
