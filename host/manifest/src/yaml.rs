//! From text to a tree, within bounds. JSON is YAML too.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, quote};
use crate::source::{Source, Span};
use crate::tree::{NodeId, Path, Scalar, Style, Tree, resolve};

/// Bytes of a manifest. Ten thousand steps take two million; beyond this it is data, which belongs in the substrate.
pub const MAX_MANIFEST_BYTES: usize = 4 << 20;

/// How deep lists and objects may lie in each other. The format itself needs nine levels; parameters get the rest. Code
/// that walks a tree may recurse because of this bound.
pub const MAX_DEPTH: usize = 64;

/// Nodes of a manifest, where an alias counts as all that it stands for. Keeps `*a` of `*b` of `*c` from growing without
/// end.
pub const MAX_NODES: usize = 1_000_000;

/// An open list or object.
struct Frame {
    start: usize,
    is_map: bool,
    anchor: usize,
    /// Where its children begin in `Builder::pending`.
    first: usize,
    /// `Builder::count` when it began.
    count_before: usize,
    /// Levels below it so far.
    height: usize,
}

/// What an alias stands for.
struct Anchored {
    node: NodeId,
    count: usize,
    height: usize,
}

struct Builder<'a> {
    source: &'a Source,
    tree: Tree,
    frames: Vec<Frame>,
    pending: Vec<NodeId>,
    /// Where the last child ends.
    last_end: usize,
    count: usize,
    anchors: HashMap<usize, Anchored>,
    root: Option<NodeId>,
    diagnostics: &'a mut Diagnostics,
}

/// Parse the source. Without a tree the diagnostics hold the reason.
pub(crate) fn read(source: &Source, diagnostics: &mut Diagnostics) -> Option<Tree> {
    let whole = Span::default();
    if source.text().len() > MAX_MANIFEST_BYTES {
        let message = format!(
            "the file has {} bytes; a manifest has at most {MAX_MANIFEST_BYTES}",
            source.text().len()
        );
        diagnostics.push(
            Diagnostic::new(source, Code::TooLarge, whole, "", message)
                .help("put data into a file and name it as the substrate"),
        );
        return None;
    }
    let builder = Builder {
        source,
        tree: Tree::default(),
        frames: Vec::new(),
        pending: Vec::new(),
        last_end: 0,
        count: 0,
        anchors: HashMap::new(),
        root: None,
        diagnostics,
    };
    match builder.run() {
        Ok(tree) => tree,
        Err(stopped) => {
            diagnostics.push(*stopped);
            None
        }
    }
}

