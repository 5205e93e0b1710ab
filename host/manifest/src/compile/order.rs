//! The order of steps.
//!
//! Units (a step of the manifest, or a phase given as a plain name) fall into groups that run one after the other;
//! within a group only `depends_on` orders. A sequential protocol has a group for each unit, a hybrid one a group for
//! each phase, `dag` and `parallel` one for all. What the host does itself (analysis, reports, closing) comes in groups
//! after everything that observes, whatever the protocol: it works on what was observed.
//!
//! Between groups it is enough that the units of the one which wait for nothing else in it wait for the units of the
//! one before for which nothing else in it waits (the transitive reduction over the barrier).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::MAX_EDGES;
use crate::spec::ProtocolKind;

/// How many cycles are reported. Each takes a walk over the steps that are in one.
const MAX_CYCLES: usize = 100;

/// What has a place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    /// What it does, in the order in which the host must do it.
    pub(super) rank: Rank,
    /// Position of its phase.
    pub(super) phase: usize,
    /// Steps of the plan that it becomes.
    pub(super) parts: usize,
    /// Units that must be done before, by `depends_on`; may be itself.
    pub(super) after: Vec<usize>,
}

/// What a unit does, in the order in which the host must do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Calls instruments.
    Observe,
    Analyze,
    Report,
    Close,
}

/// Units in order, and what each step of the plan waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arranged {
    /// Units in a topological order, those that could stand in any order as the manifest has them.
    pub(super) units: Vec<usize>,
    /// For each step of the plan (the units' parts, one after the other) the steps before it that must be done.
    pub(super) after: Vec<Vec<usize>>,
    /// Those of them that `depends_on` names.
    pub(super) needs: Vec<Vec<usize>>,
}

/// Why units have no order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disorder {
    /// Units that wait for each other: each waits for the next, the last for the first.
    Cycles(Vec<Cycle>),
    /// More dependencies than [`MAX_EDGES`].
    TooManyEdges(usize),
}

/// Units that wait for each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cycle {
    /// By `depends_on` alone: each waits for the next, the last for the first.
    Declared(Vec<usize>),
    /// The first names the second in `depends_on`, but the protocol runs the second after the first.
    AgainstProtocol(usize, usize),
}

/// Put units in order.
pub(super) fn arrange(units: &[Unit], kind: ProtocolKind) -> Result<Arranged, Disorder> {
    let groups = groups(units, kind);
    let mut group_of = vec![0; units.len()];
    for (group, members) in groups.iter().enumerate() {
        for &unit in members {
            group_of[unit] = group;
        }
    }
    let mut cycles = Vec::new();
    for (unit, Unit { after, .. }) in units.iter().enumerate() {
        let against = after.iter().filter(|&&before| group_of[before] > group_of[unit]);
        cycles.extend(against.map(|&before| Cycle::AgainstProtocol(unit, before)));
    }
    cycles.truncate(MAX_CYCLES);
    // What must be done before in the same group; groups before are done anyway.
    let mut within: Vec<Vec<usize>> = units
        .iter()
        .enumerate()
        .map(|(unit, Unit { after, .. })| {
            let mut same: Vec<usize> =
                after.iter().copied().filter(|&before| group_of[before] == group_of[unit]).collect();
            same.sort_unstable();
            same.dedup();
            same
        })
        .collect();
    let order = topological(&mut within, &groups, &mut cycles);
    if !cycles.is_empty() {
        return Err(Disorder::Cycles(cycles));
    }
    let barriers = Barriers { units, groups: &groups, group_of: &group_of, within: &within };
    let edges = barriers.count(kind);
    if edges > MAX_EDGES {
        return Err(Disorder::TooManyEdges(edges));
    }
    let (after, needs) = barriers.edges(&order, kind);
    Ok(Arranged { units: order, after, needs })
}

/// Units that run at once save for `depends_on`, in the order of the groups.
fn groups(units: &[Unit], kind: ProtocolKind) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(Rank, usize), Vec<usize>> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        let group = match kind {
            ProtocolKind::Sequential => index,
            ProtocolKind::Hybrid => unit.phase,
            ProtocolKind::Parallel | ProtocolKind::Dag => 0,
        };
        groups.entry((unit.rank, group)).or_default().push(index);
    }
    groups.into_values().collect()
}

