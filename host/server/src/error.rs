//! Why a host does not start or had to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a host does not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Without a key, only this machine may ask.
    #[error(
        "without an API key the host answers everybody who can reach it, so it listens on loopback only and not on {address}; set API_KEY or listen on 127.0.0.1"
    )]
    OpenToStrangers {
        /// The address.
        address: SocketAddr,
    },
    /// A file of the TLS configuration cannot be used.
    #[error("TLS: {}: {message}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A folder cannot be used.
    #[error("{}: {message}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A plugin that was named cannot be used.
    #[error("cannot use {} for plugins: {message}", path.display())]
    Plugin {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A metric is declared wrongly: a defect.
    #[error("the metrics cannot be made: {0}")]
    Metrics(String),
    /// The state could not be read.
    #[error(transparent)]
    Journal(#[from] inquisitor_engine::journal::JournalError),
    /// The data directory could not be read.
    #[error(transparent)]
    Conductor(#[from] inquisitor_conductor::ConductorError),
}
