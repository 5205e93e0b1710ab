//! From readings to a finding: falsification, arbitration, belief and statistical tests.
//!
//! [`conclude`] takes a compiled plan and what its steps observed, and returns a [`finding::Finding`]: the answer, how
//! sure it is, and why, down to each excluded reading.
//!
//! This crate does no I/O, knows no clock, draws no random numbers, and keeps nothing between calls. The same input gives
//! the same finding, bit for bit, in whichever order the steps finished. It does not run instruments, and it does
//! not write reports.
//!
//! # Where to start
//! | module | does |
//! |---|---|
//! | [`reading`], [`finding`] | the types that go in and come out |
//! | `conclude` | the order of the work |
//! | [`axioms`] | excludes readings that cannot be true |
//! | [`arbitration`] | combines instruments; one file for each method, each a pure function |
//! | [`belief`] | the probability of a state over time |
//! | [`analysis`] | statistical tests |
//! | [`units`], [`mod@format`], [`numeric`], [`repeated`] | what these share |
//! | `table`, `groups` | readings by the column; what happened at the same moment |
//!
//! Uncertainties are standard uncertainties (k = 1) in the sense of the GUM (JCGM 100:2008), whose clauses are cited where
//! they are applied; times are nanoseconds since the Unix epoch.

pub mod analysis;
pub mod arbitration;
pub mod axioms;
pub mod belief;
mod categorical;
mod conclude;
pub mod estimate;
pub mod finding;
pub mod format;
mod groups;
pub mod numeric;
mod quantity_units;
pub mod reading;
mod reasons;
pub mod repeated;
mod table;
pub mod units;

pub use axioms::language::check_expression;
pub use conclude::{StepFailure, conclude};
pub use table::{MAX_MAGNITUDE, MAX_READINGS};
pub use units::check_unit;
