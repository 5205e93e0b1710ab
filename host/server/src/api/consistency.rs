//! How new a read is. Reads are linearizable on any member; whoever would rather have an answer from what lies here, also
//! without a quorum, says `?consistency=local` and is told how old it may be.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::app::App;
use crate::problem::Problem;

/// Name of the parameter.
const PARAMETER: &str = "consistency";
/// Index of the last entry applied here, of a local read.
static APPLIED: HeaderName = HeaderName::from_static("inquisitor-applied-index");
/// Milliseconds since this member knew of a leader, of a local read.
static AGE: HeaderName = HeaderName::from_static("inquisitor-state-age-ms");

/// Wait until what is read is as new as the question, unless the question says otherwise. The parameter is taken out of the
/// query, so that handlers need not know it.
pub(super) async fn enforce(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if !request.method().is_safe() {
        return next.run(request).await;
    }
    let local = match take(request.uri()) {
        Ok(None) => false,
        Ok(Some((local, rest))) => {
            *request.uri_mut() = rest;
            local
        }
        Err(problem) => return problem.into_response(),
    };
    if local {
        let staleness = app.conductor.staleness();
        let mut response = next.run(request).await;
        let headers = response.headers_mut();
        for (name, value) in [(&APPLIED, staleness.applied_index), (&AGE, staleness.last_contact_ms)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from(value));
            }
        }
        return response;
    }
    // One that is alone has applied whatever it acknowledged.
    if !app.conductor.is_alone()
        && let Err(error) = app.conductor.linearize().await
    {
        return Problem::from(error).into_response();
    }
    next.run(request).await
}

/// Whether a local read is asked for, and the address without the parameter; none where it is not given.
fn take(uri: &Uri) -> Result<Option<(bool, Uri)>, Problem> {
    let Some(query) = uri.query() else { return Ok(None) };
    let mut asked = None;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=').unwrap_or((pair, "")) {
            (PARAMETER, _) if asked.is_some() => {
                return Err(Problem::bad_request(format!("`{PARAMETER}` is given twice")));
            }
            (PARAMETER, "local") => asked = Some(true),
            (PARAMETER, "linearizable") => asked = Some(false),
            (PARAMETER, _) => {
                return Err(Problem::bad_request(format!("`{PARAMETER}` is `linearizable` or `local`")));
            }
            _ => rest.push(pair),
        }
    }
    let Some(local) = asked else { return Ok(None) };
    let path =
        if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), rest.join("&")) };
    let path: PathAndQuery = path.parse().map_err(|_| Problem::bad_request("the address cannot be read"))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    let uri = Uri::from_parts(parts).map_err(|_| Problem::bad_request("the address cannot be read"))?;
    Ok(Some((local, uri)))
}

/// Add the parameter to the description of a read.
pub(super) fn describe(operation: &mut Operation) {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["linearizable", "local"]))
        .default(Some("linearizable".into()));
    let parameter = ParameterBuilder::new()
        .name(PARAMETER)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "`linearizable`: as new as the question, 503 without a quorum. `local`: what lies on this member, with the headers \
             Inquisitor-Applied-Index and Inquisitor-State-Age-Ms.",
        ))
        .schema(Some(schema));
    operation.parameters.get_or_insert_default().push(parameter.build());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str) -> Option<(bool, String)> {
        take(&uri.parse().unwrap()).unwrap().map(|(local, uri)| (local, uri.to_string()))
    }

    #[test]
    fn the_parameter_is_taken_out_and_nothing_else() {
        assert_eq!(taken("/v1/inquiries?limit=3"), None);
        assert_eq!(taken("/v1/inquiries?consistency=local"), Some((true, "/v1/inquiries".to_owned())));
        assert_eq!(
            taken("/v1/inquiries?a=1&consistency=linearizable&b=%20"),
            Some((false, "/v1/inquiries?a=1&b=%20".to_owned()))
        );
    }

    #[test]
    fn another_value_and_a_second_one_are_refused() {
        for bad in ["/x?consistency=eventual", "/x?consistency", "/x?consistency=local&consistency=local"] {
            assert_eq!(take(&bad.parse().unwrap()).unwrap_err().status, 400, "{bad}");
        }
    }
}
