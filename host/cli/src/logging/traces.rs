//! Traces for a collector: OTLP over HTTP, one tree of spans for each inquiry.
//!
//! Only spans of inquiries are sent. Requests are counted in the metrics, and probes alone would make most of the traces; events
//! are in the log, under the same ids, and would pile up in the span of a continuous inquiry, which may be open for months.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use inquisitor_engine::placement::Propagation;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The path of traces below a collector's address.
const PATH: &str = "/v1/traces";
/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last delivery may take when the program ends.
const LAST: Duration = Duration::from_secs(5);

/// Sends spans from a thread of its own; the rest goes out when it is dropped. Spans that the collector does not take in time
/// are dropped once 2048 wait.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begin to send to a collector.
    ///
    /// # Errors
    /// When the address is no URL of HTTP, or the client cannot be made. A collector that does not answer is no error here; it is
    /// told in the log.
    pub(super) fn start(endpoint: &str, member: Option<&str>) -> anyhow::Result<Self> {
        let url = url(endpoint)?;
        // The client asks the process for its cryptography; it is another's business only if it has been decided before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(url)
            .with_timeout(TIMEOUT)
            .build()
            .context("traces cannot be sent")?;
        let mut resource = Resource::builder()
            .with_service_name("inquisitor")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if let Some(member) = member {
            resource = resource.with_attribute(KeyValue::new("service.instance.id", member.to_owned()));
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        Ok(Self(provider))
    }

    /// The layer that hears of spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let sent = filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("inquisitor") && metadata.name() != "request"
        });
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("inquisitor"))
            .with_location(false)
            .with_threads(false)
            .with_filter(sent.with_max_level_hint(tracing::level_filters::LevelFilter::INFO))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The field that names a span in the W3C's Trace Context.
const PARENT: &str = "traceparent";

/// Carries the traces of inquiries to the members that run their steps. Where no traces are sent there is nothing to carry.
#[derive(Default)]
pub(crate) struct Across(TraceContextPropagator);

impl Propagation for Across {
    fn current(&self) -> Option<String> {
        let mut fields = HashMap::new();
        self.0.inject_context(&Span::current().context(), &mut fields);
        fields.remove(PARENT)
    }

    fn adopt(&self, span: &Span, parent: &str) {
        let fields = HashMap::from([(PARENT.to_owned(), parent.to_owned())]);
        // Fails where no traces are sent from here.
        let _ = span.set_parent(self.0.extract_with_context(&Context::new(), &fields));
    }
}

/// The address of a collector is that of all it takes; traces go below it.
fn url(endpoint: &str) -> anyhow::Result<String> {
    let endpoint = endpoint.trim().trim_end_matches('/');
    let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['/', ':']) => {}
        // The address may hold a password and is not repeated.
        _ => anyhow::bail!("the address for traces is no URL; write it as http://collector:4318"),
    }
    Ok(if endpoint.ends_with(PATH) { endpoint.to_owned() } else { format!("{endpoint}{PATH}") })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use prost::Message as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn traces_go_below_the_address_of_the_collector() {
        assert_eq!(url("http://collector:4318").unwrap(), "http://collector:4318/v1/traces");
        assert_eq!(url(" https://c.example/otlp/ ").unwrap(), "https://c.example/otlp/v1/traces");
        assert_eq!(url("http://c:4318/v1/traces").unwrap(), "http://c:4318/v1/traces");
        for wrong in ["collector:4318", "grpc://c:4317", "http://", "", "http:///x"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    /// A collector that takes what comes on one connection after the other.
    fn collector() -> (String, mpsc::Receiver<(String, ExportTraceServiceRequest)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut first = String::new();
                stream.read_line(&mut first).unwrap();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
                let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
                if sender.send((first.trim().to_owned(), request)).is_err() {
                    return;
                }
            }
        });
        (address, receiver)
    }

    #[test]
    fn an_inquiry_arrives_as_one_tree_and_requests_do_not() {
        let (address, received) = collector();
        let traces = Traces::start(&address, Some("inquisitor-0")).unwrap();
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            let inquiry = tracing::info_span!("inquiry", inquiry = "i1", tenant = "default");
            inquiry.in_scope(|| {
                tracing::info_span!("step", step = "measure").in_scope(|| {
                    tracing::info_span!("call", plugin = "probe@1.0.0")
                        .in_scope(|| tracing::info!("an event"));
                });
            });
            tracing::info_span!("request", request = "r1").in_scope(|| {});
            tracing::debug_span!("detail").in_scope(|| {});
        });
        drop(traces);
        let (first, request) = received.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(first, "POST /v1/traces HTTP/1.1");
        let resource = &request.resource_spans[0];
        let attribute = |name: &str| {
            let attributes = &resource.resource.as_ref().unwrap().attributes;
            let found = attributes.iter().find(|attribute| attribute.key == name).unwrap();
            match found.value.as_ref().unwrap().value.as_ref().unwrap() {
                Value::StringValue(text) => text.clone(),
                other => panic!("{name} is {other:?}"),
            }
        };
        assert_eq!(attribute("service.name"), "inquisitor");
        assert_eq!(attribute("service.instance.id"), "inquisitor-0");
        let spans: Vec<_> = resource.scope_spans.iter().flat_map(|scope| &scope.spans).collect();
        let span = |name: &str| *spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(spans.len(), 3, "{spans:?}");
        let (inquiry, step, call) = (span("inquiry"), span("step"), span("call"));
        assert!(inquiry.parent_span_id.is_empty());
        assert_eq!(step.parent_span_id, inquiry.span_id);
        assert_eq!(call.parent_span_id, step.span_id);
        assert_eq!(call.trace_id, inquiry.trace_id);
        assert!(call.events.is_empty());
        assert!(inquiry.attributes.iter().any(|attribute| attribute.key == "tenant"));
    }

    #[test]
    fn a_step_that_runs_on_another_member_hangs_below_the_span_that_leased_it() {
        let (address, received) = collector();
        let spans = |traces: Traces, work: &dyn Fn()| {
            let subscriber = tracing_subscriber::registry().with(traces.layer());
            tracing::subscriber::with_default(subscriber, work);
            drop(traces);
            let (_, request) = received.recv_timeout(Duration::from_secs(10)).unwrap();
            request.resource_spans[0].scope_spans[0].spans[0].clone()
        };
        let parent = std::cell::RefCell::new(None);
        let leader = spans(Traces::start(&address, Some("host-0")).unwrap(), &|| {
            let step = tracing::info_span!("step");
            *parent.borrow_mut() = step.in_scope(|| Across::default().current());
        });
        let parent = parent.into_inner().unwrap();
        let executor = spans(Traces::start(&address, Some("host-1")).unwrap(), &|| {
            let attempt = tracing::info_span!("attempt");
            Across::default().adopt(&attempt, &parent);
            attempt.in_scope(|| {});
        });
        assert_eq!(executor.trace_id, leader.trace_id);
        assert_eq!(executor.parent_span_id, leader.span_id);
        assert_eq!(
            tracing::info_span!("step").in_scope(|| Across::default().current()),
            None,
            "none is sent"
        );
    }

    #[test]
    fn a_collector_that_is_not_there_holds_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let traces = Traces::start(&address, None).unwrap();
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || tracing::info_span!("inquiry").in_scope(|| {}));
        let began = std::time::Instant::now();
        drop(traces);
        assert!(began.elapsed() < 2 * LAST);
    }
}
