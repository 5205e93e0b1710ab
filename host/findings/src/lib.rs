//! From readings to a finding.
pub mod finding;
pub mod reading;
