//! Going through the readings of an inquiry, with what the finding says of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use inquisitor_engine::journal::{BlobDigest, Inquiry, Journal as _, Status, StepResult};
use inquisitor_findings::finding::{Exclusion, Finding};
use inquisitor_findings::reading::{Observation, Value};
use inquisitor_ledger::rfc3339;
use inquisitor_manifest::plan::Action;

use super::types::{ReadingExclusion, ReadingItem, ReadingUse, ValueType};
use crate::api::shared::off_thread;
use crate::app::App;
use crate::problem::Problem;

/// Which readings are wanted.
pub(super) struct Selection {
    pub(super) step: Option<String>,
    pub(super) instrument: Option<String>,
    pub(super) quantity: Option<String>,
}

/// What one round of a step brought.
pub(super) struct Part {
    pub(super) position: usize,
    pub(super) round: u32,
    step: Arc<str>,
    instrument: Arc<str>,
    counts: bool,
    started: i64,
    ended: i64,
    pub(super) content: Content,
}

pub(super) enum Content {
    Here(Observation),
    Blob(BlobDigest),
}

/// The parts that may have wanted readings, in order.
pub(super) fn parts(inquiry: Inquiry, selection: &Selection) -> Vec<Part> {
    let mut parts = Vec::new();
    for (position, state) in inquiry.steps {
        let Some(step) = inquiry.plan.steps.get(position) else { continue };
        let Action::Observe { instrument, counts, .. } = &step.action else { continue };
        let is_other = |asked: &Option<String>, own: &str| asked.as_deref().is_some_and(|asked| asked != own);
        if is_other(&selection.step, &step.name) || is_other(&selection.instrument, instrument) {
            continue;
        }
        let (name, instrument): (Arc<str>, Arc<str>) =
            (step.name.as_str().into(), instrument.as_str().into());
        for (round, record) in
            state.history.into_iter().chain(state.record.map(|record| (state.round, record)))
        {
            let content = match record.result {
                StepResult::Inline(observation) => Content::Here(observation),
                StepResult::Blob { digest, .. } => Content::Blob(digest),
                StepResult::Failed(_) | StepResult::Skipped { .. } => continue,
            };
            parts.push(Part {
                position,
                round,
                step: name.clone(),
                instrument: instrument.clone(),
                counts: *counts,
                started: record.started,
                ended: record.ended,
                content,
            });
        }
    }
    parts
}

/// Goes through what one round of a step brought, in order.
pub(super) struct Walk {
    part: Part,
    observation: Observation,
    index: usize,
    /// Series and row of the next reading, once the single ones are through.
    series: usize,
    row: usize,
}

impl Walk {
    pub(super) async fn open(app: &App, mut part: Part) -> Result<Self, Problem> {
        let observation = match std::mem::replace(&mut part.content, Content::Here(Observation::default())) {
            Content::Here(observation) => observation,
            Content::Blob(digest) => {
                let bytes = app.conductor.blob(&digest).await?;
                let parsed = off_thread(move || serde_json::from_slice(&bytes)).await?;
                parsed.map_err(|error| Problem::internal(&error))?
            }
        };
        Ok(Self { part, observation, index: 0, series: 0, row: 0 })
    }

    pub(super) fn next(&mut self, judgement: &Judgement) -> Option<ReadingItem> {
        let index = self.index;
        let (quantity, value, unit, uncertainty, confidence, time, attributes) = if let Some(one) =
            self.observation.readings.get(index)
        {
            let time = one.time.unwrap_or(self.part.started);
            (
                &one.quantity,
                json(&one.value),
                &one.unit,
                one.uncertainty,
                one.confidence,
                time,
                &one.attributes,
            )
        } else {
            let series = loop {
                let series = self.observation.series.get(self.series)?;
                if self.row < series.values.len() {
                    break series;
                }
                self.series += 1;
                self.row = 0;
            };
            let uncertainty = match series.uncertainties.as_slice() {
                [all] => Some(*all),
                each => each.get(self.row).copied(),
            };
            let time = series.times.get(self.row).copied().unwrap_or(self.part.started);
            let value = (serde_json::Value::from(*series.values.get(self.row)?), ValueType::Number);
            self.row += 1;
            (&series.quantity, value, &series.unit, uncertainty, series.confidence, time, &series.attributes)
        };
        self.index += 1;
        let (used, exclusion) = judgement.of_reading(&self.part, index, time);
        Some(ReadingItem {
            step: self.part.step.to_string(),
            instrument: self.part.instrument.to_string(),
            round: self.part.round,
            index,
            quantity: quantity.clone(),
            value: value.0,
            value_type: value.1,
            unit: unit.clone(),
            uncertainty,
            confidence,
            time: rfc3339(time),
            attributes: attributes.iter().map(|(name, value)| (name.clone(), json(value).0)).collect(),
            used,
            exclusion,
        })
    }
}

fn json(value: &Value) -> (serde_json::Value, ValueType) {
    match value {
        Value::Number(number) => ((*number).into(), ValueType::Number),
        Value::Integer(integer) => ((*integer).into(), ValueType::Integer),
        Value::Text(text) => (text.clone().into(), ValueType::Text),
        Value::Boolean(truth) => ((*truth).into(), ValueType::Boolean),
        Value::Bytes(bytes) => (hex::encode(bytes).into(), ValueType::Bytes),
    }
}

/// What the finding says of readings.
#[derive(Default)]
pub(super) struct Judgement {
    /// Until when steps must have ended to have entered; none where there is no finding.
    until: Option<i64>,
    /// Step, position and time of a reading → why it was excluded.
    exclusions: HashMap<(String, usize, i64), ReadingExclusion>,
    /// Instruments of which not all exclusions are listed.
    cut: Vec<String>,
}

