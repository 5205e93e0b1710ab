//! Taking manifests in, and saying what is wrong with them.

use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use inquisitor_engine::Submission;
use inquisitor_engine::gating::{DEFAULT_TENANT, Origin};
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::spec::Manifest;
use inquisitor_manifest::{Diagnostic, Diagnostics, Severity, compile, parse_bytes};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::types::{SubmittedInquiry, ValidationReport};
use super::view;
use crate::api::extract::{self, NoQuery, Query, expect_type};
use crate::api::problems::Usual;
use crate::api::shared::{no_tenant, off_thread};
use crate::app::App;
use crate::gate::{Action, Principal, admit, review};
use crate::problem::{Kind, Problem};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(validate))
}

/// Content types of a manifest.
const MANIFEST_TYPES: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "application/json"];

/// Bytes from which a manifest is read on a thread that may block: about a millisecond of work.
const LARGE_MANIFEST: usize = 16 << 10;

/// Bytes of an idempotency key.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// What diagnostics call the manifest.
const FILE: &str = "manifest";

/// Parameters of a submission.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SubmitQuery {
    /// Only say what would be wrong and what would be run; as `POST /v1/inquiries/validate`, but a manifest with mistakes is
    /// answered as if it were submitted.
    dry_run: Option<bool>,
}

