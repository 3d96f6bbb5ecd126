//! The compartment definitions.

use std::fmt::Write;

use serde_json::Value;

use super::types::text;
use crate::Failure;

/// The table's file.
pub const FILE: &str = "compartments.txt";

const HEAD: &str = "\
# Which search parameters put a resource into which compartment (R4 4.0.1). Written by `cargo xtask definitions`.
#
# type that spans the compartment
#   member type: parameter …
";

/// Writes the table.
pub fn compile(resources: &[Value]) -> Result<String, Failure> {
    let mut table = HEAD.to_owned();
    let mut definitions: Vec<&Value> = resources.iter().filter(|resource| resource["resourceType"] == "CompartmentDefinition").collect();
    definitions.sort_by_key(|definition| definition["code"].as_str());
    for definition in definitions {
        writeln!(table, "{}", text(definition, "code")?)?;
        for member in definition["resource"].as_array().ok_or("a compartment without resources")? {
            let parameters: Vec<&str> =
                member["param"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|name| *name != "{def}").collect();
            if !parameters.is_empty() {
                writeln!(table, "  {}: {}", text(member, "code")?, parameters.join(" "))?;
            }
        }
    }
    Ok(table)
}
