//! FHIRPath (N1, <http://hl7.org/fhirpath/N1>) with R4's additions (R4 fhirpath.html), over the JSON tree of [`fhirpool_fhir::json`].
//!
//! [`Expression::parse`] reads a text once; [`Expression::evaluate`] applies it to an [`Item`] within a [`Context`]. What is
//! evaluated at each write (search parameters) goes through [`Expression::for_type`], which keeps the branches of a union
//! that can apply to a type and resolves the names of plain paths beforehand.
//!
//! All input is hostile: an expression's length and depth, the steps and the items of an evaluation are limited; arithmetic
//! is checked; regular expressions run in linear time.
//!
//! Deliberately absent: IO (a [`Resolve`] is passed in), a clock ([`Context::now`] is passed in), terminology and profile
//! look-ups (`memberOf`, `subsumes`, `conformsTo` to other than base definitions say that they are not supported).

mod ast;
mod check;
mod context;
mod decimal;
mod error;
mod evaluate;
mod expression;
mod item;
mod lexer;
mod moment;
mod parser;
mod plan;
mod quantity;
mod relax;
mod ucum;

pub use context::{Context, Limits, Resolve};
pub use decimal::Decimal;
pub use error::{EvaluationError, ParseError};
pub use expression::Expression;
pub use item::{Item, Node, TypeName};
pub use moment::{Moment, Precision};
pub use quantity::{CalendarUnit, Quantity, Unit};
