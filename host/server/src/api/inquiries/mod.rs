//! Inquiries: submitting, watching and cancelling them, and their findings.

mod ended;
mod submit;
mod types;
mod view;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use inquisitor_conductor::{InquiryFilter, InquiryState, Summary, SummaryStage};
use inquisitor_engine::journal::{Command, Inquiry, Journal as _, StepRecord};
use inquisitor_findings::finding::Verdict;
use inquisitor_ledger::rfc3339;
use inquisitor_runtime::request::LogLine;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::{self, Outline};
use super::extract::{NoQuery, Path, Query};
use super::page::{self, Page};
use super::problems::{OfSomething, Usual};
use super::shared::shortened;
use crate::app::{App, now};
use crate::gate::{Action, Permit, Principal};
use crate::problem::Problem;

pub(crate) use ended::EndedAnswers;
pub use types::{
    AttemptLogs, FindingDocument, InquiryDetails, InquiryInstrument, InquiryOrigin, InquiryStatus,
    InquirySummary, InterimFinding, LedgerCheckpoint, LogItem, ManifestDiagnostic, PlanStep, PlanSummary,
    Provenance, RelatedPlace, StepDetails, StepLogs, StepUsage, SubmittedInquiry, TextSpan, ValidationReport,
};
pub(super) use view::{log_item, summary as summary_view};

use types::StoredFindingDocument;

use submit::__path_submit;
use submit::submit;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .merge(submit::routes())
        .routes(routes!(details))
        .routes(routes!(cancel))
        .routes(routes!(findings))
        .routes(routes!(manifest))
        .routes(routes!(logs))
}

/// Characters of an inquiry's id: those of a UUID.
const MAX_ID: usize = 64;
/// Ledger entries of an inquiry that are looked back over at once.
const LOOK_BACK: usize = 32;
/// Attempts whose logs one answer has at most.
const MAX_LOGGED_ATTEMPTS: usize = 20;

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no inquiry {}", shortened(id)))
}

/// The inquiry of this id, if this principal sees it and may do this.
pub(super) async fn look_up(
    app: &App,
    principal: &Principal,
    action: Action,
    id: &str,
) -> Result<(Summary, Permit), Problem> {
    if id.len() > MAX_ID {
        return Err(missing(id));
    }
    let summary = app.conductor.summary(id).await?;
    let summary =
        summary.filter(|summary| principal.sees_tenant(&summary.tenant)).ok_or_else(|| missing(id))?;
    let permit = principal.permit(app, action, id, Some(&summary.tenant)).await?;
    Ok((summary, permit))
}

/// The inquiry of this id with all its records, if this principal may read it.
pub(super) async fn read(app: &App, principal: &Principal, id: &str) -> Result<(Summary, Inquiry), Problem> {
    let (summary, _) = look_up(app, principal, Action::InquiryRead, id).await?;
    let inquiry = app.conductor.inquiry(id).await?.ok_or_else(|| missing(id))?;
    Ok((summary, inquiry))
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those that are so far.
    #[param(inline)]
    state: Option<InquiryStatus>,
    /// Only those with this verdict.
    #[param(inline)]
    verdict: Option<VerdictName>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those of this tenant.
    #[param(max_length = 63)]
    tenant: Option<String>,
    /// Only those of manifests with this id.
    manifest: Option<String>,
    /// Only those of this type of inquiry.
    kind: Option<String>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A verdict, as in findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum VerdictName {
    Verified,
    Inconclusive,
    Falsified,
}

impl From<VerdictName> for Verdict {
    fn from(name: VerdictName) -> Self {
        match name {
            VerdictName::Verified => Self::Verified,
            VerdictName::Inconclusive => Self::Inconclusive,
            VerdictName::Falsified => Self::Falsified,
        }
    }
}

/// List inquiries, newest first.
///
/// A page looks at a bounded number of inquiries, so with filters it may have fewer items than were asked for, or none, and
/// still name a next one.
#[utoipa::path(
    get,
    path = "/v1/inquiries",
    tag = "inquiries",
    params(ListQuery),
    responses((status = 200, description = "A page of inquiries.", body = Page<InquirySummary>), Usual)
)]
async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<InquirySummary>>, Problem> {
    principal.permit(&app, Action::InquiryRead, "", principal.sees()).await.map(drop)?;
    let limit = page::limit(query.limit)?;
    let before = query
        .cursor
        .as_deref()
        .map(|text| text.parse::<u64>().map_err(|_| page::bad_cursor()))
        .transpose()?;
    let tenant = match (principal.sees(), query.tenant) {
        (None, asked) => asked,
        // There are none of another tenant, as there are none of one that is not there.
        (Some(own), Some(asked)) if own != asked => return Ok(Json(Page { items: Vec::new(), next: None })),
        (Some(own), _) => Some(own.to_owned()),
    };
    let filter = InquiryFilter {
        tenant,
        state: query.state.map(|state| match state {
            InquiryStatus::Running => InquiryState::Running,
            InquiryStatus::Concluded => InquiryState::Concluded,
            InquiryStatus::Aborted => InquiryState::Aborted,
        }),
        tag: query.tag,
        manifest: query.manifest,
        kind: query.kind,
        verdict: query.verdict.map(Verdict::from),
    };
    let page = app.conductor.inquiries(&filter, before, limit).await?;
    let items = page.items.into_iter().map(view::summary).collect();
    Ok(Json(Page { items, next: page.next.map(|sequence| sequence.to_string()) }))
}

