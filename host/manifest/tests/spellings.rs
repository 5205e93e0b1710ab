//! Both spellings, and what becomes of each section.

mod common;

use common::Installed;
use inquisitor_manifest::plan::Action;
use inquisitor_manifest::spec::{Axiom, Center, Destination, Method, ProtocolKind, Substrate, TestKind};
use inquisitor_manifest::{Spelling, parse, parse_bytes, validate};
use serde_json::json;

const HELLO: &str = include_str!("fixtures/hello-world.yaml");
const QUICKSTART: &str = include_str!("fixtures/quickstart.yaml");
const EVERYTHING: &str = include_str!("fixtures/everything.yaml");
const COLD_CHAIN: &str = include_str!("fixtures/cold-chain.yaml");

#[test]
fn the_reference_manifests_compile_without_a_word() {
    for (name, text) in [("hello-world.yaml", HELLO), ("quickstart.yaml", QUICKSTART)] {
        let validated = validate(name, text, &Installed::new());
        assert!(validated.diagnostics.is_empty(), "{:?}", validated.diagnostics);
        assert_eq!(validated.parsed.digest, inquisitor_manifest::digest(text.as_bytes()));
        insta::assert_json_snapshot!(name, validated.plan.unwrap());
    }
}

#[test]
fn every_section_is_understood() {
    let validated = validate("everything.yaml", EVERYTHING, &Installed::new());
    assert!(validated.diagnostics.is_empty(), "{:?}", validated.diagnostics);
    let manifest = validated.parsed.valid().unwrap();
    insta::assert_json_snapshot!("everything", manifest);
    assert_eq!(manifest.execution.timeout, Some(3600));
    assert_eq!(manifest.limits.memory, Some(64 << 20));
    assert_eq!(manifest.limits.wall, Some(10_000_000_000));
    assert_eq!(manifest.arbitration.method, Method::BrooksIyengar);
    assert!(matches!(&manifest.falsification.axioms[1], Axiom::Rate { per: 60_000_000_000, .. }));
    assert!(matches!(&manifest.falsification.axioms[2], Axiom::Agreement { of: Center::Mean, .. }));
    assert_eq!(manifest.analysis.statistical[0].test, TestKind::Anova);
    assert!(
        matches!(&manifest.reporting.destinations[0], Destination::File { path, .. } if path == "out/${SITE}")
    );
    let belief = manifest.belief.as_ref().unwrap();
    assert_eq!(belief.states, ["compliant", "excursion"]);
    assert_eq!(belief.transition["compliant"]["excursion"], 0.01);
    assert!(manifest.capabilities.files[0].read_only);
    let secrets: Vec<(String, String, usize)> = validated
        .parsed
        .secrets()
        .into_iter()
        .map(|found| (found.name, found.path, found.location.line))
        .collect();
    assert!(
        secrets.contains(&("SITE".into(), "manifest.reporting.destinations[0].path".into(), 81)),
        "{secrets:?}"
    );
    assert!(
        secrets
            .iter()
            .any(|(name, path, _)| name == "LOGGER_TOKEN"
                && path == "manifest.instruments[0].parameters.token")
    );
}

#[test]
fn the_same_body_means_the_same_in_every_spelling() {
    let wrapped = parse("w", EVERYTHING).manifest.unwrap();
    let body = EVERYTHING.strip_prefix("manifest:\n").unwrap();
    let bare = parse("b", &body.replace("\n  ", "\n").replacen("  ", "", 1));
    assert!(bare.diagnostics.is_empty(), "{:?}", bare.diagnostics);
    assert_eq!(bare.manifest.as_ref(), Some(&wrapped));
    let resource = format!(
        "apiVersion: apparatus.wadelabs.io/v1\nkind: InquiryManifest\nmetadata: {{ name: other }}\nspec:\n{body}"
    );
    let resource = parse("r", &resource);
    assert_eq!(resource.spelling(), Spelling::Kubernetes);
    assert!(resource.diagnostics.is_empty(), "{:?}", resource.diagnostics);
    assert_eq!(resource.manifest.as_ref(), Some(&wrapped));
}