impl Builder<'_> {
    fn run(mut self) -> Result<Option<Tree>, Box<Diagnostic>> {
        let mut parser = Parser::new_from_str(self.source.body());
        let mut documents = 0_usize;
        loop {
            let (event, span) = match parser.next_event() {
                None => break,
                Some(Ok(event)) => event,
                Some(Err(error)) => {
                    let start = self.source.byte_of_char(error.marker().index());
                    return Err(self.stop(
                        Code::YamlSyntax,
                        self.one_character(start),
                        syntax_message(error.info()),
                    ));
                }
            };
            let start = self.source.byte_of_char(span.start.index());
            let end = self.source.byte_of_char(span.end.index()).max(start);
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let place = self.source.first_line(Span { start, end });
                        let message = "a second document begins here; a file holds one manifest";
                        let found = Diagnostic::new(self.source, Code::MultipleDocuments, place, "", message)
                            .help("put each manifest into a file of its own");
                        self.diagnostics.push(found);
                        break;
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let end = self.trimmed_end(start, end, style);
                    self.scalar(&text, style, anchor, tag.as_deref(), Span { start, end })?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.check_collection_tag(tag.as_deref(), "seq", Span { start, end });
                    self.open(false, anchor, start)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.check_collection_tag(tag.as_deref(), "map", Span { start, end });
                    self.open(true, anchor, start)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(start, end),
                Event::Alias(anchor) => self.alias(anchor, Span { start, end })?,
            }
        }
        match self.root {
            Some(root) if !self.is_empty_document() => {
                self.tree.set_root(root);
                Ok(Some(self.tree))
            }
            _ => Err(Box::new(
                Diagnostic::new(self.source, Code::Empty, Span::default(), "", "there is no manifest in the file")
                    .help("a manifest has at least the fields version, id, name, metadata, protocol and instruments"),
            )),
        }
    }

    fn is_empty_document(&self) -> bool {
        self.count <= 1
            && self.root.is_some_and(|root| self.source.slice(self.tree.span(root)).trim().is_empty())
    }

    fn one_character(&self, start: usize) -> Span {
        let length = self.source.text()[start..].chars().next().map_or(0, char::len_utf8);
        Span { start, end: start + length }
    }

    fn stop(&self, code: Code, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::new(self.source, code, span, "", message))
    }

    /// The parser's spans of plain scalars may reach over blanks that follow.
    fn trimmed_end(&self, start: usize, end: usize, style: ScalarStyle) -> usize {
        match style {
            ScalarStyle::Plain => start + self.source.slice(Span { start, end }).trim_end().len(),
            _ => end,
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Box<Diagnostic>> {
        let mut style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Text };
        if let Some(tag) = tag {
            style = self.tagged_style(tag, text, style, span);
        }
        self.charge(1, span)?;
        let node = self.tree.add_scalar(self.source, span, text, style);
        self.attach(node, anchor, 1, 0, span.end);
        Ok(())
    }

    /// How a tag wants a scalar to be read.
    fn tagged_style(&mut self, tag: &Tag, text: &str, style: Style, span: Span) -> Style {
        if tag.handle.is_empty() && tag.suffix == "!" {
            return Style::Text;
        }
        let fits = match tag.suffix.as_str() {
            _ if !tag.is_yaml_core_schema() => None,
            "str" => return Style::Text,
            "null" => Some(matches!(resolve(text), Scalar::Null)),
            "bool" => Some(matches!(resolve(text), Scalar::Boolean(_))),
            "int" => Some(matches!(resolve(text), Scalar::Integer(_) | Scalar::Unsigned(_))),
            "float" => {
                Some(matches!(resolve(text), Scalar::Integer(_) | Scalar::Unsigned(_) | Scalar::Number(_)))
            }
            _ => None,
        };
        match fits {
            Some(true) => Style::Plain,
            Some(false) => {
                let message = format!("{} is not what its tag {} says", quote(text), quote(&written(tag)));
                self.diagnostics.push(Diagnostic::new(self.source, Code::UnsupportedTag, span, "", message));
                style
            }
            None => {
                self.unsupported_tag(tag, span);
                style
            }
        }
    }

    fn check_collection_tag(&mut self, tag: Option<&Tag>, core: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == core)
            && !(tag.handle.is_empty() && tag.suffix == "!")
        {
            self.unsupported_tag(tag, self.source.first_line(span));
        }
    }

    fn unsupported_tag(&mut self, tag: &Tag, span: Span) {
        let message = format!("the tag {} has no meaning in a manifest", quote(&written(tag)));
        self.diagnostics.push(
            Diagnostic::new(self.source, Code::UnsupportedTag, span, "", message)
                .help("leave the tag out, or use !!str to have a number taken as text"),
        );
    }

    fn open(&mut self, is_map: bool, anchor: usize, start: usize) -> Result<(), Box<Diagnostic>> {
        if self.frames.len() >= MAX_DEPTH {
            let span = self.one_character(start);
            let message = format!("lists and objects lie more than {MAX_DEPTH} levels deep in each other");
            return Err(self.stop(Code::TooDeep, span, message));
        }
        self.charge(1, Span { start, end: start })?;
        self.last_end = start;
        self.frames.push(Frame {
            start,
            is_map,
            anchor,
            first: self.pending.len(),
            count_before: self.count - 1,
            height: 0,
        });
        Ok(())
    }

    fn close(&mut self, start: usize, end: usize) {
        let Some(frame) = self.frames.pop() else { return };
        // A flow collection ends with its bracket; a block one with its last child, as its end event stands at
        // whatever comes next.
        let bracket = if frame.is_map { "}" } else { "]" };
        let end = if self.source.slice(Span { start, end }) == bracket {
            end
        } else {
            self.last_end.max(frame.start)
        };
        let span = Span { start: frame.start, end };
        let children = self.pending.split_off(frame.first);
        let node = if frame.is_map {
            let entries = self.checked_entries(&children);
            self.tree.add_map(span, &entries)
        } else {
            self.tree.add_list(span, &children)
        };
        self.attach(node, frame.anchor, self.count - frame.count_before, frame.height + 1, end);
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        let Some(Anchored { node, count, height }) = self.anchors.get(&anchor) else {
            let message = format!("{} stands for something that holds it", quote(self.source.slice(span)));
            return Err(self.stop(Code::YamlSyntax, span, message));
        };
        let (node, count, height) = (*node, *count, *height);
        if self.frames.len() + height > MAX_DEPTH {
            let message = format!("with this alias lists and objects lie more than {MAX_DEPTH} levels deep");
            return Err(self.stop(Code::TooDeep, span, message));
        }
        self.charge(count, span)?;
        self.attach(node, 0, count, height, span.end);
        Ok(())
    }

    /// Count nodes.
    fn charge(&mut self, nodes: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        self.count += nodes;
        if self.count > MAX_NODES {
            let message = format!(
                "the manifest has more than {MAX_NODES} values, aliases counted as what they stand for"
            );
            return Err(self.stop(Code::TooLarge, span, message));
        }
        Ok(())
    }

    /// Give a finished node to the collection it stands in.
    fn attach(&mut self, node: NodeId, anchor: usize, count: usize, height: usize, end: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node, count, height });
        }
        self.last_end = end;
        match self.frames.last_mut() {
            Some(frame) => {
                frame.height = frame.height.max(height);
                self.pending.push(node);
            }
            None => self.root = Some(node),
        }
    }

    /// The field that holds what is being closed, as far as it is known.
    fn path(&self) -> String {
        let mut path = String::new();
        for (level, frame) in self.frames.iter().enumerate() {
            let end = self.frames.get(level + 1).map_or(self.pending.len(), |next| next.first);
            let children = &self.pending[frame.first..end];
            if !frame.is_map {
                path.push_str(&format!("[{}]", children.len()));
            } else if children.len() % 2 == 1
                && let Some(key) = children.last().and_then(|key| self.tree.scalar_text(self.source, *key))
            {
                path = Path::Root.key(key).within(path);
            }
        }
        path
    }

    /// Keys and values in turn, without those whose key cannot be used.
    fn checked_entries(&mut self, children: &[NodeId]) -> Vec<NodeId> {
        /// Up to this many keys are compared one by one, which is faster than hashing them.
        const FEW: usize = 16;
        let mut kept: Vec<NodeId> = Vec::with_capacity(children.len());
        let mut seen: HashMap<&str, NodeId> = HashMap::new();
        let (tree, source) = (&self.tree, self.source);
        let many = children.len() / 2 > FEW;
        for pair in children.chunks_exact(2) {
            let span = tree.span(pair[0]);
            let Some(key) = tree.scalar_text(source, pair[0]) else {
                let message = "a key is a list or an object; the fields of a manifest have names";
                let place = source.first_line(span);
                let found = Diagnostic::new(source, Code::InvalidKey, place, self.path(), message);
                self.diagnostics.push(found);
                continue;
            };
            if key == "<<" {
                let found = Diagnostic::new(
                    source,
                    Code::MergeKey,
                    span,
                    self.path(),
                    "`<<` does not merge objects here",
                )
                .help("YAML 1.2 has no merge key; repeat the fields, or use an alias for a whole value");
                self.diagnostics.push(found);
                continue;
            }
            let first = if many {
                seen.get(key).copied()
            } else {
                kept.iter().step_by(2).copied().find(|other| tree.scalar_text(source, *other) == Some(key))
            };
            if let Some(first) = first {
                let message = format!("the key {} is given twice", quote(key));
                let path = Path::Root.key(key).within(self.path());
                let found = Diagnostic::new(source, Code::DuplicateKey, span, path, message)
                    .help("keep one of the two")
                    .related(source, tree.span(first), "first given here");
                self.diagnostics.push(found);
                continue;
            }
            if many {
                seen.insert(key, pair[0]);
            }
            kept.extend_from_slice(pair);
        }
        kept
    }
}

