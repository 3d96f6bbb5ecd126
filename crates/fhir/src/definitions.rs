//! HL7's R4 4.0.1 definitions as a value: types, elements, search parameters, compartments and the code lists of required
//! bindings. Extraction, parsing, validation and the CapabilityStatement take a `&Definitions`; there is no global.
//!
//! R4's own come from the tables in `definitions/`, which `cargo xtask definitions` compiles from HL7's package.

mod names;
mod primitive;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::ResourceType;
use names::Names;
pub use primitive::Primitive;

/// A search parameter's number in stored keys: assigned once, kept by canonical URL. R4's own stay under
/// [`ParameterNumber::TENANT_MIN`]; those a tenant adds lie from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterNumber(pub u16);

impl ParameterNumber {
    /// The first number of a tenant's own parameters.
    pub const TENANT_MIN: Self = Self(0x8000);
}

/// R4 search.html#ptypes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SearchParameterKind {
    /// A number.
    Number,
    /// A date, an instant or a period.
    Date,
    /// Text.
    String,
    /// A code, perhaps with a system.
    Token,
    /// A reference or canonical.
    Reference,
    /// Several parameters of one element together.
    Composite,
    /// A number with a unit.
    Quantity,
    /// A URI, matched exactly.
    Uri,
    /// By a rule of its own (`Location.near`).
    Special,
}

impl SearchParameterKind {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Number, "number"),
        (Self::Date, "date"),
        (Self::String, "string"),
        (Self::Token, "token"),
        (Self::Reference, "reference"),
        (Self::Composite, "composite"),
        (Self::Quantity, "quantity"),
        (Self::Uri, "uri"),
        (Self::Special, "special"),
    ];

    /// The kind of this code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, of)| *of == code).map(|(kind, _)| kind)
    }

    /// Its code.
    pub fn code(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A search parameter.
#[derive(Debug, Clone)]
pub struct SearchParameter {
    /// Its number in stored keys.
    pub number: ParameterNumber,
    /// Its name in a query.
    pub code: String,
    /// Its canonical URL.
    pub url: String,
    /// Its type.
    pub kind: SearchParameterKind,
    /// The types it is for. `Resource` is resolved to all types, `DomainResource` to all but Binary, Bundle and Parameters.
    pub bases: Vec<ResourceType>,
    /// The FHIRPath expression as published: a union over all bases. Empty where none is published.
    pub expression: String,
    /// The types a reference may point at; empty: any.
    pub targets: Vec<ResourceType>,
    /// The parts of a composite.
    pub components: Vec<SearchParameterComponent>,
}

/// A part of a composite.
#[derive(Debug, Clone)]
pub struct SearchParameterComponent {
    /// The canonical URL of the parameter that gives the part its type.
    pub definition: String,
    /// FHIRPath from each item of the composite's expression.
    pub expression: String,
}

/// A type in the element tables: a resource, a datatype, a primitive, or a backbone element such as `Patient.contact`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u16);

/// What a type is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeKind {
    /// A primitive: a JSON scalar, with id and extensions under `_name`.
    Primitive,
    /// A datatype or backbone element.
    Complex,
    /// A resource.
    Resource,
}

/// A type with its elements.
#[derive(Debug, Clone)]
pub struct TypeDefinition {
    /// `Patient`, `HumanName`, `string`, `Patient.contact`.
    pub name: String,
    /// What it is.
    pub kind: TypeKind,
    /// Which primitive, where it is one.
    pub primitive: Option<Primitive>,
    /// The type it specializes (`DomainResource`, `Quantity` for `Age`, `string` for `code`), if any.
    pub base: Option<TypeId>,
    /// Whether no instance is of exactly this type.
    pub is_abstract: bool,
    /// Its elements in their order, those inherited first.
    pub elements: Vec<Element>,
    /// The places in `elements` of those with a minimum over 0.
    pub mandatory: Vec<u16>,
    /// Property name in JSON → (element, position of the type in its list).
    pub(crate) properties: Names<(u16, u16)>,
}

