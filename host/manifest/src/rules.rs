//! What values must be beside each other: unique names, references that lead somewhere, ranges that are not empty.

use std::collections::{BTreeSet, HashMap};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, nearest, quote};
use crate::spec::{Manifest, Method};
use crate::text_rule::suggest;
use crate::tree::{At, Path};

/// Judges a body.
pub(crate) struct Rules<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) diagnostics: &'a mut Diagnostics,
}

impl Rules<'_> {
    pub(crate) fn check(&mut self, body: At<'_>, path: &Path<'_>) {
        self.instruments(body, path);
        self.protocol(body, path);
        if let Some(axioms) = body.at(&["falsification", "axioms"]) {
            let path = path.key("falsification");
            let path = path.key("axioms");
            for (index, axiom) in axioms.items().enumerate() {
                self.range(axiom, &path.index(index));
            }
        }
        if let Some(at) = body.get("arbitration") {
            self.arbitration(at, &path.key("arbitration"));
        }
        if let Some(history) = body.at(&["execution", "history"]) {
            let path = path.key("execution");
            self.history(history, &path.key("history"));
        }
        if let Some(at) = body.get("belief") {
            self.belief(at, &path.key("belief"));
        }
        if let Some(tests) = body.at(&["analysis", "statistical"]) {
            let path = path.key("analysis");
            let path = path.key("statistical");
            for (index, test) in tests.items().enumerate() {
                self.groups(test, &path.index(index));
            }
        }
    }

    fn push(&mut self, at: At<'_>, code: Code, path: &Path<'_>, message: String, help: Option<String>) {
        self.diagnostics.push(Diagnostic::new(at.source(), code, at.span(), path, message).maybe_help(help));
    }

    fn duplicate(&mut self, at: At<'_>, first: At<'_>, path: &Path<'_>, what: &str, name: &str) {
        let found = Diagnostic::new(
            at.source(),
            Code::DuplicateName,
            at.span(),
            path,
            format!("the {what} {} is given twice", quote(name)),
        );
        self.diagnostics.push(found.help(format!("give each {what} once")).related(
            at.source(),
            first.span(),
            "first given here",
        ));
    }

    fn instruments(&mut self, body: At<'_>, path: &Path<'_>) {
        let Some(list) = body.get("instruments") else { return };
        let path = path.key("instruments");
        let mut seen: HashMap<&str, At<'_>> = HashMap::new();
        for (index, instrument) in list.items().enumerate() {
            let Some(id_at) = instrument.get("id") else { continue };
            let Some(id) = id_at.text() else { continue };
            match seen.get(id) {
                Some(first) => {
                    self.duplicate(id_at, *first, &path.index(index).key("id"), "instrument id", id);
                }
                None => {
                    seen.insert(id, id_at);
                }
            }
        }
    }

    /// Whether every declared instrument has a name. Where one lacks it, a reference that leads nowhere is probably
    /// no second mistake.
    fn instruments_are_named(&self) -> bool {
        self.manifest.instruments.iter().all(|instrument| !instrument.id.is_empty())
    }

    fn reference(&mut self, at: At<'_>, path: &Path<'_>) {
        let Some(id) = at.text() else { return };
        let declared = || self.manifest.instruments.iter().map(|instrument| instrument.id.as_str());
        if declared().any(|declared| declared == id) || !self.instruments_are_named() {
            return;
        }
        let help = match self.manifest.instruments.is_empty() {
            true => "declare it under `instruments`".to_owned(),
            false => suggest(id, declared()),
        };
        self.push(
            at,
            Code::UnknownInstrument,
            path,
            format!("no instrument has the id {}", quote(id)),
            Some(help),
        );
    }

    fn protocol(&mut self, body: At<'_>, path: &Path<'_>) {
        let Some(phases) = body.at(&["protocol", "phases"]) else { return };
        let path = path.key("protocol");
        let path = path.key("phases");
        let mut names: HashMap<&str, At<'_>> = HashMap::new();
        for (index, phase) in phases.items().enumerate() {
            let path = path.index(index);
            for (index, step) in phase.get("steps").into_iter().flat_map(At::items).enumerate() {
                let Some((at, name)) = step.get("name").and_then(|at| Some((at, at.text()?))) else {
                    continue;
                };
                let steps = path.key("steps");
                let path = steps.index(index);
                match names.get(name) {
                    Some(first) => self.duplicate(at, *first, &path.key("name"), "step name", name),
                    None => {
                        names.insert(name, at);
                    }
                }
            }
        }
        for (index, phase) in phases.items().enumerate() {
            let path = path.index(index);
            let path = path.key("steps");
            for (index, step) in phase.get("steps").into_iter().flat_map(At::items).enumerate() {
                let path = path.index(index);
                if let Some(instrument) = step.get("instrument") {
                    self.reference(instrument, &path.key("instrument"));
                }
                self.dependencies(step, &path, &names);
            }
        }
    }

    fn dependencies(&mut self, step: At<'_>, path: &Path<'_>, names: &HashMap<&str, At<'_>>) {
        let Some(list) = step.get("depends_on") else { return };
        let path = path.key("depends_on");
        for (index, at) in list.items().enumerate() {
            let Some(name) = at.text() else { continue };
            if names.contains_key(name) {
                continue;
            }
            let help = nearest(name, names.keys().copied().collect::<std::collections::BTreeSet<_>>())
                .map_or_else(
                    || "write the name of a step of this manifest".to_owned(),
                    |near| format!("did you mean {}?", quote(near)),
                );
            let message = format!("no step has the name {}", quote(name));
            self.push(at, Code::UnknownDependency, &path.index(index), message, Some(help));
        }
    }

    /// Where an object has `min` and `max`, they are in order.
    fn range(&mut self, at: At<'_>, path: &Path<'_>) {
        let (Some(min_at), Some(max_at)) = (at.get("min"), at.get("max")) else { return };
        let (Some(min), Some(max)) = (min_at.number(), max_at.number()) else { return };
        if min > max {
            let found = Diagnostic::new(
                at.source(),
                Code::Conflict,
                max_at.span(),
                path.key("max"),
                format!("max {max} is below min {min}; nothing lies between them"),
            );
            self.diagnostics.push(found.related(at.source(), min_at.span(), "min is here"));
        }
    }

    fn arbitration(&mut self, at: At<'_>, path: &Path<'_>) {
        let arbitration = &self.manifest.arbitration;
        if let (Some(engine), Some(method)) = (at.get("engine"), at.get("method"))
            && engine.text() == Some("hermeneutic")
            && arbitration.method != Method::WeightedMean
        {
            let message = "`engine` stands for the default method, but `method` names another, which is used"
                .to_owned();
            let help = format!("leave `engine` out beside `method: {}`", method.text().unwrap_or_default());
            self.push(engine, Code::IgnoredField, &path.key("engine"), message, Some(help));
        }
        let Some(faulty_at) = at.get("max_faulty") else { return };
        let needed = instruments_needed(arbitration.method, arbitration.max_faulty);
        let declared = self.manifest.instruments.len() as u64;
        if declared < needed && declared > 0 {
            let method = at.get("method").and_then(At::text).unwrap_or("weighted_mean");
            let message = format!(
                "{method} with max_faulty {} needs at least {needed} instruments; {declared} declared",
                arbitration.max_faulty
            );
            let help = "declare more instruments, or lower max_faulty".to_owned();
            self.push(faulty_at, Code::TooFewInstruments, &path.key("max_faulty"), message, Some(help));
        }
    }

    fn history(&mut self, at: At<'_>, path: &Path<'_>) {
        if self.manifest.instruments.iter().any(|instrument| instrument.probe_interval.is_some()) {
            return;
        }
        let message =
            "`history` has no effect: no instrument has a probeInterval, so every step is observed once"
                .to_owned();
        let help = "leave it out, or give an instrument a probeInterval".to_owned();
        self.push(at, Code::IgnoredField, path, message, Some(help));
    }

    fn belief(&mut self, at: At<'_>, path: &Path<'_>) {
        let Some(states_at) = at.get("states") else { return };
        let mut states: Vec<&str> = Vec::new();
        for (index, state) in states_at.items().enumerate() {
            let Some(name) = state.text() else { continue };
            let states_path = path.key("states");
            if states.contains(&name) {
                let first = states_at.items().find(|at| at.text() == Some(name)).unwrap_or(state);
                self.duplicate(state, first, &states_path.index(index), "state", name);
            } else if name == "quantity" {
                let message =
                    "`quantity` cannot be the name of a state: `observe` has a field of that name".to_owned();
                self.push(state, Code::Conflict, &states_path.index(index), message, None);
            } else {
                states.push(name);
            }
        }
        if let Some(observe) = at.get("observe") {
            self.observed(observe, &path.key("observe"), &states);
        }
        if let Some(transition) = at.get("transition") {
            self.transition(transition, &path.key("transition"), &states);
        }
    }

    fn unknown_state(&mut self, at: At<'_>, path: &Path<'_>, states: &[&str]) -> bool {
        let name = at.key_text();
        if states.contains(&name) {
            return false;
        }
        let message = format!("{} is not among the states", quote(name));
        let found = Diagnostic::new(at.source(), Code::UnknownState, at.key_span(), path, message);
        self.diagnostics.push(found.help(suggest(name, states.iter().copied())));
        true
    }

    fn observed(&mut self, observe: At<'_>, path: &Path<'_>, states: &[&str]) {
        for entry in observe.entries().filter(|entry| entry.key_text() != "quantity") {
            let path = path.key(entry.key_text());
            self.unknown_state(entry, &path, states);
            self.range(entry, &path);
        }
        let without: Vec<&str> =
            states.iter().copied().filter(|state| observe.get(state).is_none()).collect();
        if without.len() > 1 {
            let message = format!(
                "the states {} have no range, so nothing tells them apart",
                crate::diagnostic::list(without.iter().copied()).replace(" or ", " and ")
            );
            let help =
                "give a range to every state but at most one, which is what lies outside of the others"
                    .to_owned();
            self.push(observe, Code::UnobservedState, path, message, Some(help));
        }
    }

    fn transition(&mut self, transition: At<'_>, path: &Path<'_>, states: &[&str]) {
        /// Room for the rounding of sums such as 0.1 + 0.2 + 0.7.
        const ROUNDING: f64 = 1e-9;
        for row in transition.entries() {
            let from = row.key_text();
            let path = path.key(from);
            if self.unknown_state(row, &path, states) {
                continue;
            }
            let mut sum = 0.0;
            for entry in row.entries() {
                let path = path.key(entry.key_text());
                if entry.key_text() == from {
                    let message =
                        "the probability to stay is what the row leaves; it is not given".to_owned();
                    self.push(entry, Code::Conflict, &path, message, Some("leave it out".to_owned()));
                } else if !self.unknown_state(entry, &path, states) {
                    sum += entry.number().unwrap_or_default();
                }
            }
            // A probability that is none by itself has been complained of.
            let each_right = row.entries().filter_map(At::number).all(|value| (0.0..=1.0).contains(&value));
            if each_right && sum > 1.0 + ROUNDING {
                let message = format!("the probabilities of leaving {} sum to {sum}, above 1", quote(from));
                self.push(row, Code::OutOfRange, &path, message, None);
            }
        }
    }

    fn groups(&mut self, test: At<'_>, path: &Path<'_>) {
        let Some(groups) = test.get("groups") else { return };
        let path = path.key("groups");
        let mut seen = BTreeSet::new();
        for (index, group) in groups.items().enumerate() {
            self.reference(group, &path.index(index));
            // Its readings would count twice, and the test be surer than they allow.
            if let Some(id) = group.text()
                && !seen.insert(id)
            {
                let message = format!("the group {} is given twice", quote(id));
                let help = Some("give each instrument once".to_owned());
                self.push(group, Code::DuplicateName, &path.index(index), message, help);
            }
        }
    }
}

/// How many instruments a method needs to stand `faulty` arbitrary liars: a majority of honest ones, and for the fusion
/// of Brooks and Iyengar more than two thirds. The same bounds hold for the readings that are left when the finding is
/// made; here they refuse what could never be answered.
fn instruments_needed(method: Method, faulty: u32) -> u64 {
    let faulty = u64::from(faulty);
    match method {
        Method::BrooksIyengar => 3 * faulty + 1,
        Method::WeightedMean
        | Method::Median
        | Method::Huber
        | Method::DersimonianLaird
        | Method::Marzullo => 2 * faulty + 1,
    }
}
