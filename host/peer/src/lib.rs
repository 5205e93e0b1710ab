//! Authenticated connections between the members of a cluster, over one port.
//!
//! What it is: a way to ask another member something and get an answer, where both are sure who the other is. HTTP/2 over
//! TLS 1.3, with bodies of bytes that may be streamed both ways. What it is not: it knows no Raft, no storage and no
//! inquiries; paths and bodies mean something to its users only.
//!
//! # In short
//! ```no_run
//! # use std::sync::Arc;
//! # use inquisitor_peer::*;
//! # struct Echo;
//! impl Handler for Echo {
//!     fn max_body_bytes(&self, path: &str) -> Option<u64> {
//!         (path == "/echo").then_some(1024)
//!     }
//!     async fn handle(&self, _peer: &PeerIdentity, request: Request) -> Response {
//!         match request.body.bytes().await {
//!             Ok(bytes) => Response::ok(bytes),
//!             Err(error) => error.into(),
//!         }
//!     }
//! }
//! # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//! let member = LocalMember::new("a".parse()?, 1, uuid::Uuid::new_v4(), Protocol::new(1, 1));
//! let credentials = Credentials::from_secret(b"0123456789abcdef0123456789abcdef")?;
//! let endpoint = Endpoint { member: Arc::new(member), credentials };
//! let server = serve(listener, &endpoint, Arc::new(Echo), ServerOptions::default(), std::future::pending());
//!
//! let peers = Peers::new(&endpoint, ClientOptions::default());
//! let b = peers.channel(&"b.example:4321".parse()?, Some(&"b".parse()?));
//! let answer = b.call(Class::Request, Call::new("/echo").body(b"hello".to_vec())).await?;
//! # server.await;
//! # Ok(())
//! # }
//! ```
//!
//! # Who is a member
//! Either whoever knows the cluster's secret ([`Credentials::from_secret`]) or whoever has a certificate of the cluster's
//! authority for the name it claims ([`Credentials::from_files`]). `handshake` says how that is proved and why nobody can
//! sit between. With a secret every member could claim the name of another; with certificates none can. Strangers get no
//! byte of an answer beyond TLS, of which they see a certificate without a name (with certificate files: the member's own).
//! They may stand at the door for [`ServerOptions::handshake_timeout`], and the oldest leave when it gets crowded.
//!
//! What a stranger can do: make the member spend the work of TLS handshakes. A network policy that lets only members reach
//! the port is the remedy. Who can pose as a member's address learns the caller's name and
//! can try secrets against what it sends him; a secret that was drawn at random is the remedy.
//!
//! # What callers may rely on
//! - A peer that is dead, or that a network has cut off, is noticed within [`ClientOptions::ping_interval`] plus
//!   [`ClientOptions::ping_timeout`], whether or not requests are under way.
//! - A request ends by its deadline, connecting included. Its error says whether it was certainly not processed
//!   ([`PeerError::certainly_not_processed`]); such a request is tried again by itself where that can help.
//! - Names are resolved for each connection; one attempt at a time is made for each peer and [`Class`].
//! - Dropping a request or a body stops the other side; a reader that does not read stops the writer.
//! - Nothing that comes in is larger than was agreed: bodies by path and by call, headers 8 KiB, pieces 64 KiB, and 4 MiB
//!   under way on a connection.
//! - Members keep versions apart: both speak the newest that both know ([`PeerIdentity::protocol`]).
//!
//! # Where to start reading
//! - `handshake`, `tls`, `credentials`, `certificates`: who it is.
//! - `server`, `admission`, `strangers`: answering.
//! - `client`, `slot`, `dial`: asking, reconnecting, connecting.
//! - `body`, `connection`: what both have in common.

mod address;
mod admission;
mod body;
mod certificates;
mod client;
mod connection;
mod credentials;
mod dial;
mod endpoint;
mod error;
mod handshake;
mod identity;
mod server;
mod slot;
mod strangers;
mod time;
mod tls;

pub use address::{Address, Resolver, Resolving, SystemResolver};
pub use body::{Body, Payload};
pub use client::{Call, Channel, Class, ClientOptions, MAX_UNHELD, Peers, Reply};
pub use connection::{MAX_MESSAGE_BYTES, MAX_PATH_BYTES};
pub use credentials::{CertificatePaths, Credentials, MIN_SECRET_BYTES};
pub use dial::MAX_RESOLVED;
pub use endpoint::Endpoint;
pub use error::{ErrorKind, PeerError, Refusal};
pub use identity::{LocalMember, MAX_NAME_BYTES, MemberName, PeerIdentity, Protocol};
pub use server::{Handler, Request, Response, ServerOptions, serve};
