//! Items: what collections hold.

use std::borrow::Cow;

use fhirpool_fhir::Definitions;
use fhirpool_fhir::definitions::{Primitive, TypeId};
use fhirpool_fhir::json::{Kind, Value};

use crate::evaluate::convert;
use crate::{CalendarUnit, Decimal, Moment, Quantity, Unit};

/// One element of a collection.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// An element of a resource.
    Node(Node<'a>),
    /// A computed `System.Boolean`.
    Boolean(bool),
    /// A computed `System.Integer`.
    Integer(i32),
    /// A computed `System.Decimal`.
    Decimal(Decimal),
    /// A computed `System.String`.
    String(Cow<'a, str>),
    /// A computed `System.Date`.
    Date(Moment),
    /// A computed `System.DateTime`.
    DateTime(Moment),
    /// A computed `System.Time`.
    Time(Moment),
    /// A computed `System.Quantity`.
    Quantity(Box<Quantity>),
    /// What `type()` gives.
    Type(TypeName),
}

/// An element of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The JSON value; `None` for a primitive that has an id or extensions only.
    pub value: Option<Value<'a>>,
    /// The object under `_name` with a primitive's id and extensions.
    pub sibling: Option<Value<'a>>,
    /// The type; `None` where the definitions do not know it.
    pub type_id: Option<TypeId>,
}

/// A type's name with its namespace, `System` or `FHIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// `System` or `FHIR`.
    pub namespace: &'static str,
    /// `Boolean`, `Patient`, `Patient.contact`.
    pub name: String,
}

impl<'a> Node<'a> {
    /// A node of a JSON object or primitive; a resource's type is read off its `resourceType`.
    pub fn new(definitions: &Definitions, value: Value<'a>, type_id: Option<TypeId>) -> Self {
        let type_id = type_id.or_else(|| resource_type_id(definitions, value));
        Self { value: Some(value), sibling: None, type_id }
    }

    /// What kind of type it is, by the definitions or else by its JSON.
    pub(crate) fn is_primitive(&self, definitions: &Definitions) -> bool {
        match (self.type_id, self.value) {
            (Some(id), _) => definitions.type_definition(id).primitive.is_some(),
            (None, Some(value)) => !value.is_object(),
            (None, None) => true,
        }
    }

    /// The value that FHIRPath's operators see in a FHIR primitive or quantity (R4 fhirpath.html#types); `None` for other
    /// types and where the text breaks the type's grammar.
    pub(crate) fn system_value(&self, definitions: &Definitions) -> Option<Item<'a>> {
        let value = self.value?;
        let primitive = self.type_id.and_then(|id| definitions.type_definition(id).primitive);
        match value.kind() {
            Kind::Bool => Some(Item::Boolean(value.raw() == "true")),
            Kind::Number if primitive == Some(Primitive::Decimal) => Decimal::parse(value.raw()).map(Item::Decimal),
            Kind::Number => match value.raw().parse() {
                Ok(integer) => Some(Item::Integer(integer)),
                Err(_) => Decimal::parse(value.raw()).map(Item::Decimal),
            },
            Kind::String => {
                let text = value.as_str()?;
                match primitive {
                    Some(Primitive::Date) => Moment::parse_date(&text).map(Item::Date),
                    Some(Primitive::DateTime | Primitive::Instant) => Moment::parse_date_time(&text).map(Item::DateTime),
                    Some(Primitive::Time) => Moment::parse_time(&text).map(Item::Time),
                    _ => Some(Item::String(text)),
                }
            }
            Kind::Object => {
                let quantity = definitions.type_id("Quantity")?;
                definitions.is_a(self.type_id?, quantity).then(|| quantity_of(value)).flatten()
            }
            Kind::Array | Kind::Null => None,
        }
    }
}

