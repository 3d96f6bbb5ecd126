//! Expressions resolved for one type.

use fhirpool_fhir::Definitions;

use crate::ast::Ast;
use crate::{Context, EvaluationError, Item, evaluate};

#[derive(Debug)]
pub(crate) struct Plan {
    branches: Vec<Ast>,
}

pub(crate) fn for_type(ast: &Ast, _: &Definitions, _: &str) -> Option<Plan> {
    Some(Plan { branches: vec![ast.clone()] })
}

impl Plan {
    pub fn evaluate_into<'a>(&self, context: &Context<'a>, focus: Item<'a>, out: &mut Vec<Item<'a>>) -> Result<(), EvaluationError> {
        for branch in &self.branches {
            out.append(&mut evaluate::evaluate(branch, context, focus.clone())?);
        }
        Ok(())
    }
}
