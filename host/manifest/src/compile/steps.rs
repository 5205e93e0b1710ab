//! Steps: what each of the manifest's steps and plain phases becomes in the plan.

use std::collections::{HashMap, HashSet};

use super::order::{Cycle, Disorder, Rank, Unit, arrange};
use super::{Compiler, MAX_EDGES, MAX_STEPS};
use crate::diagnostic::{Code, quote};
use crate::plan::{Action, PlannedStep};
use crate::spec::{Phase, ProtocolKind, Step};
use crate::tree::At;

/// What a step or a plain phase does, before it is known for which instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    SelfTest,
    Observe { counts: bool },
    Analyze,
    Report,
    Close,
}

impl Work {
    /// What a step does.
    pub(super) fn of_step(step: &Step) -> Self {
        match (step.kind.as_str(), &step.instrument) {
            ("calibration", _) => Self::SelfTest,
            ("diagnostic", _) => Self::Observe { counts: false },
            ("analysis", None) => Self::Analyze,
            ("reporting", _) => Self::Report,
            ("cleanup", _) => Self::Close,
            _ => Self::Observe { counts: true },
        }
    }

    /// What a phase given as a plain name does, and whether the name is one that the host knows.
    fn of_phase(name: &str) -> (Self, bool) {
        match name {
            "initialization" => (Self::SelfTest, true),
            "execution" => (Self::Observe { counts: true }, true),
            "analysis" => (Self::Analyze, true),
            "reporting" => (Self::Report, true),
            "cleanup" => (Self::Close, true),
            _ => (Self::Observe { counts: true }, false),
        }
    }

    fn rank(self) -> Rank {
        match self {
            Self::SelfTest | Self::Observe { .. } => Rank::Observe,
            Self::Analyze => Rank::Analyze,
            Self::Report => Rank::Report,
            Self::Close => Rank::Close,
        }
    }
}

/// A step of the manifest or a phase given as a plain name.
#[derive(Clone, Copy)]
struct Source<'a> {
    phase: &'a Phase,
    phase_index: usize,
    /// The step with its position in the phase.
    step: Option<(usize, &'a Step)>,
    work: Work,
}

impl Source<'_> {
    fn name(&self) -> &str {
        self.step.map_or(&self.phase.name, |(_, step)| &step.name)
    }

    fn path(&self) -> String {
        let phase = format!("protocol.phases[{}]", self.phase_index);
        match self.step {
            Some((index, _)) => format!("{phase}.steps[{index}]"),
            None => phase,
        }
    }

    /// The instrument that the step names, where its work is an instrument's.
    fn instrument(&self) -> Option<&str> {
        self.step.and_then(|(_, step)| step.instrument.as_deref())
    }

    fn parts(&self, instruments: usize) -> usize {
        match (self.work.rank(), self.instrument()) {
            (Rank::Observe, None) => instruments,
            _ => 1,
        }
    }
}

impl<'a> Compiler<'a> {
    /// The steps of the plan; none where they could not be put in order.
    pub(super) fn steps(&mut self) -> Option<Vec<PlannedStep>> {
        let sources = self.sources();
        for source in &sources {
            self.note_ignored(source);
        }
        self.note_late(&sources);
        let instruments = self.manifest.instruments.len();
        let names: HashMap<&str, usize> = sources
            .iter()
            .enumerate()
            .filter(|(_, source)| source.step.is_some())
            .map(|(index, source)| (source.name(), index))
            .collect();
        let units: Vec<Unit> = sources
            .iter()
            .map(|source| Unit {
                rank: source.work.rank(),
                phase: source.phase_index,
                parts: source.parts(instruments),
                after: source
                    .step
                    .iter()
                    .flat_map(|(_, step)| &step.depends_on)
                    .filter_map(|name| names.get(name.as_str()).copied())
                    .collect(),
            })
            .collect();
        let total = units.iter().fold(0_usize, |total, unit| total.saturating_add(unit.parts));
        if total > MAX_STEPS {
            let message = format!("the plan would have {total} steps; at most {MAX_STEPS} are accepted");
            let help = "a step without `instrument` becomes one for each instrument".to_owned();
            let phases = self.field(&["protocol", "phases"]);
            self.complain(phases, "protocol.phases", Code::PlanTooLarge, message, Some(help));
        }
        let arranged = match arrange(&units, self.manifest.protocol.kind) {
            Ok(arranged) => arranged,
            Err(disorder) => {
                self.disorder(&sources, disorder);
                return None;
            }
        };
        // With mistakes there is no plan; making the steps of a huge one would be for nothing.
        if self.diagnostics.has_errors() || self.parsed.diagnostics.has_errors() {
            return None;
        }
        let mut steps = Vec::with_capacity(total);
        let mut after = arranged.after.into_iter();
        let mut needs = arranged.needs.into_iter();
        let mut owners = Vec::with_capacity(total);
        for &unit in &arranged.units {
            let source = &sources[unit];
            for (name, action) in self.expand(source) {
                owners.push(unit);
                steps.push(PlannedStep {
                    name,
                    phase: source.phase.name.clone(),
                    action,
                    after: after.next().unwrap_or_default(),
                    needs: needs.next().unwrap_or_default(),
                    break_on_failure: source.step.is_some_and(|(_, step)| step.break_on_failure),
                });
            }
        }
        self.unique(&sources, &steps, &owners).then_some(steps)
    }

