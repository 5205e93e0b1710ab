//! What Prometheus reads of a host, under `/metrics`.
//!
//! Whoever does something counts it here while it happens; what can be asked for at any time (consensus, stores, queue, memory)
//! is asked for when Prometheus comes ([`scrape`]). Every label has few values: routes and not paths, plugins up to
//! [`labels::MAX_PLUGINS`], outcomes of a fixed list. Tenants are no label: there may be ten thousand of them, each would
//! multiply the series of every family, and who reads the metrics need not learn who the tenants are. Usage by tenant is
//! in the ledger and in the list of inquiries.

mod http;
mod labels;
mod leases;
mod observer;
pub(crate) mod scrape;

use std::sync::Arc;
use std::time::Duration;

use inquisitor_runtime::request::Usage;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub(crate) use http::http;

use http::Http;
use labels::{InstalledPlugin, PluginLabels};
use leases::Leases;

/// How an inquiry may end: verdicts, then reasons without a finding.
const ENDS: [&str; 7] =
    ["verified", "falsified", "inconclusive", "cancelled", "timed-out", "preflight", "broken"];

/// Why access is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No key, or not a good one.
    Unauthenticated,
    /// The key's role may not.
    Role,
    /// The tenant's policy does not allow it.
    Policy,
    /// Too often or too much at once.
    Rate,
}

impl Denied {
    const ALL: [Self; 4] = [Self::Unauthenticated, Self::Role, Self::Policy, Self::Rate];

    fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Role => "role",
            Self::Policy => "policy",
            Self::Rate => "rate",
        }
    }
}

/// Seconds of an inquiry: from one without data to one of a day.
const INQUIRY_BUCKETS: [f64; 15] =
    [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0];
/// Seconds of a call: up to the longest that a host allows.
const CALL_BUCKETS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];

/// The metrics of one host, in a registry of their own.
pub(crate) struct Metrics {
    registry: Registry,
    validations: IntCounter,
    validation_errors: IntCounter,
    executions: IntCounterVec,
    durations: Histogram,
    missed: IntCounter,
    instruments: Instruments,
    leases: Leases,
    http: Http,
    denied: IntCounterVec,
    panics: IntCounter,
    tls_reload_failures: IntCounter,
    declared: IntGaugeVec,
    drift: IntGauge,
    gauges: scrape::Gauges,
}

/// What is counted of calls to instruments.
struct Instruments {
    labels: PluginLabels,
    executions: IntCounterVec,
    durations: HistogramVec,
    fuel: IntCounterVec,
    memory: IntGaugeVec,
}

/// A call to an instrument that has ended.
pub(crate) struct Call<'a> {
    /// The plugin's name.
    pub(crate) plugin: &'a str,
    /// Its version.
    pub(crate) version: &'a str,
    /// `completed`, or the name of the failure.
    pub(crate) outcome: &'a str,
    pub(crate) usage: Usage,
    pub(crate) took: Duration,
}

impl Metrics {
    /// All metrics at their beginning.
    ///
    /// # Errors
    /// When a name is not valid or given twice, which a test would have found.
    pub(crate) fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let add = Families { registry: &registry };
        let metrics = Self {
            validations: add.counter(
                "inquisitor_manifest_validations_total",
                "Manifests that were validated: submitted, sent for validation, or declared and changed.",
            )?,
            validation_errors: add.counter(
                "inquisitor_manifest_validation_errors_total",
                "Manifests that were validated and had mistakes.",
            )?,
            executions: add.counters(
                "inquisitor_inquiry_executions_total",
                "Inquiries that ended here, by verdict or by the reason for which there is none.",
                &["outcome"],
            )?,
            durations: add.histogram(
                "inquisitor_inquiry_duration_seconds",
                "Time from the submission of an inquiry to its end.",
                &INQUIRY_BUCKETS,
            )?,
            missed: add.counter(
                "inquisitor_inquiry_missed_rounds_total",
                "Rounds of continuous inquiries that were not observed because their time had passed.",
            )?,
            instruments: Instruments::new(&add)?,
            leases: Leases::new(&add)?,
            http: Http::new(&add)?,
            denied: add.counters(
                "inquisitor_access_denied_total",
                "Requests that were denied, by reason: unauthenticated, role, policy or rate.",
                &["reason"],
            )?,
            panics: add.counter(
                "inquisitor_http_panics_total",
                "Requests that a defect of this host ended; each is an error in the log.",
            )?,
            tls_reload_failures: add.counter(
                "inquisitor_tls_reload_failures_total",
                "Changed certificate files that could not be used, so that the certificate before them stays in use.",
            )?,
            declared: add.gauges(
                "inquisitor_declared_manifests",
                "Files of the directory of declared manifests, by state.",
                &["state"],
            )?,
            drift: add.gauge(
                "inquisitor_declared_drift",
                "Differences between the declared manifests and what runs, at the last look of the leader; 0 on other members.",
            )?,
            gauges: scrape::Gauges::new(&add)?,
            registry: registry.clone(),
        };
        // Present from the start, so that the first of something is an increase and not a new series.
        for end in ENDS {
            metrics.executions.with_label_values(&[end]);
        }
        for reason in Denied::ALL {
            metrics.denied.with_label_values(&[reason.name()]);
        }
        for state in crate::declared::State::ALL {
            metrics.declared.with_label_values(&[state.name()]);
        }
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Arc::new(metrics))
    }

    /// A manifest was validated.
    pub(crate) fn validation(&self, valid: bool) {
        self.validations.inc();
        if !valid {
            self.validation_errors.inc();
        }
    }

    /// A request was denied.
    pub(crate) fn denied(&self, reason: Denied) {
        self.denied.with_label_values(&[reason.name()]).inc();
    }

    /// A handler panicked.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Changed certificate files cannot be used.
    pub(crate) fn tls_reload_failed(&self) {
        self.tls_reload_failures.inc();
    }

    /// How the declared manifests stand, and in how many places they and what runs differ.
    pub(crate) fn declared(&self, states: &[(crate::declared::State, usize)], drift: usize) {
        for (state, count) in states {
            self.declared.with_label_values(&[state.name()]).set(gauge(*count as u64));
        }
        self.drift.set(gauge(drift as u64));
    }

    /// An inquiry has ended, with a verdict or a reason of [`ENDS`].
    fn ended(&self, outcome: &str, took: Duration) {
        let outcome = ENDS.into_iter().find(|end| *end == outcome).unwrap_or("other");
        self.executions.with_label_values(&[outcome]).inc();
        self.durations.observe(took.as_secs_f64());
    }
}

