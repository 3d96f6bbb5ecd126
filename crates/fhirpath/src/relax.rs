//! What R4's own expressions mean where they depart from FHIRPath: they were written for its draft.
//!
//! `as` is used on several items to filter them (`%resource.descendants().as(canonical)`, `Goal.target.due as date`), and
//! System types are named where FHIR's are meant (`value.as(DateTime)`, `answer is Boolean`).

use crate::ast::{Ast, Invocation, TypeOperator, TypeSpecifier};

/// Turns `as` into `ofType`, and types such as `DateTime` into FHIR's `dateTime`, all through a tree.
pub(crate) fn relax(ast: &mut Ast) {
    match ast {
        Ast::Path(head, steps) => {
            relax(head);
            for step in steps {
                match step {
                    Invocation::Index(index) => relax(index),
                    Invocation::Call(_, arguments) => arguments.iter_mut().for_each(relax),
                    Invocation::Type(operator, specifier) => relax_type(operator, specifier),
                    Invocation::Member(_) | Invocation::Matches(_) | Invocation::ResolvesTo(_) => {}
                }
            }
        }
        Ast::Negate(operand) | Ast::Plus(operand) => relax(operand),
        Ast::Binary(_, left, right) => {
            relax(left);
            relax(right);
        }
        Ast::Type(operator, operand, specifier) => {
            relax(operand);
            relax_type(operator, specifier);
        }
        Ast::Empty | Ast::Literal(_) | Ast::Variable(_) | Ast::This | Ast::Index | Ast::Total => {}
    }
}

fn relax_type(operator: &mut TypeOperator, specifier: &mut TypeSpecifier) {
    const SYSTEM_PRIMITIVES: [&str; 7] = ["Boolean", "Integer", "Decimal", "String", "Date", "DateTime", "Time"];
    if *operator == TypeOperator::As {
        *operator = TypeOperator::OfType;
    }
    if specifier.namespace.is_none() && SYSTEM_PRIMITIVES.contains(&specifier.name.as_str()) {
        specifier.name[..1].make_ascii_lowercase();
    }
}
