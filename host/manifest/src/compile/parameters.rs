//! Parameters: the JSON Schema of the plugin judges them, and what it refuses is found again in the text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::Compiler;
use super::instruments::Resolved;
use super::schema_guard::Guarded;
use super::steps::Work;
use crate::catalogue::PluginInfo;
use crate::diagnostic::{Code, Diagnostic, list, nearest, quote};
use crate::secret;
use crate::spec::Parameters;
use crate::tree::At;

/// Values of parameters times values of their schema, in all of a manifest: what checking costs, roughly. A manifest
/// of ten thousand steps with ten parameters each and a schema of a hundred values takes a tenth of it.
const MAX_WORK: usize = 100_000_000;

/// Errors of one object of parameters. A schema can refuse the same value many times over.
const MAX_ERRORS: usize = 100;

/// Which of a plugin's two schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    Session,
    Step,
}

/// Validators of schemas, by plugin: many instruments and steps share one.
struct Schemas<'a> {
    compiled: BTreeMap<(&'a str, Which), Option<Arc<Guarded>>>,
    work_left: usize,
}

/// Parameters and where they stand.
struct Subject<'a> {
    parameters: &'a Parameters,
    /// The instrument or the step that has them.
    owner: Option<At<'a>>,
    /// Path of that.
    path: String,
}

impl<'a> Compiler<'a> {
    /// Check the parameters of every instrument and of every step that observes.
    pub(super) fn check_parameters(&mut self, resolved: &Resolved) {
        let manifest = self.manifest;
        let mut schemas = Schemas { compiled: BTreeMap::new(), work_left: MAX_WORK };
        let declared = self.field(&["instruments"]);
        for (index, (instrument, plugin)) in manifest.instruments.iter().zip(resolved).enumerate() {
            let Some(plugin) = plugin else { continue };
            let subject = Subject {
                parameters: &instrument.parameters,
                owner: declared.and_then(|list| list.item(index)),
                path: format!("instruments[{index}]"),
            };
            self.check_subject(&mut schemas, plugin, Which::Session, &subject);
        }
        let plugins: BTreeMap<&str, &Arc<PluginInfo>> = manifest
            .instruments
            .iter()
            .zip(resolved)
            .filter_map(|(instrument, plugin)| Some((instrument.id.as_str(), plugin.as_ref()?)))
            .collect();
        let mut every: BTreeMap<&str, &Arc<PluginInfo>> = BTreeMap::new();
        for plugin in resolved.iter().flatten() {
            every.insert(&plugin.digest, plugin);
        }
        let phases_at = self.field(&["protocol", "phases"]);
        for (phase_index, phase) in manifest.protocol.phases.iter().enumerate() {
            let steps_at =
                phases_at.and_then(|phases| phases.item(phase_index)).and_then(|phase| phase.get("steps"));
            for (index, step) in phase.steps.iter().flatten().enumerate() {
                if !matches!(Work::of_step(step), Work::Observe { .. }) {
                    continue;
                }
                let subject = Subject {
                    parameters: &step.parameters,
                    owner: steps_at.and_then(|steps| steps.item(index)),
                    path: format!("protocol.phases[{phase_index}].steps[{index}]"),
                };
                match &step.instrument {
                    Some(id) => {
                        if let Some(plugin) = plugins.get(id.as_str()) {
                            self.check_subject(&mut schemas, plugin, Which::Step, &subject);
                        }
                    }
                    None => {
                        for plugin in every.values() {
                            self.check_subject(&mut schemas, plugin, Which::Step, &subject);
                        }
                    }
                }
            }
        }
    }

