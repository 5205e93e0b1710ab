//! Inquiries to test and measure with.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;

use inquisitor_conductor::{Conductor, ConductorConfig};
use inquisitor_engine::journal::{Abort, Applied, Command, Journal, StepRecord, StepResult, Token};
use inquisitor_findings::finding::{Finding, Verdict};
use inquisitor_findings::reading::{Observation, Reading, Value};
use inquisitor_manifest::plan::{Action, Plan, PlannedStep};
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
        at: 1_000_000_001,
    }
}

pub fn lease(inquiry: &str, step: usize, attempt: u32) -> Command {
    Command::Lease { inquiry: inquiry.into(), step, attempt, executor: "local".into(), at: 2_000_000_000 }
}

pub fn record(inquiry: &str, step: usize, token: Token, record: StepRecord, is_final: bool) -> Command {
    Command::Record { inquiry: inquiry.into(), step, token, record: Box::new(record), is_final }
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