/// A tag as it is written; the parser has expanded `!!`.
fn written(tag: &Tag) -> String {
    if tag.is_yaml_core_schema() {
        format!("!!{}", tag.suffix)
    } else {
        format!("{}{}", tag.handle, tag.suffix)
    }
}

/// The parser's words as they fit after "error:".
fn syntax_message(info: &str) -> String {
    format!("this is not valid YAML: {info}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tree::Document;

    fn read_all(text: &str) -> (Option<Value>, Vec<Code>) {
        let source = Source::new("f", text);
        let mut diagnostics = Diagnostics::default();
        let tree = read(&source, &mut diagnostics);
        let value = tree.and_then(|tree| Some(Document { source: &source, tree: &tree }.root()?.json()));
        (value, diagnostics.iter().map(|found| found.code).collect())
    }

    #[test]
    fn scalars_of_every_style_read_as_yaml_says() {
        let text = "plain: a b # c\r\nsingle: 'it''s'\r\ndouble: \"\\u00e9\\n\"\r\nliteral: |\r\n  x\r\n   y\r\nfolded: >-\r\n  x\r\n  y\r\n\
                    tagged: !!str 5\r\nempty:\r\nflow: {a: [1, 2.5], \"b\":true}\r\n1: number\r\n";
        let (value, codes) = read_all(text);
        assert_eq!(codes, []);
        assert_eq!(
            value.unwrap(),
            json!({
                "plain": "a b", "single": "it's", "double": "é\n", "literal": "x\n y\n", "folded": "x y",
                "tagged": "5", "empty": null, "flow": { "a": [1, 2.5], "b": true }, "1": "number"
            })
        );
    }

    #[test]
    fn what_a_node_spans_is_what_was_written() {
        let text = "\u{feff}é: {a: 'x'}\nlist:\n  - one  # c\n  - two\nlast: |\n  text\n";
        let source = Source::new("f", text);
        let tree = read(&source, &mut Diagnostics::default()).unwrap();
        let root = Document { source: &source, tree: &tree }.root().unwrap();
        let spanned = |at: crate::tree::At<'_>| source.slice(at.span()).to_owned();
        assert_eq!(spanned(root.get("é").unwrap()), "é");
        assert_eq!(spanned(root.at(&["é", "a"]).unwrap()), "'x'");
        assert_eq!(spanned(root.get("list").unwrap().item(0).unwrap()), "one");
        assert_eq!(spanned(root.get("list").unwrap()), "list");
        assert_eq!(spanned(root.get("last").unwrap()), "text");
    }

    #[test]
    fn aliases_count_towards_the_depth() {
        let nested = format!("a: &a {}{}\n", "[".repeat(40), "]".repeat(40));
        assert_eq!(read_all(&format!("{nested}b: *a\n")).1, []);
        let deeper = format!("{nested}b: {}*a{}\n", "[".repeat(30), "]".repeat(30));
        assert_eq!(read_all(&deeper), (None, vec![Code::TooDeep]));
    }
}
