//! Rate of change: readings of one instrument do not change faster than a limit.
//!
//! Of two readings that are too far apart either may be wrong, so comparing neighbours would exclude the good one
//! after each spike, and comparing with the first one would let a bad start exclude everything. The algorithm, over
//! an instrument's readings in time order ([`judge_times`]):
//!
//! - The *anchor* is the last reading that was accepted. A reading that is reachable from it within the limit is
//!   accepted and becomes the anchor; suspects that were waiting are excluded.
//! - A reading that is not reachable becomes a *suspect*. Suspects form a run while each is reachable from the one
//!   before; one that is not begins a new run, and the run before is excluded.
//! - When [`REANCHOR`] suspects in a row agree with each other, they are no spike. If fewer readings than that
//!   support the anchor (it was a bad start), those are excluded and the whole run is accepted. Else both stretches are
//!   consistent in themselves and only the jump between them is impossible: the reading that made it, the first of the
//!   run, is excluded, and the rest is accepted. A jump never passes unseen, and never costs more than it must.
//! - At the end of the record a waiting run is excluded, unless it has more readings than support the anchor.
//!
//! The allowed change grows with the time between two readings, so a gap in the record widens what is reachable.
//! Readings of the same time are not compared with each other: those that are reachable from the anchor are accepted
//! and the others excluded; where none is, they wait as one suspect with their mean. The margin of an excluded
//! reading is what exceeds the allowed change from the anchor it was compared with, in the axiom's unit.

use super::{Judged, comparable};
use crate::numeric::mean;
use crate::table::{Row, Table};

/// Suspects in a row that make a stretch of their own. Four is the longest burst that is still taken for a fault.
pub const REANCHOR: usize = 5;

/// A limit on change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Largest change, zero or more.
    pub max_rate: f64,
    /// In this time, in nanoseconds, above zero.
    pub per: u64,
}

impl Limit {
    /// By how much the change from one reading to a later one exceeds the limit; none where it does not.
    pub fn exceeded(&self, from: (i64, f64), to: (i64, f64)) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        let elapsed = to.0.abs_diff(from.0) as f64;
        #[allow(clippy::cast_precision_loss)]
        let allowed = self.max_rate * (elapsed / self.per.max(1) as f64);
        let excess = (to.1 - from.1).abs() - allowed;
        // A hair of rounding is no violation: a steady climb at the limit passes.
        let rounding = 8.0 * f64::EPSILON * (to.1.abs().max(from.1.abs()) + allowed);
        Some(excess).filter(|excess| *excess > rounding)
    }
}

/// Exclude readings that changed too fast.
pub(super) fn judge(
    table: &Table<'_>,
    units: &[Option<&str>],
    quantity: &str,
    unit: Option<&str>,
    limit: Limit,
    rule: u32,
    judged: &mut Judged,
) {
    let Some((groups, converter)) = comparable(table, units, quantity, unit, rule, judged) else { return };
    for group in &groups {
        let points: Vec<(i64, f64)> = group
            .rows
            .iter()
            .map(|row| (table.time[*row as usize], converter.value(table.value[*row as usize])))
            .collect();
        for (i, margin) in judge_times(&points, limit) {
            let row: Row = group.rows[i];
            judged.exclude(row, rule, Some(margin));
        }
    }
}

/// Readings of one time, as positions `from..until`.
#[derive(Debug, Clone, Copy)]
struct Instant {
    from: usize,
    until: usize,
    at: (i64, f64),
}

/// Which of an instrument's readings, given as (time, value) in time order, changed too fast: their positions, with
/// the margins. The algorithm is that of the module.
pub fn judge_times(points: &[(i64, f64)], limit: Limit) -> Vec<(usize, f64)> {
    let mut walk =
        Walk { limit, anchor: None, accepted: Vec::new(), suspects: Vec::new(), excluded: Vec::new() };
    let mut from = 0;
    for instant in points.chunk_by(|a, b| a.0 == b.0) {
        walk.step(points, from, from + instant.len());
        from += instant.len();
    }
    walk.end(points);
    // A reading that lost against others of its time can be excluded again with them; the first margin stays.
    walk.excluded.sort_by_key(|(position, _)| *position);
    walk.excluded.dedup_by_key(|(position, _)| *position);
    walk.excluded
}

struct Walk {
    limit: Limit,
    /// Time and value of the last accepted reading.
    anchor: Option<(i64, f64)>,
    /// What supports the anchor since the walk began or was last re-anchored; only as much as can still be outvoted.
    accepted: Vec<Instant>,
    suspects: Vec<Instant>,
    excluded: Vec<(usize, f64)>,
}

