//! The manifest's text as a tree in which every node knows its place.
//!
//! Nodes lie in one vector and point to each other by number; scalars that stand in the text as they read are not
//! copied. A manifest of a few megabytes thus costs a few times its size. An alias is a second pointer to a node.

use std::fmt;

use serde_json::{Map, Number, Value};

use crate::source::{Source, Span};

/// Number of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(u32);

#[derive(Debug, Clone)]
struct Node {
    start: u32,
    end: u32,
    kind: NodeKind,
}

#[derive(Debug, Clone)]
enum NodeKind {
    /// A scalar whose text is this stretch of the source.
    Borrowed { start: u32, end: u32, plain: bool },
    /// A scalar whose text differs from how it is written: number in `Tree::texts`.
    Owned { text: u32, plain: bool },
    /// Items: a stretch of `Tree::children`.
    List { first: u32, len: u32 },
    /// Keys and values in turn: a stretch of `Tree::children`, twice `len` long.
    Map { first: u32, len: u32 },
}

/// The tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    children: Vec<NodeId>,
    texts: Vec<Box<str>>,
    root: Option<NodeId>,
}

/// A scalar as YAML 1.2's core schema reads it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// An integer above `i64::MAX`.
    Unsigned(u64),
    Number(f64),
    Text(&'a str),
}

/// What kind of scalar a tag asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Read as what it looks like.
    Plain,
    /// Text, whatever it looks like.
    Text,
}

impl Tree {
    pub(crate) fn add_scalar(&mut self, source: &Source, span: Span, text: &str, style: Style) -> NodeId {
        let plain = style == Style::Plain;
        let raw = source.slice(span);
        // A plain scalar stands as it reads; a quoted one does so between its quotes unless something is escaped.
        let borrowed = if raw == text {
            Some(span)
        } else if raw.len() == text.len() + 2 && raw.get(1..raw.len() - 1) == Some(text) {
            Some(Span { start: span.start + 1, end: span.end - 1 })
        } else {
            None
        };
        let kind = match borrowed {
            Some(span) => NodeKind::Borrowed { start: span.start as u32, end: span.end as u32, plain },
            None => {
                self.texts.push(text.into());
                NodeKind::Owned { text: self.texts.len() as u32 - 1, plain }
            }
        };
        self.add(span, kind)
    }

    pub(crate) fn add_list(&mut self, span: Span, items: &[NodeId]) -> NodeId {
        let first = self.children.len() as u32;
        self.children.extend_from_slice(items);
        self.add(span, NodeKind::List { first, len: items.len() as u32 })
    }

    /// `entries` holds keys and values in turn.
    pub(crate) fn add_map(&mut self, span: Span, entries: &[NodeId]) -> NodeId {
        let first = self.children.len() as u32;
        self.children.extend_from_slice(entries);
        self.add(span, NodeKind::Map { first, len: (entries.len() / 2) as u32 })
    }

    fn add(&mut self, span: Span, kind: NodeKind) -> NodeId {
        self.nodes.push(Node { start: span.start as u32, end: span.end as u32, kind });
        NodeId(self.nodes.len() as u32 - 1)
    }

    pub(crate) fn set_root(&mut self, root: NodeId) {
        self.root = Some(root);
        self.nodes.shrink_to_fit();
        self.children.shrink_to_fit();
    }

    /// The text of a scalar.
    pub(crate) fn scalar_text<'a>(&'a self, source: &'a Source, node: NodeId) -> Option<&'a str> {
        match self.nodes[node.0 as usize].kind {
            NodeKind::Borrowed { start, end, .. } => {
                Some(source.slice(Span { start: start as usize, end: end as usize }))
            }
            NodeKind::Owned { text, .. } => Some(&self.texts[text as usize]),
            NodeKind::List { .. } | NodeKind::Map { .. } => None,
        }
    }

    pub(crate) fn span(&self, node: NodeId) -> Span {
        let node = &self.nodes[node.0 as usize];
        Span { start: node.start as usize, end: node.end as usize }
    }
}

/// A tree with the text it came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    pub(crate) source: &'a Source,
    pub(crate) tree: &'a Tree,
}

impl<'a> Document<'a> {
    pub(crate) fn root(self) -> Option<At<'a>> {
        self.tree.root.map(|node| At { document: self, key: None, node })
    }

    fn text(self, node: NodeId) -> Option<&'a str> {
        self.tree.scalar_text(self.source, node)
    }
}

/// A node in its document, with the key it stands under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    document: Document<'a>,
    key: Option<NodeId>,
    node: NodeId,
}

