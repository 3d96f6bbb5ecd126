//! What the index holds of a version.

use std::collections::{BTreeMap, BTreeSet};

use fhirpool_fhir::OrderedId;
use fhirpool_search::{IndexEntry, date_of_value, reference_target, sort_key_of_value, system_of_value};
use fhirpool_storage::{IndexDocument, Result};
use serde_json::{Map, Value, json};

use crate::fields::{self, Fields};
use crate::names::{TypeNames, id_bytes};
use crate::text;

/// A document with what the cluster must know to place it.
pub(crate) struct Placed {
    /// Its id.
    pub(crate) id: String,
    /// The tenant's shard.
    pub(crate) routing: String,
    /// The resource's version.
    pub(crate) version: u64,
    /// JSON.
    pub(crate) source: Vec<u8>,
}

impl Placed {
    /// Of a committed version.
    pub(crate) fn new(document: &IndexDocument, fields: &Fields) -> Result<Self> {
        let names = TypeNames::to_write(&document.access, document.key.resource_type)?;
        let source = match &document.entries {
            Some(entries) => source(&names, &OrderedId::from(&document.key.id), entries, fields),
            None => json!({fields::TENANT: names.tenant(), fields::GONE: document.last_updated.0}),
        };
        Ok(Self {
            id: names.document(&document.key.id),
            routing: names.tenant().to_owned(),
            version: document.version.0,
            source: source.to_string().into_bytes(),
        })
    }
}

fn source(names: &TypeNames, id: &OrderedId, entries: &[IndexEntry], fields: &Fields) -> Value {
    let mut terms = BTreeSet::new();
    let mut dates: BTreeMap<String, BTreeSet<(i64, i64)>> = BTreeMap::new();
    let mut sorts: BTreeMap<String, SortKeys<'_>> = BTreeMap::new();
    for entry in entries {
        let IndexEntry { parameter, value } = entry;
        terms.insert(names.parameter(*parameter));
        match fields.dates(*parameter) {
            // A value that says an interval again by its end is of no use here.
            Some(field) => dates.entry(field).or_default().extend(date_of_value(value).map(|date| (date.low, date.high))),
            None => {
                terms.insert(names.value(*parameter, value));
                terms.extend(system_of_value(value).map(|(form, system)| names.system(*parameter, form, system)));
            }
        }
        if let (Some(key), Some(field)) = (sort_key_of_value(value), fields.sort(*parameter)) {
            sorts.entry(field).or_default().take(key);
        }
    }
    let mut source = Map::new();
    source.insert(fields::TENANT.into(), names.tenant().into());
    source.insert(fields::SCOPE.into(), names.scope().into());
    source.insert(fields::PLACE.into(), names.place(id).into());
    source.insert(fields::ID.into(), text::of_bytes(&id_bytes(id)).into());
    source.insert(fields::TERMS.into(), terms.into_iter().collect());
    for (field, intervals) in dates {
        source.insert(field, intervals.into_iter().map(|(low, high)| json!({"gte": low, "lte": high})).collect());
    }
    for (field, keys) in sorts {
        source.insert(field, keys.finish().into_iter().map(text::of_bytes).collect());
    }
    Value::Object(source)
}

/// The least and the greatest sort key, and all references, which `_has` goes by.
#[derive(Default)]
struct SortKeys<'e> {
    ends: Option<(&'e [u8], &'e [u8])>,
    references: BTreeSet<&'e [u8]>,
}

impl<'e> SortKeys<'e> {
    fn take(&mut self, key: &'e [u8]) {
        let (least, greatest) = self.ends.unwrap_or((key, key));
        self.ends = Some((least.min(key), greatest.max(key)));
        if reference_target(key).is_some() {
            self.references.insert(key);
        }
    }

    fn finish(mut self) -> BTreeSet<&'e [u8]> {
        self.references.extend(self.ends.into_iter().flat_map(|(least, greatest)| [least, greatest]));
        self.references
    }
}
