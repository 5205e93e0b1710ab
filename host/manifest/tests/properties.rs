//! What holds for every text.
// Helpers of tests are not tests to the linter.
#![allow(clippy::unwrap_used)]

mod common;

use common::Installed;
use inquisitor_manifest::plan::Action;
use inquisitor_manifest::{Style, parse_bytes, render, validate};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const SEEDS: [&str; 3] = [
    include_str!("fixtures/hello-world.yaml"),
    include_str!("fixtures/everything.yaml"),
    include_str!("fixtures/cold-chain.yaml"),
];

/// Whatever is put in, nothing panics, and what is said has its place in the text.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let parsed = parse_bytes("m", bytes);
    let _ = parsed.secrets();
    let Ok(text) = std::str::from_utf8(bytes) else {
        prop_assert!(parsed.diagnostics.has_errors());
        return Ok(());
    };
    let validated = validate("m", text, &Installed::new());
    prop_assert_eq!(validated.plan.is_none(), validated.diagnostics.has_errors());
    for found in &validated.diagnostics {
        prop_assert!(text.get(found.span.start..found.span.end).is_some(), "{:?}", found);
        prop_assert!(found.line >= 1 && found.column >= 1);
        prop_assert!(found.line <= text.split('\n').count());
    }
    let rendered = render(&validated.parsed, &validated.diagnostics, Style::Plain);
    prop_assert!(rendered.ends_with('\n'));
    Ok(())
}

/// Pieces that YAML and the format are sensitive to.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\t".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("&a ".to_owned()),
        Just("*a".to_owned()),
        Just("!!str ".to_owned()),
        Just("|\n".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just("---\n".to_owned()),
        Just("${".to_owned()),
        Just("$${X}".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("é€😀".to_owned()),
        Just("null".to_owned()),
        Just("-1e400".to_owned()),
        Just("? ".to_owned()),
        Just("<<: *a".to_owned()),
        "[a-z_]{1,8}",
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(0x6d61_6e69),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&bytes)?;
    }

    #[test]
    fn arbitrary_yaml_does_no_harm(pieces in prop::collection::vec(fragment(), 0..60)) {
        survives(pieces.concat().as_bytes())?;
    }

    #[test]
    fn good_manifests_with_faults_do_no_harm(
        seed in 0..SEEDS.len(),
        faults in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..20, fragment()), 1..6),
    ) {
        let mut text: Vec<char> = SEEDS[seed].chars().collect();
        for (at, length, put) in faults {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars());
            if text.is_empty() {
                text.push('x');
            }
        }
        survives(text.into_iter().collect::<String>().as_bytes())?;
    }

    #[test]
    fn lines_taken_out_and_doubled_do_no_harm(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..5),
    ) {
        let mut lines: Vec<&str> = SEEDS[seed].lines().collect();
        for (at, double) in changes {
            let at = at.index(lines.len());
            if double { lines.insert(at, lines[at]) } else { lines.remove(at); }
        }
        survives(lines.join("\n").as_bytes())?;
    }

    /// Every step of a manifest is in its plan, behind all that it depends on.
    #[test]
    fn plans_hold_every_step_behind_what_it_needs(
        kind in prop::sample::select(vec!["sequential", "parallel", "dag", "hybrid"]),
        phases in prop::collection::vec(prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..6), 1..5),
    ) {
        let mut text = format!("version: '1.0'\nid: a\nname: a\nmetadata: {{ author: x }}\nprotocol:\n  type: {kind}\n  phases:\n");
        let mut expected: Vec<(String, Option<String>)> = Vec::new();
        for (number, steps) in phases.iter().enumerate() {
            text.push_str(&format!("    - name: p{number}\n      steps:\n"));
            for (named, before) in steps {
                let name = format!("s{}", expected.len());
                // Dependencies on what stands before never contradict any protocol.
                let before = (!expected.is_empty()).then(|| expected[before.index(expected.len())].0.clone());
                let instrument = if *named { ", instrument: r2" } else { "" };
                let depends = before.as_ref().map(|before| format!(", depends_on: [{before}]")).unwrap_or_default();
                text.push_str(&format!("        - {{ name: {name}, type: measurement{instrument}{depends} }}\n"));
                expected.push((name, before));
            }
        }
        text.push_str("instruments:\n  - { type: rfid, id: r1 }\n  - { type: rfid, id: r2 }\n");
        let validated = validate("m", &text, &Installed::new());
        prop_assert!(validated.diagnostics.is_empty(), "{:?}", validated.diagnostics);
        let plan = validated.plan.unwrap();
        let of = |name: &str| -> Vec<usize> {
            let part = |step: &str| step == name || step.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
            (0..plan.steps.len()).filter(|&at| part(&plan.steps[at].name)).collect()
        };
        let mut total = 0;
        for (name, before) in &expected {
            let parts = of(name);
            prop_assert!(!parts.is_empty());
            total += parts.len();
            for part in parts {
                let step = &plan.steps[part];
                let is_observation = matches!(step.action, Action::Observe { counts: true, .. });
                prop_assert!(is_observation);
                prop_assert!(step.after.iter().all(|before| *before < part));
                let needed = before.as_deref().map(of).unwrap_or_default();
                prop_assert_eq!(&step.needs, &needed);
                prop_assert!(needed.iter().all(|needed| step.after.contains(needed)));
            }
        }
        prop_assert_eq!(total, plan.steps.len());
    }
}

#[test]
fn large_hostile_texts_do_no_harm() {
    const BYTES: usize = 1 << 20;
    for text in [
        "[".repeat(BYTES),
        "{".repeat(BYTES),
        "- ".repeat(BYTES / 2),
        "a: ".repeat(BYTES / 3),
        "? ".repeat(BYTES / 2),
        "&a ".repeat(BYTES / 3),
        "\"".repeat(BYTES),
        "é".repeat(BYTES / 2),
        "a:\n".repeat(BYTES / 3),
        format!("a: [{}]", "1,".repeat(BYTES / 2 - 10)),
        format!("a: {{{}}}", (0..80_000).map(|n| format!("k{n}: é,")).collect::<String>()),
        format!("a: &a 1\nb: [{}]", "*a,".repeat(BYTES / 3 - 10)),
    ] {
        let validated = validate("m", &text, &Installed::new());
        assert!(validated.diagnostics.has_errors());
        render(&validated.parsed, &validated.diagnostics, Style::Plain);
    }
}
