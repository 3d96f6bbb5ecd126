//! Functions on strings (FHIRPath N1, 5.6). Positions and lengths count characters.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::borrow::Cow;

use super::{Evaluator, Function, Items, Outcome, Pattern, Scope};
use crate::ast::Ast;
use crate::{EvaluationError, Item};

/// What compiling a regular expression costs.
const PATTERN_STEPS: usize = 10_000;

impl<'a> Evaluator<'_, 'a> {
    /// At most one item, which must be a string.
    fn string(&self, items: &[Item<'a>], what: &'static str) -> Result<Option<Cow<'a, str>>, EvaluationError> {
        match self.single(items, what)? {
            None => Ok(None),
            Some(Item::String(text)) => Ok(Some(text)),
            Some(_) => Err(EvaluationError::Type(what)),
        }
    }

    fn string_argument(
        &mut self,
        argument: &Ast,
        scope: Scope<'_, 'a>,
        what: &'static str,
    ) -> Result<Option<Cow<'a, str>>, EvaluationError> {
        let items = self.evaluate(argument, scope)?;
        self.string(&items, what)
    }

    pub(super) fn string_function(&mut self, function: Function, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        use Function as F;
        let name = function.name();
        if function == F::Join {
            return self.join(arguments, &items, scope);
        }
        let Some(text) = self.string(&items, name)? else { return Ok(Vec::new()) };
        self.charge(1 + text.len() / 64)?;
        let characters = |text: &str| Item::Integer(i32::try_from(text.chars().count()).unwrap_or(i32::MAX));
        match function {
            F::Length => return Ok(vec![characters(&text)]),
            F::Upper => return self.text(text.to_uppercase()),
            F::Lower => return self.text(text.to_lowercase()),
            F::Trim => return self.text(text.trim().to_owned()),
            F::ToChars => return Ok(split(&text, "", self.context.limits.items_max)),
            F::Substring => return self.substring(&text, arguments, scope),
            _ => {}
        }
        let Some(argument) = self.string_argument(&arguments[0], scope, name)? else { return Ok(Vec::new()) };
        let position = |found: Option<usize>| match found {
            Some(at) => characters(&text[..at]),
            None => Item::Integer(-1),
        };
        let item = match function {
            F::IndexOf => position(text.find(&*argument)),
            F::LastIndexOf => position(text.rfind(&*argument)),
            F::StartsWith => Item::Boolean(text.starts_with(&*argument)),
            F::EndsWith => Item::Boolean(text.ends_with(&*argument)),
            F::Contains => Item::Boolean(text.contains(&*argument)),
            F::Split => return Ok(split(&text, &argument, self.context.limits.items_max)),
            F::Matches | F::MatchesFull => {
                let pattern = self.pattern(&argument, function)?;
                return self.matches_pattern(items, &pattern);
            }
            F::Replace | F::ReplaceMatches => {
                let Some(replacement) = self.string_argument(&arguments[1], scope, name)? else { return Ok(Vec::new()) };
                return self.replace(function, &text, &argument, &replacement);
            }
            F::Encode | F::Decode | F::Escape | F::Unescape => {
                let recoded = recoded(function, &text, &argument).ok_or(EvaluationError::Argument(name))?;
                return self.text(recoded);
            }
            _ => return Err(EvaluationError::NotSupported(name)),
        };
        Ok(vec![item])
    }

    fn substring(&mut self, text: &str, arguments: &[Ast], scope: Scope<'_, 'a>) -> Outcome<'a> {
        let Some(start) = self.integer(&arguments[0], scope, "substring")? else { return Ok(Vec::new()) };
        let length = match arguments.get(1) {
            Some(length) => self.integer(length, scope, "substring")?,
            None => None,
        };
        let Some(rest) = usize::try_from(start).ok().and_then(|start| text.char_indices().nth(start)).map(|(at, _)| &text[at..]) else {
            return Ok(Vec::new());
        };
        let length = length.map_or(usize::MAX, |length| usize::try_from(length).unwrap_or(0));
        self.text(rest.chars().take(length).collect())
    }

    pub(super) fn matches_pattern(&mut self, items: Items<'a>, pattern: &Pattern) -> Outcome<'a> {
        let Some(text) = self.string(&items, "matches")? else { return Ok(Vec::new()) };
        self.charge(1 + text.len() / 16)?;
        Ok(vec![Item::Boolean(pattern.regex().is_match(&text))])
    }

    /// A pattern that is no literal: compiled once as long as it stays the same, and dear.
    fn pattern(&mut self, pattern: &str, function: Function) -> Result<Pattern, EvaluationError> {
        if let Some((_, _, known)) = self.pattern.as_ref().filter(|(text, of, _)| text == pattern && *of == function) {
            return Ok(known.clone());
        }
        self.charge(PATTERN_STEPS)?;
        let compiled = Pattern::new(pattern, function == Function::MatchesFull).map_err(|_| EvaluationError::Argument(function.name()))?;
        self.pattern = Some((pattern.to_owned(), function, compiled.clone()));
        Ok(compiled)
    }

    /// The length of the result is known before it is built, since it may be the product of its parts.
    fn replace(&mut self, function: Function, text: &str, pattern: &str, replacement: &str) -> Outcome<'a> {
        let max = self.context.limits.string_bytes_max;
        let fits = |count: usize, each: usize| count.checked_mul(each).is_some_and(|more| more <= max);
        if function == Function::Replace {
            if !fits(text.matches(pattern).count(), replacement.len()) {
                return Err(EvaluationError::Text(max));
            }
            // An empty pattern stands ahead of each character, not behind the last.
            let replaced = match pattern {
                "" => text.chars().flat_map(|c| replacement.chars().chain([c])).chain(replacement.chars()).collect(),
                _ => text.replace(pattern, replacement),
            };
            return self.text(replaced);
        }
        if pattern.is_empty() {
            return self.text(text.to_owned());
        }
        let pattern = self.pattern(pattern, function)?;
        self.charge(1 + text.len() / 8)?;
        // `$1` may put in as much as the whole match, and a replacement names at most half its length of groups.
        let matches = pattern.regex().find_iter(text);
        let each = |length: usize| replacement.len().saturating_add(length.saturating_mul(replacement.len()));
        let length = matches.fold(0_usize, |sum, found| sum.saturating_add(each(found.len())));
        if length > max.saturating_mul(4) {
            return Err(EvaluationError::Text(max));
        }
        let replaced = pattern.regex().replace_all(text, bracketed_groups(replacement).as_str()).into_owned();
        self.text(replaced)
    }

    fn join(&mut self, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        let separator = match arguments.first() {
            Some(argument) => self.string_argument(argument, scope, "join")?.unwrap_or_default(),
            None => Cow::Borrowed(""),
        };
        let mut out = String::new();
        for (position, item) in items.iter().enumerate() {
            if position > 0 {
                out.push_str(&separator);
            }
            match item.system(self.definitions()) {
                Item::String(text) => out.push_str(&text),
                _ => return Err(EvaluationError::Type("join")),
            }
            if out.len() > self.context.limits.string_bytes_max {
                break;
            }
        }
        self.text(out)
    }
}

