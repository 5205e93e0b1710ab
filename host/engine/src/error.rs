//! Why the engine could not go on. The failure of a step or of an inquiry is not among these: it is a result, and is
//! recorded.

use crate::journal::{JournalError, Refusal};

/// Why the engine could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal gave no answer. What was recorded before stands; drive the inquiry again later.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal refused a command that should have been possible: somebody else drives the same inquiry.
    #[error("{doing}: {refusal}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// There is no such inquiry.
    #[error("there is no inquiry {0}")]
    NoSuchInquiry(String),
    /// A blob that a record names does not hold what it should.
    #[error("blob {digest} of step `{step}` cannot be read: {message}")]
    Corrupt {
        /// The blob.
        digest: String,
        /// The step whose record names it.
        step: String,
        /// What is wrong.
        message: String,
    },
    /// A value could not be written as JSON.
    #[error("cannot encode {what}: {source}")]
    Encode {
        /// What was being encoded.
        what: &'static str,
        /// Why it could not be.
        source: serde_json::Error,
    },
    /// A component that the inquiry was planned with cannot be kept.
    #[error("{message}")]
    Component {
        /// Which file and why.
        message: String,
    },
    /// The reports could not be written to a folder that the manifest names. The finding stands, and the inquiry is
    /// concluded.
    #[error("the destination `{path}`: {message}")]
    Destination {
        /// The folder, as the manifest names it.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A report could not be rendered.
    #[error("report `{name}`: {message}")]
    Report {
        /// Name of the artifact.
        name: String,
        /// What is wrong.
        message: String,
    },
}