/// Kahn's algorithm, group by group, the unit that stands first in the manifest first. Where nothing is free although
/// something is left, every unit left waits for another one left, so a walk along these meets itself: a cycle. It is
/// noted, its first dependency is dropped, and the work goes on.
fn topological(within: &mut [Vec<usize>], groups: &[Vec<usize>], cycles: &mut Vec<Cycle>) -> Vec<usize> {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); within.len()];
    for (unit, before) in within.iter().enumerate() {
        for &before in before {
            dependents[before].push(unit);
        }
    }
    let mut open: Vec<usize> = within.iter().map(Vec::len).collect();
    let mut done = vec![false; within.len()];
    let mut order = Vec::with_capacity(within.len());
    for group in groups {
        let mut free: BinaryHeap<Reverse<usize>> =
            group.iter().copied().filter(|&unit| open[unit] == 0).map(Reverse).collect();
        let mut left = group.len();
        let mut from = 0;
        while left > 0 {
            while let Some(Reverse(unit)) = free.pop() {
                done[unit] = true;
                order.push(unit);
                left -= 1;
                for &dependent in &dependents[unit] {
                    open[dependent] -= 1;
                    if open[dependent] == 0 && !done[dependent] {
                        free.push(Reverse(dependent));
                    }
                }
            }
            if left == 0 {
                break;
            }
            if cycles.len() >= MAX_CYCLES {
                return order;
            }
            while done[group[from]] {
                from += 1;
            }
            let cycle = walk(group[from], within, &done);
            let (unit, before) = (cycle[0], cycle[1 % cycle.len()]);
            within[unit].retain(|&other| other != before);
            dependents[before].retain(|&other| other != unit);
            open[unit] -= 1;
            if open[unit] == 0 {
                free.push(Reverse(unit));
            }
            cycles.push(Cycle::Declared(cycle));
        }
    }
    order
}

/// Follow what a unit waits for until a unit comes twice; the cycle, beginning with the unit that stands first.
fn walk(start: usize, within: &[Vec<usize>], done: &[bool]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut position: BTreeMap<usize, usize> = BTreeMap::new();
    let mut unit = start;
    while !position.contains_key(&unit) {
        position.insert(unit, path.len());
        path.push(unit);
        match within[unit].iter().copied().find(|&before| !done[before]) {
            Some(before) => unit = before,
            // Nothing is free, so every unit left waits for one left; kept as an end of the walk all the same.
            None => break,
        }
    }
    let mut cycle = path.split_off(position.get(&unit).copied().unwrap_or_default());
    let first = cycle.iter().enumerate().min_by_key(|(_, unit)| **unit).map_or(0, |(at, _)| at);
    cycle.rotate_left(first);
    cycle
}

/// Units in groups with what waits for what.
struct Barriers<'a> {
    units: &'a [Unit],
    groups: &'a [Vec<usize>],
    group_of: &'a [usize],
    within: &'a [Vec<usize>],
}