    fn check_subject<'p>(
        &mut self,
        schemas: &mut Schemas<'p>,
        plugin: &'p PluginInfo,
        which: Which,
        subject: &Subject<'a>,
    ) {
        let schema = match which {
            Which::Session => &plugin.parameters_schema,
            Which::Step => &plugin.step_parameters_schema,
        };
        let compiled =
            schemas.compiled.entry((&plugin.digest, which)).or_insert_with(|| match schema.validator() {
                Ok(guarded) => Some(guarded),
                Err(reason) => {
                    self.invalid_schema(plugin, which, subject, &reason);
                    None
                }
            });
        let Some(guarded) = compiled else { return };
        let work = count(subject.parameters).saturating_mul(guarded.nodes.get());
        if work > schemas.work_left {
            // Told once: the budget is then empty, and what comes later is as large or does not matter any more.
            if schemas.work_left > 0 {
                schemas.work_left = 0;
                let message = "the parameters of this manifest are too many to be checked".to_owned();
                let help = "put data into the substrate, and use fewer or smaller parameters".to_owned();
                self.complain(subject.owner, &subject.path, Code::PlanTooLarge, message, Some(help));
            }
            return;
        }
        schemas.work_left -= work;
        let value = Value::Object(subject.parameters.clone());
        if guarded.validator.is_valid(&value) {
            return;
        }
        for error in guarded.validator.iter_errors(&value).take(MAX_ERRORS) {
            if !excused(&error) {
                self.refused(plugin, schema, subject, &error);
            }
        }
    }

    fn invalid_schema(&mut self, plugin: &PluginInfo, which: Which, subject: &Subject<'a>, reason: &str) {
        let what = match which {
            Which::Session => "parameters",
            Which::Step => "parameters of steps",
        };
        let message = format!(
            "the plugin {} has a JSON Schema of its {what} that cannot be used: {reason}",
            quote(&plugin.name)
        );
        let help = "the fault is the plugin's, not the manifest's; tell its author, or use another version"
            .to_owned();
        let at =
            subject.owner.map(|owner| owner.get("type").or_else(|| owner.get("instrument")).unwrap_or(owner));
        self.complain(at, &subject.path, Code::InvalidPluginSchema, message, Some(help));
    }

    fn refused(
        &mut self,
        plugin: &PluginInfo,
        schema: &Value,
        subject: &Subject<'a>,
        error: &ValidationError<'_>,
    ) {
        let root = subject.owner.and_then(|owner| owner.get("parameters"));
        let pointer = error.instance_path().as_str();
        let at = root.map(|root| root.pointer(pointer)).or(subject.owner);
        let path = format!("{}.parameters{}", subject.path, path_of(root, pointer));
        let keyword_parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        let own_schema = schema.pointer(keyword_parent);
        let described = own_schema.and_then(|schema| schema.get("description")).and_then(Value::as_str);
        let of_plugin = format!("the plugin {}", quote(&plugin.name));
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known: Vec<&str> = own_schema
                    .and_then(|schema| schema.get("properties"))
                    .and_then(Value::as_object)
                    .map(|properties| properties.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                for key in unexpected {
                    let help = match nearest(key, known.iter().copied()) {
                        Some(near) => format!("did you mean {}?", quote(near)),
                        None => format!("it takes {}", list(known.iter().copied()).replace(" or ", " and ")),
                    };
                    let entry = at.and_then(|at| at.get(key));
                    let span = entry.or(at).map(At::key_span).unwrap_or_default();
                    let message = format!("{of_plugin} has no parameter {}", quote(key));
                    let path = self.path(&format!("{path}.{key}"));
                    let found =
                        Diagnostic::new(self.parsed.source(), Code::InvalidParameter, span, path, message);
                    self.diagnostics.push(found.help(help));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let about = own_schema
                    .and_then(|schema| {
                        schema.pointer(&format!("/properties/{}", name.replace('~', "~0").replace('/', "~1")))
                    })
                    .and_then(|property| property.get("description"))
                    .and_then(Value::as_str);
                let help = match about {
                    Some(about) => format!("add `{name}`: {about}"),
                    None => format!("add `{name}`"),
                };
                let message = format!("{of_plugin} needs the parameter {}", quote(name));
                self.complain(at, &format!("{path}.{name}"), Code::InvalidParameter, message, Some(help));
            }
            kind => {
                let message = match kind {
                    ValidationErrorKind::Type { kind } => {
                        let found = at.map_or_else(|| "nothing".to_owned(), At::describe);
                        format!("{of_plugin} expects {}, found {found}", say_types(kind))
                    }
                    ValidationErrorKind::Enum { options } => {
                        format!("{of_plugin} takes one of {}", say_options(options))
                    }
                    // What a schema says that takes no parameters at all.
                    ValidationErrorKind::FalseSchema => match pointer.rsplit_once('/') {
                        Some((_, name)) => format!("{of_plugin} has no parameter {}", quote(name)),
                        None => format!("{of_plugin} takes no parameters here"),
                    },
                    _ => format!("{of_plugin} refuses it: {}", error.masked_with("the value")),
                };
                self.complain(at, &path, Code::InvalidParameter, message, described.map(str::to_owned));
            }
        }
    }
}

/// Whether an error may be due to a secret whose value is not known yet. The plugin judges it when it is.
fn excused(error: &ValidationError<'_>) -> bool {
    let instance = error.instance();
    if let Value::String(text) = instance.as_ref() {
        // One that is malformed has been complained of.
        if secret::is_malformed(text) {
            return true;
        }
        let is_type = matches!(error.kind(), ValidationErrorKind::Type { .. });
        return if is_type { secret::is_whole(text) } else { secret::is_in(text) };
    }
    match error.kind() {
        // What these say of an object or a list does not depend on what its texts hold.
        ValidationErrorKind::Required { .. }
        | ValidationErrorKind::Type { .. }
        | ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::AdditionalItems { .. }
        | ValidationErrorKind::PropertyNames { .. }
        | ValidationErrorKind::MaxItems { .. }
        | ValidationErrorKind::MinItems { .. }
        | ValidationErrorKind::MaxProperties { .. }
        | ValidationErrorKind::MinProperties { .. } => false,
        _ => secret::within(instance),
    }
}

/// Values of parameters, each counted.
fn count(parameters: &Parameters) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(of).sum::<usize>(),
            Value::Object(fields) => 1 + fields.values().map(of).sum::<usize>(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        }
    }
    1 + parameters.values().map(of).sum::<usize>()
}

/// A JSON Pointer as the rest of a path.
pub(super) fn path_of(root: Option<At<'_>>, pointer: &str) -> String {
    let mut path = String::new();
    let mut at = root;
    for token in pointer.split('/').skip(1) {
        let is_list = at.is_some_and(At::is_list);
        at = at.map(|at| at.pointer(&format!("/{token}")));
        let token = token.replace("~1", "/").replace("~0", "~");
        path.push_str(&if is_list { format!("[{token}]") } else { format!(".{token}") });
    }
    path
}

fn say_types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => format!("a value of type {kind}"),
        TypeKind::Multiple(kinds) => {
            let names: BTreeSet<String> = kinds.iter().map(|kind| kind.to_string()).collect();
            format!("a value of type {}", list(names.iter().map(String::as_str)))
        }
    }
}

fn say_options(options: &Value) -> String {
    let options: Vec<String> = options
        .as_array()
        .into_iter()
        .flatten()
        .map(|option| quote(option.as_str().unwrap_or(&option.to_string())))
        .collect();
    list(options.iter().map(String::as_str))
}
