//! Every kind of mistake is told, where it is, and all at once.

mod common;

use std::collections::BTreeSet;

use common::Installed;
use inquisitor_manifest::{
    Code, Diagnostic, Diagnostics, MAX_DIAGNOSTICS, MAX_MANIFEST_BYTES, Severity, Style, parse_bytes, render,
    validate,
};

/// A manifest without a mistake, to put one into.
const GOOD: &str = r#"version: "1.0.0"
id: a
name: A
metadata: { author: x }
protocol:
  type: dag
  phases:
    - name: p
      steps:
        - { name: s, type: measurement, instrument: t }
instruments:
  - { type: thermal, id: t, parameters: { channel: 1 } }
"#;

fn found(text: &str) -> Diagnostics {
    validate("m.yaml", text, &Installed::new()).diagnostics
}

/// The only diagnostic of a text.
#[track_caller]
fn only(text: &str) -> Diagnostic {
    let found = found(text);
    let [one] = found.as_slice() else { panic!("{:#?}", found.as_slice()) };
    one.clone()
}

fn good_with(line: &str) -> String {
    format!("{GOOD}{line}\n")
}

fn good_but(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn a_history_is_of_a_continuous_inquiry() {
    let continuous = good_but("id: t,", "id: t, probeInterval: 10s,");
    for (line, kept) in [("", 256), ("execution: { history: 16 }", 16)] {
        let validated = validate("m.yaml", &format!("{continuous}{line}\n"), &Installed::new());
        assert!(validated.diagnostics.as_slice().is_empty(), "{:#?}", validated.diagnostics.as_slice());
        assert_eq!(validated.plan.unwrap().execution.history, kept);
    }
}

#[test]
fn the_good_manifest_is_good() {
    assert!(found(GOOD).is_empty(), "{:#?}", found(GOOD));
}

const SIX: &str = r#"manifest:
  version: "1.0.0"
  id: cold_chain
  name: Cold chain
  metadata: { author: Quality assurance }
  protocol:
    type: sequental
    phases:
      - name: measuring
        steps:
          - name: first
            type: measurement
            instrument: termal
          - name: second
            type: measurement
            instrument: thermal
            depends_on: [third]
  instruments:
    - type: thermal
      id: thermal
      paramters: { channel: 0 }
      parameters: { channel: "zero" }
  execution:
    concurrency: { max_workers: 500 }
"#;

#[test]
fn six_mistakes_are_six_diagnostics() {
    let validated = validate("cold-chain.yaml", SIX, &Installed::new());
    assert_eq!(validated.diagnostics.as_slice().len(), 6);
    assert!(validated.plan.is_none());
    assert!(validated.parsed.manifest.is_some());
    insta::assert_snapshot!(render(&validated.parsed, &validated.diagnostics, Style::Plain));
    insta::assert_json_snapshot!(validated.diagnostics);
}

#[test]
fn colour_is_there_when_asked_for() {
    let validated = validate("m.yaml", &good_but("id: a", "ID: a"), &Installed::new());
    let coloured = render(&validated.parsed, &validated.diagnostics, Style::Coloured);
    assert!(coloured.contains("\u{1b}["));
    insta::assert_snapshot!(coloured.replace('\u{1b}', "ESC"));
}

#[test]
fn a_duplicate_shows_both_places() {
    let text = good_but("name: A\n", "name: A\nid: b\n");
    let one = only(&text);
    assert_eq!((one.code, one.line, one.column), (Code::DuplicateKey, 4, 1));
    assert_eq!(one.related.as_ref().map(|related| related.line), Some(2));
    let validated = validate("m.yaml", &text, &Installed::new());
    insta::assert_snapshot!(render(&validated.parsed, &validated.diagnostics, Style::Plain));
}

/// A text for each code, with the path, the underlined text and a part of the message or the help.
fn samples() -> Vec<(Code, String, &'static str, &'static str, &'static str)> {
    let big = |count: usize| {
        let steps: String = (0..count)
            .map(|n| format!("        - {{ name: s{n}, type: measurement, instrument: t }}\n"))
            .collect();
        good_but("        - { name: s, type: measurement, instrument: t }\n", &steps)
    };
    let step = "{ name: s, type: measurement, instrument: t }";
    vec![
        (Code::TooLarge, "#".repeat(MAX_MANIFEST_BYTES + 1), "", "", "4194304"),
        (Code::TooLarge, bomb(), "", "*e", "aliases counted"),
        (Code::TooDeep, "[".repeat(70), "", "[", "64 levels"),
        (Code::YamlSyntax, "a: [1\nb: }".into(), "", ":", "not valid YAML"),
        (Code::YamlSyntax, "a: &x [*x]".into(), "", "*x", "holds it"),
        (Code::Empty, "# nothing\n".into(), "", "", "no manifest"),
        (Code::Empty, String::new(), "", "", "no manifest"),
        (Code::MultipleDocuments, good_with("---\na: b"), "", "---", "second document"),
        (Code::DuplicateKey, good_but("{ channel: 1 }", "{ channel: 1, channel: 2 }"), "instruments[0].parameters.channel", "channel", "twice"),
        (Code::InvalidKey, good_with("? [a]\n: b"), "", "[a]", "a key is a list"),
        (Code::MergeKey, good_but("{ channel: 1 }", "{ channel: 1, <<: {} }"), "instruments[0].parameters", "<<", "does not merge"),
        (Code::UnsupportedTag, good_but("name: A", "name: !!int A"), "", "!!int A", "`A` is not what its tag `!!int` says"),
        (Code::UnsupportedTag, good_but("channel: 1", "channel: !odd 1"), "", "!odd 1", "leave the tag out"),
        (Code::UnknownValue, "apiVersion: v2\nkind: InquiryManifest\nmetadata: { name: a }\nspec: { instruments: [{ type: rfid }] }".into(), "apiVersion", "v2", "apparatus.wadelabs.io/v1"),
        (Code::UnknownField, good_with("arbitraton: {}"), "arbitraton", "arbitraton", "did you mean `arbitration`?"),
        (Code::UnknownField, good_with("falsification: { axioms: [{ quantity: temperature, min: 1, of: mean }] }"), "falsification.axioms[0].of", "of", "known are"),
        (Code::MissingField, good_but("id: a\n", ""), "id", "version: \"1.0.0\"", "`id` is missing"),
        (Code::MissingField, good_with("falsification: { axioms: [{ quantity: temperature }] }"), "falsification.axioms[0]", "{ quantity: temperature }", "needs one of min, max"),
        (Code::WrongType, good_but("\"1.0.0\"", "1.0"), "version", "1.0", "put it in quotes"),
        (Code::WrongType, good_with("analysis:"), "analysis", "analysis", "found nothing"),
        (Code::WrongType, good_with("limits: { wall: [1] }"), "limits.wall", "wall", "a length of time"),
        (Code::OutOfRange, good_with("execution: { retry_policy: { max_attempts: 11 } }"), "execution.retry_policy.max_attempts", "11", "from 1 to 10"),
        (Code::OutOfRange, good_with("execution: { timeout: 0.5 }"), "execution.timeout", "0.5", "whole number of seconds"),
        (Code::OutOfRange, good_but("- { type: thermal, id: t,", "- { type: thermal, id: t, probeInterval: 1ms,"), "instruments[0].probeInterval", "1ms", "at least 10ms"),
        (Code::OutOfRange, good_with("belief: { states: [a, b], observe: { quantity: temperature, a: { max: 1 } }, decide_at: 0.5 }"), "belief.decide_at", "0.5", "above 0.5 and at most 1"),
        (Code::OutOfRange, good_with("belief: { states: [a, b], observe: { quantity: temperature, a: { max: 1 } }, transition: { a: { b: 0.6 }, b: { a: 1.5 } } }"), "belief.transition.b.a", "1.5", "at most 1"),
        (Code::OutOfRange, good_with("belief: { states: [a, b, c], observe: { quantity: temperature, a: { max: 1 }, b: { min: 2 } }, transition: { a: { b: 0.6, c: 0.6 } } }"), "belief.transition.a", "a", "sum to 1.2"),
        (Code::UnknownValue, good_but("type: dag", "type: hybird"), "protocol.type", "hybird", "did you mean `hybrid`?"),
        (Code::InvalidValue, good_with("limits: { memory: 64 mebibytes }"), "limits.memory", "64 mebibytes", "as `64MiB`"),
        (Code::InvalidValue, good_with("capabilities: { http: [\"https://a.example\"] }"), "capabilities.http[0]", "\"https://a.example\"", "is a URL"),
        (Code::Unsupported, good_with("substrate: { source: { type: stream, url: x } }"), "substrate.source.type", "stream", "supported: synthetic or file"),
        (Code::Unsupported, good_with("reporting: { artifacts: [{ type: detailed_report, format: pdf }] }"), "reporting.artifacts[0].format", "pdf", "supported: markdown, html or json"),
        (Code::Unsupported, good_with("reporting: { destinations: [{ type: s3, path: x }] }"), "reporting.destinations[0].type", "s3", "supported: file"),
        (Code::Unsupported, good_with("analysis: { visualizations: [{ type: heat_map }] }"), "analysis.visualizations[0].type", "heat_map", "supported: time_series"),
        (Code::Unsupported, good_but("id: t,", "id: t, provider: docker,"), "instruments[0].provider", "docker", "only `internal`"),
        (Code::Conflict, good_with("falsification: { axioms: [{ quantity: temperature, min: 3, max: 2 }] }"), "falsification.axioms[0].max", "2", "below min 3"),
        (Code::Conflict, good_with("falsification: { axioms: [{ quantity: temperature, min: 3, max_rate: 2, per: 1s }] }"), "falsification.axioms[0].max_rate", "max_rate", "not both"),
        (Code::Conflict, good_with("belief: { states: [a, b], observe: { quantity: temperature, a: { max: 1 } }, transition: { a: { a: 0.6 } } }"), "belief.transition.a.a", "0.6", "probability to stay"),
        (Code::DuplicateName, good_but(step, &format!("{step}\n        - {step}")), "protocol.phases[0].steps[1].name", "s", "given twice"),
        (Code::DuplicateName, good_but("    - name: p", "    - execution\n    - name: p").replace("name: s,", "name: execution/t,"), "protocol.phases[1].steps[0]", "{ name: execution/t, type: measurement, instrument: t }", "two steps of the name `execution/t`"),
        (Code::UnknownInstrument, good_but("instrument: t }", "instrument: u }"), "protocol.phases[0].steps[0].instrument", "u", "did you mean `t`?"),
        (Code::UnknownInstrument, good_with("analysis: { statistical: [{ test: anova, groups: [other] }] }"), "analysis.statistical[0].groups[0]", "other", "no instrument"),
        (Code::UnknownDependency, good_but("instrument: t }", "instrument: t, depends_on: [z] }"), "protocol.phases[0].steps[0].depends_on[0]", "z", "did you mean `s`?"),
        (Code::DependencyCycle, good_but(step, "{ name: a, type: measurement, depends_on: [b] }\n        - { name: b, type: measurement, depends_on: [c] }\n        - { name: c, type: measurement, depends_on: [a] }"), "protocol.phases[0].steps[0].depends_on[0]", "b", "a → b → c → a"),
        (Code::DependencyCycle, good_but(step, "{ name: a, type: measurement, depends_on: [b] }\n        - { name: b, type: measurement }").replace("dag", "sequential"), "protocol.phases[0].steps[0].depends_on[0]", "b", "in a sequential protocol `b` runs after `a`"),
        (Code::DependencyCycle, good_but(step, "{ name: a, type: measurement, depends_on: [b] }\n        - { name: b, type: analysis }"), "protocol.phases[0].steps[0].depends_on[0]", "b", "the host's work"),
        (Code::UnknownState, good_with("belief: { states: [ok, bad], observe: { quantity: temperature, okk: { max: 1 }, ok: { max: 1 } } }"), "belief.observe.okk", "okk", "did you mean `ok`?"),
        (Code::UnobservedState, good_with("belief: { states: [a, b], observe: { quantity: temperature } }"), "belief.observe", "observe", "the states a and b"),
        (Code::TooFewInstruments, good_with("arbitration: { method: marzullo, max_faulty: 1 }"), "arbitration.max_faulty", "1", "at least 3 instruments; 1 declared"),
        (Code::MalformedSecret, good_but("channel: 1", "channel: 1, token: \"${1}\""), "instruments[0].parameters.token", "\"${1}\"", "write `${NAME}`"),
        (Code::MisplacedSecret, good_but("name: A", "name: ${A}"), "name", "${A}", "literally"),
        (Code::UnknownStepType, good_but("measurement", "mesurement"), "protocol.phases[0].steps[0].type", "mesurement", "did you mean `measurement`?"),
        (Code::UnknownPhase, good_but("    - name: p", "    - warmup\n    - name: p"), "protocol.phases[0]", "warmup", "observes every instrument"),
        (Code::IgnoredField, good_but("measurement, instrument: t }", "reporting, parameters: { a: 1 } }"), "protocol.phases[0].steps[0].parameters", "parameters", "takes no parameters"),
        (Code::IgnoredField, good_but("measurement", "cleanup"), "protocol.phases[0].steps[0].instrument", "t", "asks no instrument"),
        (Code::IgnoredField, good_with("arbitration: { engine: hermeneutic, method: median }"), "arbitration.engine", "hermeneutic", "method: median"),
        (Code::IgnoredField, good_with("execution: { history: 16 }"), "execution.history", "16", "probeInterval"),
        (Code::OutOfRange, good_with("execution: { history: 10001 }"), "execution.history", "10001", "10000"),
        (Code::LateStep, good_but("    - name: p", "    - reporting\n    - name: p").replace("dag", "hybrid"), "protocol.phases[0]", "reporting", "runs later than it stands"),
        (Code::PluginNotInstalled, good_but("type: thermal", "type: termal"), "instruments[0].type", "termal", "did you mean thermal?"),
        (Code::PluginVersionNotInstalled, good_but("type: thermal", "type: thermal@9.0.0"), "instruments[0].type", "thermal@9.0.0", "installed: 2.1.0"),
        (Code::AmbiguousPlugin, good_but("type: thermal", "type: probe"), "instruments[0].type", "probe", "say which: thermal or modbus"),
        (Code::InvalidPluginSchema, good_but("type: thermal", "type: broken"), "instruments[0]", "broken", "leads back to itself"),
        (Code::InvalidParameter, good_but("channel: 1", "channel: -1"), "instruments[0].parameters.channel", "-1", "Input of the logger"),
        (Code::InvalidParameter, good_but("channel: 1", "channel: yes"), "instruments[0].parameters.channel", "yes", "expects a value of type integer, found the text `yes`"),
        (Code::InvalidParameter, good_but("channel: 1", "channel: 1, chanel: 2"), "instruments[0].parameters.chanel", "chanel", "did you mean `channel`?"),
        (Code::InvalidParameter, good_but("channel: 1", "mode: fast"), "instruments[0].parameters.channel", "parameters", "needs the parameter `channel`"),
        (Code::InvalidParameter, good_but("channel: 1", "channel: 1, mode: slwo"), "instruments[0].parameters.mode", "slwo", "takes one of `fast` or `slow`"),
        (Code::InvalidParameter, good_but("channel: 1", "channel: 1, points: [{ x: 1 }, { x: a }]"), "instruments[0].parameters.points[1].x", "a", "type number"),
        (Code::InvalidParameter, good_but(", parameters: { channel: 1 }", ""), "instruments[0].parameters.channel", "{ type: thermal, id: t }", "needs the parameter"),
        (Code::NotEnoughMemory, good_with("limits: { memory: 1MiB }"), "limits.memory", "1MiB", "needs 8388608 bytes of memory, limits.memory allows 1048576"),
        (Code::CapabilityNotAsked, good_but("type: thermal", "type: modbus").replace("id: t,", "id: t, ") + "capabilities: { tcp: [\"10.0.0.5:502\"] }", "instruments[0].type", "modbus", "to read `/data/maps`"),
        (Code::UnmeasuredQuantity, good_with("falsification: { axioms: [{ quantity: temprature, min: 1 }] }"), "falsification.axioms[0].quantity", "temprature", "did you mean `temperature`?"),
        (Code::InvalidUnit, good_with("falsification: { axioms: [{ quantity: temperature, unit: celsius, min: 1 }] }"), "falsification.axioms[0].unit", "celsius", "case-sensitive"),
        (Code::InvalidExpression, good_with("falsification: { axioms: [{ expression: \"value @ 1\" }] }"), "falsification.axioms[0].expression", "\"value @ 1\"", "unexpected `@`"),
        (Code::PlanTooLarge, big(5000).replace("type: dag", "type: hybrid").replace("        - { name: s2500,", "    - name: q\n      steps:\n        - { name: s2500,"), "protocol.phases", "phases", "6250000 dependencies"),
        (Code::PlanTooLarge, big(2500).replace(", instrument: t", "").replace("instruments:\n", &many_instruments(9)), "protocol.phases", "phases", "25000 steps"),
    ]
}

fn many_instruments(count: usize) -> String {
    (0..count)
        .fold("instruments:\n".to_owned(), |text, n| text + &format!("  - {{ type: rfid, id: r{n} }}\n"))
}

/// Ten times ten times … ten values.
fn bomb() -> String {
    let mut text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for (before, name) in "abcdefghi".chars().zip("bcdefghij".chars()) {
        let aliases = vec![format!("*{before}"); 10].join(", ");
        text.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    text
}

#[test]
fn every_code_says_what_where_and_what_would_be_right() {
    let mut covered = BTreeSet::from([Code::NotUtf8]);
    let mut wrong = Vec::new();
    for (code, text, path, underlined, says) in samples() {
        if let Err(why) = judge(code, &text, path, underlined, says) {
            wrong.push(format!("{code}: {why}"));
        }
        covered.insert(code);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !covered.contains(code)).collect();
    assert!(missing.is_empty(), "no sample for {missing:?}");
}

/// Whether a text brings this diagnostic, and no other error.
fn judge(code: Code, text: &str, path: &str, underlined: &str, says: &str) -> Result<(), String> {
    let found = found(text);
    let one = found.iter().find(|one| one.code == code).ok_or_else(|| format!("not found: {found:#?}"))?;
    let only_one = matches!(code, Code::TooLarge | Code::TooDeep | Code::YamlSyntax | Code::Empty);
    let said = format!("{}\n{}", one.message, one.help.as_deref().unwrap_or_default());
    let others = found.iter().any(|other| other.code != code && other.severity == Severity::Error);
    let right = one.path == path
        && &text[one.span.start..one.span.end] == underlined
        && said.contains(says)
        && one.severity == code.severity()
        && !others
        && (!only_one || found.as_slice().len() == 1);
    if right { Ok(()) } else { Err(format!("{:?} {found:#?}", &text[one.span.start..one.span.end])) }
}

#[test]
fn text_that_is_not_utf8_is_told_with_its_place() {
    let parsed = parse_bytes("m.yaml", b"id: a\nname: \xff\n");
    let one = &parsed.diagnostics.as_slice()[0];
    assert_eq!((one.code, one.line, one.column), (Code::NotUtf8, 2, 7));
    assert!(parsed.manifest.is_none());
}

#[test]
fn secrets_are_spared_the_checks_that_need_their_value() {
    let text =
        good_but("channel: 1", "channel: \"${CHANNEL}\", token: \"${T}\", mode: \"${M}\", offset: \"x${T}\"");
    let one = only(&text);
    assert_eq!((one.code, one.path.as_str()), (Code::InvalidParameter, "instruments[0].parameters.offset"));
}

#[test]
fn every_cycle_is_reported() {
    let steps = "{ name: a, type: measurement, depends_on: [a] }\n        - { name: b, type: measurement, depends_on: [c] }\n        - { name: c, type: measurement, depends_on: [b] }";
    let found = found(&good_but("{ name: s, type: measurement, instrument: t }", steps));
    let messages: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, ["steps wait for each other: a → a", "steps wait for each other: b → c → b"]);
}

#[test]
fn warnings_do_not_stop_a_plan() {
    let validated =
        validate("m.yaml", &good_but("    - name: p", "    - warmup\n    - name: p"), &Installed::new());
    assert_eq!(validated.diagnostics.summary(), "1 warning");
    let plan = validated.plan.unwrap();
    assert_eq!(plan.steps[0].name, "warmup/t");
}

#[test]
fn thousands_of_mistakes_are_counted() {
    let fields: String = (0..5000).map(|n| format!("unknown_{n}: 1\n")).collect();
    let validated = validate("m.yaml", &good_with(&fields), &Installed::new());
    assert_eq!(validated.diagnostics.as_slice().len(), MAX_DIAGNOSTICS);
    assert_eq!(validated.diagnostics.errors(), 5000);
    let text = render(&validated.parsed, &validated.diagnostics, Style::Plain);
    assert!(text.ends_with("and 4000 more\nm.yaml: 5000 errors (the first 1000 are shown)\n"));
}

#[test]
fn a_mistake_in_a_long_line_is_shown_with_what_is_around_it() {
    let filler: String = (0..20_000).map(|n| format!("\"k{n}\": \"é\", ")).collect();
    let text = format!(
        "{{\"manifest\": {{\"version\": \"1.0\", \"id\": \"a\", \"name\": \"a\", \"metadata\": {{\"author\": \"x\"}}, \
         \"protocol\": {{\"type\": \"dag\", \"phases\": [\"execution\"]}}, \
         \"instruments\": [{{\"type\": \"rfid\", \"id\": \"r\", \"parameters\": {{{filler}\"z\": 1}}}}], \"limit\": {{}}}}}}"
    );
    let one = only(&text);
    assert_eq!(&text[one.span.start..one.span.end], "\"limit\"");
    assert_eq!(one.column, text[..one.span.start].chars().count() + 1);
    let validated = validate("m.json", &text, &Installed::new());
    let shown = render(&validated.parsed, &validated.diagnostics, Style::Plain);
    assert!(shown.len() < 1500, "{shown}");
    insta::assert_snapshot!(shown);
}
