//! Asking: channels to peers, and requests on them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use crate::address::{Address, Resolver, SystemResolver};
use crate::body::{Body, Outgoing, Payload};
use crate::connection::{MAX_MESSAGE_BYTES, is_path, is_unprocessed, reason, refusal};
use crate::dial::{Connection, Dialer};
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, PeerError, Refusal};
use crate::identity::{MemberName, PeerIdentity};
use crate::slot::Slot;
use crate::time::after as after_now;

/// Peers whose connections are kept without anybody holding a [`Channel`] to them. Where there are more, all that nobody
/// holds are let go.
pub const MAX_UNHELD: usize = 64;

/// A request is tried on so many connections before its failure is told, as long as it certainly was not processed.
const MAX_TRIES: u32 = 3;

/// What a request is about. Each class has a connection of its own, so that consensus never waits behind a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// What leadership depends on: votes, heartbeats, entries of the log.
    Consensus,
    /// Requests that were forwarded, steps.
    Request,
    /// Snapshots, blobs.
    Bulk,
}

/// How to connect. The defaults fit members in one region.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// For one attempt, from the name to HTTP/2.
    pub connect_timeout: Duration,
    /// After the first failure the next attempt waits for so long, after each further one twice as long; a random part of
    /// it, at most half, is left out.
    pub backoff: Duration,
    /// Longest wait between attempts.
    pub backoff_max: Duration,
    /// How often a silent peer is asked whether it is alive, and how long it may take to say so. Together the time in which
    /// a dead one is noticed.
    pub ping_interval: Duration,
    /// See `ping_interval`.
    pub ping_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            ping_interval: Duration::from_secs(1),
            ping_timeout: Duration::from_secs(2),
        }
    }
}

/// The peers that this member talks to. Cheap to clone; connects to nobody by itself.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    resolver: Arc<dyn Resolver>,
    options: Arc<ClientOptions>,
    channels: Mutex<HashMap<(Address, Option<MemberName>), Channel>>,
}

impl Peers {
    /// Peers whose names the operating system resolves.
    pub fn new(endpoint: &Endpoint, options: ClientOptions) -> Self {
        Self::with_resolver(endpoint, options, Arc::new(SystemResolver))
    }

    /// Peers whose names `resolver` resolves.
    pub fn with_resolver(endpoint: &Endpoint, options: ClientOptions, resolver: Arc<dyn Resolver>) -> Self {
        let (endpoint, options) = (endpoint.clone(), Arc::new(options));
        Self(Arc::new(Shared { endpoint, resolver, options, channels: Mutex::default() }))
    }

    /// The channel to the member that lives at `address`; where its name is known nobody else is accepted there. Connects
    /// with the first request.
    pub fn channel(&self, address: &Address, member: Option<&MemberName>) -> Channel {
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.clone(), member.cloned());
        if let Some(channel) = channels.get(&key) {
            return channel.clone();
        }
        if channels.len() >= MAX_UNHELD {
            channels.retain(|_, channel| Arc::strong_count(&channel.0) > 1);
        }
        let target = match member {
            Some(member) => format!("peer {member} at {address}"),
            None => format!("peer at {address}"),
        };
        let dialer = Arc::new(Dialer {
            endpoint: self.0.endpoint.clone(),
            resolver: Arc::clone(&self.0.resolver),
            options: Arc::clone(&self.0.options),
            address: address.clone(),
            member: member.cloned(),
            target: target.into(),
        });
        let slots =
            [Slot::new(Arc::clone(&dialer)), Slot::new(Arc::clone(&dialer)), Slot::new(Arc::clone(&dialer))];
        let channel = Channel(Arc::new(Inner { dialer, slots }));
        channels.insert(key, channel.clone());
        channel
    }

    /// Lets go of the connections to `address`, as when its member was removed. Requests under way go on.
    pub fn forget(&self, address: &Address) {
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels.retain(|(other, _), _| other != address);
    }
}

/// The way to one peer: a connection for each [`Class`], made when it is needed and made anew when it is lost. Cheap to
/// clone.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    dialer: Arc<Dialer>,
    slots: [Arc<Slot>; 3],
}

/// A request.
#[derive(Debug)]
pub struct Call {
    path: String,
    payload: Payload,
    deadline: Duration,
    max_reply_bytes: u64,
    urgent: bool,
}

impl Call {
    /// Of `path`, with an empty body, 5 seconds, a reply of 4 MiB at most, in no hurry.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            payload: Payload::default(),
            deadline: Duration::from_secs(5),
            max_reply_bytes: 4 * 1024 * 1024,
            urgent: false,
        }
    }

    /// What is sent.
    #[must_use]
    pub fn body(mut self, body: impl Into<Payload>) -> Self {
        self.payload = body.into();
        self
    }

    /// How long it may take, connecting included. For [`Channel::open`] until the reply begins, and then for each of its
    /// pieces; a streamed body must have been sent by then as far as the peer needs it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How large the reply may be, in bytes.
    #[must_use]
    pub fn max_reply_bytes(mut self, bytes: u64) -> Self {
        self.max_reply_bytes = bytes;
        self
    }

    /// Connects at once where the last attempt failed a moment ago, as when there is news of the peer.
    #[must_use]
    pub fn urgent(mut self) -> Self {
        self.urgent = true;
        self
    }
}

