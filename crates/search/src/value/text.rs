//! Texts within values: folding, cutting, ending.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Folded text is cut behind so many bytes.
pub(crate) const FOLDED_BYTES_MAX: usize = 512;
/// A URI longer than this is cut and carries a digest.
pub(crate) const URI_BYTES_MAX: usize = 512;
/// A code, system, unit or exact text longer than this is cut and carries a digest.
pub(crate) const CODE_BYTES_MAX: usize = 256;

const END: u8 = 0;
/// Stands between a cut text and its digest.
const CUT: u8 = 1;

/// Appends a text and its end. One longer than the limit is cut and followed by a digest of the whole, so that equality of
/// what is written is equality of the texts. Left out are NULs, which neither JSON nor queries let through.
pub(crate) fn write(text: &str, bytes_max: usize, out: &mut Vec<u8>) {
    let kept = cut(text, bytes_max);
    if kept.as_bytes().contains(&END) {
        out.extend(kept.bytes().filter(|byte| *byte != END));
    } else {
        out.extend_from_slice(kept.as_bytes());
    }
    if kept.len() < text.len() {
        out.push(CUT);
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        out.extend(digest.as_ref()[..16].iter().flat_map(|byte| [b'a' + (byte >> 4), b'a' + (byte & 15)]));
    }
    out.push(END);
}

/// The longest beginning of at most so many bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// How many bytes at the front are so many ended texts.
pub(crate) fn len(bytes: &[u8], count: usize) -> Option<usize> {
    let mut len = 0;
    for _ in 0..count {
        len += bytes[len..].iter().position(|byte| *byte == END)? + 1;
    }
    Some(len)
}

/// The text at the front, without its end, and what follows.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == END)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Text as searches compare it: compatibility forms resolved, accents and case dropped, runs of white space and control
/// characters made one space, none at either end; cut behind [`FOLDED_BYTES_MAX`] bytes.
pub(crate) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(FOLDED_BYTES_MAX));
    fold_onto(text, FOLDED_BYTES_MAX, &mut out);
    out
}

/// [`fold`] for a search value: `None` where it would be cut.
pub(crate) fn fold_whole(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    fold_onto(text, FOLDED_BYTES_MAX + 1, &mut out);
    (out.len() <= FOLDED_BYTES_MAX).then_some(out)
}

fn fold_onto(text: &str, bytes_max: usize, out: &mut String) {
    let push = |folded: char, out: &mut String| {
        if folded.is_whitespace() || folded.is_control() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else {
            out.push(folded);
        }
        out.len() < bytes_max
    };
    if text.is_ascii() {
        for byte in text.bytes() {
            if byte > b' ' && byte < 0x7F {
                out.push(char::from(byte.to_ascii_lowercase()));
            } else if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
            if out.len() >= bytes_max {
                break;
            }
        }
    } else {
        let mut decomposed = text.nfkd().filter(|part| !is_combining_mark(*part)).flat_map(char::to_lowercase);
        let _ = decomposed.try_for_each(|part| {
            let letters: Cow<'static, str> = match base_letters(part) {
                Some(letters) => letters.into(),
                None if is_combining_mark(part) => "".into(),
                None => return push(part, out).then_some(()),
            };
            letters.chars().all(|letter| push(letter, out)).then_some(())
        });
    }
    out.truncate(out.floor_char_boundary(bytes_max));
    out.truncate(out.trim_end().len());
}

/// Letters with a stroke or joined, which Unicode does not take apart.
fn base_letters(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ħ' => "h",
        'ı' => "i",
        'þ' => "th",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write(text, max, &mut out);
        out
    }

    #[test]
    fn case_accents_and_white_space_do_not_count() {
        assert_eq!(fold("  M\u{dc}LLER \t von\n  Tr\u{f8}st "), "muller von trost");
        assert_eq!(fold("Mu\u{308}ller"), "muller");
        assert_eq!(fold("STRA\u{df}E \u{141}\u{f3}d\u{17a} \u{130}zmir \u{fb01}n"), "strasse lodz izmir fin");
        assert_eq!(fold("\u{5c71}\u{7530}"), "\u{5c71}\u{7530}");
    }

    #[test]
    fn folded_text_is_cut_at_a_character() {
        assert_eq!(fold(&"a".repeat(2000)).len(), FOLDED_BYTES_MAX);
        let long = fold(&"\u{5c71}".repeat(1000));
        assert!(long.len() <= FOLDED_BYTES_MAX && long.chars().all(|c| c == '\u{5c71}'));
        assert_eq!(fold_whole(&"a".repeat(512)).map(|text| text.len()), Some(512));
        assert_eq!(fold_whole(&"a".repeat(513)), None);
    }

    #[test]
    fn long_texts_differ_by_their_digest() {
        let (one, other) = ("x".repeat(300), format!("{}y", "x".repeat(299)));
        assert_ne!(written(&one, 256), written(&other, 256));
        assert_eq!(written(&one, 256), written(&one.clone(), 256));
        assert_eq!(written(&one, 256).len(), 256 + 1 + 32 + 1);
        assert_eq!(written("abc", 256), b"abc\0");
    }
}
