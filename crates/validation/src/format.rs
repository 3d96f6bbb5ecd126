//! The formats of primitives (R4 datatypes.html#primitive).

use fhirpool_fhir::definitions::Primitive;
use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Date, ResourceId};

#[cfg(test)]
mod tests;

/// The longest string (R4 datatypes.html#string): 1 MiB. Base64 and XHTML have no limit of their own.
const STRING_BYTES_MAX: usize = 1024 * 1024;

/// The longest decimal. R4 sets no limit; this is several times the precision that R5 does.
const DECIMAL_BYTES_MAX: usize = 64;

/// The most digits of a decimal's exponent, as in R5.
const EXPONENT_DIGITS_MAX: usize = 9;

/// What is wrong with a value of the right JSON kind; `None` if it is well-formed.
pub(crate) fn fault(primitive: Primitive, value: Value<'_>) -> Option<&'static str> {
    match primitive {
        Primitive::Boolean => None,
        Primitive::String | Primitive::Markdown => text_fault(value),
        Primitive::Xhtml => (!is_xhtml(value)).then_some("must be one <div> element of XHTML"),
        Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt | Primitive::Decimal => number_fault(primitive, value.raw()),
        _ => {
            let text = value.as_str()?;
            if text.is_empty() {
                return Some(EMPTY);
            }
            string_fault(primitive, &text)
        }
    }
}

const EMPTY: &str = "must not be empty";

fn string_fault(primitive: Primitive, text: &str) -> Option<&'static str> {
    let date = |accept: fn(Date) -> bool| Date::parse(text).is_some_and(accept);
    let (good, fault) = match primitive {
        Primitive::Code => (is_code(text), "must be a code: no blanks at its ends, no two in a row"),
        Primitive::Id => (ResourceId::is_valid(text), "must be an id: 1 to 64 of A-Z a-z 0-9 - ."),
        Primitive::Date => (date(Date::is_date), "must be a date: YYYY, YYYY-MM or YYYY-MM-DD"),
        Primitive::DateTime => (date(Date::is_date_time), "must be a date, or a date and time with seconds and zone"),
        Primitive::Instant => (date(Date::is_instant), "must be a date and time with seconds and zone"),
        Primitive::Time => (is_time(text.as_bytes()), "must be a time: hh:mm:ss"),
        Primitive::Base64Binary => (is_base64(text.as_bytes()), "must be base64"),
        Primitive::Oid => (is_oid(text), "must be an OID: urn:oid:…"),
        Primitive::Uuid => (is_uuid(text), "must be a UUID in lower case: urn:uuid:…"),
        // Uri, url and canonical; the kinds that are no strings do not come here.
        _ => (!has_blank(text), "must be a URI: no blanks"),
    };
    (!good).then_some(fault)
}

/// Text is looked at as it was sent: what matters shows without decoding.
fn text_fault(value: Value<'_>) -> Option<&'static str> {
    let text = value.raw();
    let text = &text[1..text.len() - 1];
    if text.is_empty() {
        return Some(EMPTY);
    }
    // An escape takes up to six bytes for one.
    if text.len() > STRING_BYTES_MAX && value.as_str().is_some_and(|text| text.len() > STRING_BYTES_MAX) {
        return Some("must not be longer than 1 MiB");
    }
    has_control(text).then_some("must not hold control characters other than tab, carriage return and line feed")
}

/// Whether an escape of the text stands for a control character; JSON allows none without escape.
fn has_control(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest.as_bytes()[at + 1..];
        let control = match escape {
            [b'b' | b'f', ..] => true,
            [b'u', b'0', b'0', b'0', digit, ..] => !matches!(digit, b'9' | b'a' | b'A' | b'd' | b'D'),
            [b'u', b'0', b'0', b'1', ..] => true,
            _ => false,
        };
        if control {
            return true;
        }
        rest = rest.get(at + 2..).unwrap_or("");
    }
    false
}

