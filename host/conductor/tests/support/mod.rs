//! Inquiries to test and measure with.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;

use inquisitor_conductor::{Conductor, ConductorConfig};
use inquisitor_engine::gating::{
    Access, Bounds, DEFAULT_TENANT, KeyRecord, Origin, PluginRecord, Policy, Role, Tenant,
};
use inquisitor_engine::journal::{Abort, Applied, Command, Journal, Refusal, StepRecord, StepResult, Token};
use inquisitor_findings::finding::{Finding, Verdict};
use inquisitor_findings::reading::{Observation, Reading, Value};
use inquisitor_ledger::Entry;
use inquisitor_manifest::plan::{Action, Plan, PlannedInstrument, PlannedStep};
use inquisitor_manifest::spec::{
    Analysis, Arbitration, Capabilities, Execution, Falsification, Limits, Reporting,
};
use inquisitor_runtime::outcome::Failure;
use inquisitor_runtime::request::Usage;

pub async fn open(dir: &Path) -> Conductor {
    Conductor::open(ConductorConfig::new(dir, "a")).await.expect("the directory opens")
}

pub fn plan(name: &str, steps: usize) -> Plan {
    let step = |position: usize| PlannedStep {
        name: format!("step-{position}"),
        phase: "execution".into(),
        action: Action::Analyze,
        after: (0..position).collect(),
        needs: Vec::new(),
        break_on_failure: false,
    };
    Plan {
        manifest_id: "cold-chain".into(),
        name: name.into(),
        manifest_digest: "ab".repeat(32),
        tenant: Some("pharma".into()),
        kind: None,
        tags: Vec::new(),
        instruments: BTreeMap::new(),
        steps: (0..steps).map(step).collect(),
        substrate: None,
        execution: Execution::default(),
        preflight: Vec::new(),
        falsification: Falsification::default(),
        arbitration: Arbitration::default(),
        belief: None,
        analysis: Analysis::default(),
        reporting: Reporting::default(),
        limits: Limits::default(),
        capabilities: Capabilities::default(),
    }
}

pub fn submit(inquiry: &str, manifest: &str, plan: Plan) -> Command {
    Command::Submit {
        inquiry: inquiry.into(),
        plan: Box::new(plan),
        manifest: manifest.into(),
        base_dir: None,
        bounds: Box::new(Bounds::of_host()),
        origin: Origin::Local,
        idempotency_key: None,
        at: 1_000_000_001,
    }
}

/// A submission of a tenant, with an idempotency key where one is given.
pub fn submit_as(tenant: &str, inquiry: &str, manifest: &str, plan: Plan, key: Option<&str>) -> Command {
    Command::Submit {
        inquiry: inquiry.into(),
        plan: Box::new(plan),
        manifest: manifest.into(),
        base_dir: None,
        bounds: Box::new(Bounds { tenant: tenant.into(), ..Bounds::of_host() }),
        origin: Origin::Key { key: "k".into() },
        idempotency_key: key.map(str::to_owned),
        at: 1_000_000_001,
    }
}

/// A plan whose first step observes a component at an interval and keeps so many rounds; the second step is of the analysis.
pub fn continuous(history: u32, component: &str) -> Plan {
    let mut plan = plan("watch", 2);
    plan.execution.history = history;
    let instrument = PlannedInstrument {
        plugin: "thermometer".into(),
        version: "1.0.0".into(),
        digest: component.into(),
        parameters: Default::default(),
        probe_interval: Some(1_000_000_000),
    };
    plan.instruments.insert("probe".into(), instrument);
    plan.steps[0].action =
        Action::Observe { instrument: "probe".into(), parameters: Default::default(), counts: true };
    plan
}

pub fn lease(inquiry: &str, step: usize, attempt: u32) -> Command {
    lease_round(inquiry, step, 0, attempt)
}

pub fn lease_round(inquiry: &str, step: usize, round: u32, attempt: u32) -> Command {
    let executor = "local".into();
    Command::Lease { inquiry: inquiry.into(), step, round, attempt, executor, at: 2_000_000_000 }
}