/// `Quantity` as FHIRPath's (R4 fhirpath.html#quantity): the code where the system is UCUM, else the unit only if there is no code.
fn quantity_of(value: Value<'_>) -> Option<Item<'static>> {
    const UCUM: &str = "http://unitsofmeasure.org";
    let number = Decimal::parse(value.get("value")?.as_number()?)?;
    if value.get("comparator").is_some() {
        return None;
    }
    let system = value.get_str("system");
    let code = match value.get_str("code") {
        Some(code) if system.as_deref() == Some(UCUM) => code,
        Some(code) => Cow::Owned(format!("{}|{code}", system.as_deref().unwrap_or_default())),
        None => value.get_str("unit").unwrap_or(Cow::Borrowed("1")),
    };
    // R4 maps the codes of calendar durations to calendar units.
    let unit = match &*code {
        "a" if system.as_deref() == Some(UCUM) => Unit::Calendar(CalendarUnit::Year),
        "mo" if system.as_deref() == Some(UCUM) => Unit::Calendar(CalendarUnit::Month),
        _ => Unit::Ucum(code.into()),
    };
    Some(Item::Quantity(Box::new(Quantity { value: number, unit })))
}

pub(crate) fn resource_type_id(definitions: &Definitions, value: Value<'_>) -> Option<TypeId> {
    definitions.type_id(&value.get_str("resourceType")?)
}

impl<'a> Item<'a> {
    /// A whole resource, its type read off `resourceType`.
    pub fn resource(definitions: &Definitions, value: Value<'a>) -> Self {
        Self::Node(Node::new(definitions, value, None))
    }

    /// An element of a known type.
    pub fn element(value: Value<'a>, type_id: TypeId) -> Self {
        Self::Node(Node { value: Some(value), sibling: None, type_id: Some(type_id) })
    }

    /// The element's JSON; `None` for computed items and for primitives without a value.
    pub fn json(&self) -> Option<Value<'a>> {
        match self {
            Self::Node(node) => node.value,
            _ => None,
        }
    }

    /// The element's type; `None` for computed items and unknown types.
    pub fn type_id(&self) -> Option<TypeId> {
        match self {
            Self::Node(node) => node.type_id,
            _ => None,
        }
    }

    /// The name of the type without namespace: `HumanName`, `dateTime`, `Boolean`; empty where it is unknown.
    pub fn type_name<'d>(&self, definitions: &'d Definitions) -> &'d str {
        match self {
            Self::Node(node) => node.type_id.map_or("", |id| &definitions.type_definition(id).name),
            Self::Boolean(_) => "Boolean",
            Self::Integer(_) => "Integer",
            Self::Decimal(_) => "Decimal",
            Self::String(_) => "String",
            Self::Date(_) => "Date",
            Self::DateTime(_) => "DateTime",
            Self::Time(_) => "Time",
            Self::Quantity(_) => "Quantity",
            Self::Type(_) => "SimpleTypeInfo",
        }
    }

    /// The text of a string-like element (dates included, as written) or of a computed string.
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Node(node) => node.value?.as_str(),
            Self::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// A boolean element or a computed boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Node(node) => node.value?.as_bool(),
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// A number with its digits as written.
    pub fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Node(node) => Decimal::parse(node.value?.as_number()?),
            Self::Integer(value) => Some(Decimal::from(*value)),
            Self::Decimal(value) => Some(*value),
            _ => None,
        }
    }

    /// A date, date-time or instant to its precision.
    pub fn as_moment(&self) -> Option<Moment> {
        match self {
            Self::Node(node) => Moment::parse_date_time(&node.value?.as_str()?),
            Self::Date(moment) | Self::DateTime(moment) | Self::Time(moment) => Some(*moment),
            _ => None,
        }
    }

    /// What `toString()` gives: of a date, number or quantity its FHIRPath form; `None` for elements that are no primitives.
    pub fn to_text(&self, definitions: &Definitions) -> Option<String> {
        convert::to_text(&self.system(definitions))
    }

    /// The value the operators see: of a primitive or quantity element its System value, else the item itself.
    pub(crate) fn system(&self, definitions: &Definitions) -> Item<'a> {
        match self {
            Self::Node(node) => node.system_value(definitions).unwrap_or_else(|| self.clone()),
            _ => self.clone(),
        }
    }
}
