//! Lists in pages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Items of a page where the client does not say.
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// Items of a page at most.
pub const MAX_LIMIT: usize = 500;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on this page. May be fewer than were asked for although more follow.
    pub items: Vec<T>,
    /// Where the next page begins: the `cursor` to ask for it with. None on the last page.
    pub next: Option<String>,
}

/// The number of items asked for.
///
/// # Errors
/// 400 where it is not within 1 to [`MAX_LIMIT`].
pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(limit) => {
            Err(Problem::bad_request(format!("`limit` is {limit}; it must be within 1 and {MAX_LIMIT}")))
        }
    }
}

/// The answer to a cursor that no page gave out.
pub(crate) fn bad_cursor() -> Problem {
    Problem::bad_request("`cursor` is not one that a page of this list gave as `next`; leave it out to begin anew")
}
