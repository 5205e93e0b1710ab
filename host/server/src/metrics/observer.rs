//! Counting what inquiries say of themselves while they run here.

use std::time::Duration;

use inquisitor_engine::events::{Event, Observer};

use super::{Call, Metrics};

impl Observer for Metrics {
    fn event(&self, _: &str, event: Event) {
        match event {
            Event::Called { plugin, version, outcome, took_ns, usage, .. } => {
                let took = Duration::from_nanos(took_ns);
                self.instruments.called(&Call { plugin: &plugin, version: &version, outcome, usage, took });
            }
            Event::StepStarted { executor, .. } => self.leases.given(&executor),
            Event::StepLost { executor, .. } => self.leases.lost(&executor),
            Event::Missed { rounds, .. } => self.missed.inc_by(rounds),
            Event::Ended { ending, took_ms } => self.ended(ending.name(), Duration::from_millis(took_ms)),
            Event::Started { .. }
            | Event::StepProgress { .. }
            | Event::StepLog { .. }
            | Event::StepRetried { .. }
            | Event::StepRecorded { .. }
            | Event::Updated { .. } => {}
        }
    }
}
