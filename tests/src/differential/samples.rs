//! Values that loaded resources hold, to search for.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::queries::{Kind, PARAMETERS};

/// So many values of each parameter are kept, drawn evenly from all that were seen.
const KEPT: usize = 40;

/// Values by type and parameter.
pub(super) struct Samples {
    values: HashMap<(&'static str, &'static str), (u64, Vec<Value>)>,
    ids: HashMap<String, (u64, Vec<String>)>,
    random: StdRng,
}

impl Samples {
    pub(super) fn new(seed: u64) -> Self {
        Self { values: HashMap::new(), ids: HashMap::new(), random: StdRng::seed_from_u64(seed) }
    }

    /// Looks at a resource.
    pub(super) fn take(&mut self, resource: &Value) {
        let resource_type = resource["resourceType"].as_str().unwrap();
        let id = resource["id"].as_str().unwrap().to_owned();
        keep(&mut self.random, self.ids.entry(resource_type.to_owned()).or_default(), id);
        for (owner, parameters) in PARAMETERS.iter().filter(|(owner, _)| *owner == resource_type) {
            for (code, kind, path) in *parameters {
                let mut found = Vec::new();
                collect(resource, path, &mut found);
                for value in found.into_iter().filter(|value| is_usable(value, *kind)) {
                    keep(&mut self.random, self.values.entry((owner, code)).or_default(), value.clone());
                }
            }
        }
    }

    /// One value of a parameter, if there is any.
    pub(super) fn value(&self, random: &mut StdRng, resource_type: &'static str, code: &'static str) -> Option<&Value> {
        let (_, values) = self.values.get(&(resource_type, code))?;
        values.get(random.random_range(0..values.len()))
    }

    /// One id of a type, if there is any.
    pub(super) fn id(&self, random: &mut StdRng, resource_type: &str) -> Option<&str> {
        let (_, ids) = self.ids.get(resource_type)?;
        ids.get(random.random_range(0..ids.len())).map(String::as_str)
    }
}

fn keep<T>(random: &mut StdRng, (seen, kept): &mut (u64, Vec<T>), value: T) {
    *seen += 1;
    if kept.len() < KEPT {
        return kept.push(value);
    }
    let place = random.random_range(0..*seen) as usize;
    if place < KEPT {
        kept[place] = value;
    }
}

/// Everything at a path of member names, through arrays.
fn collect<'v>(value: &'v Value, path: &str, out: &mut Vec<&'v Value>) {
    if let Some(items) = value.as_array() {
        return items.iter().for_each(|item| collect(item, path, out));
    }
    match path.split_once('.') {
        None if path.is_empty() => out.push(value),
        None => collect(&value[path], "", out),
        Some((name, rest)) => collect(&value[name], rest, out),
    }
}

fn is_usable(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Coding | Kind::Identifier => value["system"].is_string() && (value["code"].is_string() || value["value"].is_string()),
        Kind::Quantity => value["value"].is_number(),
        Kind::Component(..) => value["code"]["coding"][0]["code"].is_string(),
        Kind::Reference(_) => value.as_str().is_some_and(|text| text.starts_with("urn:uuid:")),
        Kind::Text | Kind::Code | Kind::Date | Kind::Uri => value.is_string(),
    }
}
