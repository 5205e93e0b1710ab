//! The events of an inquiry as a stream (server-sent events).
//!
//! Durable events are the ledger entries of the inquiry: `id:` is the position in the ledger, `event:` the entry's kind. They
//! come in order, each once, from the first one on or from the one after `Last-Event-ID`, so that a client that was cut off goes
//! on where it was. Live events (`log`, `progress`) have no id, are not kept, and are left out for a client that reads too
//! slowly. After the inquiry has ended comes `end`, and the stream ends.

mod types;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::Stream;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use inquisitor_engine::events::Event;
use inquisitor_engine::journal::Journal as _;
use inquisitor_manifest::plan::Plan;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query};
use super::inquiries::{self, InquiryStatus, InquirySummary, log_item, summary_view};
use super::problems::OfSomething;
use crate::app::App;
use crate::gate::{Action, Principal};
use crate::hub::Watcher;
use crate::problem::{Kind, Problem};

pub use types::{DurableEvent, EndEvent, LogEvent, ProgressEvent};

/// Ledger entries of an inquiry that are read at once.
pub(super) const SLICE: usize = 200;
/// Kind of the entry with which an inquiry is concluded.
pub(super) const CONCLUDED: &str = "inquiry-concluded";
/// Kind of the entry with which an inquiry is aborted.
const ABORTED: &str = "inquiry-aborted";
/// Kind of the entry that keeps what an attempt at a step brought.
const RECORDED: &str = "step-recorded";
/// Kind of the entry that keeps an interim finding.
pub(super) const UPDATED: &str = "finding-updated";
/// Time between comments that keep the connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client that was cut off waits before it comes again.
const RECONNECT: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// What is read of a ledger entry.
#[derive(Debug, Deserialize)]
pub(super) struct Outline {
    pub(super) index: u64,
    pub(super) kind: String,
    time: String,
    pub(super) body: Body,
}

impl Outline {
    /// Whether the inquiry ends with it.
    fn is_end(&self) -> bool {
        self.kind == CONCLUDED || self.kind == ABORTED
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Body {
    step: Option<usize>,
    attempt: Option<u32>,
    round: Option<u32>,
    outcome: Option<String>,
    #[serde(rename = "final")]
    is_final: Option<bool>,
    /// Readings of an attempt; of a decision, how often it was made.
    count: Option<u64>,
    executor: Option<String>,
    verdict: Option<String>,
    pub(super) finding: Option<String>,
    reason: Option<String>,
    action: Option<String>,
    allowed: Option<bool>,
}

/// Parameters of the stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Begin after the event with this id. The header `Last-Event-ID` takes precedence.
    after: Option<u64>,
    /// `false`: end after what the ledger has by now, without `end` where the inquiry goes on.
    follow: Option<bool>,
}

/// Follow an inquiry.
///
/// A stream of server-sent events. Durable ones are the inquiry's ledger entries: `id` is the position in the ledger, `event`
/// the entry's kind, `data` a `DurableEvent`. Live ones are `log` (a `LogEvent`) and `progress` (a `ProgressEvent`), without an
/// id. The last one is `end` (an `EndEvent`). A comment comes every 15 s where there is nothing else. To go on after an
/// interruption send the last id as `Last-Event-ID` or `after`.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/events",
    tag = "inquiries",
    params(
        ("id" = String, Path, description = "Id of the inquiry."),
        ("Last-Event-ID" = Option<u64>, Header, description = "Id of the last event that the client has."),
        EventsQuery,
    ),
    responses((status = 200, description = "The events.", content_type = "text/event-stream", body = DurableEvent), OfSomething)
)]
async fn events(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = match last_event_id(&headers)? {
        Some(index) => Some(index),
        None => query.after,
    };
    let (_, _permit) = inquiries::look_up(&app, &principal, Action::InquiryRead, &id).await?;
    // Before it is looked at whether the key still holds: what changes after that is told.
    let registry = app.hub.registry_changes();
    let watcher = app.hub.watch(&id, principal.sees());
    let watcher = watcher.map_err(|detail| Problem::new(Kind::TooManyRequests, detail).retry_after(5))?;
    let plan = app.conductor.inquiry(&id).await?.map(|inquiry| inquiry.plan);
    let names = plan.as_ref().map(names).unwrap_or_default();
    let next = after.map_or(0, |index| index.saturating_add(1));
    let follow = query.follow.unwrap_or(true);
    let pending = VecDeque::new();
    let follower = Follower {
        app,
        principal,
        registry,
        id,
        watcher,
        names,
        next,
        follow,
        pending,
        state: Stage::Reading,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(follower.stream()).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let wrong = || {
        Problem::bad_request(
            "the header Last-Event-ID is the `id` of an event of this stream, a whole number",
        )
    };
    match value.to_str().map_err(|_| wrong())?.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    }
}

