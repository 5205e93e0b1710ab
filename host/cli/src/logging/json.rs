//! Log lines for machines: one JSON object on each line, with the fields of the spans around the event beside its own, so that
//! `inquiry`, `step`, `tenant` or `request` can be searched for whatever part of the host logged.

use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Members that a field of an event or a span cannot take the place of.
const RESERVED: [&str; 6] = ["timestamp", "level", "message", "target", "member", "namespace"];

/// Writes an event as a line.
pub(super) struct JsonLines {
    member: Option<String>,
    namespace: Option<String>,
}

impl JsonLines {
    /// Lines that name the member and its namespace, where there are such.
    pub(super) fn new(member: Option<String>, namespace: Option<String>) -> Self {
        Self { member, namespace }
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(formatted) = span.extensions().get::<FormattedFields<JsonFields>>()
                && let Ok(of_span) = serde_json::from_str::<Map<String, Value>>(formatted)
            {
                // The inner span's word goes.
                fields.others.extend(of_span);
            }
        }
        event.record(&mut fields);
        let line = Line { lines: self, metadata: event.metadata(), fields };
        let text = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

struct Line<'a> {
    lines: &'a JsonLines,
    metadata: &'static Metadata<'static>,
    fields: Fields,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("timestamp", &jiff::Timestamp::now())?;
        line.serialize_entry("level", self.metadata.level().as_str())?;
        line.serialize_entry("message", &self.fields.message)?;
        line.serialize_entry("target", self.metadata.target())?;
        if let Some(member) = &self.lines.member {
            line.serialize_entry("member", member)?;
        }
        if let Some(namespace) = &self.lines.namespace {
            line.serialize_entry("namespace", namespace)?;
        }
        for (name, value) in &self.fields.others {
            if !RESERVED.contains(&name.as_str()) {
                line.serialize_entry(name, value)?;
            }
        }
        line.end()
    }
}

/// What an event and the spans around it say.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // What JSON has no number for is written as text.
        let number = serde_json::Number::from_f64(value);
        self.put(field, number.map_or_else(|| Value::String(value.to_string()), Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Map<String, Value>> {
        let written = Written::default();
        let out = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines::new(Some("inquisitor-0".into()), Some("lab".into())))
            .with_writer(move || out.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_fields_of_the_spans_around_it() {
        let lines = lines(|| {
            let inquiry = tracing::info_span!("inquiry", inquiry = "i1", tenant = "default");
            let _in_inquiry = inquiry.enter();
            let step =
                tracing::info_span!("step", step = "measure", attempt = 2, plugin = tracing::field::Empty);
            let _in_step = step.enter();
            step.record("plugin", "thermal-probe@1.0.0");
            tracing::warn!(wait_ms = 5, "an attempt failed");
        });
        let line = &lines[0];
        for (name, value) in [
            ("level", "WARN".into()),
            ("message", "an attempt failed".into()),
            ("inquiry", "i1".into()),
            ("tenant", "default".into()),
            ("step", "measure".into()),
            ("plugin", "thermal-probe@1.0.0".into()),
            ("attempt", Value::from(2)),
            ("wait_ms", Value::from(5)),
            ("member", "inquisitor-0".into()),
            ("namespace", "lab".into()),
        ] {
            assert_eq!(line.get(name), Some(&value), "{name} in {line:?}");
        }
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_a_stranger_says_makes_no_line_and_no_member_of_its_own() {
        let lines = lines(|| {
            tracing::info!(
                level = "fake",
                said = "a\n{\"level\":\"ERROR\"}",
                value = f64::NAN,
                "line\nbreak"
            );
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["message"], "line\nbreak");
        assert_eq!(lines[0]["value"], "NaN");
    }

    #[test]
    fn an_error_is_told_down_to_its_cause() {
        let lines = lines(|| {
            let error = anyhow::anyhow!("disk full").context("cannot write");
            let error: Box<dyn std::error::Error + Send + Sync> = error.into();
            tracing::error!(error = error.as_ref() as &dyn std::error::Error, "failed");
        });
        assert_eq!(lines[0]["error"], "cannot write: disk full");
    }
}
