//! Parse and compile a manifest of ten thousand steps.
fn main() {}
