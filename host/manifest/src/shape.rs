//! The words in which the format is described: what a value may be. [`crate::format`] uses them to describe the
//! manifest; [`crate::check`] judges a tree by the description, and [`crate::schema`] writes it down as JSON Schema. So
//! what the parser accepts and what the schema says cannot differ.

/// What a value may be.
pub(crate) enum Shape {
    /// A text of some form.
    Text(TextRule),
    /// One of some words.
    Words(&'static Words),
    /// A whole number, both bounds inclusive.
    Integer { min: u64, max: u64 },
    /// A number; `above` says that `min` itself is too small.
    Number { min: f64, max: f64, above: bool },
    /// True or false.
    Boolean,
    /// A size of at least one byte, as `64MiB` or in bytes.
    Size,
    /// A length of time of at least so many nanoseconds, as `10s` or in seconds.
    Duration { min: u64 },
    /// A length of time in whole seconds, at least one.
    Seconds,
    /// An object whose fields belong to whoever consumes it. Secret references are resolved in it.
    Parameters,
    /// An object.
    Object(&'static Object),
    /// A list.
    List { item: &'static Shape, min: usize, max: usize },
    /// An object whose fields have names of the author's own.
    Map { value: &'static Shape, max: usize },
    /// A plain name, or an object.
    NameOr(&'static Object),
    /// An object of which a field tells the kind.
    Tagged(&'static Tagged),
    /// An object of which the fields tell the kind.
    Forms(&'static Forms),
}

/// A form of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextRule {
    /// Any text.
    Any,
    /// At least one character, at most [`MAX_NAME`], no control characters.
    Name,
    /// `X.Y` or `X.Y.Z` with X = 1.
    Version,
    /// RFC 3339 time.
    Time,
    /// A plugin: `name`, `name@version` or `name@sha256:…`.
    Plugin,
    /// Where a plugin comes from.
    Provider,
    /// A path, in which secret references are resolved.
    Location,
    /// An absolute path.
    AbsolutePath,
    /// `host:port`.
    Authority,
    /// A unit; what it is worth is the catalogue's to say.
    Unit,
    /// An expression; what it is worth is the catalogue's to say.
    Expression,
}

/// Characters of a name. Names are keys of maps, labels of metrics and parts of file names.
pub(crate) const MAX_NAME: usize = 256;

/// A vocabulary.
pub(crate) struct Words {
    /// What the words are, in the singular.
    pub(crate) what: &'static str,
    /// What the host can do.
    pub(crate) known: &'static [&'static str],
    /// Part of the format, but not of this version of the host.
    pub(crate) unsupported: &'static [&'static str],
    /// What of a word that is neither.
    pub(crate) others: Others,
}

/// What of a word that is not in the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// It is a mistake.
    Refused,
    /// The format leaves the vocabulary open, and the host lacks the word.
    Unsupported,
    /// It is accepted with a warning.
    Warned,
}

/// An object with named fields.
pub(crate) struct Object {
    /// Unique among the objects: its name in the JSON Schema.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// Its fields.
    pub(crate) fields: &'static [Field],
    /// What further fields hold, where their names are the author's own.
    pub(crate) rest: Option<&'static Shape>,
    /// Fields of which at least one must be there; empty for none.
    pub(crate) one_of: &'static [&'static str],
}

/// A field.
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) shape: Shape,
    /// Whether it must be there.
    pub(crate) need: Need,
    /// What it means.
    pub(crate) about: &'static str,
}

/// Whether a field must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Always.
    Required,
    /// In the wrapped spelling; in the Kubernetes spelling it has a default.
    RequiredWhenWrapped,
    /// Never.
    Optional,
}

/// Objects told apart by the value of a field.
pub(crate) struct Tagged {
    /// What the kinds are, in the singular.
    pub(crate) what: &'static str,
    /// The field that tells.
    pub(crate) tag: &'static str,
    /// Its values and what they stand for. Each object has the tag among its fields.
    pub(crate) known: &'static [(&'static str, &'static Object)],
    /// Part of the format, but not of this version of the host.
    pub(crate) unsupported: &'static [&'static str],
}

/// Objects told apart by which fields they have.
pub(crate) struct Forms {
    /// What it is, with its article.
    pub(crate) what: &'static str,
    /// The forms: the fields that tell, and the object.
    pub(crate) forms: &'static [Form],
}

/// One of several forms.
pub(crate) struct Form {
    /// Any of these fields says that it is this form.
    pub(crate) signs: &'static [&'static str],
    /// What the form holds.
    pub(crate) object: &'static Object,
}

/// Which of the two spellings a manifest uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// Below `manifest:`, or with the body's fields at the top.
    Wrapped,
    /// As a resource with `apiVersion`, `kind`, `metadata` and `spec`.
    Kubernetes,
}

impl Need {
    pub(crate) fn in_spelling(self, spelling: Spelling) -> bool {
        match self {
            Self::Required => true,
            Self::RequiredWhenWrapped => spelling == Spelling::Wrapped,
            Self::Optional => false,
        }
    }
}
