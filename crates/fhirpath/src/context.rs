//! What an evaluation may know.

use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Definitions, Timestamp};

use crate::Item;

/// What an evaluation may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Items visited and compared, at most.
    pub steps_max: u64,
    /// Items in one collection, at most.
    pub items_max: usize,
    /// Bytes of one computed string, at most.
    pub string_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps_max: 2_000_000, items_max: 200_000, string_bytes_max: 1 << 20 }
    }
}

/// Finds the target of a reference for `resolve()`.
pub trait Resolve {
    /// The resource that a reference (`Patient/1`, `http://…`, `urn:uuid:…`) or canonical points at, if it is at hand.
    fn resolve(&self, reference: &str) -> Option<Value<'_>>;
}

/// The surroundings of an evaluation. Making one allocates nothing.
#[derive(Clone)]
pub struct Context<'a> {
    /// The types.
    pub definitions: &'a Definitions,
    /// `%resource`: the resource that holds the focus. Also where `resolve()` looks for contained resources.
    pub resource: Value<'a>,
    /// `%rootResource`: the resource that contains `%resource`, where that is a contained one.
    pub root_resource: Option<Value<'a>>,
    /// Further variables, by name without `%`.
    pub variables: Vec<(String, Vec<Item<'a>>)>,
    /// Finds references; without one `resolve()` finds contained resources and entries of a Bundle only.
    pub resolver: Option<&'a dyn Resolve>,
    /// What `now()`, `today()` and `timeOfDay()` go by (UTC).
    pub now: Timestamp,
    /// What the evaluation may cost.
    pub limits: Limits,
}

impl<'a> Context<'a> {
    /// A context around a resource, without variables and resolver, at the epoch.
    pub fn new(definitions: &'a Definitions, resource: Value<'a>) -> Self {
        Self {
            definitions,
            resource,
            root_resource: None,
            variables: Vec::new(),
            resolver: None,
            now: Timestamp(0),
            limits: Limits::default(),
        }
    }
}