/// The narrative's `div` (R4 narrative.html). Some clients escape `<`; then the text is decoded.
fn is_xhtml(value: Value<'_>) -> bool {
    let raw = value.raw();
    let raw = &raw[1..raw.len() - 1];
    is_div(raw) || (raw.contains('\\') && value.as_str().is_some_and(|text| is_div(&text)))
}

fn is_div(text: &str) -> bool {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("<div") else { return false };
    // `\` is the beginning of an escaped quote, tab or line feed where the text is as it was sent.
    rest.starts_with([' ', '>', '\t', '\r', '\n', '\\']) && rest.ends_with("</div>")
}

fn number_fault(primitive: Primitive, text: &str) -> Option<&'static str> {
    let (least, fault) = match primitive {
        Primitive::Decimal => return decimal_fault(text),
        Primitive::PositiveInt => (1, "must be an integer from 1 to 2147483647"),
        Primitive::UnsignedInt => (0, "must be an integer from 0 to 2147483647"),
        _ => (i32::MIN, "must be an integer from -2147483648 to 2147483647"),
    };
    // `1.0`, `1e2` and `-0` are numbers in JSON but no integers in FHIR.
    let good = text != "-0" && text.parse().is_ok_and(|value: i32| value >= least);
    (!good).then_some(fault)
}

/// JSON's grammar of numbers is that of decimals.
fn decimal_fault(text: &str) -> Option<&'static str> {
    let exponent = text.split_once(['e', 'E']).map_or("", |(_, exponent)| exponent.trim_start_matches(['+', '-']));
    let good = text.len() <= DECIMAL_BYTES_MAX && exponent.len() <= EXPONENT_DIGITS_MAX;
    (!good).then_some("must be a decimal of at most 64 characters, its exponent of at most 9 digits")
}

/// Whether text holds a blank or control character. Nearly all text is ASCII, whose bytes are compared many at a time.
pub(crate) fn has_blank(text: &str) -> bool {
    let (low, high) = text.bytes().fold((false, false), |(low, high), byte| (low | (byte <= b' '), high | !byte.is_ascii()));
    low || (high && text.contains(char::is_whitespace))
}

/// `[^\s]+(\s[^\s]+)*`
fn is_code(text: &str) -> bool {
    if !has_blank(text) {
        return true;
    }
    let mut blank_before = true;
    for letter in text.chars() {
        let blank = letter.is_whitespace();
        if blank && blank_before {
            return false;
        }
        blank_before = blank;
    }
    !blank_before
}

/// `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?`
fn is_time(text: &[u8]) -> bool {
    let Some((&[h1, h2, b':', m1, m2, b':', s1, s2], fraction)) = text.split_first_chunk() else { return false };
    let below =
        |tens: u8, ones: u8, limit: u8| tens.is_ascii_digit() && ones.is_ascii_digit() && (tens - b'0') * 10 + (ones - b'0') < limit;
    let fraction_good = match fraction {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    below(h1, h2, 24) && below(m1, m2, 60) && below(s1, s2, 61) && fraction_good
}

/// Whole groups of four characters, padded at the end; blanks between characters do not count.
fn is_base64(text: &[u8]) -> bool {
    let (mut characters, mut padding) = (0_usize, 0);
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'=' => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return false,
        }
        characters += 1;
    }
    characters > 0 && characters.is_multiple_of(4) && padding <= 2
}

/// `urn:oid:[0-2](\.(0|[1-9][0-9]*))+`
fn is_oid(text: &str) -> bool {
    let mut arcs = text.strip_prefix("urn:oid:").unwrap_or("").split('.');
    let root = matches!(arcs.next(), Some("0" | "1" | "2"));
    let mut count = 0;
    root && arcs.all(|arc| {
        count += 1;
        arc == "0" || (!arc.starts_with('0') && !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit()))
    }) && count > 0
}

/// `urn:uuid:` and 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let Some(text) = text.strip_prefix("urn:uuid:") else { return false };
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
