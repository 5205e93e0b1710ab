//! A member that answers, and what the tests know about it.

use std::collections::HashSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use inquisitor_peer::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const SECRET: &[u8] = b"a secret of the tests, drawn by nobody";
pub(crate) const PIECE: usize = 64 * 1024;

/// What must happen happens within this time, on however busy a machine.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it happens soon")
}

pub(crate) fn member(name: &str) -> LocalMember {
    let number = name.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
    LocalMember::new(name.parse().unwrap(), number, Uuid::from_u128(number.into()), Protocol::new(1, 2))
}

pub(crate) fn endpoint(name: &str, secret: &[u8]) -> Endpoint {
    Endpoint { member: Arc::new(member(name)), credentials: Credentials::from_secret(secret).unwrap() }
}

pub(crate) fn name(name: &str) -> MemberName {
    name.parse().unwrap()
}

/// Impatient, so that tests of failures are short.
pub(crate) fn client() -> ClientOptions {
    ClientOptions {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(800),
        ..ClientOptions::default()
    }
}

pub(crate) fn channel(endpoint: &Endpoint, to: &str, address: SocketAddr) -> Channel {
    Peers::new(endpoint, client()).channel(&address.into(), Some(&name(to)))
}

pub(crate) fn call(path: &str) -> Call {
    Call::new(path).deadline(Duration::from_secs(20))
}

pub(crate) async fn echo(channel: &Channel, class: Class) -> Result<Bytes, PeerError> {
    soon(channel.call(class, call("/echo").body(b"hello".to_vec()))).await
}

/// Adds a permit when it is dropped.
struct Dropped<'a>(&'a Semaphore);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Answers the tests' requests, and tells what became of them.
pub(crate) struct Subject {
    pub(crate) answered: AtomicU64,
    /// Requests of `/wait` and `/hold` that have begun, that may end, and that were dropped or have ended.
    pub(crate) begun: Semaphore,
    pub(crate) release: Semaphore,
    pub(crate) dropped: Semaphore,
    /// Where requests came from.
    pub(crate) sources: Mutex<HashSet<SocketAddr>>,
    pub(crate) peers: Mutex<Vec<PeerIdentity>>,
}

impl Default for Subject {
    fn default() -> Self {
        Self {
            answered: AtomicU64::new(0),
            begun: Semaphore::new(0),
            release: Semaphore::new(0),
            dropped: Semaphore::new(0),
            sources: Mutex::default(),
            peers: Mutex::default(),
        }
    }
}

impl Handler for Subject {
    fn max_body_bytes(&self, path: &str) -> Option<u64> {
        match path {
            "/echo" => Some(1024 * 1024),
            "/tiny" => Some(10),
            "/count" | "/hold" => Some(1024 * 1024 * 1024),
            "/produce" | "/wait" | "/busy" | "/broken" | "/panic" => Some(1024),
            _ => None,
        }
    }

    async fn handle(&self, peer: &PeerIdentity, request: Request) -> Response {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.sources.lock().unwrap().insert(peer.address);
        {
            let mut peers = self.peers.lock().unwrap();
            if !peers.contains(peer) {
                peers.push(peer.clone());
            }
        }
        let mut body = request.body;
        match request.path.as_str() {
            "/count" => {
                let mut count: u64 = 0;
                loop {
                    match body.chunk().await {
                        Ok(Some(chunk)) => count += chunk.len() as u64,
                        Ok(None) => return Response::ok(count.to_be_bytes().to_vec()),
                        Err(error) => return error.into(),
                    }
                }
            }
            "/produce" => {
                let pieces = body.bytes().await.unwrap().len();
                let piece = Bytes::from(vec![7; PIECE]);
                Response::ok(Payload::stream(stream::iter((0..pieces).map(move |_| Ok(piece.clone())))))
            }
            "/broken" => Response::ok(Payload::stream(stream::iter([
                Ok(Bytes::from_static(b"so far")),
                Err(std::io::Error::other("the disk is gone")),
            ]))),
            "/wait" | "/hold" => {
                let _dropped = Dropped(&self.dropped);
                self.begun.add_permits(1);
                self.release.acquire().await.unwrap().forget();
                Response::ok(b"released".to_vec())
            }
            "/panic" => panic!("a handler that panics, as a test wants it to"),
            "/busy" => Response::refuse(Refusal::Busy, "come back later"),
            _ => match body.bytes().await {
                Ok(bytes) => Response::ok(bytes),
                Err(error) => error.into(),
            },
        }
    }
}

/// A member that answers.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) subject: Arc<Subject>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(endpoint: &Endpoint, options: ServerOptions) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), endpoint, options).await
    }

    pub(crate) async fn start_at(address: SocketAddr, endpoint: &Endpoint, options: ServerOptions) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let subject = Arc::new(Subject::default());
        let (stop, stopped) = oneshot::channel();
        let (endpoint, handler) = (endpoint.clone(), Arc::clone(&subject));
        let task = tokio::spawn(async move {
            serve(listener, &endpoint, handler, options, async {
                let _ = stopped.await;
            })
            .await;
        });
        Self { address, subject, stop, task }
    }

    pub(crate) async fn stop(self) -> SocketAddr {
        let _ = self.stop.send(());
        soon(self.task).await.unwrap();
        self.address
    }
}

/// A network between a client and `server` that can be cut without anybody being told.
pub(crate) struct Network {
    pub(crate) address: SocketAddr,
    cut: tokio::sync::watch::Sender<bool>,
}

impl Network {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    let cut = tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => false,
                        cut = async { is_cut.wait_for(|cut| *cut).await.is_ok() } => cut,
                    };
                    if cut {
                        // Keeps both sockets open and passes nothing on.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, cut }
    }

    pub(crate) fn cut(&self) {
        self.cut.send(true).unwrap();
    }
}