impl Walk {
    fn step(&mut self, points: &[(i64, f64)], from: usize, until: usize) {
        let whole = Instant { from, until, at: middle(&points[from..until]) };
        let Some(anchor) = self.anchor else {
            self.accept(whole);
            return;
        };
        let reachable: Vec<(i64, f64)> = points[from..until]
            .iter()
            .filter(|point| self.limit.exceeded(anchor, **point).is_none())
            .copied()
            .collect();
        if !reachable.is_empty() {
            self.drop_suspects(points, anchor);
            for (i, point) in points.iter().enumerate().take(until).skip(from) {
                if let Some(margin) = self.limit.exceeded(anchor, *point) {
                    self.excluded.push((i, margin));
                }
            }
            self.accept(Instant { at: middle(&reachable), ..whole });
            return;
        }
        if let Some(last) = self.suspects.last()
            && self.limit.exceeded(last.at, whole.at).is_some()
        {
            self.drop_suspects(points, anchor);
        }
        self.suspects.push(whole);
        if self.suspects.len() >= REANCHOR {
            self.reanchor(points, anchor);
        }
    }

    fn accept(&mut self, instant: Instant) {
        self.anchor = Some(instant.at);
        if self.accepted.len() < REANCHOR {
            self.accepted.push(instant);
        }
    }

    fn drop_suspects(&mut self, points: &[(i64, f64)], anchor: (i64, f64)) {
        for suspect in std::mem::take(&mut self.suspects) {
            self.exclude(points, suspect, anchor);
        }
    }

    fn exclude(&mut self, points: &[(i64, f64)], instant: Instant, against: (i64, f64)) {
        for (i, point) in points.iter().enumerate().take(instant.until).skip(instant.from) {
            // Its own margin, or that of the mean with which it was judged.
            let margin = self.limit.exceeded(against, *point).or(self.limit.exceeded(against, instant.at));
            self.excluded.push((i, margin.unwrap_or(0.0)));
        }
    }

    fn reanchor(&mut self, points: &[(i64, f64)], anchor: (i64, f64)) {
        let run = std::mem::take(&mut self.suspects);
        let (first, last) = (run[0], run[run.len() - 1]);
        if self.accepted.len() < REANCHOR {
            for outvoted in std::mem::take(&mut self.accepted) {
                self.exclude(points, outvoted, first.at);
            }
        } else {
            self.exclude(points, first, anchor);
        }
        self.accepted = run;
        self.anchor = Some(last.at);
    }

    fn end(&mut self, points: &[(i64, f64)]) {
        let Some(anchor) = self.anchor else { return };
        if self.suspects.len() > self.accepted.len() {
            let first = self.suspects[0];
            for outvoted in std::mem::take(&mut self.accepted) {
                self.exclude(points, outvoted, first.at);
            }
        } else {
            self.drop_suspects(points, anchor);
        }
    }
}

/// Time and mean value of readings of one time.
fn middle(points: &[(i64, f64)]) -> (i64, f64) {
    if let [only] = points {
        return *only;
    }
    let values: Vec<f64> = points.iter().map(|point| point.1).collect();
    let time = points.first().map_or(0, |point| point.0);
    (time, mean(&values).unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { max_rate: 1.0, per: 1 };

    fn excluded(values: &[f64]) -> Vec<usize> {
        let points: Vec<(i64, f64)> = (0..).zip(values.iter().copied()).collect();
        judge_times(&points, LIMIT).into_iter().map(|(i, _)| i).collect()
    }

    #[test]
    fn a_spike_costs_only_itself() {
        assert_eq!(excluded(&[5.0, 5.0, 50.0, 5.0, 5.5]), [2]);
        assert_eq!(excluded(&[5.0, 5.0, 50.0, -50.0, 5.5]), [2, 3]);
    }

    #[test]
    fn a_bad_start_costs_only_itself() {
        assert_eq!(excluded(&[50.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]), [0]);
        assert_eq!(excluded(&[50.0, 5.0, 5.0]), [0], "by majority at the end of a short record");
    }

    #[test]
    fn a_bad_end_is_excluded() {
        assert_eq!(excluded(&[5.0, 5.0, 5.0, 50.0, 50.0]), [3, 4]);
    }

    #[test]
    fn a_lasting_jump_costs_the_reading_that_made_it() {
        let mut values = vec![5.0; 10];
        values.extend([50.0; 10]);
        assert_eq!(excluded(&values), [10]);
    }

    #[test]
    fn time_that_passes_allows_more() {
        assert!(judge_times(&[(0, 0.0), (100, 99.0)], LIMIT).is_empty());
        assert_eq!(judge_times(&[(0, 0.0), (0, 0.0), (100, 101.5)], LIMIT), [(2, 1.5)]);
    }

    #[test]
    fn of_two_that_contradict_the_later_is_excluded() {
        // Nothing speaks for either; the first one is the anchor.
        assert_eq!(excluded(&[0.0, 100.0]), [1]);
    }

    #[test]
    fn repeated_readings_of_one_time_are_judged_against_the_anchor() {
        let points = [(0, 5.0), (1, 5.0), (1, 50.0), (2, 5.0)];
        assert_eq!(judge_times(&points, LIMIT), [(2, 44.0)]);
    }

    #[test]
    fn a_steady_climb_at_the_limit_passes() {
        let limit = Limit { max_rate: 0.1, per: 1_000_000_000 };
        let points: Vec<(i64, f64)> =
            (0..1000).map(|i| (i * 1_000_000_000, 1000.0 + 0.1 * i as f64)).collect();
        assert!(judge_times(&points, limit).is_empty());
    }
}
