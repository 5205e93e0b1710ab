//! What is wrong with a manifest, where, and what would be right.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::source::{Position, Source, Span};

/// How many diagnostics are kept; the rest are counted. Nobody reads more, and a hostile manifest has a mistake in every
/// byte.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Characters of a message or a help. What is quoted from the manifest may be as long as the manifest.
const MAX_TEXT: usize = 2000;

/// Whether a diagnostic stops a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The manifest cannot be run.
    Error,
    /// It can, but probably not as its author meant.
    Warning,
}

/// Declares the codes once: variant, name, severity, meaning.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $severity:ident;)+) => {
        /// What kind of mistake it is. The names are stable: scripts may rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name, in lower case with hyphens.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether it stops a run; the same for every diagnostic of the code.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    /// The text is not UTF-8.
    NotUtf8 = "not-utf8", Error;
    /// The text is larger, or has more nodes, than a host accepts.
    TooLarge = "too-large", Error;
    /// Lists and objects lie deeper in each other than a host accepts.
    TooDeep = "too-deep", Error;
    /// The text is not YAML.
    YamlSyntax = "yaml-syntax", Error;
    /// There is nothing in it.
    Empty = "empty", Error;
    /// There is more than one document in the file.
    MultipleDocuments = "multiple-documents", Error;
    /// A key is given twice.
    DuplicateKey = "duplicate-key", Error;
    /// A key is not text.
    InvalidKey = "invalid-key", Error;
    /// `<<` does not merge.
    MergeKey = "merge-key", Error;
    /// A tag that the format does not have.
    UnsupportedTag = "unsupported-tag", Error;
    /// A field that the format does not have.
    UnknownField = "unknown-field", Error;
    /// A required field is missing.
    MissingField = "missing-field", Error;
    /// A value of another type than the field takes.
    WrongType = "wrong-type", Error;
    /// A number, a length or a count beyond its bounds.
    OutOfRange = "out-of-range", Error;
    /// A word that is none of the field's words.
    UnknownValue = "unknown-value", Error;
    /// A text that does not have the form that the field takes.
    InvalidValue = "invalid-value", Error;
    /// Part of the format, but this version of the host cannot do it.
    Unsupported = "unsupported", Error;
    /// Two fields contradict each other.
    Conflict = "conflict", Error;
    /// A name that must be unique is given twice.
    DuplicateName = "duplicate-name", Error;
    /// An instrument is named that is not declared.
    UnknownInstrument = "unknown-instrument", Error;
    /// A step is named that is not there.
    UnknownDependency = "unknown-dependency", Error;
    /// Steps wait for each other.
    DependencyCycle = "dependency-cycle", Error;
    /// A state is named that `belief.states` does not have.
    UnknownState = "unknown-state", Error;
    /// A state cannot be told from the others.
    UnobservedState = "unobserved-state", Error;
    /// The method needs more instruments to stand `max_faulty` liars.
    TooFewInstruments = "too-few-instruments", Error;
    /// `${` without a name and a closing brace.
    MalformedSecret = "malformed-secret", Error;
    /// A secret reference where none is resolved.
    MisplacedSecret = "misplaced-secret", Warning;
    /// A type of step that the host has no rule for.
    UnknownStepType = "unknown-step-type", Warning;
    /// A phase given as a plain name that the host has no rule for.
    UnknownPhase = "unknown-phase", Warning;
    /// A field that has no effect where it stands.
    IgnoredField = "ignored-field", Warning;
    /// A step that runs later than its place says.
    LateStep = "late-step", Warning;
    /// No such plugin is installed.
    PluginNotInstalled = "plugin-not-installed", Error;
    /// The plugin is installed in other versions.
    PluginVersionNotInstalled = "plugin-version-not-installed", Error;
    /// More than one installed plugin goes by this name.
    AmbiguousPlugin = "ambiguous-plugin", Error;
    /// The plugin's own JSON Schema cannot be used.
    InvalidPluginSchema = "invalid-plugin-schema", Error;
    /// A parameter that the plugin's JSON Schema refuses.
    InvalidParameter = "invalid-parameter", Error;
    /// The plugin needs more memory than `limits.memory` allows.
    NotEnoughMemory = "not-enough-memory", Error;
    /// The plugin would like access that the manifest does not ask for.
    CapabilityNotAsked = "capability-not-asked", Warning;
    /// No declared instrument measures the quantity.
    UnmeasuredQuantity = "unmeasured-quantity", Warning;
    /// A unit that is not a UCUM code.
    InvalidUnit = "invalid-unit", Error;
    /// An expression that cannot be compiled.
    InvalidExpression = "invalid-expression", Error;
    /// The plan would have more steps or more dependencies than a host accepts.
    PlanTooLarge = "plan-too-large", Error;
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Whether it stops a run.
    pub severity: Severity,
    /// What kind of mistake it is.
    pub code: Code,
    /// Name of the file, as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The stretch of the text that is wrong, in bytes.
    pub span: Span,
    /// The field, as `manifest.protocol.phases[0].steps[1].instrument`; empty where the mistake is in no field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Another place that belongs to it, such as the first of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
}

