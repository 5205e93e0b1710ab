//! The description of the manifest: every object, every field, every word and every range, once.

use crate::compile::{MAX_INSTRUMENTS, MAX_STEPS};
use crate::shape::{Field, Form, Forms, Need, Object, Others, Shape, Tagged, TextRule, Words};
use crate::spec::MAX_HISTORY;

/// `apiVersion` of the Kubernetes spelling.
pub const API_VERSION: &str = "apparatus.wadelabs.io/v1";
/// `kind` of the Kubernetes spelling.
pub const RESOURCE_KIND: &str = "InquiryManifest";

/// Shortest interval at which a continuous inquiry may observe an instrument, in nanoseconds (10 ms). Each observation
/// is an entry of the ledger for ever.
pub const MIN_PROBE_INTERVAL: u64 = 10_000_000;

/// Entries of a list that costs the host work for each: axioms on every reading, charts and reports in every artifact.
const MAX_DECLARATIONS: usize = 1000;
/// States of a belief; the cost of a moment is the square of it.
const MAX_STATES: usize = 32;

const fn required(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, need: Need::Required, about }
}

const fn optional(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, need: Need::Optional, about }
}

const fn required_when_wrapped(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, need: Need::RequiredWhenWrapped, about }
}

const fn object(name: &'static str, about: &'static str, fields: &'static [Field]) -> Object {
    Object { name, about, fields, rest: None, one_of: &[] }
}

