//! A host over HTTP: started in this process as `inquisitor serve` starts it, on a port of its own and in a folder of its own.

#![allow(clippy::unwrap_used)]

mod access;
mod backup;
mod crossing;
mod declared;
mod events;
mod host;
mod inquiries;
mod ledger;
mod metrics;
mod plugins;
mod requests;
mod sockets;
mod support;
mod tls;
