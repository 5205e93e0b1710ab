//! Counting requests.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use super::{Families, Metrics};

/// The route of requests for paths that there are none of.
const NO_ROUTE: &str = "none";
/// The status of requests whose client went away before there was an answer.
const CLIENT_GONE: &str = "499";

/// Seconds of a request: from a read to a submission that waits for the disk of a majority.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

pub(super) struct Http {
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
}

impl Http {
    pub(super) fn new(add: &Families<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            requests: add.counters(
                "inquisitor_http_requests_total",
                "Requests that were answered, by route, method and status; 499 where the client did not wait.",
                &["route", "method", "status"],
            )?,
            durations: add.histograms(
                "inquisitor_http_request_duration_seconds",
                "Time from the headers of a request to the headers of its answer.",
                &["route", "method"],
                &BUCKETS,
            )?,
            in_flight: add.gauge(
                "inquisitor_http_requests_in_flight",
                "Requests that wait for the headers of their answer.",
            )?,
        })
    }
}

/// Counts a request. A layer of the router and not around it, so that the route is known.
pub(crate) async fn http(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let mut pending = Pending::begin(metrics, route, method(request.method()));
    let response = next.run(request).await;
    pending.status = Some(response.status());
    response
}

/// A request under way; counted when it is dropped, so that one whose client goes away is counted too.
struct Pending {
    metrics: Arc<Metrics>,
    route: String,
    method: &'static str,
    began: Instant,
    status: Option<StatusCode>,
}

impl Pending {
    fn begin(metrics: Arc<Metrics>, route: String, method: &'static str) -> Self {
        metrics.http.in_flight.inc();
        Self { metrics, route, method, began: Instant::now(), status: None }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let http = &self.metrics.http;
        http.in_flight.dec();
        let status = self.status.as_ref().map_or(CLIENT_GONE, StatusCode::as_str);
        http.requests.with_label_values(&[self.route.as_str(), self.method, status]).inc();
        http.durations
            .with_label_values(&[self.route.as_str(), self.method])
            .observe(self.began.elapsed().as_secs_f64());
    }
}

/// A client may send any word as method.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
