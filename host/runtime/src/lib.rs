//! The sandbox.
pub mod outcome;
pub mod request;