const fn closed(what: &'static str, known: &'static [&'static str]) -> Words {
    Words { what, known, unsupported: &[], others: Others::Refused }
}

const ANY: Shape = Shape::Text(TextRule::Any);
const NAME: Shape = Shape::Text(TextRule::Name);
const ANY_NUMBER: Shape = Shape::Number { min: f64::NEG_INFINITY, max: f64::INFINITY, above: false };
const POSITIVE: Shape = Shape::Number { min: 0.0, max: f64::INFINITY, above: true };
const PROBABILITY: Shape = Shape::Number { min: 0.0, max: 1.0, above: false };
static NAME_ITEM: Shape = NAME;
static ANY_ITEM: Shape = ANY;
static AUTHORITY_ITEM: Shape = Shape::Text(TextRule::Authority);
static PROBABILITY_ITEM: Shape = PROBABILITY;

const fn list_of(item: &'static Shape, max: usize) -> Shape {
    Shape::List { item, min: 0, max }
}

/// The file of the wrapped spelling.
pub(crate) static WRAPPER: Object = object(
    "wrapped-manifest",
    "An inquiry manifest.",
    &[required("manifest", Shape::Object(&BODY), "The manifest.")],
);

/// The file of the Kubernetes spelling.
pub(crate) static RESOURCE: Object = object(
    "resource",
    "An inquiry manifest as a Kubernetes resource.",
    &[
        required("apiVersion", Shape::Words(&API_VERSIONS), "Version of the resource."),
        required("kind", Shape::Words(&RESOURCE_KINDS), "Kind of the resource."),
        required("metadata", Shape::Object(&RESOURCE_METADATA), "Name and labels."),
        required("spec", Shape::Object(&BODY), "The manifest's body."),
    ],
);

static API_VERSIONS: Words = closed("version of the resource", &[API_VERSION]);
static RESOURCE_KINDS: Words = closed("kind of resource", &[RESOURCE_KIND]);

static RESOURCE_METADATA: Object = object(
    "resource-metadata",
    "Name and labels of the resource.",
    &[
        required("name", NAME, "The manifest's id, and its name where `spec.name` gives none."),
        optional("labels", Shape::Map { value: &ANY_ITEM, max: MAX_DECLARATIONS }, "Labels for search."),
    ],
);

/// The body that both spellings share.
pub(crate) static BODY: Object = object(
    "manifest",
    "What an inquiry asks for.",
    &[
        required_when_wrapped(
            "version",
            Shape::Text(TextRule::Version),
            "Version of the schema, `1.0` or `1.0.0`.",
        ),
        required_when_wrapped("id", NAME, "Identifier, unique among a tenant's manifests."),
        required_when_wrapped("name", NAME, "Name for people."),
        optional("tenant", NAME, "The tenant that asks; the key's own where none is named."),
        optional(
            "kind",
            NAME,
            "The type of inquiry, which a tenant's policy allows or not, as `COMPLIANCE`.",
        ),
        required_when_wrapped("metadata", Shape::Object(&METADATA), "Author, time, description, tags."),
        required_when_wrapped("protocol", Shape::Object(&PROTOCOL), "What to do, in which order."),
        optional("substrate", Shape::Object(&SUBSTRATE), "Where the data come from."),
        required(
            "instruments",
            Shape::List { item: &INSTRUMENT_ITEM, min: 1, max: MAX_INSTRUMENTS },
            "The instruments to ask.",
        ),
        optional("execution", Shape::Object(&EXECUTION), "Concurrency, retries, time limits."),
        optional("validation", Shape::Object(&VALIDATION), "Checks before the first step."),
        optional("falsification", Shape::Object(&FALSIFICATION), "Axioms that readings must satisfy."),
        optional("arbitration", Shape::Object(&ARBITRATION), "How readings are combined."),
        optional("belief", Shape::Object(&BELIEF), "A question of state over time."),
        optional("analysis", Shape::Object(&ANALYSIS), "Statistical tests and charts."),
        optional("reporting", Shape::Object(&REPORTING), "Artifacts to write."),
        optional("limits", Shape::Object(&LIMITS), "Limits of each call of an instrument."),
        optional("capabilities", Shape::Object(&CAPABILITIES), "Access that the instruments get."),
    ],
);

static METADATA: Object = object(
    "metadata",
    "Who made the manifest and what for.",
    &[
        required_when_wrapped("author", NAME, "Author."),
        optional("created", Shape::Text(TextRule::Time), "Time of creation, RFC 3339."),
        optional("description", ANY, "What the inquiry is for."),
        optional("tags", list_of(&NAME_ITEM, MAX_DECLARATIONS), "Tags for search."),
    ],
);

static PROTOCOL: Object = object(
    "protocol",
    "The order of work.",
    &[
        required("type", Shape::Words(&PROTOCOL_KINDS), "How phases and steps are ordered."),
        required(
            "phases",
            Shape::List { item: &PHASE_ITEM, min: 1, max: MAX_STEPS },
            "Phases: plain names, or names with steps.",
        ),
    ],
);
pub(crate) static PROTOCOL_KINDS: Words =
    closed("protocol type", &["sequential", "parallel", "dag", "hybrid"]);
static PHASE_ITEM: Shape = Shape::NameOr(&PHASE);
static PHASE: Object = object(
    "phase",
    "A phase with steps.",
    &[
        required("name", NAME, "The phase's name."),
        required("steps", Shape::List { item: &STEP_ITEM, min: 1, max: MAX_STEPS }, "Its steps."),
    ],
);
static STEP_ITEM: Shape = Shape::Object(&STEP);
static STEP: Object = object(
    "step",
    "A step of a phase.",
    &[
        required("name", NAME, "Unique in the manifest."),
        required("type", Shape::Words(&STEP_KINDS), "What the step is for."),
        optional("instrument", NAME, "Id of the instrument; without it every declared one."),
        optional("parameters", Shape::Parameters, "Parameters of the step, checked by the plugin's schema."),
        optional("depends_on", list_of(&NAME_ITEM, MAX_STEPS), "Names of steps that must be done before."),
        optional(
            "break_on_failure",
            Shape::Boolean,
            "Whether the failure of this step ends the inquiry; false.",
        ),
    ],
);
pub(crate) static STEP_KINDS: Words = Words {
    what: "step type",
    known: &["measurement", "diagnostic", "calibration", "analysis", "reporting", "cleanup"],
    unsupported: &[],
    others: Others::Warned,
};

static SUBSTRATE: Object = object(
    "substrate",
    "Where the data come from.",
    &[required("source", Shape::Tagged(&SOURCES), "The source.")],
);
static SOURCES: Tagged = Tagged {
    what: "source type",
    tag: "type",
    known: &[("synthetic", &SYNTHETIC_SOURCE), ("file", &FILE_SOURCE)],
    unsupported: &["api", "database", "stream"],
};
static SYNTHETIC: Words = closed("source type", &["synthetic"]);
static FILE: Words = closed("type", &["file"]);
static SYNTHETIC_SOURCE: Object = object(
    "synthetic-source",
    "A seeded generator.",
    &[
        required("type", Shape::Words(&SYNTHETIC), "The type of source."),
        required("generator", NAME, "Name of the generator."),
        optional("parameters", Shape::Parameters, "Parameters of the generator."),
    ],
);
static FILE_SOURCE: Object = object(
    "file-source",
    "A file of the host.",
    &[
        required("type", Shape::Words(&FILE), "The type of source."),
        required(
            "path",
            Shape::Text(TextRule::Location),
            "Path, absolute or relative to the manifest's folder.",
        ),
        optional("parameters", Shape::Parameters, "Format, delimiter, header, types."),
    ],
);

static INSTRUMENT_ITEM: Shape = Shape::Object(&INSTRUMENT);
static INSTRUMENT: Object = object(
    "instrument",
    "An instrument to ask.",
    &[
        required(
            "type",
            Shape::Text(TextRule::Plugin),
            "An installed plugin: `name`, `name@version` or `name@sha256:…`.",
        ),
        required_when_wrapped("id", NAME, "Unique in the manifest."),
        optional("provider", Shape::Text(TextRule::Provider), "Where the plugin comes from; `internal`."),
        optional(
            "parameters",
            Shape::Parameters,
            "Parameters of the session, checked by the plugin's schema.",
        ),
        optional(
            "probeInterval",
            Shape::Duration { min: MIN_PROBE_INTERVAL },
            "Makes the inquiry continuous: the instrument is observed at this interval until the inquiry is stopped.",
        ),
    ],
);

static EXECUTION: Object = object(
    "execution",
    "How steps are run.",
    &[
        optional("concurrency", Shape::Object(&CONCURRENCY), "How many at once."),
        optional("retry_policy", Shape::Object(&RETRY_POLICY), "What of a failed attempt."),
        optional("timeout", Shape::Seconds, "Time limit of the whole inquiry in seconds."),
        optional(
            "history",
            Shape::Integer { min: 1, max: MAX_HISTORY as u64 },
            "Observations of each step of a continuous inquiry that are kept and weighed; 256.",
        ),
    ],
);
static CONCURRENCY: Object = object(
    "concurrency",
    "How many steps run at once.",
    &[optional("max_workers", Shape::Integer { min: 1, max: 100 }, "Steps at once; 1.")],
);
static RETRY_POLICY: Object = object(
    "retry-policy",
    "What of a failed attempt.",
    &[
        optional("max_attempts", Shape::Integer { min: 1, max: 10 }, "Attempts for a step; 1."),
        optional(
            "backoff_factor",
            Shape::Number { min: 0.1, max: 10.0, above: false },
            "Attempt n + 1 waits backoff_factor · 2^(n-1) seconds; 1.0.",
        ),
        optional("timeout", Shape::Seconds, "Time limit of one attempt in seconds."),
    ],
);

static VALIDATION: Object = object(
    "validation",
    "Checks before the first step.",
    &[optional("preflight_checks", list_of(&PREFLIGHT_ITEM, MAX_DECLARATIONS), "Checks to make.")],
);
static PREFLIGHT_ITEM: Shape = Shape::Words(&PREFLIGHT_CHECKS);
pub(crate) static PREFLIGHT_CHECKS: Words =
    closed("preflight check", &["instrument_availability", "substrate_accessibility", "rate_limit_capacity"]);

static FALSIFICATION: Object = object(
    "falsification",
    "Axioms that readings must satisfy.",
    &[optional("axioms", list_of(&AXIOM_ITEM, MAX_DECLARATIONS), "Axioms.")],
);
static AXIOM_ITEM: Shape = Shape::Forms(&AXIOMS);
static AXIOMS: Forms = Forms {
    what: "an axiom",
    forms: &[
        Form { signs: &["min", "max"], object: &BOUNDS_AXIOM },
        Form { signs: &["max_rate"], object: &RATE_AXIOM },
        Form { signs: &["agree_within"], object: &AGREEMENT_AXIOM },
        Form { signs: &["expression"], object: &EXPRESSION_AXIOM },
    ],
};
const QUANTITY: Field = required("quantity", NAME, "The quantity it speaks of.");
const UNIT: Field =
    optional("unit", Shape::Text(TextRule::Unit), "UCUM code; the reading's own where none is given.");
static BOUNDS_AXIOM: Object = Object {
    name: "bounds-axiom",
    about: "The value lies within bounds.",
    fields: &[
        QUANTITY,
        UNIT,
        optional("min", ANY_NUMBER, "Smallest value."),
        optional("max", ANY_NUMBER, "Largest value."),
    ],
    rest: None,
    one_of: &["min", "max"],
};
static RATE_AXIOM: Object = object(
    "rate-axiom",
    "Readings of one instrument do not change faster.",
    &[
        QUANTITY,
        UNIT,
        required("max_rate", POSITIVE, "Largest change."),
        required("per", Shape::Duration { min: 1 }, "In this time."),
    ],
);
static AGREEMENT_AXIOM: Object = object(
    "agreement-axiom",
    "Instruments agree with each other.",
    &[
        QUANTITY,
        UNIT,
        required("agree_within", POSITIVE, "Largest distance from the centre."),
        optional("of", Shape::Words(&CENTERS), "What the centre is; the median."),
    ],
);
pub(crate) static CENTERS: Words = closed("centre", &["median", "mean"]);
static EXPRESSION_AXIOM: Object = object(
    "expression-axiom",
    "A CEL expression is true.",
    &[required(
        "expression",
        Shape::Text(TextRule::Expression),
        "The expression, over the reading and its neighbours.",
    )],
);

static ARBITRATION: Object = object(
    "arbitration",
    "How readings are combined.",
    &[
        optional("method", Shape::Words(&METHODS), "The method; weighted_mean."),
        optional(
            "max_faulty",
            Shape::Integer { min: 0, max: MAX_INSTRUMENTS as u64 },
            "How many instruments may lie; 0.",
        ),
        optional("minimum_confidence", PROBABILITY, "Readings below it do not count; 0."),
        optional("engine", Shape::Words(&ENGINES), "A synonym of the default method."),
        optional(
            "consensus",
            Shape::Words(&CONSENSUS),
            "The finding is committed through the cluster; always so.",
        ),
    ],
);
pub(crate) static METHODS: Words = closed(
    "method",
    &["weighted_mean", "median", "huber", "dersimonian_laird", "marzullo", "brooks_iyengar"],
);
static ENGINES: Words = closed("engine", &["hermeneutic"]);
static CONSENSUS: Words = closed("consensus", &["raft"]);

static BELIEF: Object = object(
    "belief",
    "A question of state over time.",
    &[
        required(
            "states",
            Shape::List { item: &NAME_ITEM, min: 2, max: MAX_STATES },
            "The states; the first is the one that the inquiry asserts.",
        ),
        required(
            "observe",
            Shape::Object(&OBSERVE),
            "The quantity, and its range in each state but at most one.",
        ),
        optional(
            "transition",
            Shape::Map { value: &TRANSITION_ROW, max: MAX_STATES },
            "Probability of going from one state to another between observations.",
        ),
        optional(
            "decide_at",
            Shape::Number { min: 0.5, max: 1.0, above: true },
            "Probability from which a state counts as decided; 0.95.",
        ),
    ],
);
static OBSERVE: Object = Object {
    name: "observe",
    about: "The quantity, and its range by state.",
    fields: &[QUANTITY],
    rest: Some(&STATE_RANGE_ITEM),
    one_of: &[],
};
static STATE_RANGE_ITEM: Shape = Shape::Object(&STATE_RANGE);
static STATE_RANGE: Object = Object {
    name: "state-range",
    about: "The range of the quantity in a state.",
    fields: &[
        optional("min", ANY_NUMBER, "Smallest value."),
        optional("max", ANY_NUMBER, "Largest value."),
        UNIT,
    ],
    rest: None,
    one_of: &["min", "max"],
};
static TRANSITION_ROW: Shape = Shape::Map { value: &PROBABILITY_ITEM, max: MAX_STATES };

static ANALYSIS: Object = object(
    "analysis",
    "Statistical tests and charts.",
    &[
        optional("statistical", list_of(&TEST_ITEM, MAX_DECLARATIONS), "Tests."),
        optional("visualizations", list_of(&CHART_ITEM, MAX_DECLARATIONS), "Charts."),
    ],
);
static TEST_ITEM: Shape = Shape::Object(&TEST);
static TEST: Object = object(
    "test",
    "A statistical test.",
    &[
        required("test", Shape::Words(&TESTS), "Which test."),
        optional("groups", list_of(&NAME_ITEM, MAX_INSTRUMENTS), "Ids of the instruments to compare; all."),
        optional("parameters", Shape::Parameters, "Parameters of the test, such as `quantity` and `alpha`."),
    ],
);
pub(crate) static TESTS: Words =
    closed("test", &["mean_comparison", "t_test", "anova", "correlation", "regression"]);
static CHART_ITEM: Shape = Shape::Object(&CHART);
static CHART: Object = object(
    "chart",
    "A chart.",
    &[
        required("type", Shape::Words(&CHARTS), "Which chart."),
        optional("parameters", Shape::Parameters, "Parameters of the chart, such as `quantity` and `bins`."),
    ],
);
pub(crate) static CHARTS: Words = Words {
    what: "visualization",
    known: &["time_series", "scatter_plot", "histogram"],
    unsupported: &[],
    others: Others::Unsupported,
};

static REPORTING: Object = object(
    "reporting",
    "Artifacts to write.",
    &[
        optional("artifacts", list_of(&ARTIFACT_ITEM, MAX_DECLARATIONS), "What to write."),
        optional(
            "destinations",
            list_of(&DESTINATION_ITEM, MAX_DECLARATIONS),
            "Where to, beside the artifact store.",
        ),
    ],
);
static ARTIFACT_ITEM: Shape = Shape::Object(&ARTIFACT);
static ARTIFACT: Object = object(
    "artifact",
    "A report to write.",
    &[
        required("type", Shape::Words(&ARTIFACTS), "Which report."),
        optional("format", Shape::Words(&ARTIFACT_FORMATS), "In which format; markdown."),
        optional("parameters", Shape::Parameters, "Parameters of the report, such as `title`."),
    ],
);
pub(crate) static ARTIFACTS: Words = closed(
    "artifact type",
    &["executive_summary", "detailed_report", "console_summary", "compliance_report"],
);
pub(crate) static ARTIFACT_FORMATS: Words = Words {
    what: "artifact format",
    known: &["markdown", "html", "json"],
    unsupported: &["pdf"],
    others: Others::Refused,
};
static DESTINATION_ITEM: Shape = Shape::Tagged(&DESTINATIONS);
static DESTINATIONS: Tagged = Tagged {
    what: "destination type",
    tag: "type",
    known: &[("file", &FILE_DESTINATION)],
    unsupported: &["s3"],
};
static FILE_DESTINATION: Object = object(
    "file-destination",
    "A folder of the host.",
    &[
        required("type", Shape::Words(&FILE), "The type of destination."),
        required(
            "path",
            Shape::Text(TextRule::Location),
            "Path, absolute or relative to the manifest's folder.",
        ),
        optional("parameters", Shape::Parameters, "Parameters of the destination."),
    ],
);

static LIMITS: Object = object(
    "limits",
    "Limits of each call of an instrument; the tenant and the host cap them.",
    &[
        optional("memory", Shape::Size, "Linear memory, as `64MiB` or in bytes."),
        optional(
            "fuel",
            Shape::Integer { min: 1, max: i64::MAX as u64 },
            "Instructions, roughly; a deterministic budget.",
        ),
        optional("wall", Shape::Duration { min: 1 }, "Wall time, as `10s` or in seconds."),
    ],
);

static CAPABILITIES: Object = object(
    "capabilities",
    "Access that the instruments get, as far as the tenant's policy allows it.",
    &[
        optional(
            "http",
            list_of(&AUTHORITY_ITEM, MAX_DECLARATIONS),
            "Authorities (`host:port`) for outgoing HTTP.",
        ),
        optional(
            "tcp",
            list_of(&AUTHORITY_ITEM, MAX_DECLARATIONS),
            "Addresses (`host:port`) for outgoing TCP.",
        ),
        optional("files", list_of(&FILE_GRANT_ITEM, MAX_DECLARATIONS), "Directories of the host."),
    ],
);
static FILE_GRANT_ITEM: Shape = Shape::Object(&FILE_GRANT);
static FILE_GRANT: Object = object(
    "file-grant",
    "A directory of the host, seen under the same path.",
    &[
        required("path", Shape::Text(TextRule::AbsolutePath), "Absolute path."),
        optional("read_only", Shape::Boolean, "Whether writing is refused; true."),
    ],
);
