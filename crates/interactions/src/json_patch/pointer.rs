//! JSON Pointer (RFC 6901).

/// The parts of a pointer, unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(pub Vec<String>);

impl Pointer {
    /// Reads a pointer: empty, or parts with a slash ahead of each, where `~1` is a slash and `~0` a tilde.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        text.strip_prefix('/')?.split('/').map(unescape).collect::<Option<_>>().map(Self)
    }

    /// Whether the other points into what this points at.
    pub(super) fn is_above(&self, other: &Self) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }
}

fn unescape(part: &str) -> Option<String> {
    let mut out = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

/// The place that a part names in an array: digits without a leading zero.
pub(super) fn index(part: &str) -> Option<usize> {
    let plain = part == "0" || (!part.starts_with('0') && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    plain.then(|| part.parse().ok()).flatten()
}