/// Names of the steps with their instruments, by position.
fn names(plan: &Plan) -> Vec<(String, Option<String>)> {
    plan.steps.iter().map(|step| (step.name.clone(), step.action.instrument().map(str::to_owned))).collect()
}

/// One client that follows an inquiry.
struct Follower {
    app: Arc<App>,
    principal: Principal,
    /// Tells when keys may have been revoked.
    registry: watch::Receiver<u64>,
    id: String,
    watcher: Watcher,
    names: Vec<(String, Option<String>)>,
    /// Position of the first ledger entry that the client does not have.
    next: u64,
    /// Whether to wait for what comes.
    follow: bool,
    /// Events to be sent; at most a slice of the ledger.
    pending: VecDeque<SseEvent>,
    state: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Reads what the ledger has.
    Reading,
    /// Waits for what comes.
    Following,
    /// Sends what is left.
    Ending,
}

impl Follower {
    fn stream(mut self) -> impl Stream<Item = Result<SseEvent, Infallible>> {
        self.pending.push_back(SseEvent::default().retry(RECONNECT));
        stream::unfold(self, |mut follower| async move {
            let event = follower.next_event().await?;
            Some((Ok(event), follower))
        })
    }

    async fn next_event(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match self.state {
                Stage::Reading => self.read().await,
                Stage::Following => self.follow().await,
                Stage::Ending => return None,
            }
        }
    }

    /// The next slice of what the ledger has.
    async fn read(&mut self) {
        if !self.principal.still_holds(&self.app) {
            return self.lose_key();
        }
        // Before the entries: an inquiry that has ended by now has its last entry among them.
        let summary = self.app.conductor.summary(&self.id).await;
        let entries = self.app.conductor.inquiry_entries(&self.id, self.next, SLICE).await;
        let (summary, entries) = match (summary, entries) {
            (Ok(Some(summary)), Ok(entries)) => (summary_view(summary), entries),
            (Ok(None), _) => return self.state = Stage::Ending,
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    inquiry = self.id,
                    "a stream of events ends: the ledger cannot be read"
                );
                return self.state = Stage::Ending;
            }
        };
        let is_whole = entries.len() < SLICE;
        let mut has_ended = false;
        for (index, bytes) in entries {
            has_ended |= self.push_entry(index, &bytes);
        }
        match (summary.status, is_whole) {
            (_, false) => {}
            // It ended between the two reads: look again.
            (InquiryStatus::Running, true) if has_ended => {}
            (InquiryStatus::Running, true) if !self.follow => self.state = Stage::Ending,
            (InquiryStatus::Running, true) => self.state = Stage::Following,
            (_, true) => self.end(summary),
        }
    }

    /// The next thing that happens.
    async fn follow(&mut self) {
        let closed = self.app.hub.closed();
        let expires = self.principal.expires_in(&self.app);
        tokio::select! {
            biased;
            () = closed.cancelled() => {
                self.pending.push_back(SseEvent::default().comment("the host is stopping; come again"));
                self.state = Stage::Ending;
            }
            // A host that is stopping closes both.
            _ = self.registry.changed() => if !self.principal.still_holds(&self.app) {
                self.lose_key();
            },
            () = lapse(expires) => self.lose_key(),
            entry = self.watcher.entries.recv() => match entry {
                // The client has it, or says so: one that named an entry that is not there yet must see the end all the same.
                Ok(entry) if entry.index < self.next => {
                    if outline(entry.index, &entry.bytes).is_some_and(|outline| outline.is_end()) {
                        self.state = Stage::Reading;
                    }
                }
                Ok(entry) => {
                    if self.push_entry(entry.index, &entry.bytes) {
                        // For the summary, and for the end.
                        self.state = Stage::Reading;
                    }
                }
                Err(RecvError::Lagged(_)) => self.state = Stage::Reading,
                Err(RecvError::Closed) => self.state = Stage::Ending,
            },
            live = self.watcher.live.recv() => if let Ok(event) = live && let Some(event) = live_event(&event) {
                self.pending.push_back(event);
            }
        }
    }

    /// An entry to be sent; whether it is the one with which the inquiry ends.
    fn push_entry(&mut self, index: u64, bytes: &[u8]) -> bool {
        self.next = index + 1;
        let Some(outline) = outline(index, bytes) else { return false };
        let is_end = outline.is_end();
        let kind = outline.kind.clone();
        let data = durable(outline, &self.names);
        if let Ok(event) = SseEvent::default().id(index.to_string()).event(kind).json_data(&data) {
            self.pending.push_back(event);
        }
        is_end
    }

    fn lose_key(&mut self) {
        self.pending.push_back(SseEvent::default().comment("the key was revoked or has expired"));
        self.state = Stage::Ending;
    }

    fn end(&mut self, inquiry: InquirySummary) {
        if let Ok(event) = SseEvent::default().event("end").json_data(EndEvent { inquiry }) {
            self.pending.push_back(event);
        }
        self.state = Stage::Ending;
    }
}

