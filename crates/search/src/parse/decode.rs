//! Query strings (WHATWG URL, application/x-www-form-urlencoded) and back.

use fhirpool_fhir::IssueCode;

use super::QueryError;

/// Splits a query string or form body and decodes it. `+` and `%20` are spaces (dates know that a space may have been the
/// `+` of an offset); a backslash stays for [`super::parse`]. Empty parts (`&&`) do not count.
pub fn decode_query(query: &str) -> Result<Vec<(String, String)>, QueryError> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String, QueryError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = rest.split_at_checked(2).and_then(|(digits, behind)| {
                    rest = behind;
                    Some(hex(digits[0])? << 4 | hex(digits[1])?)
                });
                bytes
                    .push(digits.ok_or_else(|| QueryError::new(IssueCode::Invalid, "a % in the query is not followed by two hex digits"))?);
            }
            other => bytes.push(other),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| QueryError::new(IssueCode::Invalid, "the query is not UTF-8"))?;
    if text.contains('\0') {
        return Err(QueryError::new(IssueCode::Invalid, "the query holds a NUL"));
    }
    Ok(text)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Writes parameters as a query string: everything but letters, digits and `-._~:/,*` is percent-encoded.
pub fn encode_query(parameters: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, value) in parameters {
        if !out.is_empty() {
            out.push('&');
        }
        encode(name, &mut out);
        out.push('=');
        encode(value, &mut out);
    }
    out
}

fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        decode_query(query).unwrap()
    }

    #[test]
    fn names_and_values_are_decoded() {
        let expected = vec![("name:exact".to_owned(), "J\u{fc}rgen, a b|c".to_owned()), ("flag".to_owned(), String::new())];
        assert_eq!(pairs("name%3Aexact=J%C3%BCrgen%2C+a%20b|c&&flag"), expected);
    }

    #[test]
    fn backslashes_stay() {
        assert_eq!(pairs(r"code=a\,b%5C%7Cc")[0].1, r"a\,b\|c");
    }

    #[test]
    fn broken_escapes_are_errors() {
        for query in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=%00"] {
            assert!(decode_query(query).is_err(), "{query}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let parameters = vec![("a:b".to_owned(), "x&y=z+\u{e9} %,|$\\".to_owned())];
        assert_eq!(pairs(&encode_query(&parameters)), parameters);
    }
}
