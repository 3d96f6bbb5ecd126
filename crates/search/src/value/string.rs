//! Strings (R4 search.html#string): folded text for the search, then the text itself for `:exact`.

use super::{Accept, form, text};
use crate::ValueTest;
use crate::entry::KeyRange;

/// A text's value.
pub(crate) fn value(text: &str) -> Vec<u8> {
    let folded = text::fold(text);
    let mut out = Vec::with_capacity(folded.len() + text.len().min(text::CODE_BYTES_MAX) + 3);
    out.push(form::STRING);
    out.extend_from_slice(folded.as_bytes());
    out.push(0);
    text::write(text, text::CODE_BYTES_MAX, &mut out);
    out
}

/// Text that begins so; `None` where the value is too long.
pub(crate) fn starts_with(sought: &str) -> Option<ValueTest> {
    let folded = text::fold_whole(sought)?;
    let prefix = [&[form::STRING], folded.as_bytes()].concat();
    Some(ValueTest::new([KeyRange::prefix(prefix)], Accept::All))
}

/// Just this text.
pub(crate) fn exact(sought: &str) -> ValueTest {
    ValueTest::values([value(sought)])
}

/// Text with this in it (within what is kept of it); `None` where the value is too long.
pub(crate) fn contains_text(sought: &str) -> Option<ValueTest> {
    let folded = text::fold_whole(sought)?;
    Some(ValueTest::new([KeyRange::prefix(vec![form::STRING])], Accept::Contains(folded.into_bytes())))
}

pub(super) fn contains(value: &[u8], needle: &[u8]) -> bool {
    value.split_first().and_then(|(_, rest)| text::split(rest)).is_some_and(|(folded, _)| memchr::memmem::find(folded, needle).is_some())
}

/// The words of a text as they sound in English (American Soundex), for the parameters named `phonetic`.
pub(crate) fn phonetic(text: &str) -> String {
    let folded = text::fold(text);
    let mut out = String::new();
    for word in folded.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        soundex(word, &mut out);
    }
    out
}

/// Appends letter and three digits; a word that does not begin with a Latin letter as it is.
fn soundex(word: &str, out: &mut String) {
    let Some(first) = word.chars().next().filter(char::is_ascii_lowercase) else {
        return out.push_str(word);
    };
    out.push(first);
    let (mut digits, mut previous) = (0, sound(first));
    for letter in word.chars().skip(1) {
        let code = sound(letter);
        match code {
            Some(digit) if code != previous => {
                out.push(digit);
                digits += 1;
            }
            _ => {}
        }
        // Consonants of one sound count once, also across an h or w, but not across a vowel.
        if !matches!(letter, 'h' | 'w') {
            previous = code;
        }
        if digits == 3 {
            return;
        }
    }
    out.extend(std::iter::repeat_n('0', 3 - digits));
}

fn sound(letter: char) -> Option<char> {
    Some(match letter {
        'b' | 'f' | 'p' | 'v' => '1',
        'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => '2',
        'd' | 't' => '3',
        'l' => '4',
        'm' | 'n' => '5',
        'r' => '6',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_beginning_matches_whatever_case_and_accents() {
        let test = starts_with("m\u{fc}l").unwrap();
        assert!(test.accepts(&value("M\u{fc}ller")) && test.accepts(&value("MULHOUSE")));
        assert!(!test.accepts(&value("Smuller")));
    }

    #[test]
    fn exact_minds_case_and_accents_and_the_whole() {
        let test = exact("M\u{fc}ller");
        assert!(test.accepts(&value("M\u{fc}ller")));
        for other in ["Muller", "m\u{fc}ller", "M\u{fc}ller II", "M\u{fc}ller "] {
            assert!(!test.accepts(&value(other)), "{other}");
        }
        assert!(test.is_single_value(0));
    }

    #[test]
    fn exact_tells_long_texts_apart_behind_the_cut() {
        let long = "word ".repeat(500);
        assert!(exact(&long).accepts(&value(&long)));
        assert!(!exact(&long).accepts(&value(&format!("{long}x"))));
    }

    #[test]
    fn contains_looks_anywhere_but_not_into_the_exact_text() {
        let test = contains_text("LLE").unwrap();
        assert!(test.accepts(&value("M\u{fc}ller")) && !test.accepts(&value("Mueler")));
        assert!(!contains_text("\u{fc}x").unwrap().accepts(&value("a\u{fc}")));
    }

    #[test]
    fn names_that_sound_alike_are_one() {
        for (name, code) in [("Robert", "r163"), ("Rupert", "r163"), ("Ashcraft", "a261"), ("Tymczak", "t522"), ("Pfister", "p236")] {
            assert_eq!(phonetic(name), code, "{name}");
        }
        assert_eq!(phonetic("Smith-Smyth"), "s530 s530");
    }
}