impl Judgement {
    pub(super) fn of(inquiry: &Inquiry) -> Self {
        match (&inquiry.status, &inquiry.interim) {
            (Status::Concluded { finding, .. }, _) => Self::by(finding, i64::MAX),
            (Status::Running, Some(interim)) => Self::by(&interim.finding, interim.at),
            (Status::Running, None) | (Status::Aborted { .. }, _) => Self::default(),
        }
    }

    fn by(finding: &Finding, until: i64) -> Self {
        let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
        for count in &finding.exclusion_counts {
            *missing.entry(&count.instrument).or_default() += count.readings;
        }
        for exclusion in &finding.exclusions {
            if let Some(left) = missing.get_mut(exclusion.instrument.as_str()) {
                *left = left.saturating_sub(1);
            }
        }
        let cut = missing.into_iter().filter(|(_, left)| *left > 0).map(|(id, _)| id.to_owned()).collect();
        let exclusions = finding.exclusions.iter().map(keyed).collect();
        Self { until: Some(until), exclusions, cut }
    }

    fn of_reading(&self, part: &Part, index: usize, time: i64) -> (ReadingUse, Option<ReadingExclusion>) {
        if !part.counts {
            return (ReadingUse::NotCounted, None);
        }
        if self.until.is_none_or(|until| part.ended > until) {
            return (ReadingUse::Undecided, None);
        }
        if let Some(exclusion) = self.exclusions.get(&(part.step.to_string(), index, time)) {
            return (ReadingUse::Excluded, Some(exclusion.clone()));
        }
        let is_cut = self.cut.iter().any(|id| **id == *part.instrument);
        (if is_cut { ReadingUse::Unlisted } else { ReadingUse::Used }, None)
    }
}

fn keyed(exclusion: &Exclusion) -> ((String, usize, i64), ReadingExclusion) {
    let key = (exclusion.step.clone(), exclusion.index, exclusion.time);
    let why =
        ReadingExclusion { axiom: exclusion.axiom, rule: exclusion.rule.clone(), margin: exclusion.margin };
    (key, why)
}

#[cfg(test)]
pub(super) mod tests {
    use inquisitor_findings::reading::{Reading, Series};

    use super::*;

    fn reading(quantity: &str, value: Value, time: Option<i64>) -> Reading {
        let (quantity, unit) = (quantity.to_owned(), "1".to_owned());
        Reading {
            quantity,
            value,
            unit,
            uncertainty: None,
            confidence: 1.0,
            time,
            attributes: BTreeMap::new(),
        }
    }

    pub(crate) fn walk(observation: Observation) -> Walk {
        let part = Part {
            position: 2,
            round: 0,
            step: "measure".into(),
            instrument: "probe".into(),
            counts: true,
            started: 10,
            ended: 20,
            content: Content::Here(Observation::default()),
        };
        Walk { part, observation, index: 0, series: 0, row: 0 }
    }

    pub(crate) fn observation() -> Observation {
        let series = |values: &[f64], times: &[i64]| Series {
            quantity: "t".into(),
            unit: "Cel".into(),
            times: times.to_vec(),
            values: values.to_vec(),
            uncertainties: vec![0.5],
            confidence: 0.9,
            attributes: BTreeMap::new(),
        };
        Observation {
            readings: vec![
                reading("tag", Value::Text("=1+1,\"x\"".into()), None),
                reading("n", Value::Integer(3), Some(5)),
            ],
            series: vec![series(&[], &[]), series(&[1.5, -2.0], &[7, 8]), series(&[4.0], &[])],
        }
    }

    pub(crate) fn judgement() -> Judgement {
        let why = ReadingExclusion { axiom: Some(1), rule: "t ≥ 0".into(), margin: Some(2.0) };
        Judgement {
            until: Some(i64::MAX),
            exclusions: HashMap::from([(("measure".to_owned(), 3, 8), why)]),
            cut: vec![],
        }
    }

    #[test]
    fn readings_come_in_the_order_in_which_findings_count_them() {
        let mut walk = walk(observation());
        let items: Vec<ReadingItem> = std::iter::from_fn(|| walk.next(&judgement())).collect();
        let told: Vec<(usize, String, &str)> =
            items.iter().map(|item| (item.index, item.value.to_string(), item.used.as_str())).collect();
        assert_eq!(
            told,
            [
                (0, r#""=1+1,\"x\"""#.to_owned(), "used"),
                (1, "3".to_owned(), "used"),
                (2, "1.5".to_owned(), "used"),
                (3, "-2.0".to_owned(), "excluded"),
                (4, "4.0".to_owned(), "used"),
            ]
        );
        assert_eq!(items[4].time, rfc3339(10));
        assert_eq!(items[3].uncertainty, Some(0.5));
    }

    #[test]
    fn without_a_finding_nothing_is_decided_and_a_cut_list_is_said() {
        let part = walk(Observation::default()).part;
        assert_eq!(Judgement::default().of_reading(&part, 0, 0).0, ReadingUse::Undecided);
        let old = Judgement { until: Some(19), ..Judgement::default() };
        assert_eq!(old.of_reading(&part, 0, 0).0, ReadingUse::Undecided);
        let cut = Judgement { until: Some(20), cut: vec!["probe".into()], ..Judgement::default() };
        assert_eq!(cut.of_reading(&part, 0, 0).0, ReadingUse::Unlisted);
        let apart = Part { counts: false, ..part };
        assert_eq!(cut.of_reading(&apart, 0, 0).0, ReadingUse::NotCounted);
    }
}