impl<'a> At<'a> {
    pub(crate) fn source(self) -> &'a Source {
        self.document.source
    }

    fn kind(self) -> &'a NodeKind {
        &self.document.tree.nodes[self.node.0 as usize].kind
    }

    pub(crate) fn is_map(self) -> bool {
        matches!(self.kind(), NodeKind::Map { .. })
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self.kind(), NodeKind::List { .. })
    }

    /// The key this node stands under, as text.
    pub(crate) fn key_text(self) -> &'a str {
        self.key.and_then(|key| self.document.text(key)).unwrap_or_default()
    }

    /// Where the key stands, else where the node begins.
    pub(crate) fn key_span(self) -> Span {
        match self.key {
            Some(key) => self.document.source.first_line(self.document.tree.span(key)),
            None => self.document.source.first_line(self.document.tree.span(self.node)),
        }
    }

    /// What to underline for this node: a scalar itself; of an object or a list its key, else its first line.
    pub(crate) fn span(self) -> Span {
        match self.kind() {
            NodeKind::List { .. } | NodeKind::Map { .. } => self.key_span(),
            NodeKind::Borrowed { .. } | NodeKind::Owned { .. } => {
                let span = self.document.source.first_line(self.document.tree.span(self.node));
                if span.start == span.end { self.key_span() } else { span }
            }
        }
    }

    /// The items of a list; none where it is no list.
    pub(crate) fn items(self) -> impl ExactSizeIterator<Item = At<'a>> {
        let children = match *self.kind() {
            NodeKind::List { first, len } => {
                &self.document.tree.children[first as usize..(first + len) as usize]
            }
            _ => &[],
        };
        let document = self.document;
        children.iter().map(move |&node| At { document, key: None, node })
    }

    /// The values of an object with their keys; none where it is no object.
    pub(crate) fn entries(self) -> impl ExactSizeIterator<Item = At<'a>> {
        let children = match *self.kind() {
            NodeKind::Map { first, len } => {
                &self.document.tree.children[first as usize..(first + 2 * len) as usize]
            }
            _ => &[],
        };
        let document = self.document;
        children.chunks_exact(2).map(move |pair| At { document, key: Some(pair[0]), node: pair[1] })
    }

    /// The value of a key.
    pub(crate) fn get(self, key: &str) -> Option<At<'a>> {
        self.entries().find(|entry| entry.key_text() == key)
    }

    /// The value at the end of several keys.
    pub(crate) fn at(self, keys: &[&str]) -> Option<At<'a>> {
        keys.iter().try_fold(self, |at, key| at.get(key))
    }

    /// An item of a list.
    pub(crate) fn item(self, index: usize) -> Option<At<'a>> {
        self.items().nth(index)
    }

    /// The scalar; none for lists and objects.
    pub(crate) fn scalar(self) -> Option<Scalar<'a>> {
        let text = self.document.text(self.node)?;
        let plain = match *self.kind() {
            NodeKind::Borrowed { plain, .. } | NodeKind::Owned { plain, .. } => plain,
            NodeKind::List { .. } | NodeKind::Map { .. } => return None,
        };
        Some(if plain { resolve(text) } else { Scalar::Text(text) })
    }

    /// A text; none for anything else.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self.scalar() {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The scalar as it is written, whatever its type.
    pub(crate) fn written(self) -> Option<&'a str> {
        self.document.text(self.node)
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self.scalar() {
            Some(Scalar::Boolean(value)) => Some(value),
            _ => None,
        }
    }

    /// A whole number, zero or more. `2.0` is one too.
    pub(crate) fn unsigned(self) -> Option<u64> {
        match self.scalar() {
            Some(Scalar::Integer(value)) => u64::try_from(value).ok(),
            Some(Scalar::Unsigned(value)) => Some(value),
            // 2^53: above it a floating-point number no longer tells neighbours apart.
            Some(Scalar::Number(value))
                if value >= 0.0 && value.fract() == 0.0 && value <= 9_007_199_254_740_992.0 =>
            {
                Some(value as u64)
            }
            _ => None,
        }
    }

    /// A finite number.
    pub(crate) fn number(self) -> Option<f64> {
        match self.scalar() {
            Some(Scalar::Integer(value)) => Some(value as f64),
            Some(Scalar::Unsigned(value)) => Some(value as f64),
            Some(Scalar::Number(value)) if value.is_finite() => Some(value),
            _ => None,
        }
    }

    /// The node as JSON. What JSON cannot hold (infinities) becomes null; the checker has complained of it.
    pub(crate) fn json(self) -> Value {
        if self.is_map() {
            return Value::Object(self.object());
        }
        if self.is_list() {
            return Value::Array(self.items().map(At::json).collect());
        }
        match self.scalar() {
            None | Some(Scalar::Null) => Value::Null,
            Some(Scalar::Boolean(value)) => Value::Bool(value),
            Some(Scalar::Integer(value)) => Value::Number(value.into()),
            Some(Scalar::Unsigned(value)) => Value::Number(value.into()),
            Some(Scalar::Number(value)) => Number::from_f64(value).map_or(Value::Null, Value::Number),
            Some(Scalar::Text(text)) => Value::String(text.to_owned()),
        }
    }

    /// An object as JSON; empty where it is none.
    pub(crate) fn object(self) -> Map<String, Value> {
        self.entries().map(|entry| (entry.key_text().to_owned(), entry.json())).collect()
    }

    /// The node that a JSON Pointer (RFC 6901) names, or as far as it leads.
    pub(crate) fn pointer(self, pointer: &str) -> At<'a> {
        let mut at = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let next = if at.is_list() {
                token.parse().ok().and_then(|index| at.item(index))
            } else {
                at.get(&token)
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    /// What the node is, in words.
    pub(crate) fn describe(self) -> String {
        if self.is_map() {
            return "an object".to_owned();
        }
        if self.is_list() {
            return "a list".to_owned();
        }
        match self.scalar() {
            None | Some(Scalar::Null) => "nothing".to_owned(),
            Some(Scalar::Boolean(value)) => format!("the boolean {value}"),
            Some(Scalar::Integer(value)) => format!("the number {value}"),
            Some(Scalar::Unsigned(value)) => format!("the number {value}"),
            Some(Scalar::Number(value)) => format!("the number {value}"),
            Some(Scalar::Text(text)) => format!("the text {}", crate::diagnostic::quote(text)),
        }
    }
}

