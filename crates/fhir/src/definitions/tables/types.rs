//! Types and elements.

use std::collections::HashMap;

use super::{Line, TableError};
use crate::ResourceType;
use crate::definitions::{CodeListId, Element, Names, Primitive, TypeDefinition, TypeId, TypeKind};

pub(super) const TABLE: &str = "types.txt";

/// What the URLs of most value sets start with; the table leaves it out.
const VALUE_SET: &str = "http://hl7.org/fhir/ValueSet/";

/// The types, and their ids by name.
pub(super) fn types(text: &str, code_lists: &HashMap<String, CodeListId>) -> Result<(Vec<TypeDefinition>, Names<TypeId>), TableError> {
    let mut reader = Reader { ids: Names::with_capacity(1024), code_lists, types: Vec::with_capacity(1024) };
    // Elements name types that stand behind them, so all names are read first.
    let mut count = 0;
    for line in Line::all(TABLE, text).filter(|line| line.indent == 0) {
        let name = line.word(&mut line.text.split(' ').skip(1))?;
        if reader.ids.insert(name, TypeId(count)).is_some() {
            return Err(line.error("a type stands twice"));
        }
        count = count.checked_add(1).ok_or_else(|| line.error("too many types"))?;
    }
    for line in Line::all(TABLE, text) {
        if line.indent == 0 {
            let definition = reader.type_definition(line)?;
            reader.types.push(definition);
        } else {
            let element = reader.element(line)?;
            let of = reader.types.last_mut().ok_or_else(|| line.error("an element before the first type"))?;
            add(of, element);
        }
    }
    for index in 0..reader.types.len() {
        let (properties, mandatory) = properties(&reader.types, index);
        reader.types[index].properties = properties;
        reader.types[index].mandatory = mandatory;
    }
    Ok((reader.types, reader.ids))
}

/// An element of the base's name takes its place.
fn add(definition: &mut TypeDefinition, element: Element) {
    match definition.elements.iter_mut().find(|inherited| inherited.name == element.name) {
        Some(inherited) => *inherited = element,
        None => definition.elements.push(element),
    }
}

struct Reader<'a> {
    ids: Names<TypeId>,
    code_lists: &'a HashMap<String, CodeListId>,
    types: Vec<TypeDefinition>,
}

impl Reader<'_> {
    /// `kind name base [abstract]`
    fn type_definition(&self, line: Line<'_>) -> Result<TypeDefinition, TableError> {
        let mut words = line.text.split(' ');
        let kind = match line.word(&mut words)? {
            "primitive" => TypeKind::Primitive,
            "complex" => TypeKind::Complex,
            "resource" => TypeKind::Resource,
            _ => return Err(line.error("no such kind of type")),
        };
        let name = line.word(&mut words)?;
        let base = match line.word(&mut words)? {
            "-" => None,
            base => Some(self.ids.get(base).ok_or_else(|| line.error("no such base"))?),
        };
        let elements = match base.map(|base| self.types.get(usize::from(base.0))) {
            Some(Some(base)) => base.elements.clone(),
            Some(None) => return Err(line.error("the base stands behind the type")),
            None => Vec::new(),
        };
        let primitive = Primitive::parse(name);
        if primitive.is_some() != (kind == TypeKind::Primitive) {
            return Err(line.error("not among the primitives, or not declared as one"));
        }
        let is_abstract = words.next() == Some("abstract");
        let (properties, mandatory) = (Names::default(), Vec::new());
        Ok(TypeDefinition { name: name.to_owned(), kind, primitive, base, is_abstract, elements, mandatory, properties })
    }

    /// `element min..max type … [!value-set] [flag] …`
    fn element(&self, line: Line<'_>) -> Result<Element, TableError> {
        let mut words = line.text.split(' ');
        let name = line.word(&mut words)?;
        let (min, max) = line.word(&mut words)?.split_once("..").ok_or_else(|| line.error("no min..max"))?;
        let max = if max == "*" { None } else { Some(max.parse().map_err(|_| line.error("bad maximum"))?) };
        let mut element = Element {
            name: name.trim_end_matches("[x]").to_owned(),
            types: Vec::new(),
            choice: name.ends_with("[x]"),
            is_resource: false,
            min: min.parse().map_err(|_| line.error("bad minimum"))?,
            max,
            required_codes: None,
            reference_targets: Vec::new(),
            canonical_targets: Vec::new(),
            is_modifier: false,
            is_summary: false,
            is_attribute: false,
        };
        for word in words {
            self.element_word(line, word, &mut element)?;
        }
        Ok(element)
    }

    fn element_word(&self, line: Line<'_>, word: &str, element: &mut Element) -> Result<(), TableError> {
        match word {
            "@resource" => element.is_resource = true,
            "modifier" => element.is_modifier = true,
            "summary" => element.is_summary = true,
            "attribute" => element.is_attribute = true,
            _ if word.starts_with('!') => {
                let list = self
                    .code_lists
                    .get(&word[1..])
                    .copied()
                    .or_else(|| self.code_lists.get(&format!("{VALUE_SET}{}", &word[1..])).copied());
                element.required_codes = Some(list.ok_or_else(|| line.error("no such code list"))?);
            }
            _ => {
                let (name, targets) = word.split_once('(').unwrap_or((word, ""));
                element.types.push(self.ids.get(name).ok_or_else(|| line.error("no such type"))?);
                let targets = self.targets(line, targets.trim_end_matches(')'))?;
                match name {
                    "Reference" => element.reference_targets = targets,
                    "canonical" => element.canonical_targets = targets,
                    _ if targets.is_empty() => {}
                    _ => return Err(line.error("targets of a type that points at nothing")),
                }
            }
        }
        Ok(())
    }

    fn targets(&self, line: Line<'_>, names: &str) -> Result<Vec<ResourceType>, TableError> {
        names.split('|').filter(|name| !name.is_empty()).map(|name| line.resource_type(name)).collect()
    }
}

/// The JSON properties of a type and the places of its mandatory elements.
fn properties(types: &[TypeDefinition], index: usize) -> (Names<(u16, u16)>, Vec<u16>) {
    let elements = &types[index].elements;
    let mut properties = Names::with_capacity(elements.iter().map(|element| element.types.len().max(1)).sum());
    let mut mandatory = Vec::new();
    for (place, element) in elements.iter().enumerate() {
        let place = place as u16;
        if element.min > 0 {
            mandatory.push(place);
        }
        if element.choice {
            for (position, type_id) in element.types.iter().enumerate() {
                properties.insert(choice_property(&element.name, &types[usize::from(type_id.0)].name), (place, position as u16));
            }
        } else {
            properties.insert(element.name.as_str(), (place, 0));
        }
    }
    (properties, mandatory)
}

/// `value` and `dateTime` give `valueDateTime` (R4 formats.html#choice).
fn choice_property(element: &str, of: &str) -> String {
    let mut name = element.to_owned();
    let mut letters = of.chars();
    name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
    name.push_str(letters.as_str());
    name
}
