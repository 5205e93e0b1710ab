//! The ledger: entries, checkpoints and proofs, so that anybody can check what this host says.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, header};
use inquisitor_ledger::{Checkpoint, export_checkpoint_line, leaf_hash};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{BodyProblem, NoQuery, Query, prefers};
use super::inquiries::LedgerCheckpoint;
use super::page::{self, Page};
use super::problems::{OfSomething, Usual};
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::problem::Problem;

/// Entries that an export reads at once.
const SLICE: usize = 500;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(checkpoint))
        .routes(routes!(entries))
        .routes(routes!(inclusion))
        .routes(routes!(consistency))
        .routes(routes!(export))
}

/// A ledger entry. Of an entry of another tenant there is the hash alone, so that the whole tree can be checked all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LedgerItem {
    /// Position, from 0.
    pub index: u64,
    /// `SHA-256(0x00 ‖ entry)` over the entry's canonical JSON (RFC 8785), lower-case hex.
    pub leaf_hash: String,
    /// The entry: format, index, kind, time, inquiry, body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub entry: Option<serde_json::Value>,
}

/// That an entry is in the ledger of a size. Stands for itself: `inquisitor ledger verify` needs nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InclusionProof {
    /// Position of the entry.
    pub index: u64,
    /// Size of the ledger.
    pub size: u64,
    /// Root of the ledger of this size, lower-case hex.
    pub root: String,
    /// Hash of the entry, lower-case hex.
    pub leaf_hash: String,
    /// The entry; none where it is another tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub entry: Option<serde_json::Value>,
    /// Audit path (RFC 6962, section 2.1.1), lowest first, lower-case hex.
    pub proof: Vec<String>,
}

/// That a ledger is the beginning of a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyProof {
    /// The earlier size.
    pub from: u64,
    /// Root of the earlier ledger, lower-case hex.
    pub from_root: String,
    /// The later size.
    pub to: u64,
    /// Root of the later ledger, lower-case hex.
    pub to_root: String,
    /// The proof (RFC 6962, section 2.1.2), lower-case hex.
    pub proof: Vec<String>,
}

/// Parameters of a checkpoint.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CheckpointQuery {
    /// Of the ledger when it had this many entries; as it is now where none is given.
    size: Option<u64>,
}

/// Size and root of the ledger.
///
/// With `Accept: text/plain` in the three lines that `inquisitor ledger verify` takes.
#[utoipa::path(
    get,
    path = "/v1/ledger/checkpoint",
    tag = "ledger",
    params(CheckpointQuery),
    responses(
        (status = 200, description = "The checkpoint.", content((LedgerCheckpoint = "application/json"), (String = "text/plain"))),
        OfSomething,
    )
)]
async fn checkpoint(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<CheckpointQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    principal.permit(&app, Action::LedgerRead, "", principal.sees()).await.map(drop)?;
    let checkpoint = at(&app, query.size).await?;
    if prefers(&headers, "text/plain", "application/json") {
        return Ok(
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.to_string()).into_response()
        );
    }
    Ok(Json(LedgerCheckpoint { size: checkpoint.size, root: checkpoint.root.to_string() }).into_response())
}

/// The checkpoint of a size, or of now.
async fn at(app: &App, size: Option<u64>) -> Result<Checkpoint, Problem> {
    let now = app.conductor.ledger_checkpoint()?;
    match size {
        None => Ok(now),
        Some(size) if size > now.size => Err(beyond(size, now.size)),
        Some(size) => Ok(app.conductor.checkpoint_at(size).await?),
    }
}

