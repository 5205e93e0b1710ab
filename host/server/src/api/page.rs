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
    Problem::bad_request(
        "`cursor` is not one that a page of this list gave as `next`; leave it out to begin anew",
    )
}

/// The first page of what is found, in its order; `cursor` is what the last item of a page is found again by.
pub(crate) fn of<F, T>(
    found: &[F],
    limit: usize,
    item: impl Fn(&F) -> T,
    cursor: impl Fn(&F) -> String,
) -> Page<T> {
    let page = &found[..found.len().min(limit)];
    let next = page.last().filter(|_| found.len() > limit).map(cursor);
    Page { items: page.iter().map(item).collect(), next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_begins_if_there_is_one() {
        let page = |limit| of(&[1, 2, 3], limit, |n| n * 10, ToString::to_string);
        assert_eq!(page(2), Page { items: vec![10, 20], next: Some("2".into()) });
        assert_eq!(page(3), Page { items: vec![10, 20, 30], next: None });
        assert_eq!(of(&[], 3, |n: &u8| *n, ToString::to_string), Page { items: vec![], next: None });
    }

    #[test]
    fn a_limit_has_bounds() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(500)).unwrap(), 500);
        for wrong in [0, 501] {
            assert_eq!(limit(Some(wrong)).unwrap_err().status, 400);
        }
    }
}
