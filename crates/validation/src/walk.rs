//! The walk through a resource: properties, arrays, cardinality.

use std::fmt::Display;
use std::ops::ControlFlow;

use fhirpool_fhir::definitions::{Element, Property, TypeId};
use fhirpool_fhir::json::{Kind, Value};
use fhirpool_fhir::{Definitions, Issue, IssueCode, ResourceType};

use crate::path::Path;
use crate::scope::Scope;
use crate::{DEPTH_MAX, ISSUES_MAX};

/// Goes on, or breaks because there are issues enough.
pub(crate) type Flow = ControlFlow<()>;

pub(crate) const CONTINUE: Flow = ControlFlow::Continue(());

/// The elements of an object that were seen, by their places in the type.
#[derive(Default)]
pub(crate) struct Seen(u128);

impl Seen {
    /// Adds one; whether it was there before. Types have far fewer elements than this has room for.
    fn add(&mut self, place: u16) -> bool {
        let before = self.has(place);
        self.0 |= 1 << (place & 127);
        before
    }

    pub(crate) fn has(&self, place: u16) -> bool {
        self.0 & (1 << (place & 127)) != 0
    }
}

pub(crate) struct Walk<'d> {
    pub(crate) definitions: &'d Definitions,
    pub(crate) extension: Option<TypeId>,
    pub(crate) reference: Option<TypeId>,
    issues: Vec<Issue>,
}

impl<'d> Walk<'d> {
    pub(crate) fn new(definitions: &'d Definitions) -> Self {
        let [extension, reference] = ["Extension", "Reference"].map(|name| definitions.type_id(name));
        Self { definitions, extension, reference, issues: Vec::new() }
    }

    pub(crate) fn run(mut self, resource: Value<'_>) -> Vec<Issue> {
        // A break only says that the issues are full.
        let _full = self.resource(resource, None, None);
        self.issues
    }

    /// Notes an issue.
    pub(crate) fn issue(&mut self, path: &Path<'_>, code: IssueCode, diagnostics: impl Into<String>) -> Flow {
        self.issues.push(Issue::error(code, diagnostics).at(path.to_string()));
        if self.issues.len() < ISSUES_MAX { CONTINUE } else { ControlFlow::Break(()) }
    }

    /// A resource: the outermost (without `path`), one in an element, or one contained in that of `container`.
    pub(crate) fn resource(&mut self, value: Value<'_>, path: Option<&Path<'_>>, container: Option<&Scope<'_>>) -> Flow {
        let name = value.get_str("resourceType");
        let root = Path::root("Resource");
        let Some(resource_type) = name.as_deref().and_then(ResourceType::parse) else {
            let fault = if value.is_object() {
                "resourceType must be the name of an R4 resource type"
            } else {
                "must be a resource, a JSON object"
            };
            return self.issue(path.unwrap_or(&root), IssueCode::Structure, fault);
        };
        let root = Path::root(resource_type.name());
        let path = path.unwrap_or(&root);
        let type_id = self.definitions.resource_type_id(resource_type);
        match container {
            Some(container) => {
                if value.get("contained").is_some() {
                    self.issue(path, IssueCode::Invariant, "a contained resource must not contain others (dom-2)")?;
                }
                self.members(value, type_id, path, container, true).map_continue(|_| ())
            }
            None => self.members(value, type_id, path, &Scope::new(value), true).map_continue(|_| ()),
        }
    }

    /// A value of a complex type.
    pub(crate) fn complex(&mut self, value: Value<'_>, type_id: TypeId, element: &Element, path: &Path<'_>, scope: &Scope<'_>) -> Flow {
        if !value.is_object() {
            return self.issue(path, IssueCode::Structure, "must be an object");
        }
        let seen = self.members(value, type_id, path, scope, false)?;
        self.content(value, path)?;
        if Some(type_id) == self.extension {
            self.extension(&seen, path)
        } else if Some(type_id) == self.reference {
            self.reference(value, element, path, scope)
        } else {
            element.required_codes.map_or(CONTINUE, |list| self.concept(value, list, path))
        }
    }

    /// `ele-1`: an element has a value or children besides its id.
    pub(crate) fn content(&mut self, value: Value<'_>, path: &Path<'_>) -> Flow {
        if value.members().any(|member| member.name() != "id") {
            return CONTINUE;
        }
        self.issue(path, IssueCode::Invariant, "must not be empty: a value, an extension or a child is required (ele-1)")
    }

