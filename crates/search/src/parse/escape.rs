//! Separators and their escapes (R4 search.html#escaping): `\,`, `\$`, `\|` and `\\`.

use std::borrow::Cow;

/// The parts between separators that no backslash precedes, escapes and all.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, behind) = split_once(text, separator).map_or((text, None), |(part, behind)| (part, Some(behind)));
        rest = behind;
        Some(part)
    })
}

/// Splits at the first separator that no backslash precedes.
pub(super) fn split_once(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == separator {
            return Some((&text[..at], &text[at + separator.len_utf8()..]));
        }
    }
    None
}

/// Takes the escapes out. A backslash ahead of anything else stands for itself.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(&next @ (',' | '$' | '|' | '\\')) if letter == '\\' => {
                out.push(next);
                letters.next();
            }
            _ => out.push(letter),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_separators_do_not_split() {
        assert_eq!(split(r"a\,b,c\\,d,", ',').collect::<Vec<_>>(), [r"a\,b", r"c\\", "d", ""]);
        assert_eq!(split_once(r"a\|b|c|d", '|'), Some((r"a\|b", "c|d")));
    }

    #[test]
    fn escapes_are_taken_out_and_other_backslashes_stay() {
        assert_eq!(unescape(r"a\,b\$c\|d\\e\x\"), r"a,b$c|d\e\x\");
    }
}
