//! The inquiry manifest: from YAML text to a checked value, and from there to a plan.
//!
//! It is pure: no file, no clock, no network. It does not know what a plugin is beyond what a [`Catalogue`] says of it,
//! does not judge units or expressions itself but asks the catalogue, and runs nothing.
//!
//! Where to start reading: [`parse`] below, which strings the stages together. `yaml` builds a tree of `tree`; `format`
//! describes the manifest in the words of `shape`; `check` judges the tree by the description and `rules` by what no
//! description says; `lower` makes the values of [`spec`]. [`compile`] resolves instruments and orders steps. [`schema`]
//! writes the same description as JSON Schema. A mistake anywhere is a [`Diagnostic`] with its place, and every stage
//! goes on after one, so that an author sees all at once.

mod catalogue;
mod check;
mod compile;
mod diagnostic;
mod format;
mod lower;
mod parameters_schema;
mod parsed;
pub mod plan;
mod problem;
mod render;
mod rules;
mod schema;
pub mod secret;
mod shape;
mod source;
pub mod spec;
mod text_rule;
mod tree;
mod units;
mod yaml;

pub use catalogue::{
    Catalogue, ParameterOwner, PluginInfo, PluginReference, Quantity, ReferenceError, ResolveError, Selector,
    WantedCapability, resolve_among,
};
pub use compile::{MAX_EDGES, MAX_INSTRUMENTS, MAX_STEPS, Validated, compile, validate};
pub use diagnostic::{Code, Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Related, Severity};
pub use format::{API_VERSION, MIN_PROBE_INTERVAL, RESOURCE_KIND};
pub use parameters_schema::ParametersSchema;
pub use parsed::{Location, Parsed, SecretReference, digest, parse, parse_bytes};
pub use problem::ParameterProblem;
pub use render::{Style, render};
pub use schema::schema;
pub use shape::Spelling;
pub use source::{Position, Span};
pub use units::{duration, size};
pub use yaml::{MAX_DEPTH, MAX_MANIFEST_BYTES, MAX_NODES};
