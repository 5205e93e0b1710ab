//! Runs a plan.
pub mod journal;
