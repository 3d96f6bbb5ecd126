//! Ids, versions and keys of resources.

use crate::ResourceType;

#[cfg(test)]
mod tests;

/// A logical id: `[A-Za-z0-9\-\.]{1,64}` (R4 datatypes.html#id).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(Box<str>);

impl ResourceId {
    /// The id, if the text keeps to the grammar.
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self(text.into()))
    }

    /// Whether the text keeps to the grammar.
    pub fn is_valid(text: &str) -> bool {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for ResourceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A version of a resource, from 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionId(pub u64);

impl VersionId {
    /// Reads a version id: digits without a leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten().map(Self)
    }
}

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one resource within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceKey {
    /// The type.
    pub resource_type: ResourceType,
    /// The id.
    pub id: ResourceId,
}

impl ResourceKey {
    /// A key of its parts.
    pub fn new(resource_type: ResourceType, id: ResourceId) -> Self {
        Self { resource_type, id }
    }
}

impl std::fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource_type, self.id)
    }
}

/// An id as stored keys hold it and as results are ordered: a canonical (lower-case, hyphenated) UUID is 16 bytes behind
/// the marker 0, any other id its text behind the marker 1. The order of these bytes is the order of results.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderedId {
    /// A canonical UUID.
    Uuid([u8; 16]),
    /// Any other id.
    Text(Box<str>),
}

impl OrderedId {
    /// The marker of a UUID.
    pub const UUID_MARKER: u8 = 0;
    /// The marker of any other id.
    pub const TEXT_MARKER: u8 = 1;

    /// Appends marker and bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uuid(bytes) => {
                out.push(Self::UUID_MARKER);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                out.push(Self::TEXT_MARKER);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Reads what [`OrderedId::write`] wrote; `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&Self::UUID_MARKER, rest) => Some(Self::Uuid(rest.try_into().ok()?)),
            (&Self::TEXT_MARKER, rest) => {
                let text = std::str::from_utf8(rest).ok()?;
                ResourceId::is_valid(text).then(|| Self::Text(text.into()))
            }
            _ => None,
        }
    }
}

impl From<&ResourceId> for OrderedId {
    fn from(id: &ResourceId) -> Self {
        match parse_uuid(id.as_str().as_bytes()) {
            Some(bytes) => Self::Uuid(bytes),
            None => Self::Text(id.as_str().into()),
        }
    }
}

impl From<&OrderedId> for ResourceId {
    fn from(id: &OrderedId) -> Self {
        match id {
            OrderedId::Text(text) => Self(text.clone()),
            OrderedId::Uuid(bytes) => {
                let mut text = String::with_capacity(36);
                for (position, byte) in bytes.iter().enumerate() {
                    if matches!(position, 4 | 6 | 8 | 10) {
                        text.push('-');
                    }
                    text.push(HEX[usize::from(byte >> 4)] as char);
                    text.push(HEX[usize::from(byte & 15)] as char);
                }
                Self(text.into())
            }
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut bytes = [0; 16];
    let mut digits = 0;
    for byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'-' => continue,
            _ => return None,
        };
        *bytes.get_mut(digits / 2)? |= if digits % 2 == 0 { digit << 4 } else { digit };
        digits += 1;
    }
    (digits == 32).then_some(bytes)
}
