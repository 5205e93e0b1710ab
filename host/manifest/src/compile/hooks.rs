//! Units, expressions and the parameters of substrate, tests, charts and reports: the catalogue judges them, this says
//! where they are.

use std::collections::HashMap;

use super::Compiler;
use super::parameters::path_of;
use crate::catalogue::ParameterOwner;
use crate::diagnostic::{Code, quote};
use crate::problem::ParameterProblem;
use crate::tree::At;

impl<'a> Compiler<'a> {
    /// Have every unit and every expression judged.
    pub(super) fn ask_catalogue(&mut self) {
        // The same unit stands in many axioms; judging it may cost a parse.
        let mut judged: HashMap<&'a str, Result<(), String>> = HashMap::new();
        for (index, axiom) in
            self.field(&["falsification", "axioms"]).into_iter().flat_map(At::items).enumerate()
        {
            self.unit(axiom, &format!("falsification.axioms[{index}]"), &mut judged);
            let Some((at, text)) = axiom.get("expression").and_then(|at| Some((at, at.text()?))) else {
                continue;
            };
            if text.is_empty() {
                continue;
            }
            if let Err(reason) = self.catalogue.check_expression(text) {
                let message = format!("the expression cannot be used: {reason}");
                let path = format!("falsification.axioms[{index}].expression");
                self.complain(Some(at), &path, Code::InvalidExpression, message, None);
            }
        }
        for range in self.field(&["belief", "observe"]).into_iter().flat_map(At::entries) {
            self.unit(range, &format!("belief.observe.{}", range.key_text()), &mut judged);
        }
        for (owner, problem) in self.catalogue.check_parameters(self.manifest) {
            self.refused_parameter(owner, &problem);
        }
    }

    fn refused_parameter(&mut self, owner: ParameterOwner, problem: &ParameterProblem) {
        let (keys, item): (&[&str], Option<(usize, usize)>) = match owner {
            ParameterOwner::Substrate => (&["substrate", "source"], None),
            ParameterOwner::Test(index) => {
                (&["analysis", "statistical"], Some((index, self.manifest.analysis.statistical.len())))
            }
            ParameterOwner::Visualization(index) => {
                (&["analysis", "visualizations"], Some((index, self.manifest.analysis.visualizations.len())))
            }
            ParameterOwner::Artifact(index) => {
                (&["reporting", "artifacts"], Some((index, self.manifest.reporting.artifacts.len())))
            }
            ParameterOwner::Destination(index) => {
                (&["reporting", "destinations"], Some((index, self.manifest.reporting.destinations.len())))
            }
        };
        let mut owner = self.field(keys);
        let mut path = keys.join(".");
        if let Some((index, count)) = item {
            // An item with mistakes of its own is not in the manifest, and then positions do not tell which is meant.
            if owner.is_some_and(|list| list.items().count() != count) {
                return;
            }
            owner = owner.and_then(|list| list.items().nth(index));
            path = format!("{path}[{index}]");
        }
        let at = owner.map(|owner| owner.pointer(&problem.pointer));
        let path = format!("{path}{}", path_of(owner, &problem.pointer));
        self.complain(at, &path, Code::InvalidParameter, problem.message.clone(), None);
    }

    fn unit(&mut self, at: At<'a>, path: &str, judged: &mut HashMap<&'a str, Result<(), String>>) {
        let Some((at, code)) = at.get("unit").and_then(|at| Some((at, at.text()?))) else { return };
        if code.is_empty() {
            return;
        }
        let verdict = judged.entry(code).or_insert_with(|| self.catalogue.check_unit(code)).clone();
        if let Err(reason) = verdict {
            let message = format!("{} is not a UCUM code: {reason}", quote(code));
            let help = "units are UCUM codes and case-sensitive, as `Cel`, `K`, `%`, `m/s`".to_owned();
            self.complain(Some(at), &format!("{path}.unit"), Code::InvalidUnit, message, Some(help));
        }
    }
}
