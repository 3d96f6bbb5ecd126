//! Documents and cursors.

use std::borrow::Cow;
use std::ops::Range;

use super::parse::{self, Limits, ParseError};

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, kept as text.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One value or key in the flat list. A container's children follow it up to `next`; an object's alternate key and value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Byte offset of the first byte; for strings of the opening quote.
    pub start: u32,
    /// Byte offset behind the last byte; for strings behind the closing quote.
    pub end: u32,
    /// Index of the node behind this one and its children.
    pub next: u32,
    pub kind: Kind,
    /// A string that holds an escape.
    pub escaped: bool,
}

/// A parsed JSON text.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) source: String,
    pub(super) nodes: Vec<Node>,
    /// No white space between tokens.
    pub(super) compact: bool,
}

impl Document {
    /// Parses a whole text under the default limits.
    pub fn parse(source: impl Into<Vec<u8>>) -> Result<Self, ParseError> {
        Self::parse_with(source, &Limits::default())
    }

    /// Parses a whole text (at most 4 GiB) under these limits.
    pub fn parse_with(source: impl Into<Vec<u8>>, limits: &Limits) -> Result<Self, ParseError> {
        parse::parse(source.into(), limits)
    }

    /// The outermost value.
    pub fn root(&self) -> Value<'_> {
        Value { document: self, index: 0 }
    }

    /// The text as it came in.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Gives the text back.
    pub fn into_source(self) -> String {
        self.source
    }
}

/// A cursor on one value of a [`Document`].
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub(super) document: &'a Document,
    pub(super) index: u32,
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.raw())
    }
}

impl<'a> Value<'a> {
    pub(super) fn node(self) -> &'a Node {
        &self.document.nodes[self.index as usize]
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        self.node().kind
    }

    /// The value's own text, as it came in (strings with quotes and escapes).
    pub fn raw(self) -> &'a str {
        &self.document.source[self.range()]
    }

    /// Where the value's text stands in [`Document::source`].
    pub fn range(self) -> Range<usize> {
        let node = self.node();
        node.start as usize..node.end as usize
    }

    /// The string, decoded; `None` for any other kind.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let node = self.node();
        (node.kind == Kind::String).then(|| decode(self.document, node))
    }

    /// The boolean; `None` for any other kind.
    pub fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == "true")
    }

    /// The number's text; `None` for any other kind.
    pub fn as_number(self) -> Option<&'a str> {
        (self.kind() == Kind::Number).then(|| self.raw())
    }

    /// Whether this is an object.
    pub fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    /// Whether this is an array.
    pub fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    /// The property of an object; `None` where it is absent or this is no object.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        let node = self.node();
        if node.kind != Kind::Object {
            return None;
        }
        let (nodes, source) = (&self.document.nodes, self.document.source.as_bytes());
        let mut index = self.index + 1;
        while index < node.next {
            let key = &nodes[index as usize];
            let text = &source[key.start as usize + 1..key.end as usize - 1];
            if (!key.escaped && text == name.as_bytes()) || (key.escaped && decode(self.document, key) == name) {
                return Some(Value { document: self.document, index: index + 1 });
            }
            index = nodes[index as usize + 1].next;
        }
        None
    }

    /// A string property, decoded.
    pub fn get_str(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(Value::as_str)
    }

    /// The members of an object in their order; empty for any other kind.
    pub fn members(self) -> Members<'a> {
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        Members { document: self.document, index: self.index + 1, end }
    }

    /// The elements of an array in their order; empty for any other kind.
    pub fn elements(self) -> Elements<'a> {
        let node = self.node();
        let end = if node.kind == Kind::Array { node.next } else { 0 };
        Elements { document: self.document, index: self.index + 1, end }
    }

    /// The elements of an array, or the value itself where it is none (FHIR's "one or many").
    pub fn each(self) -> Elements<'a> {
        if self.is_array() { self.elements() } else { Elements { document: self.document, index: self.index, end: self.index + 1 } }
    }
}

fn decode<'a>(document: &'a Document, node: &Node) -> Cow<'a, str> {
    let text = &document.source[node.start as usize + 1..node.end as usize - 1];
    if node.escaped { Cow::Owned(parse::unescape(text)) } else { Cow::Borrowed(text) }
}

/// One member of an object.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    document: &'a Document,
    key: u32,
}

impl<'a> Member<'a> {
    /// The name, decoded.
    pub fn name(self) -> Cow<'a, str> {
        decode(self.document, &self.document.nodes[self.key as usize])
    }

    /// The value.
    pub fn value(self) -> Value<'a> {
        Value { document: self.document, index: self.key + 1 }
    }

    /// Where the name's text (with quotes) and value together stand in [`Document::source`].
    pub fn range(self) -> Range<usize> {
        self.document.nodes[self.key as usize].start as usize..self.value().range().end
    }

    /// The name with its quotes and escapes, as it came in.
    pub fn raw_name(self) -> &'a str {
        let key = &self.document.nodes[self.key as usize];
        &self.document.source[key.start as usize..key.end as usize]
    }
}

/// Iterator over members.
#[derive(Clone)]
pub struct Members<'a> {
    document: &'a Document,
    index: u32,
    end: u32,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        if self.index >= self.end {
            return None;
        }
        let member = Member { document: self.document, key: self.index };
        self.index = self.document.nodes[self.index as usize + 1].next;
        Some(member)
    }
}

/// Iterator over elements.
#[derive(Clone)]
pub struct Elements<'a> {
    document: &'a Document,
    index: u32,
    end: u32,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        if self.index >= self.end {
            return None;
        }
        let value = Value { document: self.document, index: self.index };
        self.index = if self.end == value.index + 1 { self.end } else { value.node().next };
        Some(value)
    }
}