fn beyond(asked: u64, now: u64) -> Problem {
    Problem::not_found(format!("the ledger has {now} entries and not yet {asked}"))
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EntriesQuery {
    /// Position of the first entry.
    #[param(default = 0)]
    from: Option<u64>,
    /// Items on the page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next` of the page before; the same as `from`.
    cursor: Option<u64>,
}

/// Ledger entries in their order.
///
/// A key with a tenant gets the entries of its tenant whole, and of all others the hash.
#[utoipa::path(
    get,
    path = "/v1/ledger/entries",
    tag = "ledger",
    params(EntriesQuery),
    responses((status = 200, description = "A page of entries.", body = Page<LedgerItem>), Usual)
)]
async fn entries(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<EntriesQuery>,
) -> Result<Json<Page<LedgerItem>>, Problem> {
    principal.permit(&app, Action::LedgerRead, "", principal.sees()).await.map(drop)?;
    let limit = page::limit(query.limit)?;
    if query.from.is_some() && query.cursor.is_some() {
        return Err(Problem::bad_request("`from` and `cursor` are the same; give one of them"));
    }
    let from = query.cursor.or(query.from).unwrap_or(0);
    let entries = app.conductor.ledger_entries(from, limit).await?;
    let mut owners = Owners::new(&app, &principal);
    let mut items = Vec::with_capacity(entries.len());
    for (index, bytes) in entries {
        items.push(owners.item(index, &bytes).await?);
    }
    let next = items.last().filter(|_| items.len() == limit).map(|item| (item.index + 1).to_string());
    Ok(Json(Page { items, next }))
}

/// Tells which entries a principal sees.
struct Owners<'a> {
    app: &'a App,
    /// The tenant that is seen; none: all of them.
    sees: Option<&'a str>,
    /// Inquiry → whether it is the principal's; most entries of a page are of few inquiries.
    known: HashMap<String, bool>,
}

/// What is read of an entry to tell whose it is.
#[derive(Deserialize)]
struct Whose {
    inquiry: String,
    body: WhoseBody,
}

#[derive(Deserialize)]
struct WhoseBody {
    tenant: Option<String>,
}

impl<'a> Owners<'a> {
    fn new(app: &'a App, principal: &'a Principal) -> Self {
        Self { app, sees: principal.sees(), known: HashMap::new() }
    }

    async fn item(&mut self, index: u64, bytes: &[u8]) -> Result<LedgerItem, Problem> {
        let is_seen = match self.sees {
            None => true,
            Some(own) => self.is_of(own, bytes).await?,
        };
        let parsed = is_seen.then(|| serde_json::from_slice(bytes)).transpose();
        let entry = parsed.map_err(|error| Problem::internal(&error))?;
        Ok(LedgerItem { index, leaf_hash: leaf_hash(bytes).to_string(), entry })
    }

    async fn is_of(&mut self, own: &str, bytes: &[u8]) -> Result<bool, Problem> {
        let whose: Whose = serde_json::from_slice(bytes).map_err(|error| Problem::internal(&error))?;
        // What somebody tried to do to another tenant's inquiry is that tenant's affair: the inquiry decides.
        if whose.inquiry.is_empty() {
            return Ok(whose.body.tenant.as_deref() == Some(own));
        }
        if let Some(known) = self.known.get(&whose.inquiry) {
            return Ok(*known);
        }
        let summary = self.app.conductor.summary(&whose.inquiry).await?;
        let is_own = summary.is_some_and(|summary| summary.tenant == own);
        self.known.insert(whose.inquiry, is_own);
        Ok(is_own)
    }
}

/// Parameters of a proof of inclusion.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InclusionQuery {
    /// Position of the entry.
    index: u64,
    /// Size of the ledger; as it is now where none is given.
    size: Option<u64>,
}

/// Proof that an entry is in the ledger.
#[utoipa::path(
    get,
    path = "/v1/ledger/proofs/inclusion",
    tag = "ledger",
    params(InclusionQuery),
    responses((status = 200, description = "The proof.", body = InclusionProof), OfSomething)
)]
async fn inclusion(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<InclusionQuery>,
) -> Result<Json<InclusionProof>, Problem> {
    principal.permit(&app, Action::LedgerRead, "", principal.sees()).await.map(drop)?;
    let checkpoint = at(&app, query.size).await?;
    let outside = || {
        let (index, size) = (query.index, checkpoint.size);
        Problem::not_found(format!("a ledger of {size} entries has none at the position {index}"))
    };
    if query.index >= checkpoint.size {
        return Err(outside());
    }
    let found = app.conductor.ledger_entries(query.index, 1).await?;
    let (index, bytes) = found.into_iter().next().ok_or_else(outside)?;
    let item = Owners::new(&app, &principal).item(index, &bytes).await?;
    let proof = app.conductor.inclusion_proof(index, checkpoint.size).await?;
    Ok(Json(InclusionProof {
        index,
        size: checkpoint.size,
        root: checkpoint.root.to_string(),
        leaf_hash: item.leaf_hash,
        entry: item.entry,
        proof: proof.iter().map(ToString::to_string).collect(),
    }))
}

