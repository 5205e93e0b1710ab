//! The seam between the SDK and what hosts it: the sandbox in a component, a fake on a test bench.

use std::time::Duration;

use crate::context::Facts;
use crate::substrate::{Column, ColumnInfo, Selection, SubstrateError};

/// What the host offers to an instrument.
pub(crate) trait Host {
    fn facts(&self) -> Facts;
    /// Nanoseconds since the Unix epoch.
    fn now(&self) -> i64;
    /// Nanoseconds since a moment that does not move during the session.
    fn monotonic(&self) -> u64;
    fn sleep(&self, duration: Duration);
    fn fill_random(&self, bytes: &mut [u8]);
    fn progress(&self, fraction: f64, message: &str);
    fn cancelled(&self) -> bool;
    fn load_state(&self) -> Option<Vec<u8>>;
    /// The host's bound in bytes where the state is larger.
    fn store_state(&self, bytes: &[u8]) -> Result<(), u64>;
    fn columns(&self) -> Result<Vec<ColumnInfo>, SubstrateError>;
    fn rows(&self, selection: &Selection) -> Result<Box<dyn BatchSource>, SubstrateError>;
}

/// A reader of the substrate at a position.
pub(crate) trait BatchSource {
    /// Position of the first row, rows, and the selected columns; none at the end.
    fn next(&mut self, max_rows: u32) -> Result<Option<(u64, usize, Vec<Column>)>, SubstrateError>;
}