pub fn record(inquiry: &str, step: usize, token: Token, record: StepRecord, is_final: bool) -> Command {
    record_round(inquiry, step, 0, token, record, is_final)
}

pub fn record_round(
    inquiry: &str,
    step: usize,
    round: u32,
    token: Token,
    record: StepRecord,
    is_final: bool,
) -> Command {
    Command::Record { inquiry: inquiry.into(), step, round, token, record: Box::new(record), is_final }
}

pub fn update(inquiry: &str, reason: &str) -> Command {
    Command::Update { inquiry: inquiry.into(), finding: Box::new(finding(reason)), at: 3_500_000_000 }
}

pub fn cancel(inquiry: &str) -> Command {
    Command::Cancel { inquiry: inquiry.into(), at: 3_600_000_000 }
}

pub fn tenant(name: &str, unfinished: Option<u32>) -> Tenant {
    let mut policy = Policy::default();
    policy.rates.unfinished_inquiries = unfinished;
    Tenant { name: name.into(), description: format!("{name} of the tests"), policy, created: 500_000_000 }
}

pub fn create_tenant(name: &str, unfinished: Option<u32>) -> Command {
    Command::CreateTenant { tenant: Box::new(tenant(name, unfinished)), at: 500_000_000 }
}

pub fn remove_tenant(name: &str) -> Command {
    Command::RemoveTenant { tenant: name.into(), at: 900_000_000 }
}

/// A key whose secret is its id.
pub fn key(id: &str, tenant: Option<&str>) -> KeyRecord {
    KeyRecord {
        id: id.into(),
        name: format!("key {id}"),
        secret_hash: secret_hash(id),
        role: Role::Submitter,
        tenant: tenant.map(str::to_owned),
        created: 600_000_000,
        expires: None,
        revoked: None,
    }
}

pub fn secret_hash(secret: &str) -> String {
    inquisitor_ledger::Hash::digest(secret.as_bytes()).to_string()
}

pub fn create_key(id: &str, tenant: Option<&str>) -> Command {
    Command::CreateKey { key: Box::new(key(id, tenant)), at: 600_000_000 }
}

pub fn revoke_key(id: &str) -> Command {
    Command::RevokeKey { id: id.into(), at: 700_000_000 }
}

pub fn plugin(digest: &str, version: &str, tenant: Option<&str>) -> PluginRecord {
    PluginRecord {
        digest: digest.into(),
        name: "thermometer".into(),
        version: version.into(),
        size: 7,
        tenant: tenant.map(str::to_owned),
        uploaded_by: "k".into(),
        uploaded: 800_000_000,
    }
}

pub fn install(digest: &str, version: &str, tenant: Option<&str>) -> Command {
    Command::InstallPlugin { plugin: Box::new(plugin(digest, version, tenant)), at: 800_000_000 }
}

pub fn remove_plugin(digest: &str, tenant: Option<&str>) -> Command {
    Command::RemovePlugin { digest: digest.into(), tenant: tenant.map(str::to_owned), at: 850_000_000 }
}

pub fn access(action: &str, resource: &str, allowed: bool) -> Access {
    Access {
        action: action.into(),
        resource: resource.into(),
        tenant: Some(DEFAULT_TENANT.into()),
        key: Some("k".into()),
        role: Some(Role::Operator),
        request: "r-1".into(),
        allowed,
        reason: (!allowed).then(|| "the role may not".into()),
        count: 1,
        at: 950_000_000,
    }
}

pub fn authorized(action: &str, resource: &str, change: Command) -> Command {
    Command::Authorized { access: Box::new(access(action, resource, true)), change: Box::new(change) }
}

