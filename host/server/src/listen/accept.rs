//! The accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use super::connection::{self, Bounds};
use super::stall::Stall;
use super::tls::Tls;
use crate::config::ServerConfig;
use crate::error::ServerError;

/// How long the loop waits where a connection cannot be accepted, as when the process has no file descriptors left.
const BACKOFF: Duration = Duration::from_millis(100);

/// A socket that listens, and how its connections are served.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    bounds: Arc<Bounds>,
    connections: Arc<Semaphore>,
}

/// Listen.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn bind(config: &ServerConfig, tls: Option<Arc<Tls>>) -> Result<Listening, ServerError> {
    let address = config.http_listen;
    let listener =
        TcpListener::bind(address).await.map_err(|source| ServerError::Listen { address, source })?;
    let connections = Arc::new(Semaphore::new(config.max_connections.max(1)));
    let bounds = Arc::new(Bounds { header_timeout: config.header_timeout, connections: connections.clone() });
    Ok(Listening { listener, tls, bounds, connections })
}

impl Listening {
    /// The address, with the port that was drawn where port 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn address(&self) -> Result<SocketAddr, ServerError> {
        self.listener
            .local_addr()
            .map_err(|source| ServerError::Listen { address: SocketAddr::from(([0, 0, 0, 0], 0)), source })
    }
}

/// Accept connections and serve them until `stop` becomes true; then close the socket and wait for what is under way. Whoever
/// has no patience drops the future: that ends the connections too.
pub(crate) async fn run(listening: Listening, router: Router, mut stop: watch::Receiver<bool>) {
    let Listening { listener, tls, bounds, connections } = listening;
    let tasks = TaskTracker::new();
    let ended = tokio_util::sync::CancellationToken::new();
    let _ends_with_this = ended.clone().drop_guard();
    while !*stop.borrow() {
        let accepted = tokio::select! {
            // A slot first: what has none waits in the system's queue.
            accepted = accept(&listener, &connections) => accepted,
            _ = stop.changed() => continue,
        };
        let Some((stream, slot)) = accepted else { return };
        let (router, tls, bounds, stop, ended) =
            (router.clone(), tls.clone(), bounds.clone(), stop.clone(), ended.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serve(stream, tls.as_deref(), router, &bounds, stop) => {}
                () = ended.cancelled() => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// A connection and its slot; none once there are no more slots, which never comes to be.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = connections.clone().acquire_owned().await.ok()?;
    let mut told = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, slot)),
            // The client was gone before its turn came: nothing is wrong here.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                if !told {
                    tracing::error!(%error, "no connection can be accepted; trying again");
                    told = true;
                }
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
}

fn is_of_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(
    stream: TcpStream,
    tls: Option<&Tls>,
    router: Router,
    bounds: &Bounds,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and clients wait for them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let activity = Arc::new(Activity::default());
    let stream = Stall::new(stream, activity.clone());
    let Some(tls) = tls else { return connection::serve(stream, activity, router, bounds, stop).await };
    match tokio::time::timeout(bounds.header_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection::serve(stream, activity, router, bounds, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake did not come to its end in time"),
    }
}
