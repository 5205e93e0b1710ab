//! From a tree to a manifest. Says nothing: [`crate::check`] has already told every mistake, and what is mistaken gets
//! its default here, so that a wrong manifest still gives something to compile and to complain about.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;

use crate::check::{read_duration, read_seconds, read_size};
use crate::shape::Spelling;
use crate::spec::{
    Analysis, Arbitration, Artifact, ArtifactFormat, Axiom, Belief, Capabilities, Center, Destination,
    Execution, Falsification, FileGrant, Instrument, Limits, Manifest, Metadata, Parameters, Phase, Protocol,
    ProtocolKind, Reporting, StateRange, StatisticalTest, Step, Substrate, Visualization,
};
use crate::tree::At;

/// Probability from which a state counts as decided where the manifest does not say.
const DEFAULT_DECIDE_AT: f64 = 0.95;

/// The phases of the Kubernetes spelling where it names none; the last two only where they have something to do.
const DEFAULT_PHASES: [&str; 4] = ["initialization", "execution", "analysis", "reporting"];

/// The manifest of a body. `resource` is the whole document in the Kubernetes spelling.
pub(crate) fn manifest(body: At<'_>, resource: Option<At<'_>>) -> Manifest {
    let spelling = if resource.is_some() { Spelling::Kubernetes } else { Spelling::Wrapped };
    let resource_metadata = resource.and_then(|resource| resource.get("metadata"));
    let resource_name = resource_metadata.and_then(|metadata| text(metadata, "name"));
    let id = text(body, "id").or_else(|| resource_name.clone()).unwrap_or_default();
    Manifest {
        version: text(body, "version").unwrap_or_else(|| "1.0.0".to_owned()),
        name: text(body, "name").or(resource_name).unwrap_or_else(|| id.clone()),
        id,
        tenant: text(body, "tenant"),
        kind: text(body, "kind"),
        metadata: metadata(body.get("metadata"), resource_metadata),
        protocol: protocol(body, spelling),
        substrate: body.at(&["substrate", "source"]).and_then(substrate),
        instruments: instruments(body, spelling),
        execution: execution(body.get("execution")),
        preflight: items(body.at(&["validation", "preflight_checks"])).filter_map(word).collect(),
        falsification: Falsification {
            axioms: items(body.at(&["falsification", "axioms"])).filter_map(axiom).collect(),
        },
        arbitration: arbitration(body.get("arbitration")),
        belief: body.get("belief").and_then(belief),
        analysis: analysis(body.get("analysis")),
        reporting: reporting(body.get("reporting")),
        limits: limits(body.get("limits")),
        capabilities: capabilities(body.get("capabilities")),
    }
}

fn text(at: At<'_>, key: &str) -> Option<String> {
    at.get(key)?.text().map(str::to_owned)
}

/// A word as the variant of its enumeration.
fn word<T: for<'de> Deserialize<'de>>(at: At<'_>) -> Option<T> {
    let text = at.text()?;
    let deserializer: serde::de::value::StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(deserializer).ok()
}

fn word_of<T: for<'de> Deserialize<'de>>(at: At<'_>, key: &str) -> Option<T> {
    at.get(key).and_then(word)
}

fn number(at: At<'_>, key: &str) -> Option<f64> {
    at.get(key)?.number()
}

