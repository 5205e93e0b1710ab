//! The conductor: Raft, the state that it agrees on, and the engine's journal on top.
//!
//! What it is: the one place where commands become durable, ordered and final. [`Conductor`] implements the engine's
//! [`Journal`](inquisitor_engine::journal::Journal) as a member of a Raft cluster; one that is alone is a cluster of one, by
//! the same code. What it is not: it runs no steps, knows no HTTP, and decides nothing by the clock: every time comes with a
//! command.
//!
//! Only this crate knows openraft and redb; neither shows in its interface.
//!
//! # Where to start reading
//! The state, the same on every member:
//! - `apply`: what each command changes, and which are refused.
//! - `change`, `facts`, `logged`: commands as they lie in the log; `check`: which can be kept; `entry`: what the ledger says.
//! - `record`, `keys` and `rows`: the applied state's rows.
//! - `state`: the state machine and when it is durable; `snapshot`: the state in one file.
//! - `read`, `list`: one inquiry, the ledger, and lists; `registry`: tenants, keys and plugins in memory.
//! - `blobs`, `lately`, `sweep`: what is too large for the log, and which of it nothing names any more.
//! - `backup`: the state with its blobs in one file: made, verified, restored.
//! - `log`, `log_writer`: the Raft log; `leading`: when a leader's own append counts; `compact`: giving free space back.
//!
//! The cluster:
//! - `conductor`: opening, shutting down, and the journal; `config`, `peers`: how it is set up; `node`: what the parts share.
//! - `identity`, `claims`: who a member is; `forming`: how a new disk becomes one; `members`: joining, settling in, leaving.
//! - `network`: the ways to others, and answering them.
//! - `election`: when to stand for it; `duties`: what falls to a leader; `transfer`: handing over.
//! - `commit`, `propose`, `waiting`: commands, on any member and in batches, and their answers; `reads`: as new as the
//!   question; `fetch`: blobs between members; `steps`: attempts at steps that the leader leases to others.
//!
//! # Files in the data directory
//! `inquisitor-data` (whose directory it is, format), `raft-log.redb`, `state.redb` (applied state, the member's
//! identity, and claims),
//! `snapshots/`, `blobs/`.

mod apply;
mod backup;
mod blobs;
mod change;
mod check;
mod claims;
mod commit;
mod compact;
mod conductor;
mod config;
mod database;
#[cfg(test)]
mod determinism_tests;
mod duties;
mod election;
mod entry;
mod error;
mod facts;
mod fetch;
mod forming;
mod identity;
mod keys;
mod lately;
mod leading;
mod list;
mod log;
#[cfg(test)]
mod log_tests;
mod log_writer;
mod logged;
mod members;
mod network;
mod node;
mod peers;
mod propose;
mod raft;
mod read;
mod reads;
mod record;
mod registry;
mod rows;
mod snapshot;
mod state;
mod steps;
#[cfg(test)]
mod storage_tests;
mod sweep;
mod transfer;
mod waiting;

pub use backup::{
    AppliedId, Backup, BackupManifest, BlobPart, Restored, StatePart, Verified, restore, verify,
};
pub use blobs::MAX_BLOB_BYTES;
pub use change::MAX_COMMAND_BYTES;
pub use check::{MAX_ARTIFACTS, MAX_INQUIRY_ID_BYTES};
pub use commit::{COMMIT_TIMEOUT, LEADER_TIMEOUT};
pub use conductor::{Conductor, MemberStatus, RaftStatus, Staleness, StoreSizes};
pub use config::{ClusterConfig, ConductorConfig};
pub use error::ConductorError;
pub use facts::MAX_IDEMPOTENCY_KEY_BYTES;
pub use identity::Identity;
pub use inquisitor_peer::{
    Address, CertificatePaths, Credentials, PeerError, Resolver, Resolving, SystemResolver,
};
pub use list::{InquiryFilter, InquiryState, MAX_PAGE_SCAN, Page, Summary, SummaryStage};
pub use peers::{MAX_PEERS, PeerList};
pub use read::{MAX_PAGE, StoredFinding};
pub use registry::Registry;
pub use steps::STEP_LEASE;
pub use sweep::{MIN_SWEEP_AGE, Swept};
