//! Members that talk over real sockets, and strangers that try to.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod certificates;
mod common;
mod hostile;
mod membership;
mod reconnect;
mod transport;