/// The beginning of an answer.
#[derive(Debug)]
pub struct Reply {
    /// Who answers.
    pub peer: Arc<PeerIdentity>,
    /// With what. Dropping it tells the peer to stop.
    pub body: Body,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Peers of {}", self.0.endpoint.member.name())
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Channel to {}", self.0.dialer.target)
    }
}

impl Channel {
    /// Asks, and waits for the whole answer. Dropping the future withdraws the request.
    ///
    /// # Errors
    /// Whatever kept the peer from answering; [`PeerError::certainly_not_processed`] says whether to ask again.
    pub async fn call(&self, class: Class, call: Call) -> Result<Bytes, PeerError> {
        let after = call.deadline;
        let deadline = after_now(after);
        let reply = self.begin(class, call, deadline).await?;
        let late = |_| self.error(ErrorKind::Deadline { after, sent: true });
        timeout_at(deadline, reply.body.bytes()).await.map_err(late)?
    }

    /// Asks, and returns when the answer begins; its body may be read piece by piece.
    ///
    /// # Errors
    /// As [`Channel::call`].
    pub async fn open(&self, class: Class, call: Call) -> Result<Reply, PeerError> {
        let deadline = after_now(call.deadline);
        self.begin(class, call, deadline).await
    }

    /// Who answers on this channel; none while there is no connection.
    pub fn peer(&self) -> Option<Arc<PeerIdentity>> {
        self.0.slots.iter().find_map(|slot| slot.connected()).map(|connection| connection.peer)
    }

    async fn begin(&self, class: Class, call: Call, deadline: Instant) -> Result<Reply, PeerError> {
        if !is_path(&call.path) {
            return Err(self.error(ErrorKind::Invalid(format!("`{}` is no path", call.path.escape_debug()))));
        }
        let after = call.deadline;
        let sent = AtomicBool::new(false);
        match timeout_at(deadline, self.exchange(class, call, deadline, &sent)).await {
            Ok(result) => result,
            Err(_) => Err(self.error(ErrorKind::Deadline { after, sent: sent.load(Ordering::Relaxed) })),
        }
    }

    /// Sends the request until one connection has taken it.
    async fn exchange(
        &self,
        class: Class,
        call: Call,
        deadline: Instant,
        sent: &AtomicBool,
    ) -> Result<Reply, PeerError> {
        let slot = &self.0.slots[class as usize];
        let mut payload = Some(call.payload);
        let mut tries = 0;
        loop {
            tries += 1;
            let mut connection = slot.connection(call.urgent, deadline).await?;
            let this = payload.take().unwrap_or_default();
            let again = this.again();
            sent.store(true, Ordering::Relaxed);
            let request = self.request(&call.path, this)?;
            let mut failure = match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    return self.reply(response, &connection, call.deadline, call.max_reply_bytes).await;
                }
                Err(failure) => failure,
            };
            let unsent = failure.take_message().map(|request| Payload::from_outgoing(request.into_body()));
            let error = failure.into_error();
            let processed = unsent.is_none() && !is_unprocessed(&error);
            sent.store(processed, Ordering::Relaxed);
            if !processed {
                slot.discard(&connection);
            }
            payload = unsent.or(again).filter(|_| !processed && tries < MAX_TRIES);
            if payload.is_none() {
                return Err(self.error(ErrorKind::Lost { reason: reason(&error), processed }));
            }
        }
    }

    fn request(&self, path: &str, payload: Payload) -> Result<http::Request<Outgoing>, PeerError> {
        let uri = Uri::builder().scheme("https").authority("peer").path_and_query(path);
        uri.build()
            .and_then(|uri| {
                http::Request::builder().method(Method::POST).uri(uri).body(payload.into_outgoing())
            })
            .map_err(|error| self.error(ErrorKind::Invalid(format!("`{path}` is no path: {error}"))))
    }

    async fn reply(
        &self,
        response: http::Response<hyper::body::Incoming>,
        connection: &Connection,
        patience: Duration,
        max_bytes: u64,
    ) -> Result<Reply, PeerError> {
        let status = response.status();
        let target = Arc::clone(&self.0.dialer.target);
        if status == StatusCode::OK {
            let body = Body::new(response.into_body(), max_bytes, patience, target);
            return Ok(Reply { peer: Arc::clone(&connection.peer), body });
        }
        let body = Body::new(response.into_body(), MAX_MESSAGE_BYTES as u64, patience, target);
        // Without its words a refusal is still a refusal.
        let message = body.bytes().await.unwrap_or_default();
        let message = String::from_utf8_lossy(&message).into_owned();
        let refusal: Refusal = refusal(status);
        Err(self.error(ErrorKind::Remote { refusal, message }))
    }

    fn error(&self, kind: ErrorKind) -> PeerError {
        self.0.dialer.error(kind)
    }
}
