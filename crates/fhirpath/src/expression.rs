//! Parsed expressions.

use std::sync::Arc;

use fhirpool_fhir::Definitions;

use crate::ast::Ast;
use crate::plan::{self, Plan};
use crate::{Context, EvaluationError, Item, ParseError, check, evaluate, parser, relax};

/// A parsed expression; cheap to copy, free of any context, to be kept.
#[derive(Debug, Clone)]
pub struct Expression {
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// As parsed: FHIRPath to the letter.
    General(Arc<Ast>),
    /// Resolved for one type.
    Planned(Arc<Plan>),
}

impl Expression {
    /// The longest text, in bytes.
    pub const LENGTH_MAX: usize = 16 * 1024;

    /// Reads a text (at most [`Expression::LENGTH_MAX`] bytes, nested at most 64 deep).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Ok(Self { form: Form::General(Arc::new(parser::parse(text)?)) })
    }

    /// The expression read as R4's own invariants and search parameters mean it: `as` keeps the matching ones of several items,
    /// and `Boolean`, `DateTime` and the like name FHIR's types. To the letter of FHIRPath some of them are always errors.
    pub fn relaxed(&self) -> Self {
        let Form::General(ast) = &self.form else { return self.clone() };
        let mut ast = (**ast).clone();
        relax::relax(&mut ast);
        Self { form: Form::General(Arc::new(ast)) }
    }

    /// The expression resolved for items of one type (`Observation`, `HumanName`, `Observation.component`), as search
    /// parameters and composites need it; `None` where no branch of the union can apply to the type.
    ///
    /// Only the branches that begin with the type, one of its ancestors, or an element stay. Of plain paths the names are
    /// resolved now, choices to their JSON properties included. The expression is [relaxed](Expression::relaxed), branches are
    /// joined without dropping equal items, and primitives without a value are left out of plain paths.
    pub fn for_type(&self, definitions: &Definitions, type_name: &str) -> Option<Self> {
        let Form::General(ast) = &self.form else { return Some(self.clone()) };
        plan::for_type(ast, definitions, type_name).map(|plan| Self { form: Form::Planned(Arc::new(plan)) })
    }

    /// Whether the expression makes sense for items of a type (`Observation`, `HumanName`): whether the types have the elements
    /// it names, and what needs an order has one. Evaluation itself takes an unknown element for an empty collection.
    pub fn check(&self, definitions: &Definitions, type_name: &str) -> Result<(), EvaluationError> {
        match &self.form {
            Form::General(ast) => check::check(ast, definitions, type_name),
            Form::Planned(_) => Ok(()),
        }
    }

    /// The items the expression yields on a focus.
    pub fn evaluate<'a>(&self, context: &Context<'a>, focus: Item<'a>) -> Result<Vec<Item<'a>>, EvaluationError> {
        let mut items = Vec::new();
        self.evaluate_into(context, focus, &mut items)?;
        Ok(items)
    }

    /// Appends the items the expression yields on a focus; after an error `out` may hold some of them.
    pub fn evaluate_into<'a>(&self, context: &Context<'a>, focus: Item<'a>, out: &mut Vec<Item<'a>>) -> Result<(), EvaluationError> {
        match &self.form {
            Form::General(ast) => {
                out.append(&mut evaluate::evaluate(ast, context, focus)?);
                Ok(())
            }
            Form::Planned(plan) => plan.evaluate_into(context, focus, out),
        }
    }

    /// The expression as a condition, such as an invariant (which holds unless this is false): `None` for an empty result, true for a single item that is no
    /// boolean, an error for several items (FHIRPath N1, 4.5).
    pub fn evaluate_boolean<'a>(&self, context: &Context<'a>, focus: Item<'a>) -> Result<Option<bool>, EvaluationError> {
        evaluate::boolean(context.definitions, &self.evaluate(context, focus)?, "a condition")
    }
}
