//! A host over HTTP: started in this process as `inquisitor serve` starts it, on a port of its own and in a folder of its own.

#![allow(clippy::unwrap_used)]

mod access;
mod host;
mod requests;
mod sockets;
mod support;
mod tls;
