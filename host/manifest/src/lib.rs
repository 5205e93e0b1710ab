//! The inquiry manifest: from YAML text to a checked value, and from there to a plan.
pub mod plan;
pub mod spec;
