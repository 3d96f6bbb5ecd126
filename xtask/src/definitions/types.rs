//! The types and their elements.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use serde_json::Value;

use crate::Failure;

/// The table's file.
pub const FILE: &str = "types.txt";

const HEAD: &str = "\
# R4's types with the elements they add to or change from their base (4.0.1). Written by `cargo xtask definitions`.
#
# kind name base [abstract]     (a base stands before the types built on it)
#   element min..max type … [!value-set] [modifier] [summary] [attribute]
#
# A name in [x] is a choice; the type @resource is a whole resource; Reference(A|B) and canonical(A|B) name the types that may
# be pointed at. !value-set is a required binding, without http://hl7.org/fhir/ValueSet/ where the URL starts so.
# An attribute is one in XML too: a bare value that has no id and extensions of its own.
";

const STRUCTURE: &str = "http://hl7.org/fhir/StructureDefinition/";
const VALUE_SET: &str = "http://hl7.org/fhir/ValueSet/";
const SYSTEM_TYPE: &str = "http://hl7.org/fhirpath/";
const FHIR_TYPE: &str = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type";

/// A string property.
pub fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failure> {
    value[name].as_str().ok_or_else(|| format!("{name} is missing in {}", value["id"]).into())
}

/// The value sets that R4's elements are bound to with strength required, without versions.
pub fn required_value_sets(structures: &[Value]) -> Result<BTreeSet<String>, Failure> {
    let mut urls = BTreeSet::new();
    for structure in structures {
        urls.extend(elements(structure)?.iter().filter_map(required_value_set).map(str::to_owned));
    }
    Ok(urls)
}

/// Writes the table; `code_lists` are the value sets with a list.
pub fn compile(structures: &[Value], code_lists: &BTreeSet<String>) -> Result<String, Failure> {
    let by_name: HashMap<&str, &Value> =
        structures.iter().map(|structure| Ok((text(structure, "name")?, structure))).collect::<Result<_, Failure>>()?;
    let mut table = HEAD.to_owned();
    let mut written = HashSet::new();
    for structure in structures {
        // A base stands before the types built on it.
        let mut chain = vec![structure];
        while let Some(base) = base(chain[chain.len() - 1]).and_then(|name| by_name.get(name)) {
            chain.push(base);
        }
        for structure in chain.into_iter().rev() {
            if written.insert(text(structure, "name")?) {
                Structure { structure, by_name: &by_name, code_lists }.write(&mut table)?;
            }
        }
    }
    Ok(table)
}

fn base(structure: &Value) -> Option<&str> {
    structure["baseDefinition"].as_str().map(|url| url.trim_start_matches(STRUCTURE))
}

struct Structure<'a> {
    structure: &'a Value,
    by_name: &'a HashMap<&'a str, &'a Value>,
    code_lists: &'a BTreeSet<String>,
}

impl<'a> Structure<'a> {
    fn write(&self, table: &mut String) -> Result<(), Failure> {
        let name = text(self.structure, "name")?;
        let kind = match text(self.structure, "kind")? {
            "primitive-type" => "primitive",
            "complex-type" => "complex",
            kind => kind,
        };
        let base = base(self.structure);
        let mark = if self.structure["abstract"] == true { " abstract" } else { "" };
        writeln!(table, "{kind} {name} {}{mark}", base.unwrap_or("-"))?;
        self.write_elements(table, name, base)?;
        for backbone in elements(self.structure)? {
            let path = text(backbone, "path")?;
            if let Some(base) = backbone_base(backbone, path) {
                writeln!(table, "complex {path} {base}")?;
                self.write_elements(table, path, Some(base))?;
            }
        }
        Ok(())
    }

    /// Writes the elements directly under `parent` that its base does not have just so.
    fn write_elements(&self, table: &mut String, parent: &str, base: Option<&str>) -> Result<(), Failure> {
        let inherited = match base {
            Some(base) => self.lines(self.by_name.get(base).ok_or_else(|| format!("{parent}: no base {base}"))?, base)?,
            None => Vec::new(),
        };
        for line in self.lines(self.structure, parent)? {
            if !inherited.contains(&line) {
                writeln!(table, "  {line}")?;
            }
        }
        Ok(())
    }

    fn lines(&self, structure: &Value, parent: &str) -> Result<Vec<String>, Failure> {
        let primitive = structure["kind"] == "primitive-type";
        let mut lines = Vec::new();
        for element in elements(structure)? {
            let path = text(element, "path")?;
            let Some((above, name)) = path.rsplit_once('.') else { continue };
            // The value of a primitive is the JSON scalar itself.
            if above == parent && !(primitive && name == "value") {
                lines.push(self.line(element, path, name)?);
            }
        }
        Ok(lines)
    }

    fn line(&self, element: &Value, path: &str, name: &str) -> Result<String, Failure> {
        let mut line = format!("{name} {}..{}", element["min"], text(element, "max")?);
        if let Some(target) = element["contentReference"].as_str() {
            write!(line, " {}", target.trim_start_matches('#'))?;
        }
        for item in element["type"].as_array().into_iter().flatten() {
            write!(line, " {}", type_name(element, item, path)?)?;
        }
        if let Some(url) = required_value_set(element).filter(|url| self.code_lists.contains(*url)) {
            write!(line, " !{}", url.trim_start_matches(VALUE_SET))?;
        }
        for (flag, word) in [("isModifier", " modifier"), ("isSummary", " summary")] {
            if element[flag] == true {
                line.push_str(word);
            }
        }
        if element["type"][0]["code"].as_str().is_some_and(|code| code.starts_with(SYSTEM_TYPE)) {
            line.push_str(" attribute");
        }
        Ok(line)
    }
}

fn elements(structure: &Value) -> Result<&Vec<Value>, Failure> {
    structure["snapshot"]["element"].as_array().ok_or_else(|| format!("{} has no snapshot", structure["id"]).into())
}

/// `BackboneElement` or `Element` where an element has children of its own.
fn backbone_base<'a>(element: &'a Value, path: &str) -> Option<&'a str> {
    let code = element["type"][0]["code"].as_str().filter(|_| path.contains('.'))?;
    matches!(code, "BackboneElement" | "Element").then_some(code)
}

fn required_value_set(element: &Value) -> Option<&str> {
    let binding = element.get("binding").filter(|binding| binding["strength"] == "required")?;
    binding["valueSet"].as_str()?.split('|').next()
}

fn type_name(element: &Value, item: &Value, path: &str) -> Result<String, Failure> {
    if backbone_base(element, path).is_some() {
        return Ok(path.to_owned());
    }
    let code = text(item, "code")?;
    let name = match code {
        "Resource" => "@resource",
        // Published as a string; resource.html#id gives it the type id.
        _ if path == "Resource.id" || element["base"]["path"] == "Resource.id" => "id",
        _ if code.starts_with(SYSTEM_TYPE) => fhir_type(item).unwrap_or("string"),
        _ => code,
    };
    let targets: Vec<&str> = item["targetProfile"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let targets: Vec<&str> = targets.iter().map(|url| url.trim_start_matches(STRUCTURE)).filter(|name| *name != "Resource").collect();
    Ok(if targets.is_empty() { name.to_owned() } else { format!("{name}({})", targets.join("|")) })
}

/// FHIR's name of a type published as a FHIRPath system type.
fn fhir_type(item: &Value) -> Option<&str> {
    item["extension"].as_array()?.iter().find(|extension| extension["url"] == FHIR_TYPE)?["valueUrl"].as_str()
}
