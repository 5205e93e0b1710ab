//! One attempt to reach a peer: resolve, connect, TLS, proof, HTTP/2.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::address::{Address, Resolver};
use crate::body::Outgoing;
use crate::client::ClientOptions;
use crate::connection::{
    CONNECTION_WINDOW_BYTES, MAX_FRAME_BYTES, MAX_HEADER_BYTES, STREAM_WINDOW_BYTES, reason,
};
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, PeerError};
use crate::handshake::{self, Asked};
use crate::identity::{MemberName, PeerIdentity};
use crate::time::after;

/// Of the addresses that a name resolves to, this many are tried.
pub const MAX_RESOLVED: usize = 8;

/// How to reach one peer.
pub(crate) struct Dialer {
    pub(crate) endpoint: Endpoint,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) options: Arc<ClientOptions>,
    pub(crate) address: Address,
    pub(crate) member: Option<MemberName>,
    /// For errors, as `peer b at b.example:4321`.
    pub(crate) target: Arc<str>,
}

/// A connection that both sides have proved themselves on. Ends when the last clone is dropped and its requests are done.
#[derive(Clone)]
pub(crate) struct Connection {
    number: u64,
    pub(crate) sender: SendRequest<Outgoing>,
    pub(crate) peer: Arc<PeerIdentity>,
}

impl Connection {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.number == other.number
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Dialer {
    /// Tries the addresses one after the other within [`ClientOptions::connect_timeout`], each with its share of the time.
    pub(crate) async fn dial(&self) -> Result<Connection, PeerError> {
        let end = after(self.options.connect_timeout);
        let resolved = self.within(end, "resolving its name", self.resolver.resolve(&self.address)).await?;
        let mut addresses = resolved.map_err(|error| self.error(ErrorKind::Unresolved(error.to_string())))?;
        addresses.truncate(MAX_RESOLVED);
        let mut error = self.error(ErrorKind::Unresolved("it has no address".into()));
        for (tried, address) in addresses.iter().enumerate() {
            let share = end.saturating_duration_since(Instant::now()) / (addresses.len() - tried) as u32;
            match self.reach(*address, after(share)).await {
                Ok(connection) => return Ok(connection),
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    async fn reach(&self, address: SocketAddr, end: Instant) -> Result<Connection, PeerError> {
        let unreachable =
            |error: std::io::Error| self.error(ErrorKind::Unreachable(format!("{error} ({address})")));
        let stream =
            self.within(end, "connecting", TcpStream::connect(address)).await?.map_err(unreachable)?;
        // Without it everything still works, later.
        let _ = stream.set_nodelay(true);
        let tls = self.endpoint.credentials.current().await;
        let connector = TlsConnector::from(Arc::clone(&tls.client));
        // Not sent and not checked: whose certificate it must be is checked in the handshake.
        let name = ServerName::from(address.ip());
        let connected = self.within(end, "the handshake of TLS", connector.connect(name, stream)).await?;
        let mut stream = connected.map_err(|error| self.error(ErrorKind::Tls(error.to_string())))?;
        let ours = self.endpoint.member.introduction();
        let asked = Asked { host: self.address.host(), member: self.member.as_ref() };
        let proof = handshake::as_client(&mut stream, &tls, &ours, &asked, address);
        let peer = self
            .within(end, "the proof of membership", proof)
            .await?
            .map_err(|error| error.about(&self.target))?;
        let handshake = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(self.options.ping_interval)
            .keep_alive_timeout(self.options.ping_timeout)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = self
            .within(end, "the handshake of HTTP/2", handshake)
            .await?
            .map_err(|error| self.error(ErrorKind::Lost { reason: reason(&error), processed: false }))?;
        tracing::debug!(peer = %self.target, %address, "connected");
        let target = Arc::clone(&self.target);
        tokio::spawn(async move {
            match connection.await {
                Ok(()) => tracing::debug!(peer = %target, "connection ended"),
                Err(error) => tracing::debug!(peer = %target, error = %reason(&error), "connection was lost"),
            }
        });
        Ok(Connection { number: NUMBERS.fetch_add(1, Ordering::Relaxed), sender, peer: Arc::new(peer) })
    }

    async fn within<T>(
        &self,
        end: Instant,
        stage: &'static str,
        future: impl Future<Output = T>,
    ) -> Result<T, PeerError> {
        let after = self.options.connect_timeout;
        timeout_at(end, future).await.map_err(|_| self.error(ErrorKind::ConnectTimeout { after, stage }))
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> PeerError {
        PeerError::at(&self.target, kind)
    }
}
