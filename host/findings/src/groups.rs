//! The readings of one instrument about one quantity, in time order; and readings of several instruments at the same
//! moment.
//!
//! # What is a moment
//! Where instruments stamp the same times, those are the moments. Else readings within half of the usual sampling
//! interval belong together: the interval of an instrument is the median distance of its distinct times, the usual one
//! the lower median of the instruments' intervals (a single instrument cannot pull it where three sample regularly).
//! Going forward in time, a moment begins at the first reading that belongs to none yet and takes in what follows
//! within that half interval. Where no instrument has more than one time, all readings are one moment; where there
//! is only one instrument, each of its times is one.

use crate::numeric;
use crate::table::{Row, Table};

/// Readings of one instrument about one quantity that have not been excluded, by time, then by row.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Number of the quantity.
    pub(crate) quantity: u32,
    /// Rank of the instrument.
    pub(crate) instrument: u32,
    /// The rows.
    pub(crate) rows: Vec<Row>,
}

impl Group {
    /// Median distance of distinct times, in nanoseconds; none where there is only one.
    pub(crate) fn interval(&self, table: &Table<'_>) -> Option<u64> {
        let mut gaps: Vec<u64> = self
            .rows
            .windows(2)
            .map(|pair| table.time[pair[1] as usize].abs_diff(table.time[pair[0] as usize]))
            .filter(|gap| *gap > 0)
            .collect();
        if gaps.is_empty() {
            return None;
        }
        let middle = (gaps.len() - 1) / 2;
        Some(*gaps.select_nth_unstable(middle).1)
    }

    /// The row nearest in time to `time`, of two the earlier, no farther than `tolerance` nanoseconds.
    pub(crate) fn nearest(&self, table: &Table<'_>, time: i64, tolerance: u64) -> Option<Row> {
        let at = self.rows.partition_point(|row| table.time[*row as usize] < time);
        let distance = |row: &Row| table.time[*row as usize].abs_diff(time);
        let after = self.rows.get(at);
        let before = at.checked_sub(1).and_then(|i| self.rows.get(i));
        let nearest = match (before, after) {
            (Some(before), Some(after)) if distance(before) <= distance(after) => before,
            (_, Some(after)) => after,
            (Some(before), None) => before,
            (None, None) => return None,
        };
        (distance(nearest) <= tolerance).then_some(*nearest)
    }
}

/// Readings that `keep` admits, grouped; ordered by quantity, then by instrument.
pub(crate) fn group(table: &Table<'_>, keep: impl Fn(Row) -> bool) -> Vec<Group> {
    let mut rows: Vec<Row> = table.rows().filter(|row| keep(*row)).collect();
    let key =
        |row: &Row| (table.quantity[*row as usize], table.instrument(*row), table.time[*row as usize], *row);
    rows.sort_unstable_by_key(key);
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let (quantity, instrument) = (table.quantity[row as usize], table.instrument(row));
        match groups.last_mut() {
            Some(last) if last.quantity == quantity && last.instrument == instrument => last.rows.push(row),
            _ => groups.push(Group { quantity, instrument, rows: vec![row] }),
        }
    }
    groups
}

/// The groups of one quantity.
pub(crate) fn of_quantity(groups: &[Group], quantity: u32) -> &[Group] {
    let from = groups.partition_point(|group| group.quantity < quantity);
    let until = groups.partition_point(|group| group.quantity <= quantity);
    &groups[from..until]
}

/// Readings of several instruments about one quantity, moment by moment.
#[derive(Debug)]
pub(crate) struct Moments {
    /// Rows by moment, within it by instrument, within that by time.
    rows: Vec<Row>,
    /// Where each moment begins in `rows`, and at the end their number.
    starts: Vec<usize>,
}

impl Moments {
    /// The moments of these groups, which are of one quantity.
    pub(crate) fn of(table: &Table<'_>, groups: &[Group]) -> Self {
        let tolerance = tolerance(table, groups);
        let mut rows: Vec<Row> = groups.iter().flat_map(|group| group.rows.iter().copied()).collect();
        rows.sort_unstable_by_key(|row| (table.time[*row as usize], table.instrument(*row), *row));
        let mut starts = Vec::new();
        let mut begin: Option<i64> = None;
        for (i, row) in rows.iter().enumerate() {
            let time = table.time[*row as usize];
            if begin.is_none_or(|begin| tolerance.is_some_and(|tolerance| time.abs_diff(begin) > tolerance)) {
                begin = Some(time);
                starts.push(i);
            }
        }
        starts.push(rows.len());
        for pair in starts.windows(2) {
            rows[pair[0]..pair[1]]
                .sort_unstable_by_key(|row| (table.instrument(*row), table.time[*row as usize], *row));
        }
        Self { rows, starts }
    }

    /// Number of moments.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rows of each moment, in time order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Row]> {
        self.starts.windows(2).map(|pair| &self.rows[pair[0]..pair[1]])
    }
}

/// The rows of a moment, instrument by instrument.
pub(crate) fn by_instrument<'r>(table: &'r Table<'_>, moment: &'r [Row]) -> impl Iterator<Item = &'r [Row]> {
    moment.chunk_by(|a, b| table.instrument(*a) == table.instrument(*b))
}

/// Mean time of the rows of a moment, in nanoseconds since the Unix epoch.
pub(crate) fn mean_time(table: &Table<'_>, moment: &[Row]) -> i64 {
    let total: i128 = moment.iter().map(|row| i128::from(table.time[*row as usize])).sum();
    let mean = total.div_euclid(i128::try_from(moment.len().max(1)).unwrap_or(1));
    i64::try_from(mean).unwrap_or_default()
}

/// Mean of the rows' values in the quantity's unit.
pub(crate) fn mean_value(table: &Table<'_>, rows: &[Row]) -> f64 {
    match rows {
        [only] => table.value[*only as usize],
        _ => {
            let values: Vec<f64> = rows.iter().map(|row| table.value[*row as usize]).collect();
            numeric::mean(&values).unwrap_or(f64::NAN)
        }
    }
}

/// Within which time readings belong to one moment; none where all do.
fn tolerance(table: &Table<'_>, groups: &[Group]) -> Option<u64> {
    let mut intervals: Vec<u64> = groups.iter().filter_map(|group| group.interval(table)).collect();
    if intervals.is_empty() {
        return None;
    }
    if groups.len() == 1 {
        return Some(0);
    }
    intervals.sort_unstable();
    Some(intervals[(intervals.len() - 1) / 2] / 2)
}