impl Barriers<'_> {
    /// For each group the units for which nothing else in it waits.
    fn ends(&self) -> Vec<Vec<usize>> {
        let mut waited_for = vec![false; self.units.len()];
        for before in self.within.iter().flatten() {
            waited_for[*before] = true;
        }
        let ends = |group: &Vec<usize>| group.iter().copied().filter(|&unit| !waited_for[unit]).collect();
        self.groups.iter().map(ends).collect()
    }

    /// The units of the group before that a unit waits for. One that waits for another unit of its own group does so
    /// through that one.
    fn barrier<'b>(&self, unit: usize, ends: &'b [Vec<usize>]) -> &'b [usize] {
        match (self.within[unit].is_empty(), self.group_of[unit]) {
            (false, _) | (true, 0) => &[],
            (true, group) => &ends[group - 1],
        }
    }

    /// How many of a unit's parts the next group waits for: in a sequential protocol the last, which waits for the rest.
    fn outlets(&self, unit: usize, kind: ProtocolKind) -> usize {
        match kind {
            ProtocolKind::Sequential => self.units[unit].parts.min(1),
            _ => self.units[unit].parts,
        }
    }

    /// How many dependencies there are between steps at most, without making them.
    fn count(&self, kind: ProtocolKind) -> usize {
        let ends = self.ends();
        let of_group: Vec<usize> =
            ends.iter().map(|units| units.iter().map(|&unit| self.outlets(unit, kind)).sum()).collect();
        let mut total = 0_usize;
        for (unit, Unit { parts, after, .. }) in self.units.iter().enumerate() {
            let barrier = match (self.within[unit].is_empty(), self.group_of[unit]) {
                (false, _) | (true, 0) => 0,
                (true, group) => of_group[group - 1],
            };
            let named: usize = after.iter().map(|&before| self.units[before].parts).sum();
            let own = match kind {
                ProtocolKind::Sequential => {
                    barrier.saturating_add(named.saturating_add(1).saturating_mul(*parts))
                }
                _ => barrier.saturating_add(named).saturating_mul(*parts),
            };
            total = total.saturating_add(own);
        }
        total
    }

    /// What each step waits for, and what of it `depends_on` names.
    fn edges(&self, order: &[usize], kind: ProtocolKind) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
        let ends = self.ends();
        let mut first_part = vec![0; self.units.len()];
        let (mut after, mut needs): (Vec<Vec<usize>>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        for &unit in order {
            let first = after.len();
            first_part[unit] = first;
            let Unit { parts, after: named, .. } = &self.units[unit];
            let mut needed: Vec<usize> = Vec::new();
            for &other in named {
                needed.extend(first_part[other]..first_part[other] + self.units[other].parts);
            }
            needed.sort_unstable();
            needed.dedup();
            let mut before = needed.clone();
            for &other in self.barrier(unit, &ends) {
                let end = first_part[other] + self.units[other].parts;
                before.extend(end - self.outlets(other, kind)..end);
            }
            before.sort_unstable();
            before.dedup();
            for part in 0..*parts {
                if kind == ProtocolKind::Sequential && part > 0 {
                    let mut chained = needed.clone();
                    chained.push(first + part - 1);
                    after.push(chained);
                } else {
                    after.push(before.clone());
                }
                needs.push(needed.clone());
            }
        }
        (after, needs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(phase: usize, after: &[usize]) -> Unit {
        Unit { rank: Rank::Observe, phase, parts: 1, after: after.to_vec() }
    }

    fn ranked(rank: Rank, phase: usize) -> Unit {
        Unit { rank, phase, parts: 1, after: Vec::new() }
    }

    #[test]
    fn a_sequential_protocol_is_a_chain() {
        let units = [unit(0, &[]), Unit { parts: 3, ..unit(0, &[0]) }, unit(1, &[])];
        let arranged = arrange(&units, ProtocolKind::Sequential).unwrap();
        assert_eq!(arranged.units, [0, 1, 2]);
        assert_eq!(arranged.after, [vec![], vec![0], vec![0, 1], vec![0, 2], vec![3]]);
        assert_eq!(arranged.needs, [vec![], vec![0], vec![0], vec![0], vec![]]);
    }

    #[test]
    fn a_hybrid_protocol_waits_between_phases_for_the_ends_only() {
        let units = [unit(0, &[]), unit(0, &[0]), unit(0, &[]), unit(1, &[0]), unit(1, &[3])];
        let arranged = arrange(&units, ProtocolKind::Hybrid).unwrap();
        assert_eq!(arranged.after, [vec![], vec![0], vec![], vec![0, 1, 2], vec![3]]);
        assert_eq!(arranged.needs, [vec![], vec![0], vec![], vec![0], vec![3]]);
    }

    #[test]
    fn what_the_host_does_comes_last_in_every_protocol() {
        for kind in
            [ProtocolKind::Sequential, ProtocolKind::Parallel, ProtocolKind::Dag, ProtocolKind::Hybrid]
        {
            let units = [
                ranked(Rank::Close, 0),
                ranked(Rank::Report, 0),
                unit(1, &[]),
                ranked(Rank::Analyze, 1),
                unit(2, &[]),
            ];
            let arranged = arrange(&units, kind).unwrap();
            assert_eq!(arranged.units, [2, 4, 3, 1, 0], "{kind:?}");
            let first =
                if matches!(kind, ProtocolKind::Parallel | ProtocolKind::Dag) { vec![] } else { vec![0] };
            let then = if first.is_empty() { vec![0, 1] } else { vec![1] };
            assert_eq!(arranged.after, [vec![], first, then, vec![2], vec![3]], "{kind:?}");
        }
    }

    #[test]
    fn depending_on_an_expanded_unit_means_all_its_parts() {
        let units = [Unit { parts: 2, ..unit(0, &[]) }, unit(0, &[]), Unit { parts: 2, ..unit(0, &[1, 0]) }];
        let arranged = arrange(&units, ProtocolKind::Dag).unwrap();
        assert_eq!(arranged.after, [vec![], vec![], vec![], vec![0, 1, 2], vec![0, 1, 2]]);
    }

    #[test]
    fn every_cycle_is_named() {
        let units =
            [unit(0, &[1]), unit(0, &[2]), unit(0, &[0]), unit(0, &[3]), unit(0, &[5]), unit(0, &[4])];
        let found = arrange(&units, ProtocolKind::Dag).unwrap_err();
        let expected = [vec![0, 1, 2], vec![3], vec![4, 5]].map(Cycle::Declared);
        assert_eq!(found, Disorder::Cycles(expected.into()));
        let units = [unit(0, &[1]), unit(1, &[])];
        let found = arrange(&units, ProtocolKind::Hybrid).unwrap_err();
        assert_eq!(found, Disorder::Cycles(vec![Cycle::AgainstProtocol(0, 1)]));
    }

    #[test]
    fn too_many_edges_are_counted_and_not_made() {
        let units: Vec<Unit> = (0..4000).map(|index| unit(index / 2000, &[])).collect();
        assert_eq!(arrange(&units, ProtocolKind::Hybrid), Err(Disorder::TooManyEdges(4_000_000)));
        assert!(arrange(&units, ProtocolKind::Sequential).is_ok());
    }

    fn any_kind() -> impl Strategy<Value = ProtocolKind> {
        prop_oneof![
            Just(ProtocolKind::Sequential),
            Just(ProtocolKind::Parallel),
            Just(ProtocolKind::Dag),
            Just(ProtocolKind::Hybrid)
        ]
    }

    fn any_units() -> impl Strategy<Value = Vec<Unit>> {
        let rank = prop_oneof![8 => Just(Rank::Observe), 1 => Just(Rank::Analyze), 1 => Just(Rank::Report)];
        prop::collection::vec((rank, 0_usize..3, 1_usize..4, prop::collection::vec(0_usize..12, 0..3)), 1..12)
            .prop_map(|raw| {
                let count = raw.len();
                let mut units: Vec<Unit> = raw
                    .into_iter()
                    .map(|(rank, phase, parts, after)| Unit {
                        rank,
                        phase,
                        parts,
                        after: after.into_iter().filter(|before| *before < count).collect(),
                    })
                    .collect();
                units.sort_by_key(|unit| unit.phase);
                units
            })
    }

    /// Whether the constraints that a protocol states, taken one by one, have a solution: the slow and obvious way.
    fn has_cycle(units: &[Unit], kind: ProtocolKind) -> bool {
        let groups = groups(units, kind);
        let group_of = |unit: usize| groups.iter().position(|group| group.contains(&unit)).unwrap();
        let waits = |a: usize, b: usize| units[a].after.contains(&b) || group_of(b) < group_of(a);
        let count = units.len();
        let mut reach: Vec<Vec<bool>> =
            (0..count).map(|a| (0..count).map(|b| waits(a, b)).collect()).collect();
        for via in 0..count {
            for a in 0..count {
                for b in 0..count {
                    reach[a][b] |= reach[a][via] && reach[via][b];
                }
            }
        }
        (0..count).any(|unit| reach[unit][unit])
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2000,
            rng_seed: proptest::test_runner::RngSeed::Fixed(0x6f72_6465),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn plans_are_topological_and_whole_and_cycles_are_always_found(units in any_units(), kind in any_kind()) {
            match arrange(&units, kind) {
                Err(Disorder::Cycles(cycles)) => {
                    prop_assert!(has_cycle(&units, kind));
                    for cycle in cycles {
                        if let Cycle::Declared(members) = cycle {
                            for (at, &unit) in members.iter().enumerate() {
                                let next = members[(at + 1) % members.len()];
                                prop_assert!(units[unit].after.contains(&next));
                            }
                        }
                    }
                }
                Err(Disorder::TooManyEdges(_)) => prop_assert!(false),
                Ok(arranged) => {
                    prop_assert!(!has_cycle(&units, kind));
                    let mut sorted = arranged.units.clone();
                    sorted.sort_unstable();
                    prop_assert_eq!(sorted, (0..units.len()).collect::<Vec<_>>());
                    prop_assert_eq!(arranged.needs.len(), arranged.after.len());
                    prop_assert_eq!(arranged.after.len(), units.iter().map(|unit| unit.parts).sum::<usize>());
                    let owner: Vec<usize> = arranged
                        .units
                        .iter()
                        .flat_map(|&unit| std::iter::repeat_n(unit, units[unit].parts))
                        .collect();
                    // All that a step waits for, over however many steps.
                    let mut all: Vec<Vec<bool>> = Vec::new();
                    for (step, after) in arranged.after.iter().enumerate() {
                        prop_assert!(after.iter().all(|before| *before < step));
                        prop_assert!(arranged.needs[step].iter().all(|needed| after.contains(needed)));
                        let named = units[owner[step]].after.iter().collect::<std::collections::BTreeSet<_>>();
                        let parts: usize = named.iter().map(|&&unit| units[unit].parts).sum();
                        prop_assert_eq!(arranged.needs[step].len(), parts);
                        prop_assert!(after.windows(2).all(|pair| pair[0] < pair[1]));
                        let mut reached = vec![false; arranged.after.len()];
                        for &before in after {
                            reached[before] = true;
                            for (at, was) in all[before].clone().into_iter().enumerate() {
                                reached[at] |= was;
                            }
                        }
                        all.push(reached);
                    }
                    let groups = groups(&units, kind);
                    let group_of = |unit: usize| groups.iter().position(|group| group.contains(&unit)).unwrap();
                    for (step, &unit) in owner.iter().enumerate() {
                        for (before, &other) in owner.iter().enumerate() {
                            let must = units[unit].after.contains(&other) || group_of(other) < group_of(unit);
                            prop_assert!(!must || all[step][before], "{step} does not wait for {before}");
                        }
                    }
                }
            }
        }
    }
}
