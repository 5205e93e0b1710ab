//! Following an inquiry: server-sent events, taken up again where they broke off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use eventsource_stream::{EventStreamError, Eventsource as _};
use futures::{Stream, StreamExt as _};
use reqwest::header::{ACCEPT, HeaderName};
use reqwest::{Method, Response};
use serde_json::Value;

use super::{Client, ClientError, patience};
use crate::print;

/// Name of the last event of an inquiry.
const END: &str = "end";
/// How long a stream may be silent. A host sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// Bytes between two events. What a host says at once is far less.
const MAX_EVENT: usize = 1 << 20;

/// Something that a host says of an inquiry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostEvent {
    /// Index of the ledger's entry; none for what is only said while it happens.
    pub(crate) index: Option<u64>,
    /// Kind of the entry, or `log` or `progress`.
    pub(crate) kind: String,
    /// What it says.
    pub(crate) data: Value,
}

type Events =
    Pin<Box<dyn Stream<Item = Result<eventsource_stream::Event, EventStreamError<ClientError>>> + Send>>;

/// The events of an inquiry, from one entry of the ledger to the inquiry's end.
pub(crate) struct Following<'a> {
    client: &'a Client,
    inquiry: String,
    last: Option<u64>,
    /// Whether to wait for what comes.
    follow: bool,
    events: Option<Events>,
    failures: u32,
    /// When something last came.
    alive: Instant,
    /// Bytes that came since the last event.
    unread: Arc<AtomicUsize>,
}

impl<'a> Following<'a> {
    /// The events of an inquiry from after this entry of the ledger, or from its beginning: those that are there, or where
    /// `follow` all to its end.
    pub(crate) fn new(client: &'a Client, inquiry: &str, after: Option<u64>, follow: bool) -> Self {
        let alive = Instant::now();
        Self {
            client,
            inquiry: inquiry.to_owned(),
            last: after,
            follow,
            events: None,
            failures: 0,
            alive,
            unread: Arc::default(),
        }
    }

    /// The next event; none when the inquiry has ended and all was said.
    ///
    /// # Errors
    /// When the host refuses, or could not be reached for too long.
    pub(crate) async fn next(&mut self) -> Result<Option<HostEvent>, ClientError> {
        loop {
            let events = match &mut self.events {
                Some(events) => events,
                None => {
                    let opened = self.open().await?;
                    self.events.insert(opened)
                }
            };
            match events.next().await {
                Some(Ok(event)) => {
                    self.failures = 0;
                    self.alive = Instant::now();
                    self.unread.store(0, Ordering::Relaxed);
                    if event.event == END {
                        return Ok(None);
                    }
                    let index = event.id.parse().ok();
                    // What is only said while it happens keeps the id of the entry before it.
                    let is_new = index.is_some() && index != self.last;
                    if is_new {
                        self.last = index;
                    }
                    let data = serde_json::from_str(&event.data).unwrap_or(Value::String(event.data));
                    let index = if is_new { index } else { None };
                    return Ok(Some(HostEvent { index, kind: event.event, data }));
                }
                Some(Err(error)) => self.broken(transport(self.client.server(), error)).await?,
                None if !self.follow => return Ok(None),
                None => {
                    let error = ClientError::Broken {
                        server: self.client.server().to_owned(),
                        reason: "the stream of events ended before the inquiry".to_owned(),
                    };
                    self.broken(error).await?;
                }
            }
        }
    }

    /// Take it up again after a pause, unless it broke for too long.
    async fn broken(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.events = None;
        self.failures += 1;
        match patience::wait(self.failures, self.alive.elapsed(), self.client.retry_for, None) {
            // A stream that was silent may be so again, and is not given up for that.
            None if !matches!(error, ClientError::TimedOut { .. }) => Err(error),
            wait => {
                tracing::debug!(%error, "the stream of events is taken up again");
                tokio::time::sleep(wait.unwrap_or_default()).await;
                Ok(())
            }
        }
    }

    async fn open(&self) -> Result<Events, ClientError> {
        let query = [("follow", self.follow.to_string())];
        let path = ["v1", "inquiries", self.inquiry.as_str(), "events"];
        let mut request = self.client.request(Method::GET, &path, &query)?;
        request.headers.insert(ACCEPT, reqwest::header::HeaderValue::from_static("text/event-stream"));
        if let Some(last) = self.last {
            request.headers.insert(HeaderName::from_static("last-event-id"), last.into());
        }
        let response = self.client.open(&request).await?;
        self.unread.store(0, Ordering::Relaxed);
        let source = Source { server: self.client.server().to_owned(), unread: self.unread.clone() };
        let pieces = futures::stream::unfold(Some(response), move |state| piece(state, source.clone()));
        Ok(Box::pin(pieces.eventsource()))
    }
}

/// Where the pieces of a stream come from.
#[derive(Clone)]
struct Source {
    server: String,
    /// Bytes that came since the last event.
    unread: Arc<AtomicUsize>,
}

/// The next piece of a stream; after an error, its end.
async fn piece(
    response: Option<Response>,
    source: Source,
) -> Option<(Result<bytes::Bytes, ClientError>, Option<Response>)> {
    let mut response = response?;
    let Source { server, unread } = source;
    match tokio::time::timeout(SILENCE, response.chunk()).await {
        Ok(Ok(Some(chunk))) if unread.fetch_add(chunk.len(), Ordering::Relaxed) > MAX_EVENT => {
            let reason = format!("an event is larger than {}", print::bytes(MAX_EVENT as u64));
            Some((Err(ClientError::Broken { server, reason }), None))
        }
        Ok(Ok(Some(chunk))) => Some((Ok(chunk), Some(response))),
        Ok(Ok(None)) => None,
        Ok(Err(error)) => Some((Err(ClientError::of_transport(&server, &error)), None)),
        Err(_) => Some((Err(ClientError::TimedOut { server, after: SILENCE }), None)),
    }
}

fn transport(server: &str, error: EventStreamError<ClientError>) -> ClientError {
    match error {
        EventStreamError::Transport(error) => error,
        other => ClientError::Broken { server: server.to_owned(), reason: other.to_string() },
    }
}
