//! Log records of the `log` crate as the lines of the contract.

use log::kv::{Error, Key, VisitSource};
use log::{Level, LevelFilter};

use crate::reading::Value;

/// What goes to the host unless the instrument says otherwise with `log::set_max_level`: traces of the libraries that it
/// uses would spend the call's limit on log volume.
pub(crate) const MAX_LEVEL: LevelFilter = LevelFilter::Debug;

/// One log line.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// The key-value pairs, as `log::info!(channel = 3; "opened")` gives them.
    pub attributes: Vec<(String, Value)>,
}

impl From<&log::Record<'_>> for LogLine {
    fn from(record: &log::Record<'_>) -> Self {
        let mut pairs = Pairs(Vec::new());
        // A pair that cannot be visited must not cost the line.
        let _ = record.key_values().visit(&mut pairs);
        Self { level: record.level(), message: record.args().to_string(), attributes: pairs.0 }
    }
}

struct Pairs(Vec<(String, Value)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: log::kv::Value<'kvs>) -> Result<(), Error> {
        let value = if let Some(integer) = value.to_i64() {
            Value::Integer(integer)
        } else if let Some(number) = value.to_f64() {
            Value::Number(number)
        } else if let Some(boolean) = value.to_bool() {
            Value::Boolean(boolean)
        } else {
            Value::Text(value.to_string())
        };
        self.0.push((key.to_string(), value));
        Ok(())
    }
}
