//! A text as far as it could be understood.

use sha2::{Digest, Sha256};

use crate::check::Checker;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::format::{BODY, RESOURCE, RESOURCE_KIND, WRAPPER};
use crate::rules::Rules;
use crate::shape::{Shape, Spelling};
use crate::source::{Source, Span};
use crate::spec::Manifest;
use crate::tree::{At, Document, Path, Tree};
use crate::{lower, secret, yaml};

/// A manifest's text with what was understood of it and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What was understood. While there are errors it is partial: what is wrong has its default or is missing. None
    /// where the text has no structure at all. [`Parsed::valid`] gives it only where there are no errors.
    pub manifest: Option<Manifest>,
    /// What is wrong, in the order of the text.
    pub diagnostics: Diagnostics,
    /// SHA-256 of the text, lower-case hex.
    pub digest: String,
    source: Source,
    tree: Tree,
    layout: Layout,
}

/// Where the body lies in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Below `manifest`.
    Wrapped,
    /// At the top.
    Bare,
    /// Below `spec`.
    Kubernetes,
}

/// A place in a manifest's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The stretch of the text, in bytes.
    pub span: Span,
}

/// A secret that a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// The secret's name.
    pub name: String,
    /// The field that refers to it.
    pub path: String,
    /// Where that is.
    pub location: Location,
}

/// SHA-256 of a manifest's text, lower-case hex.
pub fn digest(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}

/// Parse a manifest from bytes; as [`parse`], with a diagnostic where they are not UTF-8.
pub fn parse_bytes(name: &str, bytes: &[u8]) -> Parsed {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(name, text),
        Err(error) => {
            let (right, wrong) = bytes.split_at(error.valid_up_to());
            // The text up to the fault is enough to say where it is.
            let text = std::str::from_utf8(right).unwrap_or_default();
            let source = Source::new(name, text);
            let at = Span { start: text.len(), end: text.len() };
            let byte = wrong.first().copied().unwrap_or_default();
            let mut diagnostics = Diagnostics::default();
            diagnostics.push(
                Diagnostic::new(
                    &source,
                    Code::NotUtf8,
                    at,
                    "",
                    format!("the byte 0x{byte:02x} is not UTF-8 text"),
                )
                .help("save the file as UTF-8"),
            );
            Parsed::failed(source, digest(bytes), diagnostics)
        }
    }
}

/// Parse a manifest in either spelling, YAML or JSON. `name` is what diagnostics call the file.
pub fn parse(name: &str, text: &str) -> Parsed {
    let source = Source::new(name, text);
    let digest = digest(text.as_bytes());
    let mut diagnostics = Diagnostics::default();
    let Some(tree) = yaml::read(&source, &mut diagnostics) else {
        return Parsed::failed(source, digest, diagnostics);
    };
    let Some(root) = (Document { source: &source, tree: &tree }).root() else {
        return Parsed::failed(source, digest, diagnostics);
    };
    let layout = Layout::of(root);
    let mut checker = Checker { spelling: layout.spelling(), diagnostics: &mut diagnostics };
    let whole = match layout {
        Layout::Wrapped => &WRAPPER,
        Layout::Bare => &BODY,
        Layout::Kubernetes => &RESOURCE,
    };
    checker.check(root, &Path::Root, &Shape::Object(whole));
    let manifest = layout.body(root).filter(|body| body.is_map()).map(|body| {
        let resource = (layout == Layout::Kubernetes).then_some(root);
        let manifest = lower::manifest(body, resource);
        let root_path = Path::Root;
        let path = layout.key().map_or(root_path, |key| root_path.key(key));
        Rules { manifest: &manifest, diagnostics: &mut diagnostics }.check(body, &path);
        manifest
    });
    diagnostics.sort();
    Parsed { manifest, diagnostics, digest, source, tree, layout }
}

impl Layout {
    fn of(root: At<'_>) -> Self {
        let is_resource = root.get("apiVersion").is_some()
            || root.get("kind").and_then(At::text) == Some(RESOURCE_KIND)
            || (root.get("spec").is_some() && root.get("manifest").is_none());
        match (is_resource, root.get("manifest").is_some()) {
            (true, _) => Self::Kubernetes,
            (false, true) => Self::Wrapped,
            (false, false) => Self::Bare,
        }
    }

    fn spelling(self) -> Spelling {
        match self {
            Self::Wrapped | Self::Bare => Spelling::Wrapped,
            Self::Kubernetes => Spelling::Kubernetes,
        }
    }

    /// The field that holds the body.
    fn key(self) -> Option<&'static str> {
        match self {
            Self::Wrapped => Some("manifest"),
            Self::Bare => None,
            Self::Kubernetes => Some("spec"),
        }
    }

    fn body(self, root: At<'_>) -> Option<At<'_>> {
        match self.key() {
            Some(key) => root.get(key),
            None => Some(root),
        }
    }
}

