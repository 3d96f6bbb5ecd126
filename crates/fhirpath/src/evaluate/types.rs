//! Types of items.

use fhirpool_fhir::Definitions;
use fhirpool_fhir::definitions::TypeId;

use super::{Evaluator, Function, Items, Outcome, Scope};
use crate::ast::{Ast, TypeSpecifier};
use crate::{EvaluationError, Item, TypeName};

const SYSTEM_TYPES: [&str; 9] = ["Boolean", "Integer", "Decimal", "String", "Date", "DateTime", "Time", "Quantity", "Any"];

/// A type specifier looked up: a FHIR type, a System type, or (`Quantity`) either.
pub(crate) struct TypeTest {
    fhir: Option<TypeId>,
    system: Option<&'static str>,
}

impl TypeTest {
    /// Looks a specifier up. A name of the System namespace that is none is a type without items; any other unknown name is an error.
    pub fn new(definitions: &Definitions, specifier: &TypeSpecifier) -> Result<Self, EvaluationError> {
        let namespace = specifier.namespace.as_deref();
        let fhir = if namespace == Some("System") { None } else { definitions.type_id(&specifier.name) };
        let system = SYSTEM_TYPES.into_iter().find(|name| namespace != Some("FHIR") && *name == specifier.name);
        if fhir.is_none() && system.is_none() && namespace != Some("System") {
            return Err(EvaluationError::UnknownType(specifier.name.clone()));
        }
        Ok(Self { fhir, system })
    }

    /// Whether the item is of the type or one that specializes it.
    pub fn holds(&self, definitions: &Definitions, item: &Item<'_>) -> bool {
        match item {
            Item::Node(node) => node.type_id.zip(self.fhir).is_some_and(|(id, ancestor)| definitions.is_a(id, ancestor)),
            _ => self.system.is_some_and(|name| name == "Any" || item.type_name(definitions) == name),
        }
    }

    /// Whether `as` and `ofType` keep the item: as [`TypeTest::holds`], but primitives must be of the type itself, since R4
    /// takes its primitives for unrelated (a `code` is no `string` to them).
    pub fn selects(&self, definitions: &Definitions, item: &Item<'_>) -> bool {
        match item.type_id() {
            Some(id) if definitions.type_definition(id).primitive.is_some() => self.fhir == Some(id),
            _ => self.holds(definitions, item),
        }
    }
}

impl<'a> Evaluator<'_, 'a> {
    /// What `type()` tells of an item.
    pub(super) fn type_info(&self, item: &Item<'a>) -> Option<Item<'a>> {
        let name = item.type_name(self.definitions());
        let namespace = if matches!(item, Item::Node(_)) { "FHIR" } else { "System" };
        (!name.is_empty()).then(|| Item::Type(TypeName { namespace, name: name.to_owned() }))
    }

    /// `hasValue()` and `getValue()`: of exactly one primitive.
    pub(super) fn primitive_value(&self, function: Function, items: &[Item<'a>]) -> Items<'a> {
        let value = match items {
            [Item::Node(node)] if node.is_primitive(self.definitions()) => node.value.map(|_| items[0].system(self.definitions())),
            [Item::Node(_)] | [] | [_, _, ..] => None,
            [computed] => Some(computed.clone()),
        };
        match function {
            Function::HasValue => vec![Item::Boolean(value.is_some())],
            _ => value.into_iter().collect(),
        }
    }

    /// `conformsTo(url)` for the base definitions; profiles are not supported.
    pub(super) fn conforms_to(&mut self, arguments: &[Ast], items: &[Item<'a>], scope: Scope<'_, 'a>) -> Outcome<'a> {
        const BASE: &str = "http://hl7.org/fhir/StructureDefinition/";
        let argument = self.evaluate(&arguments[0], scope)?;
        let (url, item) = match (self.single(&argument, "conformsTo")?, items) {
            (Some(Item::String(url)), [item]) => (url, item),
            (None, _) | (_, []) => return Ok(Vec::new()),
            (Some(Item::String(_)), _) => return Err(EvaluationError::NotSingle("conformsTo")),
            _ => return Err(EvaluationError::Type("conformsTo")),
        };
        let ancestor = url.strip_prefix(BASE).and_then(|name| self.definitions().type_id(name));
        let ancestor = ancestor.ok_or(EvaluationError::NotSupported("conformsTo with a profile"))?;
        Ok(vec![Item::Boolean(item.type_id().is_some_and(|id| self.definitions().is_a(id, ancestor)))])
    }
}