/// Another place that belongs to a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The stretch of the text, in bytes.
    pub span: Span,
}

impl Diagnostic {
    /// A diagnostic at a stretch of a text.
    pub(crate) fn new(
        source: &Source,
        code: Code,
        span: Span,
        path: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        let Position { line, column } = source.position(span.start);
        Self {
            severity: code.severity(),
            code,
            file: source.name().to_owned(),
            line,
            column,
            span,
            path: path.to_string(),
            message: shorten(message.into(), MAX_TEXT),
            help: None,
            related: None,
        }
    }

    /// The same with what would be right.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(shorten(help.into(), MAX_TEXT));
        self
    }

    /// The same with help, where there is some.
    pub(crate) fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// The same with another place.
    pub(crate) fn related(mut self, source: &Source, span: Span, message: impl Into<String>) -> Self {
        let Position { line, column } = source.position(span.start);
        self.related = Some(Related { message: shorten(message.into(), MAX_TEXT), line, column, span });
        self
    }
}

/// Diagnostics: at most [`MAX_DIAGNOSTICS`] of them, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// The diagnostics that were kept, in the order of the text.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.kept
    }

    /// The same one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// How many errors there are, kept or not.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many warnings there are, kept or not.
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// Whether there is an error: the manifest cannot be run.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.errors + self.warnings == 0
    }

    /// How many were counted and not kept.
    pub fn omitted(&self) -> usize {
        self.errors + self.warnings - self.kept.len()
    }

    /// The counts in words, as `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let counted = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        };
        let mut summary = match (self.errors, self.warnings) {
            (0, 0) => "no errors".to_owned(),
            (errors, 0) => counted(errors, "error"),
            (0, warnings) => counted(warnings, "warning"),
            (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        };
        if self.omitted() > 0 {
            summary.push_str(&format!(" (the first {} are shown)", self.kept.len()));
        }
        summary
    }

    /// Add one; where there is no room an error takes the place of a warning.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.kept.len() < MAX_DIAGNOSTICS {
            self.kept.push(diagnostic);
        } else if diagnostic.severity == Severity::Error
            && let Some(warning) = self.kept.iter_mut().rev().find(|kept| kept.severity == Severity::Warning)
        {
            *warning = diagnostic;
        }
    }

    /// Put them in the order of the text.
    pub(crate) fn sort(&mut self) {
        self.kept.sort_by_key(|kept| (kept.span, kept.severity, kept.code));
    }

    /// These and others together, in the order of the text.
    pub fn merged(mut self, others: Self) -> Self {
        let errors = self.errors + others.errors;
        let warnings = self.warnings + others.warnings;
        for diagnostic in others.kept {
            self.push(diagnostic);
        }
        self.errors = errors;
        self.warnings = warnings;
        self.sort();
        self
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A text cut to a number of characters, marked with an ellipsis where it was longer.
pub(crate) fn shorten(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// The candidate that a misspelt word most probably means.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Names are short; a longer word is not a misspelt name, and the distance costs the product of the lengths.
    const LONGEST: usize = 64;
    let fold = |word: &str| {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    if word.len() > LONGEST {
        return None;
    }
    let folded = fold(word);
    let allowed = (folded.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Words as a list for people: `a, b or c`.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    /// More choices than this help nobody.
    const MOST: usize = 40;
    let words: Vec<&str> = words.into_iter().take(MOST + 1).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [word] => (*word).to_owned(),
        words if words.len() > MOST => format!("{}, …", words[..MOST].join(", ")),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A word of the manifest in a message: in backquotes, cut where it is long.
pub(crate) fn quote(word: &str) -> String {
    const MOST: usize = 80;
    format!("`{}`", shorten(word.to_owned(), MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(code: Code) -> Diagnostic {
        Diagnostic::new(&Source::new("f", "a: b"), code, Span { start: 0, end: 1 }, "a", "m")
    }

    #[test]
    fn names_are_kebab_case_and_serialize() {
        for code in Code::ALL {
            assert!(
                code.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'8')
            );
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted_and_errors_win() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(diagnostic(Code::UnknownPhase));
        for _ in 0..MAX_DIAGNOSTICS + 4 {
            diagnostics.push(diagnostic(Code::UnknownField));
        }
        assert_eq!(diagnostics.as_slice().len(), MAX_DIAGNOSTICS);
        assert_eq!(diagnostics.omitted(), 5);
        assert!(diagnostics.iter().all(|kept| kept.severity == Severity::Error));
        assert_eq!(diagnostics.summary(), "1004 errors, 1 warning (the first 1000 are shown)");
        let both = diagnostics.clone().merged(diagnostics);
        assert_eq!((both.errors(), both.warnings(), both.omitted()), (2008, 2, 1010));
    }

    #[test]
    fn the_nearest_word_forgives_case_separators_and_swaps() {
        let known = ["max_workers", "retry_policy", "timeout"];
        assert_eq!(nearest("maxWorkers", known), Some("max_workers"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
    }
}