/// When a key expires that does; else never.
async fn lapse(after: Option<Duration>) {
    match after {
        Some(after) => tokio::time::sleep(after).await,
        None => std::future::pending().await,
    }
}

/// What is read of an entry; none where it cannot be, which the log says.
fn outline(index: u64, bytes: &[u8]) -> Option<Outline> {
    let outline = serde_json::from_slice(bytes);
    outline
        .inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, index, "a ledger entry cannot be read");
        })
        .ok()
}

/// An entry with the names of the plan.
fn durable(outline: Outline, names: &[(String, Option<String>)]) -> DurableEvent {
    let Outline { index, kind, time, body } = outline;
    let (step, instrument) = match body.step.and_then(|position| names.get(position)) {
        Some((step, instrument)) => (Some(step.clone()), instrument.clone()),
        None => (None, None),
    };
    DurableEvent {
        index,
        time,
        step,
        position: body.step,
        instrument,
        round: body.round,
        attempt: body.attempt,
        executor: body.executor,
        outcome: body.outcome,
        is_final: body.is_final,
        readings: body.count.filter(|_| kind == RECORDED),
        verdict: body.verdict,
        finding: body.finding,
        reason: body.reason,
        action: body.action,
        allowed: body.allowed,
    }
}

fn live_event(event: &Event) -> Option<SseEvent> {
    match event {
        Event::StepLog { step, line } => {
            let data = LogEvent { step: step.clone(), line: log_item(line) };
            SseEvent::default().event("log").json_data(data).ok()
        }
        Event::StepProgress { step, fraction, message } => {
            let data = ProgressEvent { step: step.clone(), fraction: *fraction, message: message.clone() };
            SseEvent::default().event("progress").json_data(data).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_becomes_an_event_with_names() {
        let bytes = br#"{"body":{"attempt":2,"count":3,"final":true,"outcome":"completed","round":0,"step":1,"record":"ab"},"index":9,"inquiry":"i","kind":"step-recorded","time":"t","v":1}"#;
        let names = [("one".to_owned(), None), ("two".to_owned(), Some("probe".to_owned()))];
        let event = durable(serde_json::from_slice(bytes).unwrap(), &names);
        insta::assert_snapshot!(serde_json::to_string(&event).unwrap(), @r#"{"index":9,"time":"t","step":"two","position":1,"instrument":"probe","round":0,"attempt":2,"outcome":"completed","final":true,"readings":3}"#);
        let decision = br#"{"body":{"action":"inquiry.submit","allowed":true,"count":1},"index":9,"inquiry":"i","kind":"access-decided","time":"t","v":1}"#;
        assert_eq!(durable(serde_json::from_slice(decision).unwrap(), &names).readings, None);
        let beyond = br#"{"body":{"step":7},"index":9,"inquiry":"i","kind":"step-leased","time":"t","v":1}"#;
        assert_eq!(durable(serde_json::from_slice(beyond).unwrap(), &names).step, None);
    }

    #[test]
    fn the_last_event_is_a_number_or_not_there() {
        let of = |value: &str| {
            let name = http::HeaderName::from_static("last-event-id");
            last_event_id(&HeaderMap::from_iter([(name, value.parse().unwrap())]))
        };
        assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
        assert_eq!(of("").unwrap(), None);
        assert_eq!(of("12").unwrap(), Some(12));
        assert_eq!(of("x").unwrap_err().status, 400);
        assert_eq!(of("-1").unwrap_err().status, 400);
        assert_eq!(of("99999999999999999999999").unwrap_err().status, 400);
        assert_eq!(of("ä").unwrap_err().status, 400);
    }
}
