//! From what the conductor keeps to what clients see. Pure.

use std::collections::BTreeMap;

use inquisitor_conductor::{Summary, SummaryStage};
use inquisitor_engine::gating::Origin;
use inquisitor_engine::journal::{Abort, Inquiry, Status, StepRecord, StepResult, StepState};
use inquisitor_engine::outcomes;
use inquisitor_ledger::rfc3339;
use inquisitor_manifest::plan::{Action, Plan};
use inquisitor_runtime::request::{LogLevel, LogLine};

use super::types::{
    InquiryDetails, InquiryInstrument, InquiryOrigin, InquiryStatus, InquirySummary, InterimFinding, LogItem,
    PlanStep, PlanSummary, StepDetails, StepUsage,
};

/// An inquiry in the list.
pub(crate) fn summary(summary: Summary) -> InquirySummary {
    let (status, verdict, reason, ended) = match summary.stage {
        SummaryStage::Running => (InquiryStatus::Running, None, None, None),
        SummaryStage::Concluded { verdict, at } => (InquiryStatus::Concluded, Some(verdict), None, Some(at)),
        SummaryStage::Aborted { reason, at } => (InquiryStatus::Aborted, None, Some(reason), Some(at)),
    };
    InquirySummary {
        id: summary.id,
        manifest_id: summary.manifest_id,
        name: summary.name,
        manifest_digest: summary.manifest_digest,
        tenant: summary.tenant,
        kind: summary.kind,
        tags: summary.tags,
        origin: match summary.origin {
            Origin::Local => InquiryOrigin::Local,
            Origin::Key { key } => InquiryOrigin::Key { key },
            Origin::Declared { file } => InquiryOrigin::Declared { file },
        },
        submitted: rfc3339(summary.submitted),
        status,
        verdict,
        reason,
        ended: ended.map(rfc3339),
        steps: summary.steps,
        recorded: summary.recorded,
        continuous: summary.continuous,
        cancel_requested: summary.cancel_requested.is_some(),
        missed: summary.missed,
    }
}

/// An inquiry with all that became of it. `inquiry` was read after `summary`, and may have ended in between.
pub(super) fn details(mut summary: InquirySummary, inquiry: Inquiry) -> InquiryDetails {
    let step_details = steps(&inquiry);
    let instruments = instruments(&inquiry.plan);
    let interim =
        inquiry.interim.map(|interim| InterimFinding { finding: interim.finding, at: rfc3339(interim.at) });
    let mut details = InquiryDetails {
        inquiry: summary.clone(),
        message: None,
        finding: None,
        interim,
        artifacts: Vec::new(),
        instruments,
        step_details,
    };
    match inquiry.status {
        Status::Running => {}
        Status::Concluded { finding, artifacts, at } => {
            summary.status = InquiryStatus::Concluded;
            summary.verdict = Some(finding.verdict);
            summary.ended = Some(rfc3339(at));
            details.finding = Some(*finding);
            details.interim = None;
            details.artifacts = artifacts.into_iter().map(|(name, _)| name).collect();
        }
        Status::Aborted { reason, at } => {
            summary.status = InquiryStatus::Aborted;
            summary.reason.get_or_insert_with(|| reason_name(&reason).to_owned());
            summary.ended = Some(rfc3339(at));
            details.message = Some(sentence(&reason));
        }
    }
    details.inquiry = summary;
    details
}

/// The word for why an inquiry was aborted, as in lists.
fn reason_name(reason: &Abort) -> &'static str {
    match reason {
        Abort::Cancelled => "cancelled",
        Abort::TimedOut => "timed-out",
        Abort::Preflight { .. } => "preflight",
        Abort::Broken { .. } => "broken",
    }
}

fn sentence(reason: &Abort) -> String {
    match reason {
        Abort::Cancelled => "the inquiry was cancelled".to_owned(),
        Abort::TimedOut => "the inquiry reached its time limit (execution.timeout)".to_owned(),
        Abort::Preflight { message } => format!("a preflight check did not pass: {message}"),
        Abort::Broken { step, message } => {
            format!("the step `{step}` failed, and break_on_failure ends the inquiry: {message}")
        }
    }
}

