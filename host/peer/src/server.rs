//! Answering: who may connect, how much may be asked, and how it ends.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{AbortHandle, Abortable};
use http::StatusCode;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::admission::{Admission, Place};
use crate::body::{Body, Outgoing, Payload};
use crate::connection::{
    CONNECTION_WINDOW_BYTES, MAX_FRAME_BYTES, MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, STREAM_WINDOW_BYTES,
    status,
};
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, PeerError, Refusal};
use crate::handshake;
use crate::identity::PeerIdentity;
use crate::strangers::Strangers;
use crate::time::{after, jittered};

/// A request of a peer.
#[derive(Debug)]
pub struct Request {
    /// What is asked, as `/raft/append`.
    pub path: String,
    /// With what; at most [`Handler::max_body_bytes`] of the path.
    pub body: Body,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Response(Result<Payload, (Refusal, String)>);

impl Response {
    /// It was done.
    pub fn ok(body: impl Into<Payload>) -> Self {
        Self(Ok(body.into()))
    }

    /// It was not. The message is for the operator of the peer; what exceeds [`crate::MAX_MESSAGE_BYTES`] is cut off.
    pub fn refuse(refusal: Refusal, message: impl Into<String>) -> Self {
        Self(Err((refusal, message.into())))
    }

    fn into_http(self) -> http::Response<Outgoing> {
        let (status, payload) = match self.0 {
            Ok(payload) => (StatusCode::OK, payload),
            Err((refusal, mut message)) => {
                message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
                (status(refusal), Bytes::from(message).into())
            }
        };
        let mut response = http::Response::new(payload.into_outgoing());
        *response.status_mut() = status;
        response
    }
}

/// A request whose body could not be read is refused as what it is.
impl From<PeerError> for Response {
    fn from(error: PeerError) -> Self {
        let refusal = match error.kind() {
            ErrorKind::TooLarge { .. } => Refusal::TooLarge,
            ErrorKind::Invalid(_) => Refusal::Invalid,
            _ => Refusal::Failed,
        };
        Self::refuse(refusal, error.to_string())
    }
}

/// What a member does when it is asked.
pub trait Handler: Send + Sync + 'static {
    /// How large the body of a request with this path may be, in bytes; none where there is no such path.
    fn max_body_bytes(&self, path: &str) -> Option<u64>;

    /// Does it. The future is dropped when the peer withdraws the request or is gone, so what must not stop half-way
    /// belongs into a task of its own.
    fn handle(&self, peer: &PeerIdentity, request: Request) -> impl Future<Output = Response> + Send;
}

/// Bounds of a server. The defaults fit a cluster of a few dozen members.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Connections that have not proved themselves, at a time; where there are more, the oldest are closed.
    pub max_strangers: usize,
    /// Of these, from one address (one /64 of IPv6).
    pub max_strangers_per_source: usize,
    /// How long a connection may take to prove itself.
    pub handshake_timeout: Duration,
    /// Connections that have, at a time.
    pub max_connections: usize,
    /// Requests at a time on one connection; more of them wait at the sender.
    pub max_requests_per_connection: u32,
    /// How long a body may stop coming.
    pub body_timeout: Duration,
    /// How often a silent peer is asked whether it is alive, and how long it may take to say so.
    pub ping_interval: Duration,
    /// See `ping_interval`.
    pub ping_timeout: Duration,
    /// Age at which a connection takes no more requests, or earlier by at most half, so that its peer has to prove itself
    /// anew. Requests under way may take as long again.
    pub max_age: Duration,
    /// How long requests may take to finish after the server was told to shut down.
    pub drain_timeout: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_strangers: 128,
            max_strangers_per_source: 32,
            handshake_timeout: Duration::from_secs(5),
            max_connections: 1024,
            max_requests_per_connection: 256,
            body_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(5),
            max_age: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What all connections of a server share.
struct Server<H> {
    endpoint: Endpoint,
    handler: Arc<H>,
    options: ServerOptions,
    places: Arc<Semaphore>,
    strangers: Strangers,
    /// Becomes true when the server shuts down.
    shutdown: watch::Receiver<bool>,
}

/// How long accepting rests when the operating system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers peers on `listener` until `shutdown` completes and the requests under way are done, or
/// [`ServerOptions::drain_timeout`] is over. Dropping the future breaks everything off at once.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    endpoint: &Endpoint,
    handler: Arc<H>,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopping) = watch::channel(false);
    let admission = Admission::new(options.max_strangers, options.max_strangers_per_source);
    let drain_timeout = options.drain_timeout;
    let server = Arc::new(Server {
        endpoint: endpoint.clone(),
        handler,
        places: Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS))),
        options,
        strangers: Strangers::default(),
        shutdown: stopping,
    });
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (handle, registration) = AbortHandle::new_pair();
                let place = admission.enter(address.ip(), handle);
                let proof = Arc::clone(&server).prove(stream, address);
                let server = Arc::clone(&server);
                connections.spawn(server.connection(Abortable::new(proof, registration), place, address));
            }
            // The stranger left again; that is no reason to rest.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections of members; trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Fails when no connection is left, which is as well.
    let _ = stop.send(true);
    let drained = timeout(drain_timeout, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests of members were not done in time and are broken off"
        );
    }
    connections.shutdown().await;
}

