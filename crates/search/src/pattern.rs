//! How values are written, for indexes that find values by a pattern: regular, over bytes.

/// What a run of bytes must look like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Just these.
    Bytes(Vec<u8>),
    /// So many, whichever.
    AnyBytes(usize),
    /// Any number of others than this, then this.
    Until(u8),
    /// Any number, none of them 0, among which these follow each other.
    TextWith(Vec<u8>),
    /// One behind the other.
    Sequence(Vec<Pattern>),
    /// One of these; none: nothing is written so.
    OneOf(Vec<Pattern>),
    /// What is written so and lies, as byte strings compare, between the two.
    Between {
        /// How it is written.
        pattern: Box<Pattern>,
        /// The first; `None`: no bound.
        from: Option<Vec<u8>>,
        /// The first that is too large; `None`: no bound.
        to: Option<Vec<u8>>,
    },
}

impl Pattern {
    pub(crate) fn byte(byte: u8) -> Self {
        Self::Bytes(vec![byte])
    }

    pub(crate) fn sequence(patterns: impl IntoIterator<Item = Self>) -> Self {
        Self::Sequence(patterns.into_iter().collect())
    }

    pub(crate) fn between(pattern: Self, from: Option<&[u8]>, to: Option<&[u8]>) -> Self {
        match (from, to) {
            (None, None) => pattern,
            _ => Self::Between { pattern: Box::new(pattern), from: from.map(<[u8]>::to_vec), to: to.map(<[u8]>::to_vec) },
        }
    }
}

#[cfg(test)]
impl Pattern {
    /// Whether all of the bytes are written so.
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        self.ends(bytes).contains(&bytes.len())
    }

    /// How many bytes at the front may be it.
    fn ends(&self, bytes: &[u8]) -> std::collections::BTreeSet<usize> {
        match self {
            Self::Bytes(sought) => bytes.starts_with(sought).then_some(sought.len()).into_iter().collect(),
            Self::AnyBytes(count) => (bytes.len() >= *count).then_some(*count).into_iter().collect(),
            Self::Until(end) => bytes.iter().position(|byte| byte == end).map(|at| at + 1).into_iter().collect(),
            Self::TextWith(needle) => {
                let text = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                (0..=text).filter(|end| memchr::memmem::find(&bytes[..*end], needle).is_some()).collect()
            }
            Self::Sequence(patterns) => patterns.iter().fold([0].into(), |starts, pattern| {
                starts.into_iter().flat_map(|start| pattern.ends(&bytes[start..]).into_iter().map(move |end| start + end)).collect()
            }),
            Self::OneOf(patterns) => patterns.iter().flat_map(|pattern| pattern.ends(bytes)).collect(),
            Self::Between { pattern, from, to } => {
                let mut ends = pattern.ends(bytes);
                let from = from.as_deref().unwrap_or_default();
                ends.retain(|end| from <= &bytes[..*end] && to.as_ref().is_none_or(|to| &bytes[..*end] < to.as_slice()));
                ends
            }
        }
    }
}
