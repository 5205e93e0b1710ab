//! The problems that endpoints document in `openapi.json`.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};

/// What every endpoint under `/v1` may answer instead of what was asked for.
pub(crate) struct Usual;

impl IntoResponses for Usual {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[
            (400, "The request is not what this endpoint takes; `detail` names what."),
            (401, "No key, or not a good one."),
            (403, "The key's role or the tenant's policy does not allow it; `detail` says which."),
            (408, "The request did not come in time."),
            (429, "Too often, or too much at once; `Retry-After` says when to ask again."),
            (500, "A defect of this host; its log has the reason under the id of the request."),
            (503, "The cluster cannot commit now, or this host is stopping."),
        ])
    }
}

/// As [`Usual`], of endpoints that name something that must be there.
pub(crate) struct OfSomething;

impl IntoResponses for OfSomething {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = Usual::responses();
        responses.extend(documented(&[(404, "There is no such thing, or it is another tenant's.")]));
        responses
    }
}

fn documented(statuses: &[(u16, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let content = || ContentBuilder::new().schema(Some(reference())).build();
    statuses
        .iter()
        .map(|(status, description)| {
            let response = ResponseBuilder::new()
                .description(*description)
                .content("application/problem+json", content());
            (status.to_string(), RefOr::T(response.build()))
        })
        .collect()
}

/// The schema itself is among the components, by way of the endpoints that name it as a body.
fn reference() -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name("Problem"))
}
