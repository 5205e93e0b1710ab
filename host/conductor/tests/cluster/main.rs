//! Clusters of members over real connections, in one process: how they form, what they survive, what they refuse.
// The lint's exception for tests does not see helpers beside them.
#![allow(missing_docs, clippy::unwrap_used)]

mod backup;
mod blobs;
mod disks;
mod faults;
mod forming;
mod harness;
mod members;
mod net;
mod steps;
#[path = "../support/mod.rs"]
mod support;