/// An element of a type.
#[derive(Debug, Clone)]
pub struct Element {
    /// Its name; a choice without `[x]` (`value`).
    pub name: String,
    /// The types it may have; more than one, or `choice`, for `[x]`. Empty for `Resource`-typed content such as `contained`
    /// (then [`Element::is_resource`]).
    pub types: Vec<TypeId>,
    /// Whether it is a choice, so that its JSON property carries the type's name.
    pub choice: bool,
    /// Whether it holds a whole resource (`contained`, `Bundle.entry.resource`).
    pub is_resource: bool,
    /// The least number of values.
    pub min: u32,
    /// The greatest number of values; `None` is `*`.
    pub max: Option<u32>,
    /// The code list of a required binding.
    pub required_codes: Option<CodeListId>,
    /// The types a Reference may point at; empty: any.
    pub reference_targets: Vec<ResourceType>,
    /// The types a canonical may point at; empty: any.
    pub canonical_targets: Vec<ResourceType>,
    /// Whether it can change what the elements around it mean (R4 conformance-rules.html#isModifier).
    pub is_modifier: bool,
    /// Whether `_summary=true` shows it.
    pub is_summary: bool,
    /// Whether it is a bare value without id and extensions of its own (`Element.id`, `Extension.url`): no `_` sibling.
    pub is_attribute: bool,
}

/// A list of codes that a required binding allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeListId(pub u16);

/// The codes of a value set that R4 enumerates; sets that cannot be enumerated (all of BCP-47, UCUM) have no list.
#[derive(Debug, Clone)]
pub struct CodeList {
    /// Canonical URL of the value set.
    pub url: String,
    /// Its codes, sorted, whatever the system.
    pub codes: Vec<String>,
    /// Its codes by system.
    pub systems: Vec<CodeListSystem>,
}

/// The codes of a list that are of one system.
#[derive(Debug, Clone)]
pub struct CodeListSystem {
    /// Canonical URL of the code system.
    pub system: String,
    /// The codes, sorted.
    pub codes: Vec<String>,
}

impl CodeList {
    /// Whether a `code` element bound to the list may have this code.
    pub fn has_code(&self, code: &str) -> bool {
        has(&self.codes, code)
    }

    /// Whether the list has this code of this system.
    pub fn has_coding(&self, system: &str, code: &str) -> bool {
        self.systems.iter().any(|of| of.system == system && has(&of.codes, code))
    }
}

fn has(codes: &[String], code: &str) -> bool {
    codes.binary_search_by(|probe| probe.as_str().cmp(code)).is_ok()
}

/// How a type belongs to a compartment (R4 compartmentdefinition.html).
#[derive(Debug, Clone)]
pub struct Compartment {
    /// The type that spans it: Patient, Encounter, RelatedPerson, Practitioner or Device.
    pub owner: ResourceType,
    /// Type → codes of the search parameters that put a resource into it; types that never belong are absent. `{def}` of the
    /// definition is not listed: the owner itself always belongs.
    pub members: HashMap<ResourceType, Vec<String>>,
}

/// A JSON property of a type.
#[derive(Debug, Clone, Copy)]
pub struct Property<'a> {
    /// The element behind it.
    pub element: &'a Element,
    /// The element's place in the type's list.
    pub place: u16,
    /// Its type; `None` where it holds a whole resource.
    pub type_id: Option<TypeId>,
}

/// The definitions a tenant is served with.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    epoch: u32,
    types: Vec<TypeDefinition>,
    type_ids: Names<TypeId>,
    /// By number of the resource type.
    resource_type_ids: Vec<TypeId>,
    code_lists: Vec<CodeList>,
    parameters: Vec<SearchParameter>,
    /// By number of the resource type: indices into `parameters`, sorted by code.
    parameters_by_type: Vec<Vec<u16>>,
    parameters_by_url: HashMap<String, u16>,
    parameters_by_number: HashMap<ParameterNumber, u16>,
    compartments: Vec<Compartment>,
}

impl Definitions {
    /// R4 4.0.1 as published. Takes a few milliseconds: load once and share.
    pub fn r4() -> Arc<Self> {
        Arc::new(tables::load().expect("the tables of the build are well-formed, as a test shows"))
    }

