//! JSON Patch (RFC 6902) on the exact bytes of a resource: what no operation touches comes out as it went in.
//!
//! The work is bounded: every operation pays for the bytes it looks at or copies out of one budget, so that neither copies of
//! copies nor searches through large objects add up.

use fhirpool_fhir::json::{Document, Value};

mod equal;
mod pointer;
mod tree;

use pointer::Pointer;
use tree::Tree;

/// Why a patch was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatchError {
    /// It is no JSON Patch.
    #[error("operation {operation} of the patch: {reason}")]
    Malformed { operation: usize, reason: &'static str },
    /// It cannot be applied to this resource.
    #[error("operation {operation} of the patch: {reason}")]
    Inapplicable { operation: usize, reason: &'static str },
    /// It has too many operations or makes too much of them.
    #[error("the patch takes more work than allowed")]
    TooLarge,
}

/// What a patch may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PatchLimits {
    pub operations_max: usize,
    /// Bytes and members that all operations together may look at or copy, and of the result.
    pub work_max: usize,
    pub depth_max: usize,
}

/// Why an operation cannot be done; [`apply`] adds which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Because(&'static str),
    TooLarge,
}

/// The JSON of a document with the patch applied.
pub(crate) fn apply(document: &Document, patch: &Document, limits: PatchLimits) -> Result<String, PatchError> {
    let operations = patch.root();
    if !operations.is_array() {
        return Err(PatchError::Malformed { operation: 0, reason: "a JSON Patch is an array of operations" });
    }
    let mut tree = Tree::new(document.root(), limits);
    for (operation, value) in operations.elements().enumerate() {
        if operation >= limits.operations_max {
            return Err(PatchError::TooLarge);
        }
        let step = Operation::read(value).map_err(|reason| PatchError::Malformed { operation, reason })?;
        step.run(&mut tree).map_err(|refusal| match refusal {
            Refusal::Because(reason) => PatchError::Inapplicable { operation, reason },
            Refusal::TooLarge => PatchError::TooLarge,
        })?;
    }
    tree.into_json().map_err(|_| PatchError::TooLarge)
}

/// One operation (RFC 6902, 4).
#[derive(Debug)]
enum Operation<'a> {
    Add(Pointer, Value<'a>),
    Remove(Pointer),
    Replace(Pointer, Value<'a>),
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test(Pointer, Value<'a>),
}

impl<'a> Operation<'a> {
    fn read(value: Value<'a>) -> Result<Self, &'static str> {
        let pointer = |name: &str| {
            let text = value.get_str(name).ok_or(if name == "path" { "path is missing" } else { "from is missing" })?;
            Pointer::parse(&text).ok_or("a path is a sequence of parts, each with a slash ahead")
        };
        let content = || value.get("value").ok_or("value is missing");
        let name = value.get_str("op").ok_or("op is missing")?;
        Ok(match &*name {
            "add" => Self::Add(pointer("path")?, content()?),
            "remove" => Self::Remove(pointer("path")?),
            "replace" => Self::Replace(pointer("path")?, content()?),
            "move" => Self::Move { from: pointer("from")?, path: pointer("path")? },
            "copy" => Self::Copy { from: pointer("from")?, path: pointer("path")? },
            "test" => Self::Test(pointer("path")?, content()?),
            _ => return Err("op must be add, remove, replace, move, copy or test"),
        })
    }

    fn run(self, tree: &mut Tree<'a>) -> Result<(), Refusal> {
        match self {
            Self::Add(path, value) => tree.add(&path, value.into()),
            Self::Remove(path) => tree.remove(&path).map(drop),
            Self::Replace(path, value) => tree.replace(&path, value.into()),
            Self::Move { from, path } if from == path => tree.get(&from).map(drop),
            Self::Move { from, path } => {
                if from.is_above(&path) {
                    return Err(Refusal::Because("a value cannot be moved into itself"));
                }
                let moved = tree.remove(&from)?;
                tree.add(&path, moved)
            }
            Self::Copy { from, path } => {
                let copied = tree.copy(&from)?;
                tree.add(&path, copied)
            }
            Self::Test(path, value) => match tree.equals(&path, value)? {
                true => Ok(()),
                false => Err(Refusal::Because("the value tested is another")),
            },
        }
    }
}

#[cfg(test)]
mod tests;
