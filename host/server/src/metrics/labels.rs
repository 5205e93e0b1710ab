//! The few values of a label that comes from outside: plugins.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Plugins that have series of their own; the rest are counted together as [`OTHER`].
pub(crate) const MAX_PLUGINS: usize = 200;
/// Plugins of one tenant alone that are remembered to be so after they were removed: inquiries may still call them.
const MAX_PRIVATE: usize = 20_000;

/// The label of the plugins beyond [`MAX_PLUGINS`].
pub(super) const OTHER: &str = "other";

/// The outcome of an attempt that brought readings.
pub(super) const COMPLETED: &str = "completed";

/// How an attempt may end, for the label `outcome`: `completed` and [`inquisitor_runtime::outcome::Failure::name`].
pub(super) const OUTCOMES: [&str; 18] = [
    COMPLETED,
    "invalid-parameters",
    "unavailable",
    "failed",
    "trap",
    "memory-limit",
    "table-limit",
    "instance-limit",
    "wall-limit",
    "fuel-limit",
    "stack-limit",
    "host-call-limit",
    "result-limit",
    "capability-denied",
    "exited",
    "contract-violation",
    "cancelled",
    "host",
];

/// Which plugins have series. Those that one tenant alone has do not: whoever reads metrics need not learn what a tenant has,
/// and no tenant takes the room of what all have.
#[derive(Default)]
pub(super) struct PluginLabels {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    shown: BTreeSet<String>,
    private: BTreeSet<String>,
}

/// A plugin as it is installed.
#[derive(Clone)]
pub(super) struct InstalledPlugin {
    pub(super) name: String,
    pub(super) version: String,
    /// Whether one tenant alone has it.
    pub(super) is_private: bool,
}

impl PluginLabels {
    /// The label of a plugin that was called.
    pub(super) fn of(&self, name: &str, version: &str) -> String {
        let label = label(name, version);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.shown.contains(&label) {
            return label;
        }
        if known.private.contains(&label) || known.shown.len() >= MAX_PLUGINS {
            return OTHER.to_owned();
        }
        known.shown.insert(label.clone());
        label
    }

    /// Give labels to plugins that are installed. Only when there is no room for all of them do those that are gone lose
    /// theirs. Returns the labels that are new and those that are gone.
    pub(super) fn installed(&self, plugins: &[InstalledPlugin]) -> (Vec<String>, Vec<String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { shown, private } = &mut *known;
        let labels = |is_private: bool| -> BTreeSet<String> {
            let of_kind = plugins.iter().filter(|plugin| plugin.is_private == is_private);
            of_kind.map(|plugin| label(&plugin.name, &plugin.version)).collect()
        };
        let (wanted, hidden) = (labels(false), labels(true));
        private.extend(hidden.iter().cloned());
        if private.len() > MAX_PRIVATE {
            *private = hidden;
        }
        private.retain(|label| !wanted.contains(label));
        // One that was called before it was known to be private has a label.
        let mut gone: Vec<String> = shown.intersection(private).cloned().collect();
        shown.retain(|label| !private.contains(label));
        let new: Vec<String> = wanted.difference(shown).cloned().collect();
        if shown.len() + new.len() > MAX_PLUGINS {
            gone.extend(shown.difference(&wanted).cloned());
            shown.retain(|label| wanted.contains(label));
        }
        let room = MAX_PLUGINS.saturating_sub(shown.len());
        let new: Vec<String> = new.into_iter().take(room).collect();
        shown.extend(new.iter().cloned());
        (new, gone)
    }
}

fn label(name: &str, version: &str) -> String {
    format!("{name}@{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugins(range: std::ops::Range<usize>) -> Vec<InstalledPlugin> {
        range.map(|number| plugin(&format!("p{number:04}"), false)).collect()
    }

    fn plugin(name: &str, is_private: bool) -> InstalledPlugin {
        InstalledPlugin { name: name.to_owned(), version: "1.0.0".to_owned(), is_private }
    }

    #[test]
    fn plugins_beyond_the_bound_are_counted_together() {
        let labels = PluginLabels::default();
        for InstalledPlugin { name, version, .. } in plugins(0..MAX_PLUGINS) {
            assert_eq!(labels.of(&name, &version), format!("{name}@{version}"));
        }
        assert_eq!(labels.of("one-too-many", "1.0.0"), OTHER);
        assert_eq!(labels.of("p0000", "1.0.0"), "p0000@1.0.0");
        assert_eq!(labels.of("p0000", "1.0.1"), OTHER);
    }

    #[test]
    fn plugins_that_are_gone_make_room_when_it_is_needed() {
        let labels = PluginLabels::default();
        let (new, gone) = labels.installed(&plugins(0..150));
        assert_eq!((new.len(), gone.len()), (150, 0));
        // There is room for both, so the counters of the first go on.
        assert_eq!(labels.installed(&plugins(150..MAX_PLUGINS)).1.len(), 0);
        let (new, gone) = labels.installed(&plugins(190..260));
        assert_eq!((new.len(), gone.len()), (60, 190));
        assert_eq!(labels.of("p0195", "1.0.0"), "p0195@1.0.0");
        // More than there are labels: the first of them have one.
        let (new, _) = labels.installed(&plugins(1000..1300));
        assert_eq!(new.len(), MAX_PLUGINS);
    }

    #[test]
    fn what_one_tenant_alone_has_is_counted_with_the_rest() {
        let labels = PluginLabels::default();
        // Called before anybody asked for metrics.
        assert_eq!(labels.of("own", "1.0.0"), "own@1.0.0");
        let (new, gone) =
            labels.installed(&[plugin("own", true), plugin("shared", false), plugin("shared", true)]);
        assert_eq!((new, gone), (vec!["shared@1.0.0".to_owned()], vec!["own@1.0.0".to_owned()]));
        assert_eq!(labels.of("own", "1.0.0"), OTHER);
        assert_eq!(labels.of("shared", "1.0.0"), "shared@1.0.0");
        // Removed, and still called by an inquiry that goes on.
        labels.installed(&[]);
        assert_eq!(labels.of("own", "1.0.0"), OTHER);
    }

    #[test]
    fn every_failure_has_its_outcome() {
        use inquisitor_runtime::outcome::Failure;
        let failures = [
            Failure::InvalidParameters { pointer: String::new(), message: String::new() },
            Failure::Unavailable { message: String::new(), retry_after: None },
            Failure::Failed { message: String::new() },
            Failure::Trap { message: String::new() },
            Failure::MemoryLimit { limit: 0, asked: 0 },
            Failure::TableLimit { limit: 0, asked: 0 },
            Failure::InstanceLimit { message: String::new() },
            Failure::WallLimit { limit_ms: 0 },
            Failure::FuelLimit { limit: 0 },
            Failure::StackLimit { limit: 0 },
            Failure::HostCallLimit { limit: 0 },
            Failure::ResultLimit { what: String::new(), limit: 0, asked: 0 },
            Failure::CapabilityDenied { asked: String::new() },
            Failure::Exited { code: 1 },
            Failure::ContractViolation { message: String::new() },
            Failure::Cancelled,
            Failure::Host { message: String::new() },
        ];
        let names: BTreeSet<&str> = failures.iter().map(Failure::name).chain([COMPLETED]).collect();
        assert_eq!(names, BTreeSet::from(OUTCOMES));
    }
}
