//! Writing JSON: compact copies of a tree, edited copies, and new objects.

use std::ops::Range;

use super::scan;
use super::value::{Kind, Value};

/// Replaces the text of one value while a tree is written.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The value's place in the source ([`Value::range`]).
    pub range: Range<usize>,
    /// The JSON text that takes its place.
    pub text: String,
}

impl<'a> Value<'a> {
    /// Appends the tree without white space between tokens; every token keeps its bytes.
    pub fn write_compact(self, out: &mut String) {
        self.write_edited(&[], out);
    }

    /// Appends the tree without white space, with the edits (sorted by place, not nested) in place of the values they name.
    pub fn write_edited(self, edits: &[Edit], out: &mut String) {
        let first = edits.partition_point(|edit| edit.range.start < self.range().start);
        let mut edits = &edits[first..];
        if self.document.compact {
            splice(self, edits, out);
        } else {
            write(self, &mut edits, out);
        }
    }

    /// The tree indented by two spaces a level.
    pub fn to_pretty(self) -> String {
        let mut out = String::with_capacity(self.raw().len() * 5 / 4);
        pretty(self, 0, &mut out);
        out
    }
}

/// Copies a value out of a text without white space.
fn splice(value: Value<'_>, edits: &[Edit], out: &mut String) {
    let source = value.document.source();
    let Range { start: mut from, end } = value.range();
    for edit in edits.iter().take_while(|edit| edit.range.end <= end) {
        out.push_str(&source[from..edit.range.start]);
        out.push_str(&edit.text);
        from = edit.range.end;
    }
    out.push_str(&source[from..end]);
}

/// Copies a value token by token. No deeper than the parser goes.
fn write(value: Value<'_>, edits: &mut &[Edit], out: &mut String) {
    if let Some((first, rest)) = edits.split_first()
        && first.range.start == value.range().start
    {
        out.push_str(&first.text);
        *edits = rest;
        return;
    }
    match value.kind() {
        Kind::Object => {
            let mut open = '{';
            for member in value.members() {
                out.push(open);
                out.push_str(member.raw_name());
                out.push(':');
                write(member.value(), edits, out);
                open = ',';
            }
            out.push_str(if open == '{' { "{}" } else { "}" });
        }
        Kind::Array => {
            let mut open = '[';
            for element in value.elements() {
                out.push(open);
                write(element, edits, out);
                open = ',';
            }
            out.push_str(if open == '[' { "[]" } else { "]" });
        }
        _ => out.push_str(value.raw()),
    }
}

fn pretty(value: Value<'_>, level: usize, out: &mut String) {
    let newline = |out: &mut String, level: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", level));
    };
    match value.kind() {
        Kind::Object if value.members().next().is_some() => {
            out.push('{');
            for (position, member) in value.members().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                newline(out, level + 1);
                out.push_str(member.raw_name());
                out.push_str(": ");
                pretty(member.value(), level + 1, out);
            }
            newline(out, level);
            out.push('}');
        }
        Kind::Array if value.elements().next().is_some() => {
            out.push('[');
            for (position, element) in value.elements().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                newline(out, level + 1);
                pretty(element, level + 1, out);
            }
            newline(out, level);
            out.push(']');
        }
        Kind::Object => out.push_str("{}"),
        Kind::Array => out.push_str("[]"),
        _ => out.push_str(value.raw()),
    }
}

/// Appends a string with quotes and the escapes JSON demands.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(scan::plain_end(rest.as_bytes(), 0));
        out.push_str(plain);
        let Some(character) = special.chars().next() else { break };
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control => out.push_str(&format!("\\u{:04x}", u32::from(control))),
        }
        rest = &special[1..];
    }
    out.push('"');
}

/// Writes new JSON, commas and all. The caller closes what it opens.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    /// Whether the innermost open container has a child already, or a key has just been written.
    comma: bool,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes), comma: false }
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(',');
        }
    }

    /// Opens an object.
    pub fn begin_object(&mut self) -> &mut Self {
        self.separate();
        self.out.push('{');
        self.comma = false;
        self
    }

    /// Closes an object.
    pub fn end_object(&mut self) -> &mut Self {
        self.out.push('}');
        self.comma = true;
        self
    }

    /// Opens an array.
    pub fn begin_array(&mut self) -> &mut Self {
        self.separate();
        self.out.push('[');
        self.comma = false;
        self
    }

    /// Closes an array.
    pub fn end_array(&mut self) -> &mut Self {
        self.out.push(']');
        self.comma = true;
        self
    }

    /// Writes a property's name; its value must follow.
    pub fn key(&mut self, name: &str) -> &mut Self {
        self.separate();
        write_string(name, &mut self.out);
        self.out.push(':');
        self.comma = false;
        self
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.separate();
        write_string(text, &mut self.out);
        self.comma = true;
        self
    }

    /// Writes JSON text as it stands: a number, `true`, or a whole resource.
    pub fn raw(&mut self, json: &str) -> &mut Self {
        self.separate();
        self.out.push_str(json);
        self.comma = true;
        self
    }

    /// A property with a string.
    pub fn string_member(&mut self, name: &str, text: &str) -> &mut Self {
        self.key(name).string(text)
    }

    /// A property with JSON text.
    pub fn raw_member(&mut self, name: &str, json: &str) -> &mut Self {
        self.key(name).raw(json)
    }

    /// The text written.
    pub fn finish(self) -> String {
        self.out
    }
}
