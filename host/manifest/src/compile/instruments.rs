//! Instruments: which plugin each of them is, and whether the manifest gives it what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Compiler;
use crate::catalogue::{PluginInfo, PluginReference, ResolveError, WantedCapability};
use crate::diagnostic::{Code, Diagnostic, list, nearest, quote};
use crate::plan::PlannedInstrument;
use crate::spec::{Capabilities, Manifest};
use crate::tree::At;

/// The plugin of each instrument, in the manifest's order; none where it could not be resolved.
pub(super) type Resolved = Vec<Option<Arc<PluginInfo>>>;

impl<'a> Compiler<'a> {
    /// Resolve every instrument, and check that it gets the memory it needs.
    pub(super) fn instruments(&mut self) -> Resolved {
        let manifest = self.manifest;
        let declared = self.field(&["instruments"]);
        let mut resolved = Resolved::with_capacity(manifest.instruments.len());
        let mut warned = BTreeSet::new();
        for (index, instrument) in manifest.instruments.iter().enumerate() {
            let at = declared.and_then(|list| list.item(index)).and_then(|at| at.get("type"));
            // A text that names no plugin has been complained of by the checker.
            let plugin = match instrument.kind.parse::<PluginReference>() {
                Err(_) => None,
                Ok(reference) => match self.catalogue.resolve(&reference) {
                    Ok(plugin) => Some(plugin),
                    Err(error) => {
                        self.unresolved(at, index, &error);
                        None
                    }
                },
            };
            if let Some(plugin) = &plugin {
                self.memory(at, index, plugin);
                if warned.insert(plugin.digest.clone()) {
                    self.capabilities(at, index, plugin);
                }
            }
            resolved.push(plugin);
        }
        resolved
    }

    fn unresolved(&mut self, at: Option<At<'a>>, index: usize, error: &ResolveError) {
        let (code, help) = match error {
            ResolveError::NotInstalled { nearest, .. } if nearest.is_empty() => {
                (Code::PluginNotInstalled, "install the plugin, or name one that is installed".to_owned())
            }
            ResolveError::NotInstalled { nearest, .. } => (
                Code::PluginNotInstalled,
                format!("did you mean {}?", list(nearest.iter().map(String::as_str))),
            ),
            ResolveError::Ambiguous { candidates, .. } => {
                (Code::AmbiguousPlugin, format!("say which: {}", list(candidates.iter().map(String::as_str))))
            }
            ResolveError::WrongVersion { installed, .. } => {
                let versions = list(installed.iter().map(String::as_str)).replace(" or ", " and ");
                (Code::PluginVersionNotInstalled, format!("installed: {versions}"))
            }
        };
        self.complain(at, &format!("instruments[{index}].type"), code, error.to_string(), Some(help));
    }

    fn memory(&mut self, at: Option<At<'a>>, index: usize, plugin: &PluginInfo) {
        let Some(limit) = self.manifest.limits.memory.filter(|limit| *limit < plugin.minimum_memory) else {
            return;
        };
        let message = format!(
            "the plugin {} needs {} bytes of memory, limits.memory allows {limit}",
            quote(&plugin.name),
            plugin.minimum_memory
        );
        let Some(limit_at) = self.field(&["limits", "memory"]) else { return };
        let path = self.path("limits.memory");
        let source = self.parsed.source();
        let mut found = Diagnostic::new(source, Code::NotEnoughMemory, limit_at.span(), path, message)
            .help(format!("allow at least {}", say_size(plugin.minimum_memory)));
        if let Some(at) = at {
            found = found.related(source, at.span(), format!("instruments[{index}] is of this plugin"));
        }
        self.diagnostics.push(found);
    }

    /// A plugin works without what it would like, but not as its author thought: a warning.
    fn capabilities(&mut self, at: Option<At<'a>>, index: usize, plugin: &PluginInfo) {
        for wanted in &plugin.capabilities {
            let Some((field, what)) = missing(wanted, &self.manifest.capabilities) else { continue };
            let message = format!(
                "the plugin {} would like {what}, which the manifest does not ask for",
                quote(&plugin.name)
            );
            let help = format!("add it under `capabilities.{field}`, if the plugin shall have it");
            self.complain(
                at,
                &format!("instruments[{index}].type"),
                Code::CapabilityNotAsked,
                message,
                Some(help),
            );
        }
    }

