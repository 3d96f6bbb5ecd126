//! The parser: one pass, an explicit stack, no recursion.

use std::borrow::Cow;
use std::collections::HashSet;

use super::scan;
use super::value::{Document, Kind, Node};

/// What a text may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many arrays and objects may be open at once.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 100 }
    }
}

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// Something else stands where a value, comma, colon or bracket must.
    #[error("unexpected character or end of text")]
    Syntax,
    /// A property stands twice in one object.
    #[error("duplicate property")]
    DuplicateKey,
    /// More arrays and objects open than the limit.
    #[error("nested too deeply")]
    Depth,
    /// Half of a surrogate pair.
    #[error("lone surrogate in a string")]
    Surrogate,
    /// The character NUL, which FHIR strings exclude.
    #[error("NUL character in a string")]
    Nul,
    /// An unescaped control character.
    #[error("control character in a string")]
    Control,
    /// An unknown escape.
    #[error("invalid escape in a string")]
    Escape,
    /// A number that breaks the grammar.
    #[error("invalid number")]
    Number,
    /// Bytes behind the value.
    #[error("text after the end of the value")]
    Trailing,
    /// The text is larger than an offset can say.
    #[error("text over 4 GiB")]
    Size,
}

/// A refused text: why and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line}, column {column}{}", if path.is_empty() { String::new() } else { format!(" ({path})") })]
pub struct ParseError {
    /// Why.
    pub kind: ParseErrorKind,
    /// Byte offset of the place.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// FHIRPath-like path of the innermost open value, for example `Patient.name[0].given`.
    pub path: String,
}

/// A container whose end has not come yet.
struct Open {
    node: u32,
    object: bool,
    /// Whether members must be compared through a hash set at the end: there are many, or a name has an escape.
    hashed: bool,
    members: u8,
    /// A bit for each name so far. A name whose bit is not set is new.
    names: u64,
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    open: Vec<Open>,
    depth_max: usize,
    /// No white space between tokens so far.
    compact: bool,
}

type Step<T> = Result<T, (ParseErrorKind, usize)>;

/// The depth limit has this limit: writing a tree recurses.
const DEPTH_MAX: usize = 1000;

/// Objects with more members are checked for duplicates through a hash set.
const MEMBERS_COMPARED_MAX: u8 = 24;

pub(super) fn parse(source: Vec<u8>, limits: &Limits) -> Result<Document, ParseError> {
    if u32::try_from(source.len()).is_err() {
        return Err(ParseError { kind: ParseErrorKind::Size, offset: 0, line: 1, column: 1, path: String::new() });
    }
    let source = match String::from_utf8(source) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let (line, column) = place(error.as_bytes(), offset);
            return Err(ParseError { kind: ParseErrorKind::Utf8, offset, line, column, path: String::new() });
        }
    };
    let mut parser = Parser {
        text: &source,
        bytes: source.as_bytes(),
        at: 0,
        nodes: Vec::with_capacity(source.len() / 12 + 4),
        open: Vec::with_capacity(16),
        depth_max: limits.depth_max.min(DEPTH_MAX),
        compact: true,
    };
    match parser.document() {
        Ok(()) => {
            let Parser { nodes, compact, .. } = parser;
            Ok(Document { source, nodes, compact })
        }
        Err((kind, offset)) => {
            let (line, column) = place(source.as_bytes(), offset);
            let path = parser.path(offset);
            Err(ParseError { kind, offset, line, column, path })
        }
    }
}

fn place(bytes: &[u8], offset: usize) -> (usize, usize) {
    let before = &bytes[..offset.min(bytes.len())];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = 1 + before.len() - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    (line, column)
}

