//! The codes of value sets with required bindings, from HL7's published expansions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::types::text;
use crate::Failure;

/// The table's file.
pub const FILE: &str = "code-lists.txt";

const HEAD: &str = "\
# Codes of the value sets with required bindings, from HL7's expansions (R4 4.0.1). Abstract codes are left out; sets that
# cannot be enumerated (UCUM, media types, LOINC answers) have no list. Written by `cargo xtask definitions`.
#
# value set
#   code system
#     code …
";

/// Marks an expansion that holds only some of the codes.
const TOO_COSTLY: &str = "http://hl7.org/fhir/StructureDefinition/valueset-toocostly";

/// The lists.
pub struct CodeLists {
    /// The table's text.
    pub table: String,
    /// The value sets that have a list.
    pub urls: BTreeSet<String>,
}

/// Writes the lists of the value sets in `wanted`.
pub fn compile(expansions: &[Value], wanted: &BTreeSet<String>) -> Result<CodeLists, Failure> {
    let mut lists = CodeLists { table: HEAD.to_owned(), urls: BTreeSet::new() };
    let by_url: BTreeMap<&str, &Value> = expansions.iter().filter_map(|set| Some((set["url"].as_str()?, set))).collect();
    for url in wanted {
        let Some(expansion) = by_url.get(url.as_str()).map(|set| &set["expansion"]) else { continue };
        let costly = expansion["extension"].as_array().is_some_and(|extensions| extensions.iter().any(|e| e["url"] == TOO_COSTLY));
        if costly {
            continue;
        }
        let mut systems = BTreeMap::new();
        collect(&expansion["contains"], &mut systems)?;
        if systems.is_empty() {
            continue;
        }
        writeln!(lists.table, "{url}")?;
        for (system, codes) in systems {
            writeln!(lists.table, "  {system}\n    {}", codes.into_iter().collect::<Vec<_>>().join(" "))?;
        }
        lists.urls.insert(url.clone());
    }
    Ok(lists)
}

fn collect<'a>(contains: &'a Value, systems: &mut BTreeMap<&'a str, BTreeSet<&'a str>>) -> Result<(), Failure> {
    for item in contains.as_array().into_iter().flatten() {
        if item["abstract"] != true && item.get("code").is_some() {
            let code = text(item, "code")?;
            if code.contains(char::is_whitespace) {
                return Err(format!("the code {code:?} holds a space, which separates codes in {FILE}").into());
            }
            systems.entry(text(item, "system")?).or_default().insert(code);
        }
        collect(&item["contains"], systems)?;
    }
    Ok(())
}
