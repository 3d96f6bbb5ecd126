//! The evaluator: walks the tree, one collection at a time.

mod boundary;
mod calendar;
mod collections;
pub(crate) mod convert;
mod equality;
mod function;
mod math;
mod navigate;
mod operators;
mod reference;
mod strings;
mod types;

use fhirpool_fhir::Definitions;
pub(crate) use function::{Function, Pattern};
pub(crate) use reference::target_type;
pub(crate) use types::TypeTest;

use crate::ast::{Ast, Invocation, TypeOperator};
use crate::{Context, EvaluationError, Item, Moment};

pub(crate) type Items<'a> = Vec<Item<'a>>;
pub(crate) type Outcome<'a> = Result<Items<'a>, EvaluationError>;

/// The items a tree yields on a focus.
pub(crate) fn evaluate<'a>(ast: &Ast, context: &Context<'a>, focus: Item<'a>) -> Outcome<'a> {
    let focus = [focus];
    let mut evaluator = Evaluator::new(context, &focus);
    evaluator.evaluate(ast, Scope { this: &focus, index: None, total: &[] })
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

/// What `$this`, `$index` and `$total` stand for.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s, 'a> {
    pub this: &'s [Item<'a>],
    pub index: Option<usize>,
    pub total: &'s [Item<'a>],
}

/// One evaluation with its budget.
pub(crate) struct Evaluator<'e, 'a> {
    pub context: &'e Context<'a>,
    /// `%context`
    focus: &'e [Item<'a>],
    steps: u64,
    /// The last regular expression that was no literal, of which function, compiled.
    pattern: Option<(String, Function, Pattern)>,
}

