//! The evaluator.

mod function;

use fhirpool_fhir::Definitions;
pub(crate) use function::{Function, Pattern};

use crate::ast::Ast;
use crate::{Context, EvaluationError, Item};

/// The items a tree yields on a focus.
pub(crate) fn evaluate<'a>(_: &Ast, _: &Context<'a>, _: Item<'a>) -> Result<Vec<Item<'a>>, EvaluationError> {
    Err(EvaluationError::NotSupported("evaluation"))
}

/// Singleton evaluation as a condition (FHIRPath N1, 4.5).
pub(crate) fn boolean(definitions: &Definitions, items: &[Item<'_>], what: &'static str) -> Result<Option<bool>, EvaluationError> {
    match items {
        [] => Ok(None),
        [item] => Ok(Some(match item.system(definitions) {
            Item::Boolean(value) => value,
            _ => true,
        })),
        _ => Err(EvaluationError::NotSingle(what)),
    }
}
