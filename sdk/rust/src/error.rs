//! How a call to an instrument ends without a result.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use crate::reading::InvalidReading;
use crate::substrate::SubstrateError;

/// Why an instrument has no answer. What the host does next depends on which of the three it is.
///
/// `?` turns the errors of the standard library and of this crate into one of these; for any other, say which it is:
/// `.map_err(Error::failed)?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A parameter is wrong. The host shows it underlined in the manifest and does not try again.
    #[error("invalid parameter at `{pointer}`: {message}")]
    InvalidParameters {
        /// JSON Pointer (RFC 6901) into the parameters; empty for the parameters as a whole.
        pointer: String,
        /// What is wrong and what would be right.
        message: String,
    },
    /// What the instrument depends on is not there now. The host tries again, as the manifest's retry policy says.
    #[error("unavailable: {message}")]
    Unavailable {
        /// What is not there.
        message: String,
        /// How long to wait before it is worth another try; none leaves it to the retry policy.
        retry_after: Option<Duration>,
    },
    /// The instrument cannot give a reading and another attempt will not help.
    #[error("failed: {message}")]
    Failed {
        /// Why.
        message: String,
    },
}

impl Error {
    /// A parameter is wrong: `pointer` is a JSON Pointer such as `/channels/0/gain`, `message` says what is wrong and
    /// what would be right.
    pub fn invalid(pointer: impl Into<String>, message: impl Display) -> Self {
        Self::InvalidParameters { pointer: pointer.into(), message: message.to_string() }
    }

    /// Something is not there now; another attempt may find it.
    pub fn unavailable(message: impl Display) -> Self {
        Self::Unavailable { message: message.to_string(), retry_after: None }
    }

    /// The instrument cannot answer, now or later.
    pub fn failed(message: impl Display) -> Self {
        Self::Failed { message: message.to_string() }
    }

    /// Ask the host to wait this long before it tries again. Changes nothing on an error that is not
    /// [`Error::Unavailable`], because the others are not tried again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        if let Self::Unavailable { retry_after, .. } = &mut self {
            *retry_after = Some(wait);
        }
        self
    }
}

impl From<SubstrateError> for Error {
    fn from(error: SubstrateError) -> Self {
        match error {
            SubstrateError::Unavailable(_) => Self::unavailable(error),
            _ => Self::failed(error),
        }
    }
}

impl From<InvalidReading> for Error {
    fn from(error: InvalidReading) -> Self {
        Self::failed(error)
    }
}

impl From<io::Error> for Error {
    /// Errors of a connection or a time limit are worth another attempt; all others are not.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
            HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable, NotConnected, TimedOut,
            UnexpectedEof, WouldBlock,
        };
        match error.kind() {
            AddrNotAvailable | BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset
            | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | NotConnected | TimedOut
            | UnexpectedEof | WouldBlock => Self::unavailable(error),
            _ => Self::failed(error),
        }
    }
}

/// Errors that never get better by themselves.
macro_rules! failed_from {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::failed(error)
            }
        }
    )*};
}

failed_from!(
    std::fmt::Error,
    std::net::AddrParseError,
    std::num::ParseFloatError,
    std::num::ParseIntError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    serde_json::Error,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unavailable_takes_a_wait() {
        let wait = Duration::from_secs(3);
        assert_eq!(
            Error::unavailable("no answer").retry_after(wait),
            Error::Unavailable { message: "no answer".into(), retry_after: Some(wait) }
        );
        assert_eq!(Error::failed("broken").retry_after(wait), Error::failed("broken"));
    }

    #[test]
    fn a_refused_connection_is_worth_another_attempt_and_a_missing_file_is_not() {
        let refused: Error = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        let missing: Error = io::Error::from(io::ErrorKind::NotFound).into();
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused}");
        assert!(matches!(missing, Error::Failed { .. }), "{missing}");
    }
}
