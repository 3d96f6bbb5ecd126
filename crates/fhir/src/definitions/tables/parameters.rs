//! Search parameters.

use super::{Line, TableError};
use crate::ResourceType;
use crate::definitions::{Definitions, ParameterNumber, SearchParameter, SearchParameterComponent, SearchParameterKind};

/// Adds the parameters of the table; the types must be there.
pub(super) fn add(definitions: &mut Definitions, text: &str) -> Result<(), TableError> {
    let mut parameters: Vec<SearchParameter> = Vec::with_capacity(1400);
    for line in Line::all("search-parameters.txt", text) {
        if line.indent == 0 {
            parameters.extend(head(line)?);
            continue;
        }
        let parameter = parameters.last_mut().ok_or_else(|| line.error("a line before the first parameter"))?;
        detail(definitions, line, parameter)?;
    }
    index(definitions, parameters);
    Ok(())
}

/// `number code type canonical-URL`; none for `retired number canonical-URL`.
fn head(line: Line<'_>) -> Result<Option<SearchParameter>, TableError> {
    let words: Vec<&str> = line.text.split(' ').collect();
    let [number, code, kind, url] = words[..] else {
        return if words[0] == "retired" { Ok(None) } else { Err(line.error("not four words")) };
    };
    let number = number.parse().ok().map(ParameterNumber).filter(|number| *number < ParameterNumber::TENANT_MIN);
    Ok(Some(SearchParameter {
        number: number.ok_or_else(|| line.error("bad number"))?,
        code: code.to_owned(),
        url: url.to_owned(),
        kind: SearchParameterKind::parse(kind).ok_or_else(|| line.error("no such type of parameter"))?,
        bases: Vec::new(),
        expression: String::new(),
        targets: Vec::new(),
        components: Vec::new(),
    }))
}

fn detail(definitions: &Definitions, line: Line<'_>, parameter: &mut SearchParameter) -> Result<(), TableError> {
    let (word, rest) = line.text.split_once(' ').ok_or_else(|| line.error("a word alone"))?;
    match word {
        "for" => {
            for name in rest.split(' ') {
                add_base(definitions, line, name, &mut parameter.bases)?;
            }
        }
        "to" => parameter.targets = rest.split(' ').map(|name| line.resource_type(name)).collect::<Result<_, _>>()?,
        "as" => parameter.expression = rest.to_owned(),
        "part" => {
            let (definition, expression) = rest.split_once(' ').ok_or_else(|| line.error("a part without expression"))?;
            parameter.components.push(SearchParameterComponent { definition: definition.to_owned(), expression: expression.to_owned() });
        }
        _ => return Err(line.error("no such line of a parameter")),
    }
    Ok(())
}

/// `Resource` and `DomainResource` stand for all the types built on them.
fn add_base(definitions: &Definitions, line: Line<'_>, name: &str, bases: &mut Vec<ResourceType>) -> Result<(), TableError> {
    if let Some(resource_type) = ResourceType::parse(name) {
        bases.push(resource_type);
        return Ok(());
    }
    let ancestor = definitions.type_id(name).ok_or_else(|| line.error("no such base"))?;
    bases.extend(ResourceType::all().filter(|base| definitions.is_a(definitions.resource_type_id(*base), ancestor)));
    Ok(())
}

fn index(definitions: &mut Definitions, parameters: Vec<SearchParameter>) {
    let mut by_type = vec![Vec::new(); ResourceType::COUNT];
    for (index, parameter) in parameters.iter().enumerate() {
        let index = index as u16;
        for base in &parameter.bases {
            by_type[usize::from(base.number())].push(index);
        }
        definitions.parameters_by_url.insert(parameter.url.clone(), index);
        definitions.parameters_by_number.insert(parameter.number, index);
    }
    for indices in &mut by_type {
        indices.sort_by_key(|index| &parameters[usize::from(*index)].code);
    }
    definitions.parameters = parameters;
    definitions.parameters_by_type = by_type;
}