/// What a plan comes to.
pub(super) fn plan_summary(plan: &Plan, tenant: String) -> PlanSummary {
    PlanSummary {
        manifest_id: plan.manifest_id.clone(),
        name: plan.name.clone(),
        manifest_digest: plan.manifest_digest.clone(),
        tenant,
        kind: plan.kind.clone(),
        tags: plan.tags.clone(),
        continuous: plan.instruments.values().any(|instrument| instrument.probe_interval.is_some()),
        instruments: instruments(plan),
        steps: (0..plan.steps.len()).filter_map(|position| plan_step(plan, position)).collect(),
    }
}

fn instruments(plan: &Plan) -> BTreeMap<String, InquiryInstrument> {
    plan.instruments
        .iter()
        .map(|(id, instrument)| {
            let view = InquiryInstrument {
                plugin: instrument.plugin.clone(),
                version: instrument.version.clone(),
                digest: instrument.digest.clone(),
                probe_interval_seconds: instrument.probe_interval.map(seconds),
            };
            (id.clone(), view)
        })
        .collect()
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}

fn plan_step(plan: &Plan, position: usize) -> Option<PlanStep> {
    let step = plan.steps.get(position)?;
    let action = match &step.action {
        Action::SelfTest { .. } => "self_test",
        Action::Observe { .. } => "observe",
        Action::Analyze => "analyze",
        Action::Report => "report",
        Action::Close => "close",
    };
    Some(PlanStep {
        position,
        name: step.name.clone(),
        phase: step.phase.clone(),
        action: action.to_owned(),
        instrument: step.action.instrument().map(str::to_owned),
        after: step.after.clone(),
    })
}

fn steps(inquiry: &Inquiry) -> Vec<StepDetails> {
    let outcomes = outcomes(inquiry);
    let steps = outcomes.into_iter().enumerate().filter_map(|(position, outcome)| {
        let step = plan_step(&inquiry.plan, position)?;
        let state = inquiry.steps.get(&position);
        let last = state.and_then(last_record);
        let is_running = state.is_some_and(|state| state.record.is_none());
        Some(StepDetails {
            step,
            outcome: if is_running && inquiry.status == Status::Running {
                "running".to_owned()
            } else {
                outcome.outcome
            },
            message: outcome.message,
            attempts: outcome.attempts,
            round: state.map_or(0, |state| state.round),
            missed: state.map_or(0, |state| state.missed),
            history: state.map_or(0, |state| state.history.len()),
            executor: state.map(|state| state.executor.clone()),
            readings: outcome.readings,
            started: last.map(|record| rfc3339(record.started)),
            ended: last.map(|record| rfc3339(record.ended)),
            usage: last.filter(|record| record.transcript.is_some()).map(usage),
            denials: last.map(|record| record.denials.clone()).unwrap_or_default(),
            transcript: last.and_then(|record| record.transcript.clone()),
        })
    });
    steps.collect()
}

/// The record of the last attempt that was recorded.
fn last_record(state: &StepState) -> Option<&StepRecord> {
    state.record.as_ref().or(state.earlier.last()).or(state.history.last().map(|(_, record)| record))
}

fn usage(record: &StepRecord) -> StepUsage {
    StepUsage {
        wall_seconds: seconds(record.usage.wall),
        fuel: record.usage.fuel,
        peak_memory: record.usage.peak_memory,
        host_calls: record.usage.host_calls,
        rows: record.usage.rows,
        dropped_log_lines: record.usage.dropped_log_lines,
    }
}

/// How an attempt ended, in a word.
pub(super) fn outcome(record: &StepRecord) -> &'static str {
    match &record.result {
        StepResult::Inline(_) | StepResult::Blob { .. } => "completed",
        StepResult::Failed(failure) => failure.name(),
        StepResult::Skipped { .. } => "skipped",
    }
}

/// A log line.
pub(crate) fn log_item(line: &LogLine) -> LogItem {
    let level = match line.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    };
    LogItem { level: level.to_owned(), message: line.message.clone(), attributes: line.attributes.clone() }
}
