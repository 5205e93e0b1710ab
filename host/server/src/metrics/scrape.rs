//! Answering Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use inquisitor_engine::catalogue::Source;
use prometheus::{IntGauge, IntGaugeVec, TextEncoder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::labels::InstalledPlugin;
use super::{Families, gauge};
use crate::app::App;
use crate::problem::Problem;

/// What is asked for when Prometheus comes.
pub(super) struct Gauges {
    leader: IntGauge,
    has_leader: IntGauge,
    term: IntGauge,
    last_log_index: IntGauge,
    applied_index: IntGauge,
    snapshot_index: IntGauge,
    peer_lag: IntGaugeVec,
    running: IntGauge,
    queued: IntGauge,
    continuous: IntGauge,
    calls: IntGauge,
    leased: IntGauge,
    inquiries: IntGauge,
    unfinished: IntGauge,
    ledger_entries: IntGauge,
    blobs: IntGauge,
    store_bytes: IntGaugeVec,
    store_used_bytes: IntGaugeVec,
    event_streams: IntGauge,
}

impl Gauges {
    pub(super) fn new(add: &Families<'_>) -> Result<Self, prometheus::Error> {
        let build = add.gauges(
            "inquisitor_build_info",
            "Always 1; the labels say which program this is.",
            &["version", "os", "arch"],
        )?;
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH])
            .set(1);
        Ok(Self {
            leader: add.gauge("inquisitor_raft_leader", "1 on the member that leads, 0 on the others.")?,
            has_leader: add.gauge(
                "inquisitor_raft_has_leader",
                "1 where this member knows a leader, 0 where it does not.",
            )?,
            term: add.gauge("inquisitor_raft_term", "Current term of consensus.")?,
            last_log_index: add
                .gauge("inquisitor_raft_last_log_index", "Index of the last entry of this member's log.")?,
            applied_index: add
                .gauge("inquisitor_raft_applied_index", "Index of the last entry that is applied here.")?,
            snapshot_index: add.gauge(
                "inquisitor_raft_snapshot_index",
                "Index of the last entry in this member's last snapshot; 0 before the first.",
            )?,
            peer_lag: add.gauges(
                "inquisitor_raft_peer_lag_entries",
                "Entries of the log that a member is not known to hold; on the leader alone.",
                &["peer"],
            )?,
            running: add.gauge(
                "inquisitor_inquiries_running",
                "Inquiries that run once and are being driven here.",
            )?,
            queued: add.gauge("inquisitor_inquiries_queued", "Inquiries that wait to be driven here.")?,
            continuous: add
                .gauge("inquisitor_inquiries_continuous", "Continuous inquiries that are driven here.")?,
            calls: add
                .gauge("inquisitor_instrument_calls_in_flight", "Calls of instruments that run here now.")?,
            leased: add.gauge(
                "inquisitor_leased_steps_running",
                "Attempts at steps that run here because the leader, another member, leased them to this one.",
            )?,
            inquiries: add.gauge("inquisitor_inquiries", "Inquiries that were ever submitted.")?,
            unfinished: add
                .gauge("inquisitor_inquiries_unfinished", "Inquiries that have not ended, on any member.")?,
            ledger_entries: add
                .gauge("inquisitor_ledger_entries", "Entries of the ledger as it stands here.")?,
            blobs: add.gauge("inquisitor_store_blobs", "Blobs that are kept here.")?,
            store_bytes: add.gauges(
                "inquisitor_store_bytes",
                "Bytes on this member's disk, by store: log, state or blobs.",
                &["store"],
            )?,
            store_used_bytes: add.gauges(
                "inquisitor_store_used_bytes",
                "Bytes of the files of log and state that hold something: after the log's last purge, in the last snapshot of the state.",
                &["store"],
            )?,
            event_streams: add.gauge("inquisitor_event_streams", "Streams of events that are open here.")?,
        })
    }

    /// What cannot be read now stays as it was; the log says why.
    async fn read(&self, app: &App) {
        match app.conductor.status().await {
            Ok(status) => {
                self.leader.set(i64::from(status.role == "leader"));
                self.has_leader.set(i64::from(status.has_leader));
                self.term.set(gauge(status.term));
                self.last_log_index.set(gauge(status.last_log_index.unwrap_or(0)));
                self.applied_index.set(gauge(status.applied_index.unwrap_or(0)));
                self.snapshot_index.set(gauge(status.snapshot_index.unwrap_or(0)));
                // Members come and go, and only a leader knows how far the others are.
                self.peer_lag.reset();
                for member in &status.members {
                    app.metrics.leases.appear(&member.name);
                }
                for member in status.members.iter().filter(|member| member.name != status.name) {
                    if let Some(lag) = member.lag {
                        self.peer_lag.with_label_values(&[&member.name]).set(gauge(lag));
                    }
                }
            }
            Err(error) => {
                // A member that cannot say that it leads does not.
                self.leader.set(0);
                self.has_leader.set(0);
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the metrics lack the state of consensus"
                );
            }
        }
        match app.conductor.sizes().await {
            Ok(sizes) => {
                self.ledger_entries.set(gauge(sizes.ledger_entries));
                self.inquiries.set(gauge(sizes.inquiries));
                self.unfinished.set(gauge(sizes.unfinished));
                self.blobs.set(gauge(sizes.blobs));
                for (store, bytes) in
                    [("log", sizes.log_bytes), ("state", sizes.state_bytes), ("blobs", sizes.blob_bytes)]
                {
                    self.store_bytes.with_label_values(&[store]).set(gauge(bytes));
                }
                for (store, bytes) in [("log", sizes.log_used_bytes), ("state", sizes.state_used_bytes)] {
                    self.store_used_bytes.with_label_values(&[store]).set(gauge(bytes));
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the metrics lack the sizes of the stores"
                );
            }
        }
        let counts = app.dispatcher.counts();
        self.running.set(gauge(counts.running as u64));
        self.queued.set(gauge(counts.queued as u64));
        self.continuous.set(gauge(counts.continuous as u64));
        self.calls.set(gauge(app.engine.calls_in_flight() as u64));
        self.leased.set(gauge(app.leased.running() as u64));
        self.event_streams.set(gauge(app.hub.open_streams() as u64));
    }
}

/// The route of the metrics.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Metrics of this host for Prometheus, in its text format 0.0.4. Asks for no key.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "host",
    security(()),
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain; version=0.0.4"),
        (status = 500, description = "A defect of this host", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let metrics = &app.metrics;
    let installed = app.catalogue.installed();
    let plugins: Vec<InstalledPlugin> = installed
        .iter()
        .map(|plugin| InstalledPlugin {
            name: plugin.info.name.clone(),
            version: plugin.info.version.clone(),
            is_private: matches!(plugin.source, Source::Uploaded { tenant: Some(_), .. }),
        })
        .collect();
    metrics.instruments.installed(&plugins);
    metrics.gauges.read(&app).await;
    let text = metrics.text().map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

impl super::Metrics {
    pub(super) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
