//! Where in a resource an issue is: a list that lives on the stack and becomes text only for an issue.

use std::fmt;

/// A path down from the resource.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    above: Option<&'a Path<'a>>,
    /// The resource's type or the element's name, without a choice's type as FHIRPath has it.
    name: &'a str,
    /// The place in an array.
    index: Option<usize>,
    /// How many steps are above.
    pub(crate) depth: usize,
}

impl<'a> Path<'a> {
    pub(crate) fn root(name: &'a str) -> Self {
        Self { above: None, name, index: None, depth: 0 }
    }

    pub(crate) fn element(&'a self, name: &'a str) -> Self {
        Path { above: Some(self), name, index: None, depth: self.depth + 1 }
    }

    /// The same element at a place in its array.
    pub(crate) fn at(&self, index: usize) -> Self {
        Self { index: Some(index), ..*self }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            write!(f, "{above}.")?;
        }
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}
