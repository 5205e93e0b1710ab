//! Sockets: accepting, TLS, and what bounds a client that has not shown a key yet.
//!
//! - `accept`: the loop, the number of connections, stopping.
//! - `connection`: one connection, HTTP/1.1 or HTTP/2; `activity`: how long it may do nothing.
//! - `stall`: a client that does not read what it asked for.
//! - `linger`: reading on after a refusal.
//! - `tls`: certificates, and reading them again.
//! - `layers`: what stands around every request: its id, the access log, panics; `body`: how long a body may take.

mod accept;
mod activity;
mod body;
mod connection;
mod layers;
mod linger;
mod stall;
mod tls;

pub(crate) use accept::{bind, run};
pub(crate) use layers::{RequestId, bounded, outermost, panics};
pub(crate) use linger::linger;
pub(crate) use tls::Tls;
