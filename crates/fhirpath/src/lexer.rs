//! Tokens (FHIRPath N1, appendix A).

use crate::{Item, Moment, ParseError};

#[derive(Debug, Clone)]
pub(crate) enum Token<'t> {
    /// An identifier or keyword.
    Word(&'t str),
    /// A `` `delimited` `` identifier.
    Delimited(String),
    String(String),
    /// An integer or decimal, as written.
    Number(&'t str),
    /// A literal that begins with `@`.
    Moment(Item<'static>),
    /// `%name`
    Variable(String),
    /// `$this`, `$index`, `$total`, with the dollar sign.
    Special(&'t str),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 24] =
    ["<=", ">=", "!=", "!~", "(", ")", "[", "]", "{", "}", ".", ",", "+", "-", "*", "/", "&", "|", "<", ">", "=", "~", ";", ":"];

pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self, length: usize) -> &'t str {
        let taken = &self.text[self.at..self.at + length];
        self.at += length;
        taken
    }

    /// How many bytes from here on satisfy the condition.
    fn run(&self, from: usize, condition: impl Fn(u8) -> bool) -> usize {
        self.rest().bytes().skip(from).take_while(|byte| condition(*byte)).count()
    }

    /// The next token and where it begins.
    pub fn next(&mut self) -> Result<(Token<'t>, usize), ParseError> {
        self.skip_space()?;
        let start = self.at;
        Ok((self.token()?, start))
    }

    fn skip_space(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").ok_or_else(|| ParseError::new("comment without end", self.at))?;
                self.at += end + 2;
            } else if let Some(c) = rest.chars().next().filter(|c| c.is_whitespace()) {
                self.at += c.len_utf8();
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token<'t>, ParseError> {
        let Some(first) = self.rest().bytes().next() else { return Ok(Token::End) };
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        match first {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(Token::Word(self.take(self.run(0, word)))),
            b'0'..=b'9' => Ok(Token::Number(self.number())),
            b'\'' => self.quoted(b'\'').map(Token::String),
            b'`' => self.quoted(b'`').map(Token::Delimited),
            b'@' => self.moment(),
            b'$' => Ok(Token::Special(self.take(1 + self.run(1, word)))),
            b'%' => self.variable(),
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol));
                let symbol = symbol.ok_or_else(|| ParseError::new("unexpected character", self.at))?;
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
        }
    }

    fn number(&mut self) -> &'t str {
        let digits = |byte: u8| byte.is_ascii_digit();
        let whole = self.run(0, digits);
        let fraction = if self.rest().as_bytes().get(whole) == Some(&b'.') { self.run(whole + 1, digits) } else { 0 };
        self.take(if fraction > 0 { whole + 1 + fraction } else { whole })
    }

    fn variable(&mut self) -> Result<Token<'t>, ParseError> {
        self.at += 1;
        match self.rest().bytes().next() {
            Some(quote @ (b'`' | b'\'' | b'"')) => self.quoted(quote).map(Token::Variable),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                let length = self.run(0, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                Ok(Token::Variable(self.take(length).to_owned()))
            }
            _ => Err(ParseError::new("variable without a name", self.at)),
        }
    }

    /// A string or delimited identifier with its escapes read.
    fn quoted(&mut self, quote: u8) -> Result<String, ParseError> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            if c == char::from(quote) {
                self.at = start + 1 + at + 1;
                return Ok(out);
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let escape = chars.next().map(|(_, escape)| escape);
            out.push(match escape {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('f') => '\u{c}',
                Some(plain @ ('\\' | '/' | '\'' | '"' | '`')) => plain,
                Some('u') => {
                    let code: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let scalar = u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == 4 && !code.starts_with('+'));
                    // Half of a surrogate pair becomes the replacement character.
                    char::from_u32(scalar.ok_or_else(|| ParseError::new("invalid escape", start + 1 + at))?).unwrap_or('\u{FFFD}')
                }
                _ => return Err(ParseError::new("invalid escape", start + 1 + at)),
            });
        }
        Err(ParseError::new("text without closing quote", start))
    }

    fn moment(&mut self) -> Result<Token<'t>, ParseError> {
        let start = self.at;
        let invalid = || ParseError::new("invalid date or time", start);
        self.at += 1;
        if self.rest().starts_with('T') {
            self.at += 1;
            let text = self.take(self.time_length(0));
            return Moment::parse_time(text).map(|time| Token::Moment(Item::Time(time))).ok_or_else(invalid);
        }
        let date = self.run(0, |byte| byte.is_ascii_digit() || byte == b'-');
        if self.rest().as_bytes().get(date) != Some(&b'T') {
            let text = self.take(date);
            return Moment::parse_date(text).map(|date| Token::Moment(Item::Date(date))).ok_or_else(invalid);
        }
        let mut length = date + 1 + self.time_length(date + 1);
        let zone = &self.rest()[length..];
        if zone.starts_with('Z') {
            length += 1;
        } else if length > date + 1 && zone.starts_with(['+', '-']) && zone.as_bytes().get(3) == Some(&b':') {
            length += 6.min(zone.len());
        }
        let text = self.text.get(self.at..self.at + length).ok_or_else(invalid)?;
        self.at += length;
        Moment::parse_date_time(text).map(|moment| Token::Moment(Item::DateTime(moment))).ok_or_else(invalid)
    }

    /// Digits and colons, and a point where a digit follows.
    fn time_length(&self, from: usize) -> usize {
        let length = self.run(from, |byte| byte.is_ascii_digit() || byte == b':');
        let behind = &self.rest()[from + length..];
        let digits = behind.strip_prefix('.').map_or(0, |fraction| fraction.bytes().take_while(u8::is_ascii_digit).count());
        if length > 0 && digits > 0 { length + 1 + digits } else { length }
    }
}
