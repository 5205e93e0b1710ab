//! Data sources of inquiries, read as typed columnar batches.
pub mod batch;