    /// The properties of an object, and whether any is missing.
    pub(crate) fn members(
        &mut self,
        value: Value<'_>,
        type_id: TypeId,
        path: &Path<'_>,
        scope: &Scope<'_>,
        is_resource: bool,
    ) -> ControlFlow<(), Seen> {
        let mut seen = Seen::default();
        if path.depth > DEPTH_MAX {
            self.issue(path, IssueCode::TooLong, "elements are nested too deeply")?;
            return ControlFlow::Continue(seen);
        }
        let definitions = self.definitions;
        for member in value.members() {
            let name = member.name();
            if is_resource && name == "resourceType" {
                continue;
            }
            let (property, sibling) = match definitions.property(type_id, &name) {
                Some(property) => (property, false),
                None => match definitions.sibling_property(type_id, &name) {
                    Some(property) => (property, true),
                    None => {
                        self.issue(path, IssueCode::Structure, format!("unknown property {}", Clipped(&name)))?;
                        continue;
                    }
                },
            };
            let below = path.element(&property.element.name);
            if seen.add(property.place) && property.element.choice {
                self.choice(value, type_id, property, &below)?;
            }
            if sibling {
                self.sibling(member.value(), value.get(&name[1..]), property, &below, scope)?;
            } else {
                self.property(value, member.value(), &name, property, &below, scope)?;
            }
        }
        for place in &definitions.type_definition(type_id).mandatory {
            if !seen.has(*place) {
                let element = &definitions.type_definition(type_id).elements[usize::from(*place)];
                let mark = if element.choice { "[x]" } else { "" };
                self.issue(path, IssueCode::Required, format!("{}{mark} is required", element.name))?;
            }
        }
        ControlFlow::Continue(seen)
    }

    /// A choice that is there for the second time: fine if it is the sibling of the same primitive. Both of two clashing
    /// properties come here but for the first.
    fn choice(&mut self, object: Value<'_>, type_id: TypeId, property: Property<'_>, path: &Path<'_>) -> Flow {
        let clash = object.members().any(|member| {
            let name = member.name();
            let other = self.definitions.property(type_id, name.strip_prefix('_').unwrap_or(&name));
            other.is_some_and(|other| other.place == property.place && other.type_id != property.type_id)
        });
        if !clash {
            return CONTINUE;
        }
        self.issue(path, IssueCode::Structure, format!("{}[x] must have one type only", property.element.name))
    }

    /// A property other than the `_` sibling of a primitive.
    fn property(
        &mut self,
        object: Value<'_>,
        value: Value<'_>,
        name: &str,
        property: Property<'_>,
        path: &Path<'_>,
        scope: &Scope<'_>,
    ) -> Flow {
        if !self.array_form(value, property.element, path)? {
            return CONTINUE;
        }
        let primitive = property.type_id.filter(|id| self.definitions.type_definition(*id).primitive.is_some());
        if primitive.is_some() && value.elements().any(|item| item.kind() == Kind::Null) {
            self.nulls(object, value, name, path)?;
        }
        for (index, item) in value.each().enumerate() {
            let path = if value.is_array() { path.at(index) } else { *path };
            match property.type_id {
                // One that has a sibling in its place was dealt with above.
                Some(_) if primitive.is_some() && value.is_array() && item.kind() == Kind::Null => {}
                Some(type_id) => self.item(item, type_id, property.element, &path, scope)?,
                None => {
                    let container = (property.element.name == "contained").then_some(scope);
                    self.resource(item, Some(&path), container)?;
                }
            }
        }
        CONTINUE
    }

    fn item(&mut self, value: Value<'_>, type_id: TypeId, element: &Element, path: &Path<'_>, scope: &Scope<'_>) -> Flow {
        match self.definitions.type_definition(type_id).primitive {
            Some(primitive) => self.primitive(value, primitive, element, path),
            None => self.complex(value, type_id, element, path, scope),
        }
    }

    /// Whether a value is an array just where its element repeats. An empty array is no array; one too long is looked into.
    pub(crate) fn array_form(&mut self, value: Value<'_>, element: &Element, path: &Path<'_>) -> ControlFlow<(), bool> {
        let fault = match (value.is_array(), element.max) {
            (true, Some(1)) => "must not be an array",
            (false, None | Some(2..)) => "must be an array",
            (_, Some(0)) => "is not allowed here",
            (true, _) if value.elements().next().is_none() => "must not be an empty array",
            (true, Some(max)) if value.elements().nth(max as usize).is_some() => {
                self.issue(path, IssueCode::Structure, format!("must not be there more than {max} times"))?;
                return ControlFlow::Continue(true);
            }
            _ => return ControlFlow::Continue(true),
        };
        self.issue(path, IssueCode::Structure, fault)?;
        ControlFlow::Continue(false)
    }
}

/// A client's name, cut to a length fit for a message.
struct Clipped<'a>(&'a str);

impl Display for Clipped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LETTERS_MAX: usize = 64;
        match self.0.char_indices().nth(LETTERS_MAX) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}
