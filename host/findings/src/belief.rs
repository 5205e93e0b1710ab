//! Belief: the probability of a state over time.
//!
//! A hidden Markov model (L. R. Rabiner 1989, "A tutorial on hidden Markov models", Proc. IEEE 77, 257–286) over the
//! moments of a quantity's course, or over its single estimate where there is no course.
//!
//! - *Transition*: as in the manifest, from one moment to the next; what a row lacks is the probability to stay.
//! - *Prior*: uniform. The stationary distribution of the transitions would let a manifest that calls excursions rare
//!   decide before any evidence; here only evidence decides.
//! - *Emission* of a state with a range: the probability that the true value lies in it, given that the estimate is
//!   normal about it with its standard uncertainty. States without a range share what the others leave, equally.
//!   No emission is below [`MIN_EMISSION`]: an estimate may be wrong in ways that its uncertainty does not know.
//!
//! `held_throughout` is the probability that the asserted state held at every moment: the likelihood of the path that never
//! leaves it, divided by that of all paths (computed in logarithms). The state at each moment given *all* moments is
//! smoothed (forward–backward). The decision is the asserted state where `held_throughout` reaches `decide_at`, else
//! another state whose smoothed probability reaches it at some moment (the most probable one), else none.

use inquisitor_manifest::spec::{Belief, StateRange};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::finding::{BeliefFinding, Departure, Moment};
use crate::numeric::{Sum, count, sum};
use crate::units::Converter;

/// Smallest probability of an observation in a state.
pub const MIN_EMISSION: f64 = 1e-12;

/// States that a model may have. A step costs their square.
pub const MAX_STATES: usize = 64;

/// Departures that a finding lists.
pub const MAX_DEPARTURES: usize = 1000;

/// Moments whose forward probabilities are kept at once; the others are computed again from the nearest kept ones, so
/// that memory grows with the number of blocks and not with the record.
const BLOCK: usize = 1024;

/// What is believed, and how many departures are not listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Believed {
    /// What is believed.
    pub finding: BeliefFinding,
    /// Departures beyond [`MAX_DEPARTURES`].
    pub unlisted_departures: usize,
}

/// The belief over the moments of a course, which are in time order and in `unit`.
///
/// # Errors
/// When the manifest's model is not one: too many states or none, a transition that is not a probability, a range whose
/// unit does not convert to `unit`.
pub fn believe(belief: &Belief, unit: &str, course: &[Moment]) -> Result<Believed, String> {
    let model = Model::new(belief, unit)?;
    let k = belief.states.len();
    let Some(last) = course.last() else {
        return Ok(Believed { finding: nothing_known(belief), unlisted_departures: 0 });
    };
    let forward = Forward::run(&model, course);
    let final_probabilities: Vec<f64> = forward.last.clone();
    let mut tracker = Tracker::new(belief, &model, last.value);
    forward.backward(&model, course, |t, smoothed| tracker.see(&course[t], smoothed));
    let (departures, best, unlisted_departures) = tracker.finish();
    let held_throughout = forward.held.exp().clamp(0.0, 1.0);
    let decision = if held_throughout >= belief.decide_at {
        Some(belief.states[0].clone())
    } else {
        (0..k)
            .skip(1)
            .filter(|state| best[*state] >= belief.decide_at)
            .max_by(|a, b| best[*a].total_cmp(&best[*b]).then(b.cmp(a)))
            .map(|state| belief.states[state].clone())
    };
    Ok(Believed {
        finding: BeliefFinding {
            decision,
            asserted: belief.states[0].clone(),
            held_throughout,
            final_probabilities: belief.states.iter().cloned().zip(final_probabilities).collect(),
            departures,
            moments: course.len(),
        },
        unlisted_departures,
    })
}

/// What is believed without any moment: the prior, and no decision.
pub fn nothing_known(belief: &Belief) -> BeliefFinding {
    let prior = 1.0 / count(belief.states.len().max(1));
    BeliefFinding {
        decision: None,
        asserted: belief.states.first().cloned().unwrap_or_default(),
        held_throughout: prior,
        final_probabilities: belief.states.iter().map(|state| (state.clone(), prior)).collect(),
        departures: Vec::new(),
        moments: 0,
    }
}

/// The model in numbers, states by position.
struct Model {
    /// Range of each state in the estimate's unit; none where it has no range.
    ranges: Vec<Option<(f64, f64)>>,
    /// Row by row, from → to.
    transition: Vec<Vec<f64>>,
}