impl Instruments {
    fn new(add: &Families<'_>) -> Result<Self, prometheus::Error> {
        let instruments = Self {
            labels: PluginLabels::default(),
            executions: add.counters(
                "inquisitor_instrument_executions_total",
                "Attempts at steps that called an instrument, by plugin and outcome (completed, or the name of the failure).",
                &["plugin", "outcome"],
            )?,
            durations: add.histograms(
                "inquisitor_instrument_duration_seconds",
                "Time of an attempt at a step that called an instrument.",
                &["plugin"],
                &CALL_BUCKETS,
            )?,
            fuel: add.counters(
                "inquisitor_instrument_fuel_total",
                "Fuel that instruments used, where a manifest limits fuel.",
                &["plugin"],
            )?,
            memory: add.gauges(
                "inquisitor_instrument_memory_bytes",
                "Largest linear memory of the plugin's last attempt.",
                &["plugin"],
            )?,
        };
        instruments.appear(labels::OTHER);
        Ok(instruments)
    }

    /// The series of a plugin that is there and has not been called yet.
    fn appear(&self, plugin: &str) {
        self.executions.with_label_values(&[plugin, labels::COMPLETED]);
        self.durations.with_label_values(&[plugin]);
        self.fuel.with_label_values(&[plugin]);
        self.memory.with_label_values(&[plugin]);
    }

    fn called(&self, call: &Call<'_>) {
        let plugin = self.labels.of(call.plugin, call.version);
        self.executions.with_label_values(&[plugin.as_str(), call.outcome]).inc();
        self.durations.with_label_values(&[plugin.as_str()]).observe(call.took.as_secs_f64());
        if let Some(fuel) = call.usage.fuel {
            self.fuel.with_label_values(&[plugin.as_str()]).inc_by(fuel);
        }
        self.memory.with_label_values(&[plugin.as_str()]).set(gauge(call.usage.peak_memory));
    }

    /// Make the series of what is installed appear. Those of plugins that are gone disappear once their labels are needed.
    fn installed(&self, plugins: &[InstalledPlugin]) {
        let (new, gone) = self.labels.installed(plugins);
        for plugin in gone {
            // A series that was never made is none to remove.
            let _ = self.durations.remove_label_values(&[plugin.as_str()]);
            let _ = self.fuel.remove_label_values(&[plugin.as_str()]);
            let _ = self.memory.remove_label_values(&[plugin.as_str()]);
            for outcome in labels::OUTCOMES {
                let _ = self.executions.remove_label_values(&[plugin.as_str(), outcome]);
            }
        }
        for plugin in new {
            self.appear(&plugin);
        }
    }
}

/// A gauge's value; what is beyond 2^63 stays there.
fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Makes families of metrics in a registry.
struct Families<'a> {
    registry: &'a Registry,
}

impl Families<'_> {
    fn add<C: Collector + Clone + 'static>(&self, family: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
    }
}

#[cfg(test)]
mod tests;
