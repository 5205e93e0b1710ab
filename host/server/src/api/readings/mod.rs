//! The readings of an inquiry, with what became of each in the finding.

mod export;
mod types;
mod walk;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Path, Query, prefers};
use super::inquiries;
use super::page::{self, Page};
use super::problems::OfSomething;
use crate::app::App;
use crate::gate::Principal;
use crate::problem::Problem;
use export::Export;
use walk::{Content, Judgement, Part, Selection, Walk, parts};

pub use types::{ReadingExclusion, ReadingItem, ReadingUse, ValueType};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(readings))
}

/// Parameters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReadingsQuery {
    /// Only readings of the step of this name.
    step: Option<String>,
    /// Only readings of this instrument.
    instrument: Option<String>,
    /// Only readings of this quantity.
    quantity: Option<String>,
    /// Items on the page. Not for CSV, which has all.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// `next` of the page before. Not for CSV.
    cursor: Option<String>,
    /// `json` or `csv`; decides before `Accept` does.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Json,
    Csv,
}

/// The readings of an inquiry.
///
/// In the order of the plan's steps, then of rounds, then as the instrument gave them. As JSON in pages; as CSV (RFC 4180, with a
/// header) all of them, streamed. In CSV whatever is no number is quoted, and texts stand as the instrument gave them: a program
/// that takes a cell for a formula has to be told not to.
#[utoipa::path(
    get,
    path = "/v1/inquiries/{id}/readings",
    tag = "inquiries",
    params(("id" = String, Path, description = "Id of the inquiry."), ReadingsQuery),
    responses(
        (status = 200, description = "The readings.", content(
            (Page<ReadingItem> = "application/json"),
            (String = "text/csv"),
        )),
        OfSomething,
    )
)]
async fn readings(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<ReadingsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let is_csv = match query.format {
        Some(format) => format == Format::Csv,
        None => prefers(&headers, "text/csv", "application/json"),
    };
    let limit = page::limit(query.limit)?;
    let from = query.cursor.as_deref().map(Place::parse).transpose()?;
    if is_csv && (query.limit.is_some() || from.is_some()) {
        return Err(Problem::bad_request("`limit` and `cursor` are for JSON; CSV has all readings"));
    }
    let (_, inquiry) = inquiries::read(&app, &principal, &id).await?;
    let selection = Selection { step: query.step, instrument: query.instrument, quantity: query.quantity };
    let judgement = Judgement::of(&inquiry);
    let parts = parts(inquiry, &selection);
    if is_csv {
        let disposition = format!(
            "attachment; filename=\"readings-{}.csv\"",
            id.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        );
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        ];
        let turn = app.large.turn(principal.sees()).await?;
        let export = Export {
            app,
            _turn: turn,
            parts: parts.into_iter(),
            current: None,
            judgement,
            selection,
            head: true,
        };
        return Ok((headers, Body::from_stream(export.stream())).into_response());
    }
    Ok(Json(json_page(&app, principal.sees(), parts, &judgement, &selection, from, limit).await?)
        .into_response())
}

/// A place among the readings of an inquiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    position: usize,
    round: u32,
    index: usize,
}

impl Place {
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut numbers = text.split('.');
        let mut next = || numbers.next();
        let place = match (next(), next(), next(), next()) {
            (Some(position), Some(round), Some(index), None) => {
                match (position.parse(), round.parse(), index.parse()) {
                    (Ok(position), Ok(round), Ok(index)) => Some(Self { position, round, index }),
                    _ => None,
                }
            }
            _ => None,
        };
        place.ok_or_else(page::bad_cursor)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.position, self.round, self.index)
    }
}

async fn json_page(
    app: &App,
    tenant: Option<&str>,
    parts: Vec<Part>,
    judgement: &Judgement,
    selection: &Selection,
    from: Option<Place>,
    limit: usize,
) -> Result<Page<ReadingItem>, Problem> {
    let mut items = Vec::new();
    let mut turn = None;
    for part in parts {
        let start = Place { position: part.position, round: part.round, index: 0 };
        let skip = match from {
            Some(from) if (start.position, start.round) < (from.position, from.round) => continue,
            Some(from) if (start.position, start.round) == (from.position, from.round) => from.index,
            _ => 0,
        };
        if matches!(part.content, Content::Blob(_)) && turn.is_none() {
            turn = Some(app.large.turn(tenant).await?);
        }
        let mut walk = Walk::open(app, part).await?;
        while let Some(item) = walk.next(judgement) {
            if item.index < skip || selection.quantity.as_ref().is_some_and(|asked| *asked != item.quantity) {
                continue;
            }
            if items.len() == limit {
                let next = Place { index: item.index, ..start };
                return Ok(Page { items, next: Some(next.to_string()) });
            }
            items.push(item);
        }
    }
    Ok(Page { items, next: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_place() {
        let place = Place { position: 3, round: 1, index: 250 };
        assert_eq!(Place::parse(&place.to_string()).unwrap(), place);
        for wrong in ["", "1.2", "1.2.3.4", "a.b.c", "-1.0.0"] {
            assert_eq!(Place::parse(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