/// Read a plain scalar by the core schema of YAML 1.2 (chapter 10.3.2).
pub(crate) fn resolve(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Boolean(true),
        "false" | "False" | "FALSE" => return Scalar::Boolean(false),
        ".nan" | ".NaN" | ".NAN" => return Scalar::Number(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Number(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Number(f64::NEG_INFINITY),
        _ => {}
    }
    let number_like = text.bytes().next().is_some_and(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    if !number_like {
        return Scalar::Text(text);
    }
    let radix = |digits: &str, radix| match u64::from_str_radix(digits, radix) {
        Ok(value) if !digits.starts_with('+') => {
            Some(i64::try_from(value).map_or(Scalar::Unsigned(value), Scalar::Integer))
        }
        _ => None,
    };
    if let Some(value) = text.strip_prefix("0x").and_then(|digits| radix(digits, 16)) {
        return value;
    }
    if let Some(value) = text.strip_prefix("0o").and_then(|digits| radix(digits, 8)) {
        return value;
    }
    if let Ok(value) = text.parse::<i64>() {
        return Scalar::Integer(value);
    }
    if let Ok(value) = text.parse::<u64>() {
        return Scalar::Unsigned(value);
    }
    // Rust's own syntax also knows `inf` and `nan`, which are texts here: only digits, dots, signs and exponents.
    if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && let Ok(value) = text.parse::<f64>()
    {
        return Scalar::Number(value);
    }
    Scalar::Text(text)
}

/// Where a node is in the manifest, from the root. Lives on the stack of whoever walks the tree; becomes text only when
/// there is something to say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// This path as text below one that is text already.
    pub(crate) fn within(&self, mut parent: String) -> String {
        let own = self.to_string();
        if !parent.is_empty() && !own.starts_with('[') {
            parent.push('.');
        }
        parent.push_str(&own);
        parent
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
            Path::Key(parent, key) => {
                let simple = !key.is_empty()
                    && key.len() <= 64
                    && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '$');
                match (simple, parent) {
                    (true, Path::Root) => write!(formatter, "{key}"),
                    (true, _) => write!(formatter, "{parent}.{key}"),
                    (false, _) => {
                        write!(formatter, "{parent}[{:?}]", crate::diagnostic::shorten((*key).to_owned(), 64))
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_follow_the_core_schema() {
        for (text, scalar) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("True", Scalar::Boolean(true)),
            ("yes", Scalar::Text("yes")),
            ("12", Scalar::Integer(12)),
            ("-0", Scalar::Integer(0)),
            ("+7", Scalar::Integer(7)),
            ("0x1F", Scalar::Integer(31)),
            ("0o17", Scalar::Integer(15)),
            ("0x+1", Scalar::Text("0x+1")),
            ("18446744073709551615", Scalar::Unsigned(u64::MAX)),
            ("1e3", Scalar::Number(1000.0)),
            (".5", Scalar::Number(0.5)),
            ("-.inf", Scalar::Number(f64::NEG_INFINITY)),
            ("inf", Scalar::Text("inf")),
            ("1.2.3", Scalar::Text("1.2.3")),
            ("-", Scalar::Text("-")),
            ("10s", Scalar::Text("10s")),
        ] {
            assert_eq!(resolve(text), scalar, "{text:?}");
        }
    }

    #[test]
    fn paths_read_as_people_write_them() {
        let root = Path::Root;
        let parameters = root.key("parameters");
        let list = parameters.key("a b");
        assert_eq!(list.index(3).to_string(), "parameters[\"a b\"][3]");
        assert_eq!(root.key("a").key("b").index(0).to_string(), "a.b[0]");
    }
}
