//! The syntax tree. Chains of invocations are flat, so that its depth is that of brackets and operators only.

use crate::{Item, evaluate::Function, evaluate::Pattern};

#[derive(Debug, Clone)]
pub(crate) enum Ast {
    /// `{}`
    Empty,
    Literal(Item<'static>),
    /// `%name`
    Variable(String),
    /// `$this`, and the focus of an expression that begins with an element or a function.
    This,
    /// `$index`
    Index,
    /// `$total`
    Total,
    /// What stands before the first dot, and the invocations behind it.
    Path(Box<Ast>, Vec<Invocation>),
    Negate(Box<Ast>),
    Plus(Box<Ast>),
    Binary(Operator, Box<Ast>, Box<Ast>),
    Type(TypeOperator, Box<Ast>, TypeSpecifier),
}

#[derive(Debug, Clone)]
pub(crate) enum Invocation {
    /// `.name`
    Member(MemberName),
    /// `[0]`
    Index(Ast),
    /// `.function(…)`
    Call(Function, Vec<Ast>),
    /// `.matches('…')`, `.matchesFull('…')` with a literal, compiled once
    Matches(Pattern),
    /// `.is(T)`, `.as(T)`, `.ofType(T)`
    Type(TypeOperator, TypeSpecifier),
    /// `.resolve() is T`, decided by the reference's text where that can be
    ResolvesTo(TypeSpecifier),
}

/// An element's name, and the property of a primitive's id and extensions.
#[derive(Debug, Clone)]
pub(crate) struct MemberName {
    pub name: String,
    pub sibling: String,
    /// The first invocation of a path that begins with a name: that may be the focus's type.
    pub is_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeOperator {
    Is,
    As,
    OfType,
}

/// A type as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeSpecifier {
    pub namespace: Option<String>,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Multiply,
    Divide,
    DivideWhole,
    Modulo,
    Add,
    Subtract,
    Concatenate,
    Union,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Equivalent,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}