/// An inquiry with all that became of it.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}",
    tag = "inquiries",
    params(("id" = String, Path, description = "Id of the inquiry.")),
    responses((status = 200, description = "The inquiry.", body = InquiryDetails), OfSomething)
)]
async fn details(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    let (summary, _) = look_up(&app, &principal, Action::InquiryRead, &id).await?;
    let has_ended = !matches!(summary.stage, SummaryStage::Running);
    let kept = if has_ended { app.ended.get(&id) } else { None };
    let answer = match kept {
        Some(kept) => kept,
        None => {
            // Thousands of steps are read and written on a thread that may block.
            let show = move |inquiry| serde_json::to_vec(&view::details(view::summary(summary), inquiry));
            let shown = app.conductor.inquiry_into(&id, show).await?.ok_or_else(|| missing(&id))?;
            let answer = Bytes::from(shown.map_err(|error| Problem::internal(&error))?);
            if has_ended {
                app.ended.keep(&id, &answer);
            }
            answer
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

/// Ask for an inquiry to end.
///
/// One that runs once is aborted; a continuous one concludes with what it has. Asking again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/inquiries/{id}/cancel",
    tag = "inquiries",
    params(("id" = String, Path, description = "Id of the inquiry.")),
    responses(
        (status = 202, description = "It will end. `status` and `Location` say when it has.", body = InquirySummary, headers(("Location" = String, description = "Path of the inquiry."))),
        (status = 409, description = "It has ended.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn cancel(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    let (_, permit) = look_up(&app, &principal, Action::InquiryCancel, &id).await?;
    app.change(permit, Command::Cancel { inquiry: id.clone(), at: now() }).await?;
    app.dispatcher.cancel(&id);
    let summary = app.conductor.summary(&id).await?.ok_or_else(|| missing(&id))?;
    let location = [(header::LOCATION, format!("/v1/inquiries/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(view::summary(summary))).into_response())
}

/// The finding of an inquiry, with where the ledger has it.
///
/// Of a continuous inquiry that goes on it is the last one, marked as interim.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/findings",
    tag = "inquiries",
    params(("id" = String, Path, description = "Id of the inquiry.")),
    responses((status = 200, description = "The finding.", body = FindingDocument), OfSomething)
)]
async fn findings(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    let (summary, _) = look_up(&app, &principal, Action::InquiryRead, &id).await?;
    let Some(stored) = app.conductor.finding(&id).await? else {
        return Err(Problem::not_found(match summary.stage {
            SummaryStage::Aborted { .. } => format!("the inquiry {id} was aborted and has no finding"),
            _ => format!("the inquiry {id} is running and has no finding yet"),
        }));
    };
    let kind = if stored.interim { events::UPDATED } else { events::CONCLUDED };
    let entry = last_entry(&app, &id, kind).await?;
    let checkpoint = app.conductor.ledger_checkpoint()?;
    let finding = serde_json::from_slice(&stored.json).map_err(|error| Problem::internal(&error))?;
    let document = StoredFindingDocument {
        inquiry: id,
        interim: stored.interim,
        at: rfc3339(stored.at),
        finding,
        provenance: Provenance {
            index: entry.as_ref().map(|entry| entry.index),
            finding_digest: entry.and_then(|entry| entry.body.finding),
            manifest_digest: summary.manifest_digest,
            checkpoint: LedgerCheckpoint { size: checkpoint.size, root: checkpoint.root.to_string() },
        },
    };
    Ok(Json(document).into_response())
}

/// The last ledger entry of an inquiry that is of this kind. Looks back from its last one: few entries come after a finding.
async fn last_entry(app: &App, id: &str, kind: &str) -> Result<Option<Outline>, Problem> {
    let mut before = u64::MAX;
    let mut wanted = 1;
    loop {
        let entries = app.conductor.last_entries(id, before, wanted).await?;
        let is_whole = entries.len() < wanted;
        for (index, bytes) in entries {
            before = index;
            let outline: Outline =
                serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))?;
            if outline.kind == kind {
                return Ok(Some(outline));
            }
        }
        if is_whole {
            return Ok(None);
        }
        wanted = LOOK_BACK;
    }
}

/// The manifest of an inquiry, as it was submitted.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/manifest",
    tag = "inquiries",
    params(("id" = String, Path, description = "Id of the inquiry.")),
    responses((status = 200, description = "The text.", body = serde_json::Value, content_type = "application/yaml"), OfSomething)
)]
async fn manifest(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    let (summary, _) = look_up(&app, &principal, Action::InquiryRead, &id).await?;
    let text = app.conductor.blob(&summary.manifest).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
    ];
    Ok((headers, text).into_response())
}