fn items(list: Option<At<'_>>) -> impl Iterator<Item = At<'_>> {
    list.into_iter().flat_map(At::items)
}

fn texts(at: At<'_>, key: &str) -> Vec<String> {
    items(at.get(key)).filter_map(At::text).map(str::to_owned).collect()
}

fn parameters(at: At<'_>) -> Parameters {
    at.get("parameters").map(At::object).unwrap_or_default()
}

fn metadata(body: Option<At<'_>>, resource: Option<At<'_>>) -> Metadata {
    let labels = resource.and_then(|resource| resource.get("labels"));
    Metadata {
        author: body.and_then(|at| text(at, "author")).unwrap_or_default(),
        created: body.and_then(|at| text(at, "created")),
        description: body.and_then(|at| text(at, "description")),
        tags: body.map(|at| texts(at, "tags")).unwrap_or_default(),
        labels: labels
            .into_iter()
            .flat_map(At::entries)
            .filter_map(|entry| Some((entry.key_text().to_owned(), entry.text()?.to_owned())))
            .collect(),
    }
}

fn protocol(body: At<'_>, spelling: Spelling) -> Protocol {
    match body.get("protocol") {
        Some(at) => Protocol {
            kind: word_of(at, "type").unwrap_or(ProtocolKind::Hybrid),
            phases: items(at.get("phases")).filter_map(phase).collect(),
        },
        None if spelling == Spelling::Kubernetes => {
            let wanted = |name: &&str| match *name {
                "analysis" | "reporting" => body.get(name).is_some(),
                _ => true,
            };
            let phases = DEFAULT_PHASES.iter().filter(|name| wanted(name));
            Protocol {
                kind: ProtocolKind::Hybrid,
                phases: phases.map(|name| Phase { name: (*name).to_owned(), steps: None }).collect(),
            }
        }
        None => Protocol { kind: ProtocolKind::Hybrid, phases: Vec::new() },
    }
}

/// Phases and steps keep their places: what is not even an object or a name becomes an empty one, so that positions
/// in the manifest and in the tree are the same.
fn phase(at: At<'_>) -> Option<Phase> {
    if at.is_map() {
        let steps = items(at.get("steps")).map(step).collect();
        return Some(Phase { name: text(at, "name").unwrap_or_default(), steps: Some(steps) });
    }
    Some(Phase { name: at.text().unwrap_or_default().to_owned(), steps: None })
}

fn step(at: At<'_>) -> Step {
    Step {
        name: text(at, "name").unwrap_or_default(),
        kind: text(at, "type").unwrap_or_else(|| "measurement".to_owned()),
        instrument: text(at, "instrument"),
        parameters: parameters(at),
        depends_on: texts(at, "depends_on"),
        break_on_failure: at.get("break_on_failure").and_then(At::boolean).unwrap_or(false),
    }
}

fn substrate(at: At<'_>) -> Option<Substrate> {
    match at.get("type")?.text()? {
        "synthetic" => {
            Some(Substrate::Synthetic { generator: text(at, "generator")?, parameters: parameters(at) })
        }
        "file" => Some(Substrate::File { path: text(at, "path")?, parameters: parameters(at) }),
        _ => None,
    }
}

fn instruments(body: At<'_>, spelling: Spelling) -> Vec<Instrument> {
    let declared = body.get("instruments");
    let mut taken: BTreeSet<String> = items(declared).filter_map(|at| text(at, "id")).collect();
    items(declared)
        .map(|at| {
            let kind = text(at, "type").unwrap_or_default();
            let id = match text(at, "id") {
                Some(id) => id,
                None if spelling == Spelling::Kubernetes => unique(&kind, &mut taken),
                None => String::new(),
            };
            Instrument {
                kind,
                id,
                provider: text(at, "provider").unwrap_or_else(|| "internal".to_owned()),
                parameters: parameters(at),
                probe_interval: at.get("probeInterval").and_then(read_duration),
            }
        })
        .collect()
}

/// The plugin's name without version or digest, made unique with `-2`, `-3`, …
fn unique(kind: &str, taken: &mut BTreeSet<String>) -> String {
    let name = kind.split('@').next().unwrap_or_default();
    let mut id = name.to_owned();
    let mut count = 1;
    while !taken.insert(id.clone()) {
        count += 1;
        id = format!("{name}-{count}");
    }
    id
}

fn execution(at: Option<At<'_>>) -> Execution {
    let default = Execution::default();
    let Some(at) = at else { return default };
    let small =
        |keys: &[&str]| at.at(keys).and_then(At::unsigned).and_then(|value| u32::try_from(value).ok());
    Execution {
        max_workers: small(&["concurrency", "max_workers"]).unwrap_or(default.max_workers),
        max_attempts: small(&["retry_policy", "max_attempts"]).unwrap_or(default.max_attempts),
        backoff_factor: at
            .at(&["retry_policy", "backoff_factor"])
            .and_then(At::number)
            .unwrap_or(default.backoff_factor),
        attempt_timeout: at.at(&["retry_policy", "timeout"]).and_then(read_seconds),
        timeout: at.get("timeout").and_then(read_seconds),
        history: small(&["history"]).unwrap_or(default.history),
    }
}

fn axiom(at: At<'_>) -> Option<Axiom> {
    if let Some(expression) = text(at, "expression") {
        return Some(Axiom::Expression { expression });
    }
    let (quantity, unit) = (text(at, "quantity")?, text(at, "unit"));
    if let Some(max_rate) = number(at, "max_rate") {
        return Some(Axiom::Rate { quantity, unit, max_rate, per: read_duration(at.get("per")?)? });
    }
    if let Some(agree_within) = number(at, "agree_within") {
        let of = word_of(at, "of").unwrap_or(Center::Median);
        return Some(Axiom::Agreement { quantity, unit, agree_within, of });
    }
    Some(Axiom::Bounds { quantity, unit, min: number(at, "min"), max: number(at, "max") })
}

fn arbitration(at: Option<At<'_>>) -> Arbitration {
    let default = Arbitration::default();
    let Some(at) = at else { return default };
    Arbitration {
        method: word_of(at, "method").unwrap_or(default.method),
        max_faulty: at
            .get("max_faulty")
            .and_then(At::unsigned)
            .and_then(|value| u32::try_from(value).ok())
            .unwrap_or(default.max_faulty),
        minimum_confidence: number(at, "minimum_confidence").unwrap_or(default.minimum_confidence),
    }
}

fn belief(at: At<'_>) -> Option<Belief> {
    let observe = at.get("observe")?;
    let ranges = observe.entries().filter(|entry| entry.key_text() != "quantity").map(|entry| {
        let range =
            StateRange { min: number(entry, "min"), max: number(entry, "max"), unit: text(entry, "unit") };
        (entry.key_text().to_owned(), range)
    });
    let rows = at.get("transition").into_iter().flat_map(At::entries).map(|row| {
        let row_values = row.entries().filter_map(|to| Some((to.key_text().to_owned(), to.number()?)));
        (row.key_text().to_owned(), row_values.collect::<BTreeMap<_, _>>())
    });
    Some(Belief {
        states: texts(at, "states"),
        quantity: text(observe, "quantity")?,
        ranges: ranges.collect(),
        transition: rows.collect(),
        decide_at: number(at, "decide_at").unwrap_or(DEFAULT_DECIDE_AT),
    })
}

fn analysis(at: Option<At<'_>>) -> Analysis {
    let Some(at) = at else { return Analysis::default() };
    Analysis {
        statistical: items(at.get("statistical"))
            .filter_map(|at| {
                Some(StatisticalTest {
                    test: word_of(at, "test")?,
                    groups: texts(at, "groups"),
                    parameters: parameters(at),
                })
            })
            .collect(),
        visualizations: items(at.get("visualizations"))
            .filter_map(|at| Some(Visualization { kind: word_of(at, "type")?, parameters: parameters(at) }))
            .collect(),
    }
}

fn reporting(at: Option<At<'_>>) -> Reporting {
    let Some(at) = at else { return Reporting::default() };
    Reporting {
        artifacts: items(at.get("artifacts"))
            .filter_map(|at| {
                Some(Artifact {
                    kind: word_of(at, "type")?,
                    format: word_of(at, "format").unwrap_or(ArtifactFormat::Markdown),
                    parameters: parameters(at),
                })
            })
            .collect(),
        destinations: items(at.get("destinations"))
            .filter(|at| at.get("type").and_then(At::text) == Some("file"))
            .filter_map(|at| Some(Destination::File { path: text(at, "path")?, parameters: parameters(at) }))
            .collect(),
    }
}

fn limits(at: Option<At<'_>>) -> Limits {
    let Some(at) = at else { return Limits::default() };
    Limits {
        memory: at.get("memory").and_then(read_size),
        fuel: at.get("fuel").and_then(At::unsigned),
        wall: at.get("wall").and_then(read_duration),
    }
}

fn capabilities(at: Option<At<'_>>) -> Capabilities {
    let Some(at) = at else { return Capabilities::default() };
    Capabilities {
        http: texts(at, "http"),
        tcp: texts(at, "tcp"),
        files: items(at.get("files"))
            .filter_map(|at| {
                let read_only = at.get("read_only").and_then(At::boolean).unwrap_or(true);
                Some(FileGrant { path: text(at, "path")?, read_only })
            })
            .collect(),
    }
}