pub async fn refusal(conductor: &Conductor, command: Command) -> Refusal {
    match conductor.propose(command).await.expect("a command is committed") {
        Applied::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub async fn already(conductor: &Conductor, command: Command) {
    assert_eq!(conductor.propose(command).await.expect("a command is committed"), Applied::AlreadyDone);
}

/// The entries of the ledger from an index on.
pub async fn entries(conductor: &Conductor, from: u64) -> Vec<Entry> {
    let bytes = conductor.ledger_entries(from, 1000).await.expect("the ledger can be read");
    bytes.into_iter().map(|(index, bytes)| Entry::parse(&bytes, index).expect("an entry")).collect()
}

pub async fn kinds(conductor: &Conductor, from: u64) -> Vec<String> {
    entries(conductor, from).await.into_iter().map(|entry| entry.kind).collect()
}

pub fn conclude(inquiry: &str, reason: &str) -> Command {
    Command::Conclude {
        inquiry: inquiry.into(),
        finding: Box::new(finding(reason)),
        artifacts: Vec::new(),
        at: 4_000_000_000,
    }
}

pub fn abort(inquiry: &str, reason: Abort) -> Command {
    Command::Abort { inquiry: inquiry.into(), reason, at: 5_000_000_000 }
}

pub fn with_result(result: StepResult) -> StepRecord {
    StepRecord {
        result,
        usage: Usage::default(),
        transcript: None,
        logs: None,
        state: None,
        denials: Vec::new(),
        started: 2_500_000_000,
        ended: 3_000_000_000,
    }
}

pub fn readings(value: f64) -> StepRecord {
    let reading = Reading {
        quantity: "temperature".into(),
        value: Value::Number(value),
        unit: "Cel".into(),
        uncertainty: Some(0.1),
        confidence: 1.0,
        time: Some(i64::MAX),
        attributes: BTreeMap::new(),
    };
    with_result(StepResult::Inline(Observation { readings: vec![reading], series: Vec::new() }))
}

pub fn failed(message: &str) -> StepRecord {
    with_result(StepResult::Failed(Failure::Unavailable { message: message.into(), retry_after: None }))
}

pub fn finding(reason: &str) -> Finding {
    Finding {
        verdict: Verdict::Verified,
        reasons: vec![reason.into()],
        estimates: Vec::new(),
        undetermined: Vec::new(),
        exclusions: Vec::new(),
        exclusion_counts: Vec::new(),
        belief: None,
        tests: Vec::new(),
        instruments: Vec::new(),
        observations: Vec::new(),
    }
}

/// Stores the manifest that submissions name.
pub async fn manifest(conductor: &Conductor) -> String {
    conductor.put_blob(b"manifest".to_vec()).await.expect("a blob can be stored")
}

pub async fn done(conductor: &Conductor, command: Command) {
    let shown = format!("{command:?}");
    assert_eq!(conductor.propose(command).await.expect("a command is committed"), Applied::Done, "{shown}");
}

/// As [`done`], in a cluster: a member that got no answer from a leader that was lost sends the command again, and learns that
/// it was done the first time.
pub async fn accepted(conductor: &Conductor, command: Command) {
    let shown = format!("{command:?}");
    let applied = conductor.propose(command).await.expect("a command is committed");
    assert!(matches!(applied, Applied::Done | Applied::AlreadyDone), "{applied:?}: {shown}");
}

pub async fn leased(conductor: &Conductor, inquiry: &str, step: usize, attempt: u32) -> Token {
    match conductor.propose(lease(inquiry, step, attempt)).await.expect("a command is committed") {
        Applied::Leased(token) => token,
        other => panic!("step {step} of {inquiry}: {other:?}"),
    }
}

/// Runs an inquiry of some steps to its end.
pub async fn run(conductor: &Conductor, inquiry: &str, manifest: &str, steps: usize) {
    done(conductor, submit(inquiry, manifest, plan("n", steps))).await;
    for step in 0..steps {
        let token = leased(conductor, inquiry, step, 1).await;
        done(conductor, record(inquiry, step, token, readings(4.0), true)).await;
    }
    done(conductor, conclude(inquiry, "all well")).await;
}