    fn sources(&mut self) -> Vec<Source<'a>> {
        let mut sources = Vec::new();
        for (phase_index, phase) in self.manifest.protocol.phases.iter().enumerate() {
            match &phase.steps {
                Some(steps) => sources.extend(steps.iter().enumerate().map(|(index, step)| Source {
                    phase,
                    phase_index,
                    step: Some((index, step)),
                    work: Work::of_step(step),
                })),
                None => {
                    let (work, known) = Work::of_phase(&phase.name);
                    if !known && !phase.name.is_empty() {
                        self.unknown_phase(phase_index, &phase.name);
                    }
                    sources.push(Source { phase, phase_index, step: None, work });
                }
            }
        }
        sources
    }

    fn unknown_phase(&mut self, index: usize, name: &str) {
        let message = format!(
            "the phase {} has no steps and no meaning of its own; it observes every instrument",
            quote(name)
        );
        let known = ["initialization", "execution", "analysis", "reporting", "cleanup"];
        let help = format!("{}, or give it steps", crate::text_rule::suggest(name, known));
        let at = self.field(&["protocol", "phases"]).and_then(|phases| phases.item(index));
        self.complain(at, &format!("protocol.phases[{index}]"), Code::UnknownPhase, message, Some(help));
    }

    /// Where a step or a plain phase stands.
    fn at(&self, source: &Source<'_>) -> Option<At<'a>> {
        let phase = self.field(&["protocol", "phases"])?.item(source.phase_index)?;
        match source.step {
            Some((index, _)) => phase.get("steps")?.item(index),
            None => Some(phase),
        }
    }

    /// Warn of fields that a step's work has no use for.
    fn note_ignored(&mut self, source: &Source<'a>) {
        let Some((_, step)) = source.step else { return };
        let what = match source.work {
            Work::Observe { .. } => return,
            Work::SelfTest => "a calibration",
            Work::Analyze => "an analysis of the host",
            Work::Report => "a reporting step",
            Work::Close => "a cleanup step",
        };
        if !step.parameters.is_empty() {
            self.ignored(source, "parameters", &format!("{what} takes no parameters"));
        }
        if step.instrument.is_some() && source.work != Work::SelfTest {
            self.ignored(source, "instrument", &format!("{what} is the host's work and asks no instrument"));
        }
    }

    fn ignored(&mut self, source: &Source<'a>, field: &str, why: &str) {
        let at = self.at(source).and_then(|step| step.get(field));
        let path = format!("{}.{field}", source.path());
        let message = format!("{} has no effect: {why}", quote(field));
        self.complain(at, &path, Code::IgnoredField, message, Some("leave it out".to_owned()));
    }

    /// Warn of steps of the host that stand before what they wait for.
    fn note_late(&mut self, sources: &[Source<'a>]) {
        let kind = self.manifest.protocol.kind;
        if !matches!(kind, ProtocolKind::Sequential | ProtocolKind::Hybrid) {
            return;
        }
        // From the end: the lowest rank that stands later, by its place in the order that the protocol promises.
        let mut lowest_after = Rank::Close;
        let mut lowest_in_phase = Rank::Close;
        let mut phase = usize::MAX;
        for source in sources.iter().rev() {
            if kind == ProtocolKind::Sequential || source.phase_index != phase {
                lowest_after = lowest_after.min(lowest_in_phase);
                lowest_in_phase = Rank::Close;
                phase = source.phase_index;
            }
            let rank = source.work.rank();
            if rank > lowest_after {
                let message = format!(
                    "{} runs later than it stands: after every step that it works on",
                    quote(source.name())
                );
                let help = "put it behind the steps that observe; analysis, reporting and cleanup come last, in this order";
                let at = self.at(source);
                self.complain(at, &source.path(), Code::LateStep, message, Some(help.to_owned()));
            }
            lowest_in_phase = lowest_in_phase.min(rank);
        }
    }

    fn disorder(&mut self, sources: &[Source<'a>], disorder: Disorder) {
        match disorder {
            Disorder::TooManyEdges(edges) => {
                let message = format!(
                    "the steps of the plan would have {edges} dependencies; at most {MAX_EDGES} are accepted"
                );
                let help = "between two phases of many parallel steps put one with a single step, or use fewer steps in a phase";
                let at = self.field(&["protocol", "phases"]);
                self.complain(at, "protocol.phases", Code::PlanTooLarge, message, Some(help.to_owned()));
            }
            Disorder::Cycles(cycles) => {
                for cycle in cycles {
                    self.cycle(sources, &cycle);
                }
            }
        }
    }

    fn cycle(&mut self, sources: &[Source<'a>], cycle: &Cycle) {
        /// Names shown of a long cycle.
        const MOST: usize = 20;
        let (first, second, message, help) = match cycle {
            Cycle::Declared(members) => {
                let mut names: Vec<&str> =
                    members.iter().take(MOST).map(|&unit| sources[unit].name()).collect();
                if members.len() > MOST {
                    names.push("…");
                }
                names.push(sources[members[0]].name());
                let message = format!("steps wait for each other: {}", names.join(" → "));
                (
                    members[0],
                    members[1 % members.len()],
                    message,
                    "take one of these dependencies out".to_owned(),
                )
            }
            &Cycle::AgainstProtocol(unit, before) => {
                let (name, other) = (sources[unit].name(), sources[before].name());
                let message = format!("steps wait for each other: {name} → {other} → {name}");
                let help = if sources[before].work.rank() > sources[unit].work.rank() {
                    format!(
                        "{} is the host's work on what was observed and runs after {}",
                        quote(other),
                        quote(name)
                    )
                } else {
                    let kind = match self.manifest.protocol.kind {
                        ProtocolKind::Sequential => "sequential",
                        ProtocolKind::Hybrid => "hybrid",
                        ProtocolKind::Parallel | ProtocolKind::Dag => "this",
                    };
                    format!(
                        "in a {kind} protocol {} runs after {}; put it before, or use `type: dag`",
                        quote(other),
                        quote(name)
                    )
                };
                (unit, before, message, help)
            }
        };
        let wanted = sources[second].name();
        let list = self.at(&sources[first]).and_then(|step| step.get("depends_on"));
        let index = list.and_then(|list| list.items().position(|at| at.text() == Some(wanted)));
        let at = list.and_then(|list| list.item(index.unwrap_or_default()));
        let path = format!("{}.depends_on[{}]", sources[first].path(), index.unwrap_or_default());
        self.complain(at, &path, Code::DependencyCycle, message, Some(help));
    }

    /// Names and actions of a unit's parts.
    fn expand(&self, source: &Source<'a>) -> Vec<(String, Action)> {
        let manifest = self.manifest;
        let action = |instrument: &str| match source.work {
            Work::SelfTest => Action::SelfTest { instrument: instrument.to_owned() },
            Work::Observe { counts } => Action::Observe {
                instrument: instrument.to_owned(),
                parameters: source.step.map(|(_, step)| step.parameters.clone()).unwrap_or_default(),
                counts,
            },
            Work::Analyze => Action::Analyze,
            Work::Report => Action::Report,
            Work::Close => Action::Close,
        };
        let name = source.name();
        match (source.work.rank(), source.instrument()) {
            (Rank::Observe, None) => manifest
                .instruments
                .iter()
                .map(|instrument| (format!("{name}/{}", instrument.id), action(&instrument.id)))
                .collect(),
            (_, instrument) => vec![(name.to_owned(), action(instrument.unwrap_or_default()))],
        }
    }

    /// Names that the manifest has once may still meet when steps are expanded.
    fn unique(&mut self, sources: &[Source<'a>], steps: &[PlannedStep], owners: &[usize]) -> bool {
        let mut seen = HashSet::with_capacity(steps.len());
        let mut unique = true;
        let mut told = HashSet::new();
        for (step, &owner) in steps.iter().zip(owners) {
            if !seen.insert(step.name.as_str()) {
                unique = false;
                if told.insert(owner) {
                    let source = &sources[owner];
                    let message = format!("the plan has two steps of the name {}", quote(&step.name));
                    let help = "a step without `instrument` and a plain phase become one step for each instrument, named `name/id`";
                    let at = self.at(source);
                    self.complain(at, &source.path(), Code::DuplicateName, message, Some(help.to_owned()));
                }
            }
        }
        unique
    }
}
