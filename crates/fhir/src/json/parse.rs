//! The parser: one pass, an explicit stack, no recursion.

use std::collections::HashSet;

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

struct Open {
    node: u32,
    object: bool,
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    open: Vec<Open>,
    depth_max: usize,
}

type Step<T> = Result<T, (ParseErrorKind, usize)>;

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
        nodes: Vec::with_capacity(source.len() / 14 + 4),
        open: Vec::with_capacity(16),
        depth_max: limits.depth_max,
    };
    match parser.document() {
        Ok(()) => {
            let nodes = parser.nodes;
            Ok(Document { source, nodes })
        }
        Err((kind, offset)) => {
            let (line, column) = place(source.as_bytes(), offset);
            let path = parser.path();
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
        let mut done = self.value()?;
        while !self.open.is_empty() {
            done = self.next_child(done)?;
        }
        self.space();
        if self.at < self.bytes.len() {
            return Err((ParseErrorKind::Trailing, self.at));
        }
        Ok(())
    }

    /// One step inside the innermost container. `complete` says whether the value before this step was complete, so that
    /// a comma or the end must follow; a container that was just opened wants its first child or its end.
    fn next_child(&mut self, complete: bool) -> Step<bool> {
        let object = self.open[self.open.len() - 1].object;
        let close = if object { b'}' } else { b']' };
        self.space();
        let byte = self.peek()?;
        if byte == close {
            self.at += 1;
            self.close()?;
            return Ok(true);
        }
        if complete {
            if byte != b',' {
                return Err((ParseErrorKind::Syntax, self.at));
            }
            self.at += 1;
            self.space();
        }
        if object {
            if self.peek()? != b'"' {
                return Err((ParseErrorKind::Syntax, self.at));
            }
            self.string()?;
            self.space();
            if self.peek()? != b':' {
                return Err((ParseErrorKind::Syntax, self.at));
            }
            self.at += 1;
            self.space();
        }
        self.value()
    }

    fn close(&mut self) -> Step<()> {
        let Some(open) = self.open.pop() else { return Err((ParseErrorKind::Syntax, self.at)) };
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[open.node as usize];
        node.end = self.at as u32;
        node.next = next;
        if open.object { self.check_duplicates(open.node) } else { Ok(()) }
    }

    fn check_duplicates(&self, object: u32) -> Step<()> {
        let end = self.nodes[object as usize].next;
        let mut keys: [(u32, u32); 16] = [(0, 0); 16];
        let mut count = 0;
        let mut escaped = false;
        let mut index = object + 1;
        while index < end {
            let key = &self.nodes[index as usize];
            escaped |= key.escaped;
            if count == keys.len() || escaped {
                return self.check_duplicates_hashed(object);
            }
            let text = &self.bytes[key.start as usize..key.end as usize];
            for (start, stop) in &keys[..count] {
                if self.bytes[*start as usize..*stop as usize] == *text {
                    return Err((ParseErrorKind::DuplicateKey, key.start as usize));
                }
            }
            keys[count] = (key.start, key.end);
            count += 1;
            index = self.nodes[index as usize + 1].next;
        }
        Ok(())
    }

    fn check_duplicates_hashed(&self, object: u32) -> Step<()> {
        let end = self.nodes[object as usize].next;
        let mut seen = HashSet::new();
        let mut index = object + 1;
        while index < end {
            let key = &self.nodes[index as usize];
            let text = &self.text[key.start as usize + 1..key.end as usize - 1];
            let name = if key.escaped { unescape(text) } else { text.to_owned() };
            if !seen.insert(name) {
                return Err((ParseErrorKind::DuplicateKey, key.start as usize));
            }
            index = self.nodes[index as usize + 1].next;
        }
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Step<u8> {
        self.bytes.get(self.at).copied().ok_or((ParseErrorKind::Syntax, self.at))
    }

    fn push(&mut self, kind: Kind, start: usize, escaped: bool) {
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { start: start as u32, end: self.at as u32, next, kind, escaped });
    }

    /// Reads a scalar whole, or opens a container. Says whether the value is complete.
    fn value(&mut self) -> Step<bool> {
        match self.peek()? {
            b'"' => self.string()?,
            byte @ (b'{' | b'[') => {
                if self.open.len() >= self.depth_max {
                    return Err((ParseErrorKind::Depth, self.at));
                }
                let object = byte == b'{';
                self.open.push(Open { node: self.nodes.len() as u32, object });
                let start = self.at;
                self.at += 1;
                self.push(if object { Kind::Object } else { Kind::Array }, start, false);
                return Ok(false);
            }
            b't' => self.word("true", Kind::Bool)?,
            b'f' => self.word("false", Kind::Bool)?,
            b'n' => self.word("null", Kind::Null)?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err((ParseErrorKind::Syntax, self.at)),
        }
        Ok(true)
    }

    fn word(&mut self, word: &str, kind: Kind) -> Step<()> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err((ParseErrorKind::Syntax, self.at));
        }
        let start = self.at;
        self.at += word.len();
        self.push(kind, start, false);
        Ok(())
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

    fn string(&mut self) -> Step<()> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            let Some(&byte) = self.bytes.get(self.at) else { return Err((ParseErrorKind::Syntax, self.at)) };
            match PLAIN[byte as usize] {
                true => self.at += 1,
                false if byte == b'"' => break,
                false if byte == b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                false => {
                    let kind = if byte == 0 { ParseErrorKind::Nul } else { ParseErrorKind::Control };
                    return Err((kind, self.at));
                }
            }
        }
        self.at += 1;
        self.push(Kind::String, start, escaped);
        Ok(())
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

    /// The path of the innermost open value, for error texts.
    fn path(&self) -> String {
        let mut path = String::new();
        for (depth, open) in self.open.iter().enumerate().take(20) {
            let stop = self.open.get(depth + 1).map_or(self.nodes.len() as u32, |inner| inner.node);
            if open.object {
                if let Some(name) = self.last_key(open.node, stop, depth + 1 < self.open.len()) {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.extend(name.chars().take(64));
                }
            } else {
                path.push_str(&format!("[{}]", self.count_before(open.node, stop)));
            }
        }
        path
    }

    /// The name of the last member begun in an open object. Closed siblings say where they end; the open one does not.
    fn last_key(&self, object: u32, stop: u32, inner_open: bool) -> Option<&str> {
        let mut index = object + 1;
        let mut last = None;
        while index < stop {
            last = Some(index);
            let value = index + 1;
            if value >= stop || (inner_open && value == stop) {
                break;
            }
            index = self.nodes[value as usize].next;
        }
        let key = &self.nodes[last? as usize];
        Some(&self.text[key.start as usize + 1..key.end as usize - 1])
    }

    fn count_before(&self, array: u32, stop: u32) -> usize {
        let mut index = array + 1;
        let mut count = 0;
        while index < stop {
            count += 1;
            index = self.nodes[index as usize].next;
        }
        count
    }
}

/// Bytes that stand for themselves inside a string.
static PLAIN: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = false;
        byte += 1;
    }
    table[b'"' as usize] = false;
    table[b'\\' as usize] = false;
    table
};

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
