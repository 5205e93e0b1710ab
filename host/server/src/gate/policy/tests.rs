use std::collections::BTreeMap;

use inquisitor_engine::gating::Rates;
use inquisitor_manifest::plan::PlannedStep;
use inquisitor_manifest::spec::{Analysis, Arbitration, Capabilities, Execution, Falsification, Reporting};
use proptest::prelude::*;

use super::*;

fn plan() -> Plan {
    let instrument = PlannedInstrument {
        plugin: "thermal-probe".into(),
        version: "1.2.0".into(),
        digest: "ab".repeat(32),
        parameters: Parameters::from_iter([("token".into(), json!("${TOKEN}"))]),
        probe_interval: None,
    };
    let step = PlannedStep {
        name: "look".into(),
        phase: "execution".into(),
        action: Action::Observe { instrument: "probe".into(), parameters: Parameters::new(), counts: true },
        after: Vec::new(),
        needs: Vec::new(),
        break_on_failure: false,
    };
    Plan {
        manifest_id: "cold-chain".into(),
        name: "Cold chain".into(),
        manifest_digest: "cd".repeat(32),
        tenant: None,
        kind: Some("measurement".into()),
        tags: Vec::new(),
        instruments: BTreeMap::from([("probe".into(), instrument)]),
        steps: vec![step],
        substrate: None,
        execution: Execution::default(),
        preflight: Vec::new(),
        falsification: Falsification::default(),
        arbitration: Arbitration::default(),
        belief: None,
        analysis: Analysis::default(),
        reporting: Reporting::default(),
        limits: Limits { memory: Some(2 << 20), fuel: None, wall: Some(1_000) },
        capabilities: Capabilities {
            http: vec!["api.example.org:443".into()],
            tcp: vec!["10.0.0.7:502".into()],
            files: vec![FileGrant { path: "/srv/data/probe".into(), read_only: false }],
        },
    }
}

#[test]
fn a_name_does_not_stand_for_what_a_tenant_uploaded_under_it() {
    let with = |name: &str| Policy { plugins: Some(BTreeSet::from([name.to_owned()])), ..fitting() };
    let digest = format!("sha256:{}", "ab".repeat(32));
    for name in ["thermal-probe", "thermal-probe@1.2.0"] {
        assert!(borrowed_names(&plan(), &with(name), |_| false).is_empty());
        let [found] = borrowed_names(&plan(), &with(name), |_| true).try_into().unwrap();
        assert!(found.message.contains("`thermal-probe@1.2.0` that the tenant uploaded"), "{found}");
    }
    assert!(borrowed_names(&plan(), &with(&digest), |_| true).is_empty());
    assert!(borrowed_names(&plan(), &Policy::default(), |_| true).is_empty());
}

/// What allows exactly the plan above.
fn fitting() -> Policy {
    let names = |name: &str| BTreeSet::from([name.to_owned()]);
    Policy {
        kinds: Some(names("measurement")),
        plugins: Some(names("thermal-probe@1.2.0")),
        capabilities: plan().capabilities,
        substrate_files: BTreeSet::new(),
        secrets: names("TOKEN"),
        limits: plan().limits,
        rates: Rates { steps: Some(1), ..Rates::default() },
    }
}

fn rules(plan: &Plan, policy: &Policy) -> Vec<String> {
    violations(plan, policy).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn what_fits_is_allowed_and_bounds_come_from_the_policy() {
    assert_eq!(violations(&plan(), &fitting()), []);
    let bounds = bounds("acme", &fitting());
    assert_eq!(bounds.tenant, "acme");
    assert_eq!(bounds.secrets, Some(BTreeSet::from(["TOKEN".to_owned()])));
    assert_eq!(bounds.limits, fitting().limits);
}

#[test]
fn everything_that_is_not_allowed_is_named_at_once() {
    let none = Policy {
        kinds: Some(BTreeSet::new()),
        plugins: Some(BTreeSet::from(["table".to_owned()])),
        limits: Limits { memory: Some(1 << 20), fuel: None, wall: Some(999) },
        rates: Rates { steps: Some(0), ..Rates::default() },
        ..Policy::default()
    };
    let told: Vec<String> = violations(&plan(), &none).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn plugins_may_be_named_in_three_ways() {
    for name in
        ["thermal-probe".to_owned(), "thermal-probe@1.2.0".into(), format!("sha256:{}", "ab".repeat(32))]
    {
        let policy = Policy { plugins: Some(BTreeSet::from([name])), ..fitting() };
        assert_eq!(rules(&plan(), &policy), [""; 0]);
    }
    let other = Policy { plugins: Some(BTreeSet::from(["thermal-probe@1.2".to_owned()])), ..fitting() };
    assert_eq!(rules(&plan(), &other), ["plugins"]);
}

#[test]
fn an_authority_matches_a_pattern() {
    let cases = [
        ("*:*", "a.example:1", true),
        ("*:443", "a.example:443", true),
        ("*:443", "a.example:80", false),
        ("A.example:*", "a.EXAMPLE:80", true),
        ("a.example:80", "b.a.example:80", false),
        ("[::1]:80", "[::1]:80", true),
        ("a.example", "a.example", false),
        ("*", "a.example:80", false),
    ];
    for (pattern, authority, matches) in cases {
        assert_eq!(authority_matches(pattern, authority), matches, "{pattern} {authority}");
    }
}

#[test]
fn a_folder_stands_for_all_in_it_and_writing_is_more_than_reading() {
    let grant = |path: &str, read_only| FileGrant { path: path.into(), read_only };
    let allowed = |asked: FileGrant, rule: FileGrant| {
        let mut found = Found::default();
        folder(&asked, &[rule], &mut found);
        found.0.is_empty()
    };
    assert!(allowed(grant("/srv/data/x", true), grant("/srv/data", true)));
    assert!(allowed(grant("/srv/data", true), grant("/srv/data", false)));
    assert!(!allowed(grant("/srv/data", false), grant("/srv/data", true)));
    assert!(!allowed(grant("/srv/database", true), grant("/srv/data", true)));
    assert!(!allowed(grant("/srv/data/../secret", true), grant("/srv/data", true)));
    assert!(!allowed(grant("/srv", true), grant("/srv/data", true)));
}

proptest! {
    /// Whatever is taken out of a policy, what is left never allows more.
    #[test]
    fn less_policy_is_never_more_allowed(
        http in any::<bool>(), tcp in any::<bool>(), files in any::<bool>(), secrets in any::<bool>(), steps in any::<bool>(),
    ) {
        let mut policy = fitting();
        let mut expected = Vec::new();
        if http { policy.capabilities.http.clear(); expected.push("capabilities.http"); }
        if tcp { policy.capabilities.tcp.clear(); expected.push("capabilities.tcp"); }
        if files { policy.capabilities.files.clear(); expected.push("capabilities.files"); }
        if secrets { policy.secrets.clear(); expected.push("secrets"); }
        if steps { policy.rates.steps = Some(0); expected.push("rates.steps"); }
        prop_assert_eq!(rules(&plan(), &policy), expected);
    }

    /// A pattern without a wildcard stands for itself alone.
    #[test]
    fn an_authority_without_wildcards_matches_itself_alone(
        one in "[a-z]{1,8}(\\.[a-z]{1,3})?:[1-9][0-9]{0,3}", other in "[a-z]{1,8}(\\.[a-z]{1,3})?:[1-9][0-9]{0,3}",
    ) {
        prop_assert_eq!(authority_matches(&one, &other), one == other);
        prop_assert!(authority_matches("*:*", &one));
    }
}
