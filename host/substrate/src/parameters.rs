//! Reading a source's parameters: every problem is collected, and none is silently passed over.

use std::ops::RangeInclusive;

use inquisitor_manifest::ParameterProblem;
use inquisitor_manifest::spec::Parameters;
use jiff::Timestamp;
use serde_json::Value;

/// Names for a message: `a, b or c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The known name nearest to a wrong one, where it is near enough to be what was meant.
pub(crate) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), *name))
        // More than a third of the letters wrong is another word, not a slip.
        .filter(|(distance, name)| distance * 3 <= name.len().max(wrong.len()))
        .min()
        .map(|(_, name)| name)
}

/// Longest wrong value that a message repeats, in characters.
const MAX_SHOWN: usize = 64;

/// A value for a message: quoted, control characters escaped, cut where it is long.
pub(crate) fn shown(value: &str) -> String {
    if value.chars().count() > MAX_SHOWN {
        let head: String = value.chars().take(MAX_SHOWN).collect();
        format!("{head:?}…")
    } else {
        format!("{value:?}")
    }
}

/// Reads the members of one JSON object.
pub(crate) struct Reader<'a> {
    object: &'a Parameters,
    pointer: String,
    /// What is wrong so far.
    pub(crate) problems: Vec<ParameterProblem>,
}

impl<'a> Reader<'a> {
    /// A reader of an object at a pointer, of which only these members may exist.
    pub(crate) fn new(object: &'a Parameters, pointer: &str, known: &[&str]) -> Self {
        let mut reader = Self { object, pointer: pointer.to_owned(), problems: Vec::new() };
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            let message = match nearest(name, known) {
                Some(near) => format!("unknown parameter {}; did you mean `{near}`?", shown(name)),
                None if known.is_empty() => format!("unknown parameter {}; there are none here", shown(name)),
                None => format!("unknown parameter {}; there are {}", shown(name), known.join(", ")),
            };
            reader.problem(name, message);
        }
        reader
    }

    /// Notes a problem with a member.
    pub(crate) fn problem(&mut self, name: &str, message: impl Into<String>) {
        let pointer = self.pointer_to(name);
        self.problems.push(ParameterProblem { pointer, message: message.into() });
    }

    /// Notes a problem with an entry of a member that is a list.
    pub(crate) fn problem_at(&mut self, name: &str, position: usize, message: impl Into<String>) {
        let pointer = format!("{}/{position}", self.pointer_to(name));
        self.problems.push(ParameterProblem { pointer, message: message.into() });
    }

    /// The pointer of a member.
    pub(crate) fn pointer_to(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    /// A member as it stands; null counts as not given.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// The one that is given of two names of the same parameter.
    pub(crate) fn alias(&mut self, name: &'static str, other: &'static str) -> &'static str {
        match (self.value(name), self.value(other)) {
            (Some(_), Some(_)) => {
                self.problem(other, format!("`{other}` is another name of `{name}`; give only one of them"));
                name
            }
            (None, Some(_)) => other,
            _ => name,
        }
    }

    /// Text.
    pub(crate) fn text(&mut self, name: &str) -> Option<&'a str> {
        match self.value(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.problem(name, "must be text");
                None
            }
        }
    }

    /// True or false.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(flag) => Some(*flag),
            _ => {
                self.problem(name, "must be true or false");
                None
            }
        }
    }

    /// A finite number of a range.
    pub(crate) fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let number = self.value(name)?.as_f64().filter(|number| number.is_finite());
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                self.problem(name, format!("must be {}", describe(&range)));
                None
            }
        }
    }

    /// A whole number of a range.
    pub(crate) fn whole(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        match self.value(name)?.as_u64() {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                self.problem(name, format!("must be a whole number of {} to {}", range.start(), range.end()));
                None
            }
        }
    }

    /// A length of time in nanoseconds, greater than zero: a number of seconds, or text such as `10s` or `1h30min`.
    pub(crate) fn duration(&mut self, name: &str) -> Option<i64> {
        let value = self.value(name)?;
        let duration = nanoseconds(value).filter(|duration| *duration > 0);
        if duration.is_none() {
            self.problem(
                name,
                "must be a length of time greater than zero: seconds, or text such as `250ms`, `10s`, `5min`, `1h`, `1d`",
            );
        }
        duration
    }

    /// A moment, nanoseconds since the Unix epoch: RFC 3339.
    pub(crate) fn moment(&mut self, name: &str) -> Option<i64> {
        let moment = self.value(name)?.as_str().and_then(rfc3339);
        if moment.is_none() {
            self.problem(
                name,
                "must be an RFC 3339 time such as `2026-01-01T00:00:00Z`, of the years 1678 to 2261",
            );
        }
        moment
    }

    /// A moment given either as RFC 3339 or as a length of time after `start`.
    pub(crate) fn moment_or_offset(&mut self, name: &str, start: i64) -> Option<i64> {
        let value = self.value(name)?;
        let moment = value
            .as_str()
            .and_then(rfc3339)
            .or_else(|| nanoseconds(value).and_then(|offset| start.checked_add(offset)));
        if moment.is_none() {
            self.problem(
                name,
                "must be an RFC 3339 time, or a length of time after the start: seconds, or text such as `10min`",
            );
        }
        moment
    }

    /// A list of distinct, non-empty texts, at most `most`.
    pub(crate) fn names(&mut self, name: &str, most: usize) -> Option<Vec<String>> {
        let Value::Array(items) = self.value(name)? else {
            self.problem(name, "must be a list of texts");
            return None;
        };
        if items.is_empty() || items.len() > most {
            self.problem(name, format!("must have 1 to {most} entries, not {}", items.len()));
            return None;
        }
        let mut names: Vec<String> = Vec::with_capacity(items.len());
        let mut seen = std::collections::HashSet::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            match item.as_str() {
                Some("") => {
                    self.problem_at(name, position, "must not be empty");
                }
                Some(text) if !seen.insert(text) => {
                    self.problem_at(name, position, format!("{} occurs twice", shown(text)));
                }
                Some(text) => names.push(text.to_owned()),
                None => self.problem_at(name, position, "must be text"),
            }
        }
        (names.len() == items.len()).then_some(names)
    }

    /// A UCUM code.
    pub(crate) fn unit(&mut self, name: &str) -> Option<String> {
        let unit = self.text(name)?;
        match check_unit(unit) {
            Ok(()) => Some(unit.to_owned()),
            Err(message) => {
                self.problem(name, message);
                None
            }
        }
    }
}

