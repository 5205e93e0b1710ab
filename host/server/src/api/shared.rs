//! Small things that handlers share.

use crate::problem::Problem;

/// The answer to the name of a tenant that is not there, or not there for whoever asks.
pub(super) fn no_tenant(name: &str) -> Problem {
    Problem::not_found(format!("there is no tenant `{}`", shortened(name)))
}

/// A text from a request as it is quoted in an answer.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Run what may block.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
}