impl Model {
    fn new(belief: &Belief, unit: &str) -> Result<Self, String> {
        let k = belief.states.len();
        if k == 0 || k > MAX_STATES {
            return Err(format!("belief has {k} states; 1 to {MAX_STATES} are possible"));
        }
        let ranges = belief
            .states
            .iter()
            .map(|state| belief.ranges.get(state).map(|range| in_unit(state, range, unit)).transpose())
            .collect::<Result<_, String>>()?;
        let mut transition = Vec::with_capacity(k);
        for (from, state) in belief.states.iter().enumerate() {
            let row = belief.transition.get(state);
            let given = |to: &String| row.and_then(|row| row.get(to)).copied();
            let mut probabilities: Vec<f64> =
                belief.states.iter().map(|to| given(to).unwrap_or(0.0)).collect();
            if probabilities.iter().any(|p| !(0.0..=1.0).contains(p)) {
                return Err(format!("the transitions from {state} are not all probabilities"));
            }
            let leaving =
                sum(probabilities.iter().enumerate().filter(|(to, _)| *to != from).map(|(_, p)| *p));
            if leaving > 1.0 + 1e-9 {
                return Err(format!(
                    "the probabilities to leave {state} add up to {leaving}, which is more than 1"
                ));
            }
            probabilities[from] = (1.0 - leaving).max(0.0);
            transition.push(probabilities);
        }
        Ok(Self { ranges, transition })
    }

    fn emissions(&self, moment: &Moment) -> Vec<f64> {
        let described: Vec<Option<f64>> = self
            .ranges
            .iter()
            .map(|range| range.map(|range| within(range, moment.value, moment.standard_uncertainty)))
            .collect();
        let taken = sum(described.iter().flatten().copied());
        let others = count(described.iter().filter(|p| p.is_none()).count());
        let left = (1.0 - taken).max(0.0) / others.max(1.0);
        described.into_iter().map(|p| p.unwrap_or(left).clamp(MIN_EMISSION, 1.0)).collect()
    }

    /// One step forward: probabilities of each state before the emission of the next moment.
    fn predict(&self, now: &[f64]) -> Vec<f64> {
        (0..now.len()).map(|to| sum(now.iter().zip(&self.transition).map(|(p, row)| p * row[to]))).collect()
    }
}

fn in_unit(state: &str, range: &StateRange, unit: &str) -> Result<(f64, f64), String> {
    let converter = Converter::between(range.unit.as_deref().unwrap_or(unit), unit)
        .map_err(|error| format!("the range of state {state}: {error}"))?;
    let min = range.min.map_or(f64::NEG_INFINITY, |min| converter.value(min));
    let max = range.max.map_or(f64::INFINITY, |max| converter.value(max));
    if min.is_nan() || max.is_nan() {
        return Err(format!("the range of state {state} cannot be expressed in {unit}"));
    }
    // Some scales run backwards, as pH does.
    Ok((min.min(max), min.max(max)))
}

/// Probability that a value about which a normal estimate is known lies in the range, both ends inclusive.
pub fn within((min, max): (f64, f64), value: f64, standard_uncertainty: f64) -> f64 {
    if standard_uncertainty <= 0.0 {
        return f64::from(u8::from((min..=max).contains(&value)));
    }
    let normal = Normal::standard();
    let (low, high) = ((min - value) / standard_uncertainty, (max - value) / standard_uncertainty);
    // On the side of the smaller tail, where the difference keeps its digits.
    let p = if low > 0.0 { normal.sf(low) - normal.sf(high) } else { normal.cdf(high) - normal.cdf(low) };
    p.clamp(0.0, 1.0)
}

/// The forward pass.
struct Forward {
    /// Filtered probabilities at the first moment of each block.
    checkpoints: Vec<Vec<f64>>,
    /// Filtered probabilities at the last moment.
    last: Vec<f64>,
    /// Logarithm of the probability that the first state held at every moment.
    held: f64,
}

impl Forward {
    fn run(model: &Model, course: &[Moment]) -> Self {
        let k = model.ranges.len();
        let mut now = vec![1.0 / count(k); k];
        let mut checkpoints = Vec::with_capacity(course.len().div_ceil(BLOCK));
        let mut all = Sum::new();
        let mut path = Sum::new();
        for (t, moment) in course.iter().enumerate() {
            let emissions = model.emissions(moment);
            path.add(emissions[0].ln() + if t == 0 { now[0].ln() } else { model.transition[0][0].ln() });
            let scale = step(model, &mut now, &emissions, t == 0);
            all.add(scale.ln());
            if t % BLOCK == 0 {
                checkpoints.push(now.clone());
            }
        }
        Self { checkpoints, last: now, held: path.value() - all.value() }
    }