    /// Warn of quantities that axioms and belief speak of and no instrument measures.
    pub(super) fn check_quantities(&mut self, resolved: &Resolved) {
        // With an instrument missing nobody knows what it would have measured.
        if resolved.is_empty() || resolved.iter().any(Option::is_none) {
            return;
        }
        let measured: BTreeSet<&str> = resolved
            .iter()
            .flatten()
            .flat_map(|plugin| &plugin.quantities)
            .map(|quantity| quantity.name.as_str())
            .collect();
        if measured.contains(ANY_QUANTITY) {
            return; // The parameters of an instrument decide what it measures.
        }
        let axioms = self.field(&["falsification", "axioms"]);
        for (index, axiom) in axioms.into_iter().flat_map(At::items).enumerate() {
            if let Some(at) = axiom.get("quantity") {
                self.quantity(at, &format!("falsification.axioms[{index}].quantity"), &measured);
            }
        }
        if let Some(at) = self.field(&["belief", "observe", "quantity"]) {
            self.quantity(at, "belief.observe.quantity", &measured);
        }
    }

    fn quantity(&mut self, at: At<'a>, path: &str, measured: &BTreeSet<&str>) {
        let Some(name) = at.text().filter(|name| !measured.contains(name)) else { return };
        let message = format!("no declared instrument measures {}", quote(name));
        let help = match nearest(name, measured.iter().copied()) {
            Some(near) => format!("did you mean {}?", quote(near)),
            None => format!("measured: {}", list(measured.iter().copied()).replace(" or ", " and ")),
        };
        self.complain(Some(at), path, Code::UnmeasuredQuantity, message, Some(help));
    }
}

/// The name under which a plugin declares that its parameters decide what it measures.
const ANY_QUANTITY: &str = "*";

/// The field under which a wanted capability is missing, and what it is.
fn missing(wanted: &WantedCapability, asked: &Capabilities) -> Option<(&'static str, String)> {
    let has = |list: &[String], wanted: &str| match wanted {
        "*" => !list.is_empty(),
        wanted => list.iter().any(|asked| asked == wanted),
    };
    let target = |target: &str| if target == "*" { "hosts of its choice".to_owned() } else { quote(target) };
    let below = |path: &str, grant: &str| {
        let rest = path.strip_prefix(grant.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match wanted {
        WantedCapability::Http(authority) if !has(&asked.http, authority) => {
            Some(("http", format!("HTTP to {}", target(authority))))
        }
        WantedCapability::Tcp(address) if !has(&asked.tcp, address) => {
            Some(("tcp", format!("TCP to {}", target(address))))
        }
        WantedCapability::ReadFiles(path) if !asked.files.iter().any(|grant| below(path, &grant.path)) => {
            Some(("files", format!("to read {}", quote(path))))
        }
        WantedCapability::WriteFiles(path)
            if !asked.files.iter().any(|grant| !grant.read_only && below(path, &grant.path)) =>
        {
            Some(("files", format!("to write {}", quote(path))))
        }
        _ => None,
    }
}

/// A size as a manifest may write it, rounded up.
fn say_size(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    if bytes < MEBIBYTE { format!("{bytes}") } else { format!("{}MiB", bytes.div_ceil(MEBIBYTE)) }
}

/// The instruments of the plan.
pub(super) fn planned(manifest: &Manifest, resolved: &Resolved) -> BTreeMap<String, PlannedInstrument> {
    let pairs = manifest.instruments.iter().zip(resolved);
    pairs
        .filter_map(|(instrument, plugin)| {
            let plugin = plugin.as_ref()?;
            let planned = PlannedInstrument {
                plugin: plugin.name.clone(),
                version: plugin.version.clone(),
                digest: plugin.digest.clone(),
                parameters: instrument.parameters.clone(),
                probe_interval: instrument.probe_interval,
            };
            Some((instrument.id.clone(), planned))
        })
        .collect()
}