/// Whether a text is a UCUM code.
pub(crate) fn check_unit(unit: &str) -> Result<(), String> {
    ucum::validate(unit).map_err(|error| format!("{} is not a UCUM code: {error}", shown(unit)))
}

/// Nanoseconds since the Unix epoch of an RFC 3339 text.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let moment: Timestamp = text.parse().ok()?;
    i64::try_from(moment.as_nanosecond()).ok()
}

/// The range in words.
fn describe(range: &RangeInclusive<f64>) -> String {
    match (*range.start(), *range.end()) {
        // Written with an exponent where it has many digits.
        (start, end) if start.abs().max(end.abs()) >= 1e9 => format!("a number of {start:e} to {end:e}"),
        (start, end) => format!("a number of {start} to {end}"),
    }
}

/// Nanoseconds of a length of time: a number of seconds, or text of numbers with units.
fn nanoseconds(value: &Value) -> Option<i64> {
    let total = match value {
        Value::Number(seconds) => (seconds.as_f64()? * 1e9).round(),
        Value::String(text) => return i64::try_from(inquisitor_manifest::duration(text)?).ok(),
        _ => return None,
    };
    // Below 2^63, where the cast is exact in range.
    #[allow(clippy::cast_possible_truncation)]
    (0.0..9_223_372_036_854_775_808.0).contains(&total).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lengths_of_time() {
        assert_eq!(nanoseconds(&json!(1.5)), Some(1_500_000_000));
        assert_eq!(nanoseconds(&json!("10s")), Some(10_000_000_000));
        assert_eq!(nanoseconds(&json!("1h30min")), Some(5_400_000_000_000));
        for wrong in
            [json!(""), json!("10"), json!("s"), json!("-1s"), json!(-1), json!("99999999999d"), json!(true)]
        {
            assert_eq!(nanoseconds(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_nearest_name_is_named_only_when_it_is_near() {
        assert_eq!(nearest("sample", &["samples", "mean"]), Some("samples"));
        assert_eq!(nearest("stdev", &["mean", "stddev"]), Some("stddev"));
        assert_eq!(nearest("colour", &["samples", "mean"]), None);
    }

    #[test]
    fn a_pointer_escapes_its_names() {
        let object = json!({"a/b~c": 1});
        let object = object.as_object().unwrap();
        let reader = Reader::new(object, "/parameters", &["x"]);
        assert_eq!(reader.problems[0].pointer, "/parameters/a~1b~0c");
    }
}