/// Parameters of a proof of consistency.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConsistencyQuery {
    /// The earlier size.
    from: u64,
    /// The later size; as it is now where none is given.
    to: Option<u64>,
}

/// Proof that an earlier ledger is the beginning of a later one.
#[utoipa::path(
    get,
    path = "/v1/ledger/proofs/consistency",
    tag = "ledger",
    params(ConsistencyQuery),
    responses((status = 200, description = "The proof.", body = ConsistencyProof), OfSomething)
)]
async fn consistency(
    State(app): State<Arc<App>>,
    principal: Principal,
    Query(query): Query<ConsistencyQuery>,
) -> Result<Json<ConsistencyProof>, Problem> {
    principal.permit(&app, Action::LedgerRead, "", principal.sees()).await.map(drop)?;
    let to = at(&app, query.to).await?;
    if query.from > to.size {
        return Err(Problem::bad_request(format!(
            "`from` is {} and lies after `to`, {}",
            query.from, to.size
        )));
    }
    let from = at(&app, Some(query.from)).await?;
    let proof = app.conductor.consistency_proof(from.size, to.size).await?;
    Ok(Json(ConsistencyProof {
        from: from.size,
        from_root: from.root.to_string(),
        to: to.size,
        to_root: to.root.to_string(),
        proof: proof.iter().map(ToString::to_string).collect(),
    }))
}

/// The whole ledger.
///
/// JSON lines, one entry each, and the checkpoint last: what `inquisitor ledger verify` takes. For keys above tenants.
#[utoipa::path(
    get,
    path = "/v1/ledger/export",
    tag = "ledger",
    responses((status = 200, description = "The ledger as it is now.", body = String, content_type = "application/jsonl"), Usual)
)]
async fn export(State(app): State<Arc<App>>, principal: Principal, _: NoQuery) -> Result<Response, Problem> {
    if principal.sees().is_some() {
        return Err(Problem::forbidden(
            "the whole ledger takes a key above tenants; `GET /v1/ledger/entries` has what this key may see",
        ));
    }
    principal.permit(&app, Action::LedgerRead, "", None).await.map(drop)?;
    let checkpoint = at(&app, None).await?;
    let export = Export { app, checkpoint, next: 0, is_over: false };
    let lines = stream::try_unfold(export, |mut export| async move {
        // The headers are gone; all that is left is to cut the answer off.
        let lines = export.lines().await.map_err(BodyProblem)?;
        Ok::<_, BodyProblem>(lines.map(|lines| (lines, export)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"ledger.jsonl\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// The ledger as it was when the export began; it only grows, so its entries stay what they are.
struct Export {
    app: Arc<App>,
    checkpoint: Checkpoint,
    next: u64,
    is_over: bool,
}

impl Export {
    async fn lines(&mut self) -> Result<Option<Bytes>, Problem> {
        if self.is_over {
            return Ok(None);
        }
        let left = self.checkpoint.size - self.next;
        if left == 0 {
            self.is_over = true;
            let mut line =
                export_checkpoint_line(&self.checkpoint).map_err(|error| Problem::internal(&error))?;
            line.push(b'\n');
            return Ok(Some(line.into()));
        }
        let wanted = usize::try_from(left).unwrap_or(SLICE).min(SLICE);
        let entries = self.app.conductor.ledger_entries(self.next, wanted).await?;
        if entries.is_empty() {
            let missing = std::io::Error::other(format!("ledger entry {} is missing", self.next));
            return Err(Problem::internal(&missing));
        }
        let mut lines = Vec::new();
        for (index, bytes) in entries {
            self.next = index + 1;
            lines.extend_from_slice(&bytes);
            lines.push(b'\n');
        }
        Ok(Some(lines.into()))
    }
}
