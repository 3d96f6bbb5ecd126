//! Bytes as text: each byte is the character of its number, so that texts compare, as UTF-8, as the bytes do.

/// Appends bytes.
pub(crate) fn push(out: &mut String, bytes: &[u8]) {
    out.extend(bytes.iter().map(|byte| char::from(*byte)));
}

/// Bytes as text.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 4);
    push(&mut out, bytes);
    out
}

/// The bytes of such a text; `None` if it is none.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_compare_as_bytes_and_are_read_back() {
        let samples: Vec<Vec<u8>> = (0..=255_u8).flat_map(|byte| [vec![byte], vec![byte, 0], vec![byte, 255], vec![127, byte]]).collect();
        for one in &samples {
            assert_eq!(bytes_of(&of_bytes(one)).as_ref(), Some(one));
            for other in &samples {
                assert_eq!(of_bytes(one).as_bytes().cmp(of_bytes(other).as_bytes()), one.cmp(other));
            }
        }
        assert_eq!(bytes_of("\u{100}"), None);
    }
}