/// The parts, of which those beyond one too many are left out: the evaluation fails then.
fn split<'a>(text: &str, separator: &str, items_max: usize) -> Items<'a> {
    let item = |part: &str| Item::String(part.to_owned().into());
    let count = items_max.saturating_add(1);
    if separator.is_empty() {
        text.chars().take(count).map(|c| item(c.encode_utf8(&mut [0; 4]))).collect()
    } else {
        text.split(separator).take(count).map(item).collect()
    }
}

/// `$1` as `${1}`, so that letters behind a group's number do not count as its name.
fn bracketed_groups(replacement: &str) -> String {
    let mut out = String::with_capacity(replacement.len() + 8);
    let mut rest = replacement;
    while let Some(at) = rest.find('$') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..=at]);
        if digits > 0 {
            out.push('{');
            out.push_str(&rest[at + 1..at + 1 + digits]);
            out.push('}');
        }
        rest = &rest[at + 1 + digits..];
    }
    out.push_str(rest);
    out
}

/// `encode`, `decode`, `escape` and `unescape`; `None` for an unknown format and for text that is not of it.
fn recoded(function: Function, text: &str, format: &str) -> Option<String> {
    match (function, format) {
        (Function::Encode, "base64") => Some(STANDARD.encode(text)),
        (Function::Encode, "urlbase64") => Some(URL_SAFE.encode(text)),
        (Function::Encode, "hex") => Some(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        (Function::Decode, "base64") => String::from_utf8(STANDARD.decode(text).ok()?).ok(),
        (Function::Decode, "urlbase64") => String::from_utf8(URL_SAFE.decode(text).ok()?).ok(),
        (Function::Decode, "hex") => {
            let bytes: Option<Vec<u8>> = text.is_ascii().then_some(text.as_bytes())?.chunks(2).map(hex_byte).collect();
            String::from_utf8(bytes?).ok()
        }
        (Function::Escape, "html") => Some(HTML.iter().fold(text.to_owned(), |text, (plain, escaped)| text.replace(plain, escaped))),
        (Function::Unescape, "html") => {
            Some(HTML.iter().rev().fold(text.to_owned(), |text, (plain, escaped)| text.replace(escaped, plain)))
        }
        (Function::Escape, "json") => {
            let mut quoted = String::with_capacity(text.len() + 2);
            fhirpool_fhir::json::write_string(text, &mut quoted);
            Some(quoted[1..quoted.len() - 1].to_owned())
        }
        (Function::Unescape, "json") => {
            // Quotes that are not escaped stand for themselves.
            let mut quoted = String::with_capacity(text.len() + 2);
            let mut escaped = false;
            quoted.push('"');
            for c in text.chars() {
                if c == '"' && !escaped {
                    quoted.push('\\');
                }
                escaped = c == '\\' && !escaped;
                quoted.push(c);
            }
            quoted.push('"');
            let document = fhirpool_fhir::json::Document::parse(quoted).ok()?;
            document.root().as_str().map(Cow::into_owned)
        }
        _ => None,
    }
}

/// The ampersand first, so that it is not escaped twice.
const HTML: [(&str, &str); 5] = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}