/// Submit an inquiry.
///
/// When this is answered with 201, the inquiry is durable and will run. A repeated `Idempotency-Key` of the same tenant with
/// the same manifest is answered with the inquiry that it made the first time.
#[utoipa::path(
    post,
    path = "/v1/inquiries",
    tag = "inquiries",
    params(
        SubmitQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, drawn by the client for each inquiry that it means."),
    ),
    request_body(
        description = "The manifest, in either spelling. Without a content type it is read as YAML.",
        content(
            (String = "application/yaml"),
            (String = "application/x-yaml"),
            (String = "text/yaml"),
            (Object = "application/json"),
        ),
    ),
    responses(
        (status = 201, description = "It is taken in.", body = SubmittedInquiry, headers(("Location" = String, description = "Path of the inquiry."))),
        (status = 200, description = "The idempotency key made this inquiry before; or, with `dry_run`, a `ValidationReport`.", body = SubmittedInquiry, headers(
            ("Location" = String, description = "Path of the inquiry."),
            ("Idempotent-Replayed" = String, description = "`true`"),
        )),
        (status = 404, description = "The manifest names a tenant that is not there.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another manifest of the same id is running.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The manifest is larger than this host takes.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is said to be no manifest.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The manifest has mistakes, all of them in `errors`; or the idempotency key was used for another manifest.", body = Problem, content_type = "application/problem+json"),
        Usual,
    )
)]
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<SubmitQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let is_dry = query.dry_run.unwrap_or(false);
    let action = if is_dry { Action::InquiryValidate } else { Action::InquirySubmit };
    // Before the body is read: most who may not, may not whatever they send.
    principal.permit(&app, action, "", principal.sees()).await.map(drop)?;
    let idempotency_key = idempotency_key(&headers)?;
    let checked = check(&app, &principal, &headers, body).await?;
    let Some(plan) = checked.plan else { return Err(invalid(&checked.diagnostics)) };
    if is_dry {
        let report = report(&app, &checked.diagnostics, Some(&plan), checked.tenant)?;
        return Ok(Json(report).into_response());
    }
    let base_dir = app.config.base_dir();
    let (permit, bounds) = admit(&app, &principal, &checked.tenant, &plan, base_dir).await?;
    let submission = Submission {
        plan,
        manifest: checked.text,
        base_dir: base_dir.map(Path::to_owned),
        bounds,
        origin: Origin::Key { key: principal.key },
        idempotency_key,
        access: Some(permit.into_access()),
    };
    let submitted = app.engine.submit(submission).await?;
    app.dispatcher.wake(&submitted.inquiry);
    let summary = app.conductor.summary(&submitted.inquiry).await?;
    let summary =
        summary.ok_or_else(|| Problem::not_found(format!("there is no inquiry {}", submitted.inquiry)))?;
    let location = [(header::LOCATION, format!("/v1/inquiries/{}", submitted.inquiry))];
    let warnings =
        checked.diagnostics.iter().filter(|one| one.severity == Severity::Warning).cloned().collect();
    let body = Json(SubmittedInquiry { inquiry: view::summary(summary), warnings });
    if submitted.earlier {
        let replayed = [(HeaderName::from_static("idempotent-replayed"), "true")];
        return Ok((StatusCode::OK, location, replayed, body).into_response());
    }
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Validate a manifest.
///
/// Every mistake at once, and what would be run. Nothing is kept.
#[utoipa::path(
    post,
    path = "/v1/inquiries/validate",
    tag = "inquiries",
    request_body(
        description = "The manifest, in either spelling. Without a content type it is read as YAML.",
        content(
            (String = "application/yaml"),
            (String = "application/x-yaml"),
            (String = "text/yaml"),
            (Object = "application/json"),
        ),
    ),
    responses(
        (status = 200, description = "What there is to say of it, whether it is valid or not.", body = ValidationReport),
        (status = 404, description = "The manifest names a tenant that is not there.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The manifest is larger than this host takes.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is said to be no manifest.", body = Problem, content_type = "application/problem+json"),
        Usual,
    )
)]
async fn validate(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ValidationReport>, Problem> {
    principal.permit(&app, Action::InquiryValidate, "", principal.sees()).await.map(drop)?;
    let checked = check(&app, &principal, &headers, body).await?;
    Ok(Json(report(&app, &checked.diagnostics, checked.plan.as_ref(), checked.tenant)?))
}

/// A manifest that was read and compiled.
struct Checked {
    tenant: String,
    text: String,
    plan: Option<Plan>,
    diagnostics: Diagnostics,
}

/// Read the manifest and compile it with the plugins that its tenant sees.
async fn check(
    app: &Arc<App>,
    principal: &Principal,
    headers: &HeaderMap,
    body: Body,
) -> Result<Checked, Problem> {
    expect_type(headers, &MANIFEST_TYPES)?;
    let bytes = extract::body(body, app.config.max_body_bytes).await?;
    let is_large = bytes.len() > LARGE_MANIFEST;
    let (shared, own) = (app.clone(), principal.tenant.clone());
    let compile = move || compile_for(&shared, own.as_deref(), bytes);
    let checked = if is_large { off_thread(compile).await? } else { compile() }?;
    app.metrics.validation(checked.plan.is_some());
    Ok(checked)
}

fn compile_for(app: &App, own: Option<&str>, bytes: Bytes) -> Result<Checked, Problem> {
    let parsed = parse_bytes(FILE, &bytes);
    let tenant = tenant_of(app, own, parsed.manifest.as_ref())?;
    let (plan, found) = compile(&parsed, &app.plugins()?.visible_to(&tenant));
    let diagnostics = parsed.diagnostics.merged(found);
    // Where it is not UTF-8 there is no plan and the text is not needed.
    let text = String::from_utf8(bytes.into()).unwrap_or_default();
    Ok(Checked { tenant, text, plan, diagnostics })
}

/// The tenant that the manifest names, else the key's, else the one that always exists.
fn tenant_of(app: &App, own: Option<&str>, manifest: Option<&Manifest>) -> Result<String, Problem> {
    let named = manifest.and_then(|manifest| manifest.tenant.as_deref());
    let tenant = match (own, named) {
        (None, named) => named.unwrap_or(DEFAULT_TENANT),
        (Some(own), None) => own,
        (Some(own), Some(named)) if own == named => own,
        (Some(_), Some(named)) => return Err(no_tenant(named)),
    };
    if app.conductor.registry().tenant(tenant).is_none() {
        return Err(no_tenant(tenant));
    }
    Ok(tenant.to_owned())
}

fn report(
    app: &App,
    diagnostics: &Diagnostics,
    plan: Option<&Plan>,
    tenant: String,
) -> Result<ValidationReport, Problem> {
    let violations = match plan {
        Some(plan) => review(app, &tenant, plan, app.config.base_dir())?,
        None => Vec::new(),
    };
    Ok(ValidationReport {
        valid: plan.is_some(),
        errors: diagnostics.errors(),
        warnings: diagnostics.warnings(),
        omitted: diagnostics.omitted(),
        diagnostics: diagnostics.as_slice().to_vec(),
        violations,
        plan: plan.map(|plan| view::plan_summary(plan, tenant)),
    })
}

/// The problem of a manifest with mistakes.
fn invalid(diagnostics: &Diagnostics) -> Problem {
    let first = diagnostics.iter().find(|one| one.severity == Severity::Error);
    let place = |one: &Diagnostic| format!("line {}: {}", one.line, one.message);
    let detail = match (diagnostics.errors(), first) {
        (1, Some(one)) => place(one),
        (errors, Some(one)) => format!("{errors} errors; the first is in {}", place(one)),
        (_, None) => "the manifest comes to no plan".to_owned(),
    };
    let errors = diagnostics.iter().filter_map(|one| serde_json::to_value(one).ok()).collect();
    Problem::new(Kind::InvalidManifest, detail).errors(errors)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let wrong = || {
        Problem::bad_request(format!(
            "the header Idempotency-Key has 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters, once"
        ))
    };
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value.to_str().map_err(|_| wrong())?;
    let is_good =
        (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good && values.next().is_none() { Ok(Some(key.to_owned())) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idempotency_key_is_visible_and_bounded_and_there_once() {
        let of = |values: &[&str]| {
            let name = HeaderName::from_static("idempotency-key");
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name.clone(), value.parse().unwrap());
            }
            idempotency_key(&headers)
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&["a-1"]).unwrap().as_deref(), Some("a-1"));
        assert_eq!(of(&[&"x".repeat(255)]).unwrap().unwrap().len(), 255);
        for wrong in [vec![""], vec!["a b"], vec!["ä"], vec!["a", "b"]] {
            assert_eq!(of(&wrong).unwrap_err().status, 400, "{wrong:?}");
        }
        assert!(of(&[&"x".repeat(256)]).is_err());
    }

    #[test]
    fn the_first_mistake_is_told_and_all_are_listed() {
        let parsed = parse_bytes(FILE, b"manifest:\n  nmae: x\n  id: 3\n");
        let problem = invalid(&parsed.diagnostics);
        assert_eq!(problem.status, 422);
        assert_eq!(problem.errors.len(), parsed.diagnostics.as_slice().len());
        assert!(problem.detail.contains("errors; the first is in line"), "{}", problem.detail);
        let not_text = invalid(&parse_bytes(FILE, b"\xff").diagnostics);
        assert!(not_text.detail.contains("not UTF-8"), "{}", not_text.detail);
    }
}