    /// Smoothed probabilities of each moment, from the last to the first.
    fn backward(&self, model: &Model, course: &[Moment], mut see: impl FnMut(usize, &[f64])) {
        let k = model.ranges.len();
        let mut after = vec![1.0; k];
        for (block, checkpoint) in self.checkpoints.iter().enumerate().rev() {
            let from = block * BLOCK;
            let until = (from + BLOCK).min(course.len());
            let mut filtered = Vec::with_capacity(until - from);
            let mut now = checkpoint.clone();
            filtered.push(now.clone());
            for moment in &course[from + 1..until] {
                step(model, &mut now, &model.emissions(moment), false);
                filtered.push(now.clone());
            }
            for t in (from..until).rev() {
                let mut smoothed: Vec<f64> =
                    filtered[t - from].iter().zip(&after).map(|(a, b)| a * b).collect();
                normalize(&mut smoothed);
                see(t, &smoothed);
                let emissions = model.emissions(&course[t]);
                let weighted: Vec<f64> = emissions.iter().zip(&after).map(|(e, b)| e * b).collect();
                after = model
                    .transition
                    .iter()
                    .map(|row| sum(row.iter().zip(&weighted).map(|(p, w)| p * w)))
                    .collect();
                normalize(&mut after);
            }
        }
    }
}

/// Take in one moment; returns its likelihood given the moments before.
fn step(model: &Model, now: &mut Vec<f64>, emissions: &[f64], is_first: bool) -> f64 {
    if !is_first {
        *now = model.predict(now);
    }
    for (p, emission) in now.iter_mut().zip(emissions) {
        *p *= emission;
    }
    normalize(now)
}

/// Scale to a sum of 1; returns the sum before.
fn normalize(probabilities: &mut [f64]) -> f64 {
    let total = sum(probabilities.iter().copied()).max(f64::MIN_POSITIVE);
    for p in probabilities {
        *p = (*p / total).clamp(0.0, 1.0);
    }
    total
}

/// Gathers departures while the moments come in from the last to the first.
struct Tracker<'b> {
    belief: &'b Belief,
    asserted: Option<(f64, f64)>,
    reference: f64,
    best: Vec<f64>,
    /// From the last to the first.
    departures: Vec<Departure>,
    open: Option<usize>,
}

impl<'b> Tracker<'b> {
    fn new(belief: &'b Belief, model: &Model, reference: f64) -> Self {
        Self {
            belief,
            asserted: model.ranges[0],
            reference,
            best: vec![0.0; belief.states.len()],
            departures: Vec::new(),
            open: None,
        }
    }

    fn see(&mut self, moment: &Moment, smoothed: &[f64]) {
        for (best, p) in self.best.iter_mut().zip(smoothed) {
            *best = best.max(*p);
        }
        let decided = (1..smoothed.len()).find(|state| smoothed[*state] >= self.belief.decide_at);
        let Some(state) = decided else {
            self.open = None;
            return;
        };
        let probability = smoothed[state];
        if self.open == Some(state)
            && let Some(departure) = self.departures.last_mut()
        {
            departure.from = moment.time;
            departure.probability = departure.probability.max(probability);
            let held = departure.extreme;
            if self.distance(moment.value) > self.distance(held)
                && let Some(departure) = self.departures.last_mut()
            {
                departure.extreme = moment.value;
            }
            return;
        }
        self.open = Some(state);
        self.departures.push(Departure {
            state: self.belief.states[state].clone(),
            from: moment.time,
            until: moment.time,
            probability,
            extreme: moment.value,
        });
    }

    /// How far a value lies from what is asserted.
    fn distance(&self, value: f64) -> f64 {
        match self.asserted {
            Some((min, max)) => (min - value).max(value - max),
            None => (value - self.reference).abs(),
        }
    }

