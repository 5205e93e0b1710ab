//! Events gathered by tag.

use std::collections::BTreeMap;

use inquisitor_sdk::{Context, Error, Selection, Value, log};

use crate::parameters::Columns;

/// Rows asked for at a time.
const BATCH_ROWS: u32 = 16_384;
/// Different tags that one reader tells apart; each becomes a reading. More is a wrong column.
const MAX_TAGS: usize = 10_000;

/// What is known of one tag.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tag {
    /// How often it answered.
    pub(crate) answers: i64,
    /// When it answered last, where times are known.
    pub(crate) last: Option<i64>,
    /// Position of its last answer among all.
    order: u64,
    rssi_sum: f64,
    rssi_count: u32,
}

impl Tag {
    /// Mean signal strength in dBm over the answers that have one.
    pub(crate) fn mean_rssi(&self) -> Option<f64> {
        (self.rssi_count > 0).then(|| self.rssi_sum / f64::from(self.rssi_count))
    }
}

/// The tags that answered.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) tags: BTreeMap<String, Tag>,
    order: u64,
}

impl Events {
    /// Gather the events of the substrate, each dropped with the chance `dropout`.
    pub(crate) fn read(columns: &Columns, dropout: f64, context: &Context) -> Result<Self, Error> {
        let names = std::iter::once(&columns.tag).chain(&columns.time).chain(&columns.rssi);
        let selection = Selection::columns(names.map(String::as_str));
        let mut random = context.random();
        let mut events = Self::default();
        let (mut dropped, mut absent) = (0_u64, 0_u64);
        for batch in context.substrate().rows(&selection)?.batch_rows(BATCH_ROWS) {
            if context.cancelled() {
                return Err(Error::failed("the inquiry was cancelled"));
            }
            let batch = batch?;
            let times = columns.time.as_deref().map(|name| batch.time_column(name)).transpose()?;
            let strengths = columns.rssi.as_deref().map(|name| batch.f64_column(name)).transpose()?;
            for row in 0..batch.rows() {
                let tag = match batch.value(&columns.tag, row)? {
                    Some(Value::Text(text)) => text,
                    Some(Value::Integer(number)) => number.to_string(),
                    _ => {
                        absent += 1;
                        continue;
                    }
                };
                if dropout > 0.0 && random.uniform() < dropout {
                    dropped += 1;
                    continue;
                }
                let time = times.as_ref().and_then(|times| times.get(row).copied());
                let rssi = strengths.as_ref().and_then(|strengths| strengths.get(row).copied());
                events.add(tag, time, rssi)?;
            }
        }
        if absent > 0 {
            log::warn!(rows = absent; "{absent} rows have no tag; they are left out");
        }
        if dropped > 0 {
            log::info!(events = dropped; "{dropped} events were dropped, as `dropout` asks");
        }
        Ok(events)
    }

    /// Tags that each answer once, now, unless they drop out.
    pub(crate) fn simulate(tags: &[String], dropout: f64, context: &Context) -> Self {
        let mut random = context.random();
        let now = context.now();
        let mut events = Self::default();
        for tag in tags {
            if random.uniform() >= dropout {
                events.order += 1;
                let order = events.order;
                let answered = events.tags.entry(tag.clone()).or_default();
                *answered = Tag { answers: answered.answers + 1, last: Some(now), order, ..Tag::default() };
            }
        }
        events
    }

    fn add(&mut self, name: String, time: Option<i64>, rssi: Option<f64>) -> Result<(), Error> {
        if self.tags.len() == MAX_TAGS && !self.tags.contains_key(&name) {
            return Err(Error::failed(format!(
                "there are more than {MAX_TAGS} different tags; is `tag` the right column?"
            )));
        }
        self.order += 1;
        let tag = self.tags.entry(name).or_default();
        tag.answers += 1;
        // Events need not come in the order of their times.
        if time >= tag.last {
            tag.last = time;
            tag.order = self.order;
        }
        if let Some(rssi) = rssi.filter(|rssi| rssi.is_finite()) {
            tag.rssi_sum += rssi;
            tag.rssi_count += 1;
        }
        Ok(())
    }

    /// The tag that answered last: by time where it is known, else by position.
    pub(crate) fn last(&self) -> Option<(&str, &Tag)> {
        self.tags.iter().max_by_key(|(_, tag)| (tag.last, tag.order)).map(|(name, tag)| (name.as_str(), tag))
    }

    pub(crate) fn last_time(&self) -> Option<i64> {
        self.last().and_then(|(_, tag)| tag.last)
    }
}
