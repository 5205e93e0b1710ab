//! Counting what inquiries say of themselves while they run here.

use inquisitor_engine::events::{Event, Observer};

use super::{Call, Metrics};

impl Observer for Metrics {
    fn event(&self, _: &str, event: Event) {
        match event {
            _ => {}
        }
    }
}