/// What the instrument of a step logged.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/steps/{position}/logs",
    tag = "inquiries",
    params(
        ("id" = String, Path, description = "Id of the inquiry."),
        ("position" = usize, Path, description = "Position of the step in the plan, from 0."),
        LogsQuery,
    ),
    responses((status = 200, description = "The lines, attempt by attempt.", body = StepLogs), OfSomething)
)]
async fn logs(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path((id, position)): Path<(String, usize)>,
    Query(query): Query<LogsQuery>,
) -> Result<Json<StepLogs>, Problem> {
    let (_, mut inquiry) = read(&app, &principal, &id).await?;
    let step = inquiry
        .plan
        .steps
        .get(position)
        .ok_or_else(|| Problem::not_found(format!("the inquiry has no step {position}")))?;
    let step = step.name.clone();
    let mut records: Vec<(u32, StepRecord)> = Vec::new();
    if let Some(state) = inquiry.steps.remove(&position) {
        records.extend(state.history);
        records.extend(state.earlier.into_iter().chain(state.record).map(|record| (state.round, record)));
    }
    records.retain(|(round, _)| query.round.is_none_or(|asked| asked == *round));
    records.drain(..records.len().saturating_sub(MAX_LOGGED_ATTEMPTS));
    let mut attempts = Vec::with_capacity(records.len());
    for (round, record) in records {
        let lines: Vec<LogLine> = match &record.logs {
            None => Vec::new(),
            Some(digest) => {
                let bytes = app.conductor.blob(digest).await?;
                serde_json::from_slice(&bytes).map_err(|error| Problem::internal(&error))?
            }
        };
        attempts.push(AttemptLogs {
            round,
            started: rfc3339(record.started),
            outcome: view::outcome(&record).to_owned(),
            lines: lines.iter().map(view::log_item).collect(),
        });
    }
    Ok(Json(StepLogs { position, step, attempts }))
}

/// Parameters of a step's logs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogsQuery {
    /// Only attempts of this round.
    round: Option<u32>,
}