type Proved = (TlsStream<TcpStream>, PeerIdentity, OwnedSemaphorePermit);

impl<H: Handler> Server<H> {
    /// From TCP to a peer that is known.
    async fn prove(self: Arc<Self>, stream: TcpStream, address: SocketAddr) -> Result<Proved, PeerError> {
        let limit = self.options.handshake_timeout;
        let proof = async {
            // Without it everything still works, later.
            let _ = stream.set_nodelay(true);
            let tls = self.endpoint.credentials.current().await;
            let accepted = TlsAcceptor::from(Arc::clone(&tls.server)).accept(stream).await;
            let mut stream = accepted.map_err(|error| PeerError::new(ErrorKind::Tls(error.to_string())))?;
            let ours = self.endpoint.member.introduction();
            let admit = || Arc::clone(&self.places).try_acquire_owned().ok();
            let (peer, permit) = handshake::as_server(&mut stream, &tls, &ours, address, admit).await?;
            Ok((stream, peer, permit))
        };
        let late = |_| PeerError::new(ErrorKind::ConnectTimeout { after: limit, stage: "the handshake" });
        timeout(limit, proof).await.map_err(late)?
    }

    /// The life of one connection.
    async fn connection(
        self: Arc<Self>,
        proof: Abortable<impl Future<Output = Result<Proved, PeerError>>>,
        place: Place,
        address: SocketAddr,
    ) {
        let mut shutdown = self.shutdown.clone();
        let proved = tokio::select! {
            proved = proof => proved,
            _ = shutdown.wait_for(|stop| *stop) => return,
        };
        drop(place);
        match proved {
            Ok(Ok((stream, peer, _permit))) => self.answer(stream, peer, shutdown).await,
            Ok(Err(error)) => self.strangers.turned_away(address, &error),
            Err(_) => self.strangers.pushed_out(address),
        }
    }

    /// HTTP/2 with a peer that is known.
    async fn answer(
        self: Arc<Self>,
        stream: TlsStream<TcpStream>,
        peer: PeerIdentity,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let options = &self.options;
        let peer = Arc::new(peer);
        let sender: Arc<str> = format!("peer {} at {}", peer.name, peer.address).into();
        tracing::debug!(peer = %sender, "connected");
        let service = service_fn(|request| {
            let (server, peer, sender) = (Arc::clone(&self), Arc::clone(&peer), Arc::clone(&sender));
            async move { Ok::<_, Infallible>(server.request(&peer, sender, request).await.into_http()) }
        });
        let requests = options.max_requests_per_connection.max(1);
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(requests)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(options.ping_interval)
            .keep_alive_timeout(options.ping_timeout)
            .auto_date_header(false)
            // Peers withdraw requests in crowds, as when a leader steps down; that is no attack.
            .max_pending_accept_reset_streams(4 * requests as usize)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let retirement = after(jittered(options.max_age));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = shutdown.wait_for(|stop| *stop) => None,
            () = sleep_until(retirement) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                match timeout(options.max_age, connection).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        return tracing::warn!(peer = %sender, "an old connection was broken off amid requests");
                    }
                }
            }
        };
        match ended {
            Ok(()) => tracing::debug!(peer = %sender, "connection ended"),
            Err(error) => {
                tracing::debug!(peer = %sender, error = %crate::connection::reason(&error), "connection was lost");
            }
        }
    }

    async fn request(
        &self,
        peer: &PeerIdentity,
        sender: Arc<str>,
        request: http::Request<Incoming>,
    ) -> Response {
        let (head, incoming) = request.into_parts();
        let path = head.uri.path();
        if head.method != http::Method::POST || !crate::connection::is_path(path) {
            return Response::refuse(Refusal::Invalid, "a request is a POST with a plain path");
        }
        let Some(limit) = self.handler.max_body_bytes(path) else {
            return Response::refuse(Refusal::UnknownPath, format!("nothing answers to {path} here"));
        };
        let body = Body::new(incoming, limit, self.options.body_timeout, sender);
        if body.is_too_large() {
            return body.too_large().into();
        }
        self.handler.handle(peer, Request { path: path.to_owned(), body }).await
    }
}
