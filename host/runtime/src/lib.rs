//! The sandbox: loads one component that somebody else wrote, grants it what it may use, limits and meters what it does,
//! calls it, and records what it could observe.
//!
//! What it is not: it schedules nothing, retries nothing and judges no reading beyond the plugin contract. It knows no
//! manifest file, no network peer and no ledger. Only this crate knows wasmtime.
//!
//! Where to start reading: [`Runtime::load`] (`runtime.rs`) turns bytes into a [`Plugin`]; [`Plugin::run`] (`plugin.rs`)
//! is one step of an inquiry; [`Session`] (`session.rs`) is an open instrument. Under them:
//!
//! | module | its one job |
//! |---|---|
//! | `inspect` | what a component says of itself before anything is compiled |
//! | `compile`, `child` | compiling in a child process with limits, both ends of it |
//! | `aot`, `deserialize` | compiled code on disk, and the only `unsafe` of the crate, which maps it |
//! | `engine`, `ticker`, `budget` | wasmtime's settings, the clock of interruption, the machine's memory |
//! | `guest`, `limiter`, `call` | what a session owns, its memory limits, one call from start to outcome |
//! | `wasi` | all of WASI 0.2, interface by interface: granted, denied, recorded |
//! | `world_v1` | all that knows `inquisitor:instrument@1`; another world goes beside it |
//! | `contract` | whether readings and metadata are what the contract allows |

mod aot;
mod budget;
mod call;
mod check;
mod child;
mod compile;
mod config;
mod contract;
mod description;
mod deserialize;
mod engine;
mod error;
mod guest;
mod inspect;
mod limiter;
mod logs;
pub mod outcome;
mod plugin;
mod recorder;
pub mod request;
mod runtime;
mod session;
mod ticker;
mod wasi;
mod world_v1;

pub use check::{CheckReport, Finding, Severity};
pub use child::{compile_child_if_requested, compile_child_main};
pub use config::{CompileLimits, CompilerCommand, RuntimeConfig};
pub use description::{Calibration, Capability, Description, Lifecycle, Quantity};
pub use error::{LoadError, RuntimeError, UnknownImport};
pub use plugin::Plugin;
pub use runtime::{CacheStatus, Runtime};
pub use session::{Session, SessionEnd};