impl<'e, 'a> Evaluator<'e, 'a> {
    pub fn new(context: &'e Context<'a>, focus: &'e [Item<'a>]) -> Self {
        Self { context, focus, steps: 0, pattern: None }
    }

    pub fn definitions(&self) -> &'a Definitions {
        self.context.definitions
    }

    /// Pays for so many items visited or compared.
    pub fn charge(&mut self, steps: usize) -> Result<(), EvaluationError> {
        self.steps = self.steps.saturating_add(steps as u64);
        let max = self.context.limits.steps_max;
        if self.steps > max { Err(EvaluationError::Steps(max)) } else { Ok(()) }
    }

    /// Pays for a collection and checks its size.
    pub fn admit(&mut self, items: &[Item<'a>]) -> Result<(), EvaluationError> {
        let max = self.context.limits.items_max;
        if items.len() > max {
            return Err(EvaluationError::Items(max));
        }
        self.charge(items.len() + 1)
    }

    /// A computed text, unless it is too long.
    pub fn text(&mut self, text: String) -> Outcome<'a> {
        self.charge(1 + text.len() / 64)?;
        let max = self.context.limits.string_bytes_max;
        if text.len() > max { Err(EvaluationError::Text(max)) } else { Ok(vec![Item::String(text.into())]) }
    }

    pub fn evaluate(&mut self, ast: &Ast, scope: Scope<'_, 'a>) -> Outcome<'a> {
        let items = match ast {
            Ast::Empty => Vec::new(),
            Ast::Literal(item) => vec![item.clone()],
            Ast::Variable(name) => self.variable(name)?,
            Ast::This => scope.this.to_vec(),
            Ast::Index => scope.index.and_then(|index| i32::try_from(index).ok()).map(Item::Integer).into_iter().collect(),
            Ast::Total => scope.total.to_vec(),
            Ast::Path(head, steps) => self.path(head, steps, scope)?,
            Ast::Negate(operand) => self.negate(operand, scope)?,
            Ast::Plus(operand) => self.plus(operand, scope)?,
            Ast::Binary(operator, left, right) => self.binary(*operator, left, right, scope)?,
            Ast::Type(operator, operand, specifier) => {
                let items = self.evaluate(operand, scope)?;
                self.type_operation(*operator, specifier, items)?
            }
        };
        self.admit(&items)?;
        Ok(items)
    }

    fn path(&mut self, head: &Ast, steps: &[Invocation], scope: Scope<'_, 'a>) -> Outcome<'a> {
        let mut steps = steps.iter();
        let mut items = match (head, steps.as_slice().first()) {
            // The first name of a path is looked up in the focus without copying the focus first.
            (Ast::This, Some(Invocation::Member(name))) => {
                steps.next();
                self.member(scope.this, name)?
            }
            _ => self.evaluate(head, scope)?,
        };
        for step in steps {
            items = self.invoke(step, items, scope)?;
            self.admit(&items)?;
        }
        Ok(items)
    }

    fn invoke(&mut self, step: &Invocation, items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        match step {
            Invocation::Member(name) => self.member(&items, name),
            Invocation::Index(index) => {
                let index = self.integer(index, scope, "an index")?;
                let index = index.and_then(|index| usize::try_from(index).ok());
                Ok(index.and_then(|index| items.into_iter().nth(index)).into_iter().collect())
            }
            Invocation::Type(operator, specifier) => self.type_operation(*operator, specifier, items),
            Invocation::ResolvesTo(specifier) => self.resolves_to(&items, specifier),
            Invocation::Matches(pattern) => self.matches_pattern(items, pattern),
            Invocation::Call(function, arguments) => self.call(*function, arguments, items, scope),
        }
    }

    fn variable(&mut self, name: &str) -> Outcome<'a> {
        if let Some((_, items)) = self.context.variables.iter().find(|(defined, _)| defined == name) {
            return Ok(items.clone());
        }
        let text = |text: &'static str| Ok(vec![Item::String(text.into())]);
        let resource = |value| Ok(vec![Item::resource(self.context.definitions, value)]);
        match name {
            "context" => Ok(self.focus.to_vec()),
            "resource" => resource(self.context.resource),
            "rootResource" => resource(self.context.root_resource.unwrap_or(self.context.resource)),
            "sct" => text("http://snomed.info/sct"),
            "loinc" => text("http://loinc.org"),
            "ucum" => text("http://unitsofmeasure.org"),
            _ => {
                let url = if let Some(name) = name.strip_prefix("vs-") {
                    format!("http://hl7.org/fhir/ValueSet/{name}")
                } else if let Some(name) = name.strip_prefix("ext-") {
                    format!("http://hl7.org/fhir/StructureDefinition/{name}")
                } else {
                    return Err(EvaluationError::UnknownVariable(name.to_owned()));
                };
                self.text(url)
            }
        }
    }

    /// The System value of at most one item.
    pub fn single(&self, items: &[Item<'a>], what: &'static str) -> Result<Option<Item<'a>>, EvaluationError> {
        match items {
            [] => Ok(None),
            [item] => Ok(Some(item.system(self.definitions()))),
            _ => Err(EvaluationError::NotSingle(what)),
        }
    }

    pub fn boolean(&self, items: &[Item<'a>], what: &'static str) -> Result<Option<bool>, EvaluationError> {
        boolean(self.context.definitions, items, what)
    }

    /// An argument that must be an integer.
    pub fn integer(&mut self, argument: &Ast, scope: Scope<'_, 'a>, what: &'static str) -> Result<Option<i32>, EvaluationError> {
        let items = self.evaluate(argument, scope)?;
        match self.single(&items, what)? {
            None => Ok(None),
            Some(Item::Integer(value)) => Ok(Some(value)),
            Some(_) => Err(EvaluationError::Type(what)),
        }
    }

    /// An argument for one item of a collection.
    pub fn with_item(&mut self, ast: &Ast, item: &Item<'a>, index: usize, scope: Scope<'_, 'a>) -> Outcome<'a> {
        self.evaluate(ast, Scope { this: std::slice::from_ref(item), index: Some(index), ..scope })
    }

    fn call(&mut self, function: Function, arguments: &[Ast], items: Items<'a>, scope: Scope<'_, 'a>) -> Outcome<'a> {
        use Function as F;
        let name = function.name();
        match function {
            F::Empty | F::Exists | F::All | F::AllTrue | F::AnyTrue | F::AllFalse | F::AnyFalse | F::Count | F::Not => {
                self.existence(function, arguments, items, scope)
            }
            F::Where | F::Select | F::Repeat | F::Aggregate | F::Sort | F::Iif => self.projection(function, arguments, items, scope),
            F::SubsetOf | F::SupersetOf | F::Distinct | F::IsDistinct | F::Intersect | F::Exclude | F::Union | F::Combine => {
                self.sets(function, arguments, items, scope)
            }
            F::Single | F::First | F::Last | F::Tail | F::Skip | F::Take => self.subset(function, arguments, items, scope),
            F::Children => self.children(&items),
            F::Descendants => self.descendants(items),
            F::Extension => self.extension(arguments, &items, scope),
            F::HasValue | F::GetValue => Ok(self.primitive_value(function, &items)),
            F::Type => Ok(items.iter().filter_map(|item| self.type_info(item)).collect()),
            F::ConformsTo => self.conforms_to(arguments, &items, scope),
            F::Resolve => self.resolve(&items),
            F::Trace => {
                self.evaluate(&arguments[0], scope)?;
                Ok(items)
            }
            F::Now | F::Today | F::TimeOfDay => Ok(self.clock(function)),
            F::ToBoolean | F::ToInteger | F::ToDecimal | F::ToString | F::ToDate | F::ToDateTime | F::ToTime | F::ToQuantity => {
                self.convert(function, arguments, &items, scope)
            }
            F::ConvertsToBoolean | F::ConvertsToInteger | F::ConvertsToDecimal | F::ConvertsToString => {
                self.converts(function, arguments, &items, scope)
            }
            F::ConvertsToDate | F::ConvertsToDateTime | F::ConvertsToTime | F::ConvertsToQuantity => {
                self.converts(function, arguments, &items, scope)
            }
            F::Abs | F::Ceiling | F::Exp | F::Floor | F::Ln | F::Log | F::Power | F::Round | F::Sqrt | F::Truncate => {
                self.math(function, arguments, &items, scope)
            }
            F::LowBoundary | F::HighBoundary | F::Precision | F::Comparable => self.precision(function, arguments, &items, scope),
            F::MemberOf | F::Subsumes | F::SubsumedBy | F::ElementDefinition | F::Slice | F::CheckModifiers | F::HtmlChecks => {
                Err(EvaluationError::NotSupported(name))
            }
            _ => self.string_function(function, arguments, items, scope),
        }
    }

    fn clock(&self, function: Function) -> Items<'a> {
        let now = Moment::from_timestamp(self.context.now);
        vec![match function {
            Function::Now => Item::DateTime(now),
            Function::Today => Item::Date(now.date()),
            _ => Item::Time(now.time().unwrap_or(now)),
        }]
    }

    fn type_operation(&mut self, operator: TypeOperator, specifier: &crate::ast::TypeSpecifier, items: Items<'a>) -> Outcome<'a> {
        let test = types::TypeTest::new(self.definitions(), specifier)?;
        self.charge(items.len())?;
        match operator {
            TypeOperator::OfType => Ok(items.into_iter().filter(|item| test.selects(self.definitions(), item)).collect()),
            TypeOperator::As if items.len() > 1 => Err(EvaluationError::NotSingle("as")),
            TypeOperator::As => Ok(items.into_iter().filter(|item| test.selects(self.definitions(), item)).collect()),
            TypeOperator::Is => match &items[..] {
                [] => Ok(Vec::new()),
                [item] => Ok(vec![Item::Boolean(test.holds(self.definitions(), item))]),
                _ => Err(EvaluationError::NotSingle("is")),
            },
        }
    }
}