impl Parsed {
    fn failed(source: Source, digest: String, mut diagnostics: Diagnostics) -> Self {
        diagnostics.sort();
        Self { manifest: None, diagnostics, digest, source, tree: Tree::default(), layout: Layout::Bare }
    }

    /// The manifest, where nothing is wrong with it (warnings aside).
    pub fn valid(&self) -> Option<&Manifest> {
        self.manifest.as_ref().filter(|_| !self.diagnostics.has_errors())
    }

    /// Which spelling it uses.
    pub fn spelling(&self) -> Spelling {
        self.layout.spelling()
    }

    /// The text that was parsed.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// What the caller named it.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    fn root(&self) -> Option<At<'_>> {
        Document { source: &self.source, tree: &self.tree }.root()
    }

    /// The body with the path that leads to it.
    pub(crate) fn body(&self) -> Option<At<'_>> {
        self.layout.body(self.root()?)
    }

    /// What paths into the body begin with.
    pub(crate) fn body_path(&self) -> Path<'static> {
        const ROOT: Path<'static> = Path::Root;
        self.layout.key().map_or(Path::Root, |key| Path::Key(&ROOT, key))
    }

    /// A value of an instrument's parameters, named by a JSON Pointer (RFC 6901): for what a plugin says about them.
    /// Where the pointer leads nowhere it is as far as it leads; none where there is no such instrument.
    pub fn instrument_parameter(&self, id: &str, pointer: &str) -> Option<Location> {
        let index = self.manifest.as_ref()?.instruments.iter().position(|instrument| instrument.id == id)?;
        let instrument = self.body()?.get("instruments")?.item(index)?;
        Some(self.location(instrument.get("parameters").unwrap_or(instrument).pointer(pointer)))
    }

    /// The same for the parameters of a step.
    pub fn step_parameter(&self, name: &str, pointer: &str) -> Option<Location> {
        let phases = self.body()?.at(&["protocol", "phases"])?;
        let mut steps = phases.items().filter_map(|phase| phase.get("steps")).flat_map(At::items);
        let step = steps.find(|step| step.get("name").and_then(At::text) == Some(name))?;
        Some(self.location(step.get("parameters").unwrap_or(step).pointer(pointer)))
    }

    fn location(&self, at: At<'_>) -> Location {
        let span = at.span();
        let position = self.source.position(span.start);
        Location { line: position.line, column: position.column, span }
    }

    /// Every secret that the manifest refers to, in the order of the text; once for each place.
    pub fn secrets(&self) -> Vec<SecretReference> {
        let mut found = Vec::new();
        if let Some(body) = self.body() {
            self.gather_secrets(body, &self.body_path(), &BODY_SHAPE, &mut found);
        }
        found
    }

    fn gather_secrets(&self, at: At<'_>, path: &Path<'_>, shape: &Shape, found: &mut Vec<SecretReference>) {
        match shape {
            Shape::Parameters => self.gather_all(at, path, found),
            Shape::Text(rule) if rule.resolves_secrets() => self.gather_all(at, path, found),
            Shape::Object(object) | Shape::NameOr(object) => {
                for entry in at.entries() {
                    if let Some(field) = object.fields.iter().find(|field| field.name == entry.key_text()) {
                        self.gather_secrets(entry, &path.key(field.name), &field.shape, found);
                    }
                }
            }
            Shape::Tagged(tagged) => {
                let word = at.get(tagged.tag).and_then(At::text);
                if let Some((_, object)) = tagged.known.iter().find(|(name, _)| Some(*name) == word) {
                    self.gather_secrets(at, path, &Shape::Object(object), found);
                }
            }
            Shape::List { item, .. } => {
                for (index, at) in at.items().enumerate() {
                    self.gather_secrets(at, &path.index(index), item, found);
                }
            }
            // Neither axioms nor maps of names hold parameters or paths.
            Shape::Forms(_) | Shape::Map { .. } => {}
            Shape::Text(_) | Shape::Words(_) | Shape::Integer { .. } | Shape::Number { .. } => {}
            Shape::Boolean | Shape::Size | Shape::Duration { .. } | Shape::Seconds => {}
        }
    }

    fn gather_all(&self, at: At<'_>, path: &Path<'_>, found: &mut Vec<SecretReference>) {
        for entry in at.entries() {
            self.gather_all(entry, &path.key(entry.key_text()), found);
        }
        for (index, item) in at.items().enumerate() {
            self.gather_all(item, &path.index(index), found);
        }
        for name in at.text().into_iter().flat_map(secret::names) {
            let location = self.location(at);
            found.push(SecretReference { name: name.to_owned(), path: path.to_string(), location });
        }
    }
}

static BODY_SHAPE: Shape = Shape::Object(&BODY);
