//! The HTTP side of a host: the API under `/v1`, who may use it, metrics, and the directory of declared manifests.
//!
//! What it is: everything between a socket and the engine. What it is not: it runs no steps and keeps no state of its own;
//! what must survive goes through the conductor, and what a request may do is decided in `gate` and nowhere else.
//!
//! # Where to start reading
//! - `app`: what every handler shares; `serve`: how a host starts, and how it stops.
//! - `listen`: sockets, TLS, limits of connections; `gate`: keys, roles, policies, rates, decisions.
//! - `api`: one file for each resource, with its types, its routes and their description for `openapi.json`.
//! - `hub`: streams of events; `declared`: reconciling the directory of manifests; `metrics`: what Prometheus reads.
//! - `places`: what all tenants share and none may take alone.

pub mod api;
mod app;
mod config;
mod declared;
mod error;
mod gate;
mod hub;
mod leadership;
mod listen;
mod metrics;
mod places;
mod problem;
mod quantity;
mod ready;
mod serve;
mod worker;

pub use config::{ServerConfig, TlsFiles};
pub use error::ServerError;
pub use problem::Problem;
pub use serve::{Parts, PluginFiles, serve};
