//! The tree that a patch works on: opened only along the paths that operations take.

use std::borrow::Cow;

use fhirpool_fhir::json::{Value, write_string};

use super::equal::equal;
use super::pointer::{Pointer, index};
use super::{PatchLimits, Refusal};

/// A node, opened or as it stands in the document or patch.
#[derive(Debug, Clone)]
pub(super) enum Node<'a> {
    Closed(Value<'a>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    Array(Vec<Node<'a>>),
}

impl<'a> From<Value<'a>> for Node<'a> {
    fn from(value: Value<'a>) -> Self {
        Self::Closed(value)
    }
}

const NO_SUCH_PLACE: Refusal = Refusal::Because("there is nothing at the path");

/// The tree and what is left of its budget.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    root: Node<'a>,
    limits: PatchLimits,
    left: usize,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: Value<'a>, limits: PatchLimits) -> Self {
        Self { root: root.into(), limits, left: limits.work_max }
    }

    /// The node at a path.
    pub(super) fn get(&mut self, path: &Pointer) -> Result<&mut Node<'a>, Refusal> {
        let mut node = &mut self.root;
        for part in &path.0 {
            node.open(&mut self.left)?;
            node = match node {
                Node::Object(members) => {
                    spend(&mut self.left, members.len())?;
                    members.iter_mut().find(|(name, _)| name == part).map(|(_, node)| node).ok_or(NO_SUCH_PLACE)?
                }
                Node::Array(elements) => index(part).and_then(|index| elements.get_mut(index)).ok_or(NO_SUCH_PLACE)?,
                Node::Closed(_) => return Err(NO_SUCH_PLACE),
            };
        }
        Ok(node)
    }

    /// Puts a node at a path: sets a member, or makes room in an array.
    pub(super) fn add(&mut self, path: &Pointer, node: Node<'a>) -> Result<(), Refusal> {
        self.check_depth(path, &node)?;
        let Some((last, parent)) = self.parent(path)? else {
            self.root = node;
            return Ok(());
        };
        match parent {
            Node::Object(members) => match members.iter_mut().find(|(name, _)| name == last) {
                Some((_, old)) => *old = node,
                None => members.push((Cow::Owned(last.clone()), node)),
            },
            Node::Array(elements) => {
                let at = if last == "-" { Some(elements.len()) } else { index(last) };
                match at.filter(|at| *at <= elements.len()) {
                    Some(at) => elements.insert(at, node),
                    None => return Err(Refusal::Because("the path names no place in the array")),
                }
            }
            Node::Closed(_) => return Err(NO_SUCH_PLACE),
        }
        Ok(())
    }

    /// Takes the node at a path out.
    pub(super) fn remove(&mut self, path: &Pointer) -> Result<Node<'a>, Refusal> {
        let Some((last, parent)) = self.parent(path)? else {
            return Err(Refusal::Because("the whole resource cannot be removed"));
        };
        match parent {
            Node::Object(members) => {
                let at = members.iter().position(|(name, _)| name == last).ok_or(NO_SUCH_PLACE)?;
                Ok(members.remove(at).1)
            }
            Node::Array(elements) => {
                let at = index(last).filter(|at| *at < elements.len()).ok_or(NO_SUCH_PLACE)?;
                Ok(elements.remove(at))
            }
            Node::Closed(_) => Err(NO_SUCH_PLACE),
        }
    }

    /// Puts a node in the place of another.
    pub(super) fn replace(&mut self, path: &Pointer, node: Node<'a>) -> Result<(), Refusal> {
        self.check_depth(path, &node)?;
        *self.get(path)? = node;
        Ok(())
    }

    /// A copy of the node at a path.
    pub(super) fn copy(&mut self, path: &Pointer) -> Result<Node<'a>, Refusal> {
        let copied = &*self.get(path)?;
        let bytes = copied.measure().bytes;
        let copied = if bytes <= self.left { self.get(path)?.clone() } else { return Err(Refusal::TooLarge) };
        spend(&mut self.left, bytes)?;
        Ok(copied)
    }

    /// Whether the node at a path is equal to a value (RFC 6902, 4.6).
    pub(super) fn equals(&mut self, path: &Pointer, value: Value<'_>) -> Result<bool, Refusal> {
        let mut left = self.left;
        let result = equal(self.get(path)?, value, &mut left);
        self.left = self.left.min(left);
        result
    }

    /// The JSON of the tree.
    pub(super) fn into_json(self) -> Result<String, Refusal> {
        let bytes = self.root.measure().bytes;
        if bytes > self.limits.work_max {
            return Err(Refusal::TooLarge);
        }
        let mut out = String::with_capacity(bytes);
        self.root.write(&mut out);
        Ok(out)
    }

    /// The last part of a path and the opened node ahead of it; `None` for the root.
    fn parent<'p>(&mut self, path: &'p Pointer) -> Result<Option<(&'p String, &mut Node<'a>)>, Refusal> {
        let Some((last, ahead)) = path.0.split_last() else { return Ok(None) };
        let mut left = self.left;
        let parent = self.get(&Pointer(ahead.to_vec()))?;
        parent.open(&mut left)?;
        let members = match parent {
            Node::Object(members) => members.len(),
            Node::Array(_) | Node::Closed(_) => 1,
        };
        spend(&mut left, members)?;
        self.left = self.left.min(left);
        // Found once more because the budget could not be charged while it was borrowed.
        let parent = self.get(&Pointer(ahead.to_vec()))?;
        Ok(Some((last, parent)))
    }

    fn check_depth(&mut self, path: &Pointer, node: &Node<'a>) -> Result<(), Refusal> {
        let measure = node.measure();
        spend(&mut self.left, measure.bytes)?;
        if path.0.len() + measure.depth > self.limits.depth_max {
            return Err(Refusal::Because("the result would be nested too deeply"));
        }
        Ok(())
    }
}

