//! Judges a tree by the description of the format. Finds every mistake of form: unknown and missing fields, wrong
//! types, numbers beyond their range, words that are none. What a value means beside others is [`crate::rules`]'s.

use crate::diagnostic::{Code, Diagnostic, Diagnostics, list, quote};
use crate::shape::{Forms, Object, Others, Shape, Spelling, Tagged, TextRule, Words};
use crate::source::Span;
use crate::text_rule::{check_secrets, suggest};
use crate::tree::{At, Path, Scalar};
use crate::{secret, units};

/// Gathers what is wrong with a document.
pub(crate) struct Checker<'a> {
    pub(crate) spelling: Spelling,
    pub(crate) diagnostics: &'a mut Diagnostics,
}

impl Checker<'_> {
    /// Judge a value.
    pub(crate) fn check(&mut self, at: At<'_>, path: &Path<'_>, shape: &Shape) {
        match shape {
            Shape::Text(rule) => self.text(at, path, *rule),
            Shape::Words(words) => self.word(at, path, words),
            Shape::Integer { min, max } => self.integer(at, path, *min, *max),
            Shape::Number { min, max, above } => self.number(at, path, *min, *max, *above),
            Shape::Boolean => {
                if at.boolean().is_none() {
                    self.wrong_type(at, path, "true or false");
                }
            }
            Shape::Size => self.size(at, path),
            Shape::Duration { min } => self.duration(at, path, *min),
            Shape::Seconds => self.seconds(at, path),
            Shape::Parameters => {
                if at.is_map() {
                    self.parameters(at, path);
                } else {
                    self.wrong_type(at, path, "an object");
                }
            }
            Shape::Object(object) => self.object(at, path, object),
            Shape::List { item, min, max } => self.list(at, path, item, *min, *max),
            Shape::Map { value, max } => self.map(at, path, value, *max),
            Shape::NameOr(object) => {
                if at.is_map() {
                    self.object(at, path, object);
                } else if at.text().is_some() {
                    self.text(at, path, TextRule::Name);
                } else {
                    self.wrong_type(at, path, "a name, or an object with name and steps");
                }
            }
            Shape::Tagged(tagged) => self.tagged(at, path, tagged),
            Shape::Forms(forms) => self.forms(at, path, forms),
        }
    }

    fn push(
        &mut self,
        at: At<'_>,
        code: Code,
        span: Span,
        path: &Path<'_>,
        message: String,
        help: Option<String>,
    ) {
        self.diagnostics.push(Diagnostic::new(at.source(), code, span, path, message).maybe_help(help));
    }

    fn wrong_type(&mut self, at: At<'_>, path: &Path<'_>, expected: &str) {
        let message = format!("expected {expected}, found {}", at.describe());
        let help = match (expected, at.scalar()) {
            (
                "a text",
                Some(Scalar::Integer(_) | Scalar::Unsigned(_) | Scalar::Number(_) | Scalar::Boolean(_)),
            ) => at.written().map(|written| format!("put it in quotes: \"{written}\"")),
            ("true or false", Some(Scalar::Text("yes" | "on" | "Yes" | "On"))) => {
                Some("write true".to_owned())
            }
            ("true or false", Some(Scalar::Text("no" | "off" | "No" | "Off"))) => {
                Some("write false".to_owned())
            }
            (_, Some(Scalar::Null)) => Some("give it a value, or leave the field out".to_owned()),
            ("a list", _) => {
                Some("write each entry on a line of its own after `- `, or all between [ and ]".to_owned())
            }
            _ => None,
        };
        self.push(at, Code::WrongType, at.span(), path, message, help);
    }

    fn text(&mut self, at: At<'_>, path: &Path<'_>, rule: TextRule) {
        let Some(text) = at.text() else {
            return self.wrong_type(at, path, "a text");
        };
        if rule.resolves_secrets() {
            self.secrets(at, path, text);
        } else if secret::is_in(text) {
            let message = format!("{} is taken literally here", quote(text));
            let help =
                "secrets are resolved in parameters, in substrate.source.path and in destinations' paths";
            self.push(at, Code::MisplacedSecret, at.span(), path, message, Some(help.to_owned()));
        }
        if let Err(fault) = rule.check(text) {
            let code = if rule == TextRule::Provider { Code::Unsupported } else { Code::InvalidValue };
            self.push(at, code, at.span(), path, format!("{} {}", quote(text), fault.what), Some(fault.help));
        }
    }

    fn secrets(&mut self, at: At<'_>, path: &Path<'_>, text: &str) {
        if text.contains("${")
            && let Err(fault) = check_secrets(text)
        {
            let message = format!("{} {}", quote(text), fault.what);
            self.push(at, Code::MalformedSecret, at.span(), path, message, Some(fault.help));
        }
    }

    fn word(&mut self, at: At<'_>, path: &Path<'_>, words: &Words) {
        let Some(word) = at.text() else {
            return self.wrong_type(at, path, &format!("a text, {}", list(words.known.iter().copied())));
        };
        if words.known.contains(&word) {
            return;
        }
        if words.unsupported.contains(&word) {
            return self.unsupported(at, path, words.what, word, words.known);
        }
        let known = words.known.iter().copied();
        let suggestion = suggest(word, known.clone());
        match words.others {
            Others::Refused => {
                let message = format!("{} is not {}", quote(word), with_article(words.what));
                self.push(at, Code::UnknownValue, at.span(), path, message, Some(suggestion));
            }
            // A misspelt word of the format is worth a different answer from one that the host lacks.
            Others::Unsupported if crate::diagnostic::nearest(word, known.clone()).is_some() => {
                let message = format!("{} is not {} of this host", quote(word), with_article(words.what));
                self.push(at, Code::Unsupported, at.span(), path, message, Some(suggestion));
            }
            Others::Unsupported => self.unsupported(at, path, words.what, word, words.known),
            Others::Warned => {
                if let Err(fault) = TextRule::Name.check(word) {
                    let message = format!("{} {}", quote(word), fault.what);
                    return self.push(at, Code::InvalidValue, at.span(), path, message, Some(fault.help));
                }
                let message = format!(
                    "{} is not a {} that the host knows; it is run as `measurement`",
                    quote(word),
                    words.what
                );
                self.push(at, Code::UnknownStepType, at.span(), path, message, Some(suggestion));
            }
        }
    }

    fn unsupported(&mut self, at: At<'_>, path: &Path<'_>, what: &str, word: &str, known: &[&str]) {
        let message = format!("the {what} {} is not supported by this version of the host", quote(word));
        let help = format!("supported: {}", list(known.iter().copied()));
        self.push(at, Code::Unsupported, at.span(), path, message, Some(help));
    }

    fn integer(&mut self, at: At<'_>, path: &Path<'_>, min: u64, max: u64) {
        match at.unsigned() {
            Some(value) if (min..=max).contains(&value) => {}
            None if at.number().is_none() => self.wrong_type(at, path, "a whole number"),
            _ => {
                let message =
                    format!("{} is not a whole number from {min} to {max}", at.written().unwrap_or_default());
                self.push(at, Code::OutOfRange, at.span(), path, message, None);
            }
        }
    }

    fn number(&mut self, at: At<'_>, path: &Path<'_>, min: f64, max: f64, above: bool) {
        let Some(value) = at.number() else {
            return self.wrong_type(at, path, "a number");
        };
        let large_enough = if above { value > min } else { value >= min };
        if large_enough && value <= max {
            return;
        }
        let lower = if above { format!("above {min}") } else { format!("at least {min}") };
        let bounds = if max.is_finite() { format!("{lower} and at most {max}") } else { lower };
        self.push(at, Code::OutOfRange, at.span(), path, format!("{value} is not {bounds}"), None);
    }

    fn size(&mut self, at: At<'_>, path: &Path<'_>) {
        let size = match at.text() {
            Some(text) => units::size(text),
            None => at.unsigned(),
        };
        match size {
            Some(1..) => {}
            Some(0) => self.push(
                at,
                Code::OutOfRange,
                at.span(),
                path,
                "a size is at least one byte".to_owned(),
                None,
            ),
            None if at.text().is_some() => {
                let message = format!("{} is not a size", at.written().map(quote).unwrap_or_default());
                let help =
                    "write a number with B, KB, MB, GB, KiB, MiB or GiB, as `64MiB`, or a number of bytes";
                self.push(at, Code::InvalidValue, at.span(), path, message, Some(help.to_owned()));
            }
            None => self.wrong_type(at, path, "a size such as `64MiB` or a number of bytes"),
        }
    }

    fn duration(&mut self, at: At<'_>, path: &Path<'_>, min: u64) {
        match read_duration(at) {
            Some(duration) if duration >= min => {}
            Some(_) => {
                let message = format!("{} is too short", at.written().map(quote).unwrap_or_default());
                let help = format!("at least {}", say_duration(min));
                self.push(at, Code::OutOfRange, at.span(), path, message, Some(help));
            }
            None if at.text().is_some() => {
                let message =
                    format!("{} is not a length of time", at.written().map(quote).unwrap_or_default());
                let help = "write a number with ms, s, min, h or d, as `10s`, or a number of seconds";
                self.push(at, Code::InvalidValue, at.span(), path, message, Some(help.to_owned()));
            }
            None => self.wrong_type(at, path, "a length of time such as `10s` or a number of seconds"),
        }
    }

    fn seconds(&mut self, at: At<'_>, path: &Path<'_>) {
        if read_seconds(at).is_some() {
            return;
        }
        match read_duration(at) {
            Some(_) => {
                let message = format!(
                    "{} is not a whole number of seconds, at least 1",
                    at.written().unwrap_or_default()
                );
                self.push(at, Code::OutOfRange, at.span(), path, message, None);
            }
            None if at.number().is_some() => {
                let message = format!(
                    "{} is not a whole number of seconds, at least 1",
                    at.written().unwrap_or_default()
                );
                self.push(at, Code::OutOfRange, at.span(), path, message, None);
            }
            None => self.duration(at, path, 1),
        }
    }

    /// Parameters are free, save that they must be JSON and that their secret references must be well formed.
    fn parameters(&mut self, at: At<'_>, path: &Path<'_>) {
        for entry in at.entries() {
            let key = entry.key_text();
            if secret::is_in(key) {
                let message = format!("the field's name {} is taken literally", quote(key));
                let help = "secrets are resolved in values, not in names".to_owned();
                self.push(
                    entry,
                    Code::MisplacedSecret,
                    entry.key_span(),
                    &path.key(key),
                    message,
                    Some(help),
                );
            }
            self.parameters(entry, &path.key(key));
        }
        for (index, item) in at.items().enumerate() {
            self.parameters(item, &path.index(index));
        }
        match at.scalar() {
            Some(Scalar::Text(text)) => self.secrets(at, path, text),
            Some(Scalar::Number(value)) if !value.is_finite() => {
                let message =
                    format!("{} is not a number that JSON can hold", at.written().unwrap_or_default());
                let help = "write a finite number, or put it in quotes".to_owned();
                self.push(at, Code::OutOfRange, at.span(), path, message, Some(help));
            }
            _ => {}
        }
    }

    fn list(&mut self, at: At<'_>, path: &Path<'_>, item: &Shape, min: usize, max: usize) {
        if !at.is_list() {
            return self.wrong_type(at, path, "a list");
        }
        let length = at.items().len();
        if length < min {
            let message = format!("{} needs at least {}, has {length}", quote(at.key_text()), entries(min));
            self.push(at, Code::OutOfRange, at.span(), path, message, None);
        }
        if length > max {
            let message =
                format!("{} has {length} entries; at most {max} are accepted", quote(at.key_text()));
            self.push(at, Code::OutOfRange, at.span(), path, message, None);
        }
        for (index, at) in at.items().take(max).enumerate() {
            self.check(at, &path.index(index), item);
        }
    }

    fn map(&mut self, at: At<'_>, path: &Path<'_>, value: &Shape, max: usize) {
        if !at.is_map() {
            return self.wrong_type(at, path, "an object");
        }
        let length = at.entries().len();
        if length > max {
            let message = format!("{} has {length} fields; at most {max} are accepted", quote(at.key_text()));
            self.push(at, Code::OutOfRange, at.span(), path, message, None);
        }
        for entry in at.entries().take(max) {
            self.check(entry, &path.key(entry.key_text()), value);
        }
    }

    /// Judge an object, its fields included.
    pub(crate) fn object(&mut self, at: At<'_>, path: &Path<'_>, object: &Object) {
        if !at.is_map() {
            return self.wrong_type(at, path, "an object");
        }
        for entry in at.entries() {
            let key = entry.key_text();
            let path = path.key(key);
            match (object.fields.iter().find(|field| field.name == key), object.rest) {
                (Some(field), _) => self.check(entry, &path, &field.shape),
                (None, Some(rest)) => self.check(entry, &path, rest),
                (None, None) => self.unknown_field(entry, &path, object),
            }
        }
        for field in object.fields {
            if field.need.in_spelling(self.spelling) && at.get(field.name).is_none() {
                self.missing(at, path, field.name, field.about);
            }
        }
        if !object.one_of.is_empty() && !object.one_of.iter().any(|name| at.get(name).is_some()) {
            let message = format!("{} is missing", list(object.one_of.iter().copied()));
            self.push(
                at,
                Code::MissingField,
                at.span(),
                path,
                message,
                Some(format!("add one: {}", object.about)),
            );
        }
    }

    fn missing(&mut self, at: At<'_>, path: &Path<'_>, name: &str, about: &str) {
        let message = format!("the field {} is missing", quote(name));
        self.push(
            at,
            Code::MissingField,
            at.span(),
            &path.key(name),
            message,
            Some(format!("add `{name}`: {about}")),
        );
    }

    fn unknown_field(&mut self, entry: At<'_>, path: &Path<'_>, object: &Object) {
        let key = entry.key_text();
        let names = object.fields.iter().map(|field| field.name);
        let message = format!("unknown field {}", quote(key));
        self.push(entry, Code::UnknownField, entry.key_span(), path, message, Some(suggest(key, names)));
    }

    fn tagged(&mut self, at: At<'_>, path: &Path<'_>, tagged: &Tagged) {
        if !at.is_map() {
            return self.wrong_type(at, path, "an object");
        }
        let Some(tag) = at.get(tagged.tag) else {
            let kinds = list(tagged.known.iter().map(|(name, _)| *name));
            return self.missing(at, path, tagged.tag, &format!("the {}, {kinds}", tagged.what));
        };
        let tag_path = path.key(tagged.tag);
        let known: Vec<&str> = tagged.known.iter().map(|(name, _)| *name).collect();
        let Some(word) = tag.text() else {
            return self.wrong_type(tag, &tag_path, &format!("a text, {}", list(known.iter().copied())));
        };
        if let Some((_, object)) = tagged.known.iter().find(|(name, _)| *name == word) {
            self.object(at, path, object);
        } else if tagged.unsupported.contains(&word) {
            self.unsupported(tag, &tag_path, tagged.what, word, &known);
        } else {
            let message = format!("{} is not a {}", quote(word), tagged.what);
            let help = suggest(word, known.iter().copied().chain(tagged.unsupported.iter().copied()));
            self.push(tag, Code::UnknownValue, tag.span(), &tag_path, message, Some(help));
        }
    }

    fn forms(&mut self, at: At<'_>, path: &Path<'_>, forms: &Forms) {
        if !at.is_map() {
            return self.wrong_type(at, path, "an object");
        }
        let mut matching = forms.forms.iter().filter_map(|form| {
            let sign = form.signs.iter().find_map(|sign| at.get(sign))?;
            Some((form, sign))
        });
        let all_signs = || list(forms.forms.iter().flat_map(|form| form.signs.iter().copied()));
        match (matching.next(), matching.next()) {
            (Some((form, _)), None) => self.object(at, path, form.object),
            (None, _) => {
                // Without a sign, a misspelt one is the most probable mistake.
                let names: Vec<&str> =
                    forms.forms.iter().flat_map(|form| form.object.fields).map(|field| field.name).collect();
                for entry in at.entries().filter(|entry| !names.contains(&entry.key_text())) {
                    let key = entry.key_text();
                    let help = suggest(key, names.iter().copied());
                    let message = format!("unknown field {}", quote(key));
                    self.push(
                        entry,
                        Code::UnknownField,
                        entry.key_span(),
                        &path.key(key),
                        message,
                        Some(help),
                    );
                }
                let message = format!("{} needs one of {}", forms.what, all_signs());
                self.push(at, Code::MissingField, at.span(), path, message, None);
            }
            (Some((_, first)), Some((_, second))) => {
                let message = format!(
                    "{} has either {} or {}, not both",
                    forms.what,
                    quote(first.key_text()),
                    quote(second.key_text())
                );
                let found = Diagnostic::new(
                    at.source(),
                    Code::Conflict,
                    second.key_span(),
                    path.key(second.key_text()),
                    message,
                )
                .help("write two axioms")
                .related(at.source(), first.key_span(), "the other one is here");
                self.diagnostics.push(found);
            }
        }
    }
}

/// A word with the article that it takes.
fn with_article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

fn entries(count: usize) -> String {
    match count {
        1 => "one entry".to_owned(),
        _ => format!("{count} entries"),
    }
}

/// A length of time in words.
fn say_duration(nanoseconds: u64) -> String {
    match nanoseconds {
        n if n % 1_000_000_000 == 0 => format!("{}s", n / 1_000_000_000),
        n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
        n => format!("{n}ns"),
    }
}

/// Nanoseconds of a length of time; a plain number counts seconds.
pub(crate) fn read_duration(at: At<'_>) -> Option<u64> {
    match at.text() {
        Some(text) => units::duration(text),
        None => at.number().and_then(units::seconds),
    }
}

/// Whole seconds, at least one.
pub(crate) fn read_seconds(at: At<'_>) -> Option<u64> {
    const SECOND: u64 = 1_000_000_000;
    read_duration(at)
        .filter(|duration| *duration >= SECOND && duration % SECOND == 0)
        .map(|duration| duration / SECOND)
}

/// Bytes of a size; a plain number counts bytes.
pub(crate) fn read_size(at: At<'_>) -> Option<u64> {
    match at.text() {
        Some(text) => units::size(text),
        None => at.unsigned(),
    }
}