    /// Grows with each change of a tenant's overlay; index entries carry the epoch they were extracted with. R4 alone is 0.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The type of this name, such as `Patient`, `HumanName`, `code` or `Patient.contact`.
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.type_ids.get(name)
    }

    /// The type of these resources.
    pub fn resource_type_id(&self, resource_type: ResourceType) -> TypeId {
        self.resource_type_ids[usize::from(resource_type.number())]
    }

    /// A type's definition.
    pub fn type_definition(&self, id: TypeId) -> &TypeDefinition {
        &self.types[usize::from(id.0)]
    }

    /// Every type: resources, datatypes, primitives and backbone elements.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &TypeDefinition)> {
        self.types.iter().enumerate().map(|(index, definition)| (TypeId(index as u16), definition))
    }

    /// Whether `id` is `ancestor` or specializes it.
    pub fn is_a(&self, id: TypeId, ancestor: TypeId) -> bool {
        std::iter::successors(Some(id), |id| self.type_definition(*id).base).any(|id| id == ancestor)
    }

    /// The element and type behind a JSON property (`valueQuantity` → `value`, Quantity).
    pub fn property(&self, id: TypeId, name: &str) -> Option<Property<'_>> {
        let definition = self.type_definition(id);
        let (place, position) = definition.properties.get(name)?;
        let element = &definition.elements[usize::from(place)];
        Some(Property { element, place, type_id: element.types.get(usize::from(position)).copied() })
    }

    /// The primitive whose id and extensions a JSON property such as `_birthDate` or `_valueCode` carries (R4
    /// json.html#primitive); `None` where the name has no underscore or what is behind it has no such sibling.
    pub fn sibling_property(&self, id: TypeId, name: &str) -> Option<Property<'_>> {
        let property = self.property(id, name.strip_prefix('_')?)?;
        let primitive = self.type_definition(property.type_id?).primitive?;
        (primitive != Primitive::Xhtml && !property.element.is_attribute).then_some(property)
    }

    /// An element by its FHIR name (`value` for a choice).
    pub fn element(&self, id: TypeId, name: &str) -> Option<&Element> {
        self.type_definition(id).elements.iter().find(|element| element.name == name)
    }

    /// The codes of a list.
    pub fn code_list(&self, id: CodeListId) -> &CodeList {
        &self.code_lists[usize::from(id.0)]
    }

    /// A type's search parameter by its code, those of every type (`_id`, `_lastUpdated`, …) among them.
    pub fn search_parameter(&self, resource_type: ResourceType, code: &str) -> Option<&SearchParameter> {
        let indices = &self.parameters_by_type[usize::from(resource_type.number())];
        let place = indices.binary_search_by(|index| self.parameter(*index).code.as_str().cmp(code)).ok()?;
        Some(self.parameter(indices[place]))
    }

    /// All of a type's search parameters, by code.
    pub fn search_parameters(&self, resource_type: ResourceType) -> impl Iterator<Item = &SearchParameter> {
        self.parameters_by_type[usize::from(resource_type.number())].iter().map(|index| self.parameter(*index))
    }

    /// A search parameter by its canonical URL.
    pub fn search_parameter_by_url(&self, url: &str) -> Option<&SearchParameter> {
        self.parameters_by_url.get(url).map(|index| self.parameter(*index))
    }

    /// A search parameter by its number.
    pub fn search_parameter_by_number(&self, number: ParameterNumber) -> Option<&SearchParameter> {
        self.parameters_by_number.get(&number).map(|index| self.parameter(*index))
    }

    /// Every search parameter, by number.
    pub fn all_search_parameters(&self) -> impl Iterator<Item = &SearchParameter> {
        self.parameters.iter()
    }

    fn parameter(&self, index: u16) -> &SearchParameter {
        &self.parameters[usize::from(index)]
    }

    /// The compartment that a type spans.
    pub fn compartment(&self, owner: ResourceType) -> Option<&Compartment> {
        self.compartments.iter().find(|compartment| compartment.owner == owner)
    }
}