/// How large and how deep a node is.
#[derive(Debug, Clone, Copy)]
struct Measure {
    bytes: usize,
    depth: usize,
}

impl<'a> Node<'a> {
    /// Opens a closed object or array by one level.
    fn open(&mut self, left: &mut usize) -> Result<(), Refusal> {
        let Self::Closed(value) = *self else { return Ok(()) };
        if value.is_object() {
            *self = Self::Object(value.members().map(|member| (member.name(), Self::Closed(member.value()))).collect());
        } else if value.is_array() {
            *self = Self::Array(value.elements().map(Self::Closed).collect());
        } else {
            return Ok(());
        }
        spend(left, value.raw().len())
    }

    /// Depth stays within the limit of the parser, because nothing deeper is ever put in.
    fn measure(&self) -> Measure {
        let of_all = |children: &mut dyn Iterator<Item = (usize, Measure)>| {
            children.fold(Measure { bytes: 2, depth: 1 }, |sum, (name, child)| Measure {
                bytes: sum.bytes + name + child.bytes + 1,
                depth: sum.depth.max(child.depth + 1),
            })
        };
        match self {
            Self::Closed(value) => Measure { bytes: value.raw().len(), depth: depth(*value) },
            Self::Object(members) => of_all(&mut members.iter().map(|(name, node)| (name.len() + 3, node.measure()))),
            Self::Array(elements) => of_all(&mut elements.iter().map(|node| (0, node.measure()))),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Closed(value) => value.write_compact(out),
            Self::Object(members) => {
                out.push('{');
                for (position, (name, node)) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    node.write(out);
                }
                out.push('}');
            }
            Self::Array(elements) => {
                out.push('[');
                for (position, node) in elements.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    node.write(out);
                }
                out.push(']');
            }
        }
    }
}

fn depth(value: Value<'_>) -> usize {
    if value.is_object() {
        1 + value.members().map(|member| depth(member.value())).max().unwrap_or(0)
    } else if value.is_array() {
        1 + value.elements().map(depth).max().unwrap_or(0)
    } else {
        0
    }
}

pub(super) fn spend(left: &mut usize, amount: usize) -> Result<(), Refusal> {
    *left = left.checked_sub(amount).ok_or(Refusal::TooLarge)?;
    Ok(())
}