#[test]
fn the_kubernetes_spelling_fills_what_it_may_leave_out() {
    let validated = validate("cold-chain.yaml", COLD_CHAIN, &Installed::new());
    assert!(!validated.diagnostics.has_errors(), "{:?}", validated.diagnostics);
    let manifest = validated.parsed.valid().unwrap();
    assert_eq!(
        (manifest.id.as_str(), manifest.name.as_str()),
        ("cold-chain-verification", "cold-chain-verification")
    );
    assert_eq!(manifest.metadata.labels["site"], "hamburg");
    assert_eq!(manifest.protocol.kind, ProtocolKind::Hybrid);
    let phases: Vec<&str> = manifest.protocol.phases.iter().map(|phase| phase.name.as_str()).collect();
    assert_eq!(phases, ["initialization", "execution", "reporting"]);
    let ids: Vec<&str> = manifest.instruments.iter().map(|instrument| instrument.id.as_str()).collect();
    assert_eq!(ids, ["thermal", "rfid", "rfid-2", "rfid-3"]);
    assert_eq!(manifest.instruments[0].probe_interval, Some(10_000_000_000));
    assert_eq!(manifest.arbitration, Default::default());
    let plan = validated.plan.unwrap();
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names[0], "initialization/thermal");
    assert_eq!(names[4], "execution/thermal");
    assert_eq!(plan.steps[4].after, [0, 1, 2, 3]);
    assert_eq!(plan.steps[8].action, Action::Report);
    assert_eq!(plan.instruments["rfid"].probe_interval, Some(30_000_000_000));
}

#[test]
fn json_is_read_as_well() {
    let text = json!({ "manifest": {
        "version": "1.0", "id": "a", "name": "a", "metadata": { "author": "x" },
        "protocol": { "type": "dag", "phases": ["execution"] },
        "substrate": { "source": { "type": "file", "path": "d.csv" } },
        "instruments": [{ "type": "echo", "id": "e", "parameters": { "n": 1.5, "t": "\u{e9}\n", "nothing": null } }]
    }});
    for text in [text.to_string(), serde_json::to_string_pretty(&text).unwrap()] {
        let parsed = parse_bytes("a.json", text.as_bytes());
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let manifest = parsed.valid().unwrap();
        assert_eq!(
            serde_json::to_value(&manifest.instruments[0].parameters).unwrap(),
            json!({ "n": 1.5, "t": "\u{e9}\n", "nothing": null })
        );
        assert!(matches!(&manifest.substrate, Some(Substrate::File { path, .. }) if path == "d.csv"));
    }
}

#[test]
fn aliases_stand_for_their_values() {
    let text = HELLO.replace(
        "parameters:\n              message: \"Initializing...\"",
        "parameters: &p\n              message: \"Initializing...\"",
    );
    let text = text.replace("parameters:\n        prefix: \"demo_\"\n        count: 1", "parameters: *p");
    let parsed = parse("a", &text);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    assert!(matches!(parsed.valid().unwrap().substrate.as_ref().unwrap(),
        Substrate::Synthetic { parameters, .. } if parameters["message"] == "Initializing..."));
}

#[test]
fn a_plugin_can_point_at_what_it_refuses() {
    let parsed = parse("hello-world.yaml", HELLO);
    let line = |needle: &str| HELLO.lines().position(|line| line.contains(needle)).unwrap() + 1;
    assert_eq!(parsed.instrument_parameter("echo_probe", "/mode").unwrap().line, line("mode:"));
    assert_eq!(parsed.instrument_parameter("echo_probe", "").unwrap().line, line("mode:") - 2);
    assert_eq!(parsed.step_parameter("hello_world", "/greeting").unwrap().line, line("greeting:"));
    assert!(parsed.instrument_parameter("nobody", "").is_none());
}
