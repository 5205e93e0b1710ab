//! Data sources of inquiries, read as typed columnar batches.
//!
//! A manifest's substrate becomes a [`batch::Source`]: a file of delimited text or JSON lines, or a seeded generator.
//! A source is opened once and can be read many times, each reader at its own position, in memory that does not grow
//! with the data.
//!
//! Not here: who may read which path (the host that accepts the inquiry decides), and how batches cross into a sandbox
//! (the runtime does that).
//!
//! Start with [`batch`], what every source gives; then [`open`]. `reader` turns any sequence of records into batches,
//! with selection and filters; `file` and `synthetic` yield the records. What the parameters of each kind of source
//! mean is said in the headers of [`mod@file`] and [`synthetic`].

pub mod batch;
mod cell;
pub mod file;
mod parameters;
mod reader;
pub mod synthetic;

use std::path::Path;
use std::sync::Arc;

use inquisitor_manifest::ParameterProblem;
use inquisitor_manifest::spec::Substrate;

use crate::batch::Source;

/// Why a substrate could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The manifest's parameters are wrong; all problems at once, at least one.
    #[error("the substrate's parameters are wrong: {}", ParameterProblem::list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// The path is relative and there is no folder that it is relative to.
    #[error(
        "the path `{path}` is relative, and this inquiry has no folder that it could be relative to; use an absolute path"
    )]
    NoBaseDirectory {
        /// The path as written.
        path: String,
    },
    /// There is nothing at the path.
    #[error("there is no file `{path}`")]
    NotFound {
        /// The path as resolved.
        path: String,
    },
    /// The path is a directory, a device or a pipe.
    #[error("`{path}` is {what}, not a file")]
    NotAFile {
        /// The path as resolved.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// The file cannot be read now.
    #[error("cannot read `{path}`: {message}")]
    Unavailable {
        /// The path as resolved.
        path: String,
        /// What the operating system says.
        message: String,
    },
    /// The file is not as declared.
    #[error("`{path}`: {message}")]
    Malformed {
        /// The path as resolved.
        path: String,
        /// Where and why.
        message: String,
    },
}

impl OpenError {
    /// Whether another attempt may succeed without a change of the manifest or of the file's content.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NotFound { .. })
    }
}

/// Opens the source of a substrate. Reads at most the head of a file: its header, and a sample of rows where the type
/// of a column is not declared.
///
/// `base_dir` is the folder that relative paths are relative to; none for an inquiry that has no folder. `seed` is
/// what a generator draws from unless the manifest gives a `seed` of its own.
///
/// # Errors
/// When the parameters are wrong or the file cannot be read or does not match them.
pub fn open(
    substrate: &Substrate,
    base_dir: Option<&Path>,
    seed: [u8; 32],
) -> Result<Arc<dyn Source>, OpenError> {
    match substrate {
        Substrate::File { path, parameters } => file::open(path, parameters, base_dir),
        Substrate::Synthetic { generator, parameters } => synthetic::open(generator, parameters, seed),
    }
}

/// What is wrong with a substrate as the manifest gives it, without opening anything. Empty where nothing is.
pub fn check_parameters(substrate: &Substrate) -> Vec<ParameterProblem> {
    match substrate {
        Substrate::File { path, parameters } => file::check(path, parameters),
        Substrate::Synthetic { generator, parameters } => synthetic::check(generator, parameters),
    }
}