impl Parser<'_> {
    fn document(&mut self) -> Step<()> {
        self.space();
        self.compact = true;
        loop {
            if !self.value()? {
                continue;
            }
            // A value is complete: go on behind it, or close what it was the last of.
            loop {
                let compact = self.compact;
                self.space();
                let Some(open) = self.open.last() else {
                    self.compact = compact;
                    return if self.at == self.bytes.len() { Ok(()) } else { Err((ParseErrorKind::Trailing, self.at)) };
                };
                match (self.peek()?, open.object) {
                    (b',', object) => {
                        self.at += 1;
                        self.space();
                        if object {
                            self.name()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => self.close()?,
                    _ => return Err((ParseErrorKind::Syntax, self.at)),
                }
            }
        }
    }

    /// Reads a scalar or an empty container whole, or opens a container up to its first value. Says whether it is complete.
    #[inline]
    fn value(&mut self) -> Step<bool> {
        match self.peek()? {
            b'"' => self.string().map(|_| true),
            b'{' => {
                self.open(Kind::Object)?;
                if self.peek()? == b'}' {
                    return self.close().map(|()| true);
                }
                self.name().map(|()| false)
            }
            b'[' => {
                self.open(Kind::Array)?;
                if self.peek()? == b']' {
                    return self.close().map(|()| true);
                }
                Ok(false)
            }
            b't' => self.word("true", Kind::Bool),
            b'f' => self.word("false", Kind::Bool),
            b'n' => self.word("null", Kind::Null),
            b'-' | b'0'..=b'9' => self.number().map(|()| true),
            _ => Err((ParseErrorKind::Syntax, self.at)),
        }
    }

    /// Takes the bracket and the white space behind it.
    fn open(&mut self, kind: Kind) -> Step<()> {
        if self.open.len() >= self.depth_max {
            return Err((ParseErrorKind::Depth, self.at));
        }
        self.open.push(Open { node: self.nodes.len() as u32, object: kind == Kind::Object, hashed: false, members: 0, names: 0 });
        let start = self.at;
        self.at += 1;
        self.push(kind, start, false);
        self.space();
        Ok(())
    }

    fn close(&mut self) -> Step<()> {
        self.at += 1;
        let Some(open) = self.open.last() else { return Err((ParseErrorKind::Syntax, self.at)) };
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[open.node as usize];
        node.end = self.at as u32;
        node.next = next;
        if open.hashed {
            self.check_duplicates_hashed(open.node)?;
        }
        self.open.pop();
        Ok(())
    }

    /// Reads a member's name and colon and the white space around it.
    fn name(&mut self) -> Step<()> {
        if self.peek()? != b'"' {
            return Err((ParseErrorKind::Syntax, self.at));
        }
        let key = self.nodes.len();
        let start = self.at;
        let escaped = self.string()?;
        self.check_duplicate(key, start, escaped)?;
        self.space();
        if self.peek()? != b':' {
            return Err((ParseErrorKind::Syntax, self.at));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Whether a name is new in its object. Most are told by their bit alone.
    #[inline]
    fn check_duplicate(&mut self, key: usize, start: usize, escaped: bool) -> Step<()> {
        let name = &self.bytes[start + 1..self.at - 1];
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.members = open.members.saturating_add(1);
        open.hashed |= escaped || open.members > MEMBERS_COMPARED_MAX;
        let bit = 1 << name_bit(name);
        let maybe_there = open.names & bit != 0;
        open.names |= bit;
        if maybe_there && !open.hashed {
            let first = open.node as usize + 1;
            return self.compare_names(first, key);
        }
        Ok(())
    }

    fn compare_names(&self, first: usize, key: usize) -> Step<()> {
        let text = |node: &Node| &self.bytes[node.start as usize..node.end as usize];
        let name = text(&self.nodes[key]);
        let mut index = first;
        while index < key {
            if text(&self.nodes[index]) == name {
                return Err((ParseErrorKind::DuplicateKey, self.nodes[key].start as usize));
            }
            index = self.nodes[index + 1].next as usize;
        }
        Ok(())
    }

    fn check_duplicates_hashed(&self, object: u32) -> Step<()> {
        let end = self.nodes[object as usize].next;
        let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
        let mut index = object + 1;
        while index < end {
            let key = &self.nodes[index as usize];
            let text = &self.text[key.start as usize + 1..key.end as usize - 1];
            let name = if key.escaped { Cow::Owned(unescape(text)) } else { Cow::Borrowed(text) };
            if !seen.insert(name) {
                return Err((ParseErrorKind::DuplicateKey, key.start as usize));
            }
            index = self.nodes[index as usize + 1].next;
        }
        Ok(())
    }

    /// Skips white space. Mostly there is none, or a line end and its indentation.
    #[inline]
    fn space(&mut self) {
        if self.bytes.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.at = scan::space_end(self.bytes, self.at);
            self.compact = false;
        }
    }

    #[inline]
    fn peek(&self) -> Step<u8> {
        self.bytes.get(self.at).copied().ok_or((ParseErrorKind::Syntax, self.at))
    }

    #[inline]
    fn push(&mut self, kind: Kind, start: usize, escaped: bool) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: self.at as u32, next, kind, escaped });
    }

    fn word(&mut self, word: &str, kind: Kind) -> Step<bool> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err((ParseErrorKind::Syntax, self.at));
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, false);
        Ok(true)
    }

    fn number(&mut self) -> Step<()> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err((ParseErrorKind::Number, start)),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits(start)?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.some_digits(start)?;
        }
        self.push(Kind::Number, start, false);
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, start: usize) -> Step<()> {
        let first = self.at;
        self.digits();
        if self.at == first { Err((ParseErrorKind::Number, start)) } else { Ok(()) }
    }

    /// Reads a string and says whether it holds escapes.
    #[inline]
    fn string(&mut self) -> Step<bool> {
        let start = self.at;
        let mut escaped = false;
        self.at = scan::plain_end(self.bytes, start + 1);
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                    self.at = scan::plain_end(self.bytes, self.at);
                }
                Some(0) => return Err((ParseErrorKind::Nul, self.at)),
                Some(_) => return Err((ParseErrorKind::Control, self.at)),
                None => return Err((ParseErrorKind::Syntax, self.at)),
            }
        }
        self.at += 1;
        self.push(Kind::String, start, escaped);
        Ok(escaped)
    }

    fn escape(&mut self) -> Step<()> {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = self.hex(start + 2)?;
                self.at += 6;
                match unit {
                    0 => return Err((ParseErrorKind::Nul, start)),
                    0xD800..=0xDBFF => {
                        if self.bytes.get(self.at) != Some(&b'\\') || self.bytes.get(self.at + 1) != Some(&b'u') {
                            return Err((ParseErrorKind::Surrogate, start));
                        }
                        if !(0xDC00..=0xDFFF).contains(&self.hex(self.at + 2)?) {
                            return Err((ParseErrorKind::Surrogate, start));
                        }
                        self.at += 6;
                    }
                    0xDC00..=0xDFFF => return Err((ParseErrorKind::Surrogate, start)),
                    _ => {}
                }
            }
            _ => return Err((ParseErrorKind::Escape, start)),
        }
        Ok(())
    }

    fn hex(&self, at: usize) -> Step<u32> {
        let digits = self.bytes.get(at..at + 4).ok_or((ParseErrorKind::Escape, at))?;
        digits.iter().try_fold(0, |unit, byte| match (*byte as char).to_digit(16) {
            Some(digit) => Ok(unit * 16 + digit),
            None => Err((ParseErrorKind::Escape, at)),
        })
    }

    /// The path of the innermost value that was open at an offset, for error texts; behind the resource's type where that
    /// is known.
    fn path(&self, offset: usize) -> String {
        let reached = self.nodes.partition_point(|node| node.start as usize <= offset);
        let mut path = String::new();
        for (depth, open) in self.open.iter().enumerate().take(PATH_STEPS_MAX) {
            let stop = self.open.get(depth + 1).map_or(reached, |inner| inner.node as usize);
            if !open.object {
                path.push_str(&format!("[{}]", self.children_before(open.node, stop)));
                continue;
            }
            if depth == 0
                && let Some(resource_type) = self.resource_type(stop)
            {
                path.push_str(resource_type);
            }
            if let Some(name) = self.last_name(open.node, stop) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.extend(name.chars().take(PATH_NAME_CHARACTERS_MAX));
            }
        }
        path
    }

    /// The nodes of names and elements directly in an open container and ahead of `stop`.
    fn children(&self, container: u32, stop: usize) -> impl Iterator<Item = usize> {
        let object = self.nodes[container as usize].kind == Kind::Object;
        let behind = move |child: usize| {
            let value = child + usize::from(object);
            // What is still open is the last, and does not know its end yet.
            self.nodes.get(value).filter(|_| value < stop).map(|node| node.next as usize)
        };
        std::iter::successors(Some(container as usize + 1), move |child| behind(*child)).take_while(move |child| *child < stop)
    }

    fn last_name(&self, object: u32, stop: usize) -> Option<String> {
        self.children(object, stop).last().map(|key| unescape(self.string_text(key)))
    }

    fn children_before(&self, array: u32, stop: usize) -> usize {
        self.children(array, stop).count()
    }

    /// What the outermost object says it is, if it has said so already and in letters.
    fn resource_type(&self, stop: usize) -> Option<&str> {
        let key = self.children(0, stop).find(|key| self.string_text(*key) == "resourceType")?;
        let value = key + 1;
        let known = self.nodes.get(value).is_some_and(|node| node.kind == Kind::String) && value < stop;
        known.then(|| self.string_text(value)).filter(|name| name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphabetic()))
    }

    fn string_text(&self, index: usize) -> &str {
        let node = &self.nodes[index];
        &self.text[node.start as usize + 1..node.end as usize - 1]
    }
}

/// A path is cut to so many steps,
const PATH_STEPS_MAX: usize = 20;
/// and names in it to so many characters.
const PATH_NAME_CHARACTERS_MAX: usize = 64;

/// A number below 64 that differs for most names of one object.
#[inline]
fn name_bit(name: &[u8]) -> u32 {
    let at = |place: usize| name.get(place).map_or(0, |byte| u32::from(*byte));
    let mixed = at(0).wrapping_mul(31) ^ at(name.len() / 2).wrapping_mul(131) ^ (name.len() as u32).wrapping_mul(17);
    (mixed ^ (mixed >> 6)) & 63
}

/// Decodes the escapes of a string that the parser has accepted.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let code = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match code {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let high = u32::from_str_radix(&rest[..4], 16).unwrap_or(0xFFFD);
                rest = &rest[4..];
                let scalar = if (0xD800..0xDC00).contains(&high) {
                    let low = u32::from_str_radix(&rest[2..6], 16).unwrap_or(0xDC00);
                    rest = &rest[6..];
                    0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                } else {
                    high
                };
                out.push(char::from_u32(scalar).unwrap_or('\u{FFFD}'));
            }
            other => out.push(other as char),
        }
    }
    out.push_str(rest);
    out
}