    fn finish(mut self) -> (Vec<Departure>, Vec<f64>, usize) {
        self.departures.reverse();
        let unlisted = self.departures.len().saturating_sub(MAX_DEPARTURES);
        self.departures.truncate(MAX_DEPARTURES);
        (self.departures, self.best, unlisted)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn cold_chain() -> Belief {
        let to = |state: &str, p: f64| BTreeMap::from([(state.to_owned(), p)]);
        Belief {
            states: vec!["compliant".to_owned(), "excursion".to_owned()],
            quantity: "temperature".to_owned(),
            ranges: BTreeMap::from([(
                "compliant".to_owned(),
                StateRange { min: Some(2.0), max: Some(8.0), unit: Some("Cel".to_owned()) },
            )]),
            transition: BTreeMap::from([
                ("compliant".to_owned(), to("excursion", 0.01)),
                ("excursion".to_owned(), to("compliant", 0.05)),
            ]),
            decide_at: 0.95,
        }
    }

    fn course(values: &[f64], u: f64) -> Vec<Moment> {
        (0..)
            .zip(values)
            .map(|(time, value)| Moment { time, value: *value, standard_uncertainty: u, instruments: 3 })
            .collect()
    }

    #[test]
    fn the_probability_of_a_range() {
        let p = within((-1.0, 1.0), 0.0, 1.0);
        assert!((p - 0.682_689_492_137_086).abs() < 1e-10, "{p}");
        let p = within((-1.96, 1.96), 0.0, 1.0);
        assert!((p - 0.950_004_209_703_559).abs() < 1e-10, "{p}");
        let tail = within((10.0, f64::INFINITY), 0.0, 1.0);
        assert!((tail / 7.619_853_024_160_5e-24 - 1.0).abs() < 1e-9, "{tail}");
        assert_eq!(within((2.0, 8.0), 8.0, 0.0), 1.0);
    }

    #[test]
    fn a_good_record_is_asserted() {
        let believed = believe(&cold_chain(), "Cel", &course(&[5.0; 100], 0.1)).unwrap().finding;
        assert_eq!(believed.decision.as_deref(), Some("compliant"));
        assert!(believed.held_throughout > 0.99);
        assert!(believed.departures.is_empty());
    }

    #[test]
    fn an_excursion_is_found_with_its_extreme() {
        let mut values = vec![5.0; 100];
        values[40] = 9.0;
        values[41] = 12.0;
        values[42] = 10.0;
        let believed = believe(&cold_chain(), "Cel", &course(&values, 0.1)).unwrap().finding;
        assert_eq!(believed.decision.as_deref(), Some("excursion"));
        assert!(believed.held_throughout < 1e-6);
        assert_eq!(believed.departures.len(), 1);
        let departure = &believed.departures[0];
        assert_eq!((departure.from, departure.until, departure.extreme), (40, 42, 12.0));
    }

    #[test]
    fn what_is_not_sure_is_not_decided() {
        // On the limit, so either state is as likely at that moment.
        let believed = believe(&cold_chain(), "Cel", &course(&[8.0], 0.5)).unwrap().finding;
        assert_eq!(believed.decision, None);
        assert!((believed.held_throughout - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_single_estimate_gives_its_own_probability() {
        let believed = believe(&cold_chain(), "K", &course(&[278.15], 1.0)).unwrap().finding;
        let expected = within((275.15, 281.15), 278.15, 1.0);
        assert!((believed.held_throughout - expected).abs() < 1e-9);
        assert!((believed.final_probabilities[0].1 - expected).abs() < 1e-9);
    }

    #[test]
    fn filtering_and_smoothing_agree_with_the_sum_over_all_paths() {
        let belief = cold_chain();
        let model = Model::new(&belief, "Cel").unwrap();
        let course = course(&[5.0, 8.2, 7.9, 8.4, 6.0], 0.3);
        let n = course.len();
        let emissions: Vec<Vec<f64>> = course.iter().map(|moment| model.emissions(moment)).collect();
        let (mut total, mut held) = (0.0, 0.0);
        let mut marginals = vec![[0.0; 2]; n];
        for path in 0..1_usize << n {
            let state = |t: usize| path >> t & 1;
            let mut p = 0.5 * emissions[0][state(0)];
            for t in 1..n {
                p *= model.transition[state(t - 1)][state(t)] * emissions[t][state(t)];
            }
            total += p;
            held += if path == 0 { p } else { 0.0 };
            for (t, marginal) in marginals.iter_mut().enumerate() {
                marginal[state(t)] += p;
            }
        }
        let forward = Forward::run(&model, &course);
        assert!((forward.held.exp() - held / total).abs() < 1e-12);
        forward.backward(&model, &course, |t, smoothed| {
            assert!((smoothed[1] - marginals[t][1] / total).abs() < 1e-12);
        });
    }

    #[test]
    fn blocks_do_not_change_the_result() {
        let mut values = vec![5.0; 3 * BLOCK + 7];
        values[BLOCK] = 12.0;
        values[2 * BLOCK - 1] = 12.0;
        let believed = believe(&cold_chain(), "Cel", &course(&values, 0.1)).unwrap().finding;
        let found: Vec<i64> = believed.departures.iter().map(|departure| departure.from).collect();
        assert_eq!(found, [1024, 2047]);
    }

    #[test]
    fn a_model_that_is_none_is_refused() {
        let mut belief = cold_chain();
        belief.transition.insert("compliant".to_owned(), BTreeMap::from([("excursion".to_owned(), 1.5)]));
        assert!(believe(&belief, "Cel", &[]).unwrap_err().contains("not all probabilities"));
        assert!(believe(&cold_chain(), "m", &[]).unwrap_err().contains("cannot be converted"));
    }
}
