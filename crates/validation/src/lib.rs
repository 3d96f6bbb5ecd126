//! Decides whether a resource conforms to R4.
//!
//! [`validate`] checks structure: properties and their JSON form (R4 json.html), cardinality, the formats of primitives,
//! choices, extensions, references, and the codes of required bindings. It reads the tree once, and nothing is allocated
//! for a resource that has no issues.
//!
//! Deliberately absent: invariants in FHIRPath other than those every element has (`ele-1`, `ext-1`, `ref-1`), profiles,
//! bindings of lesser strength, whether a referenced resource exists, and narrative beyond its outermost tag.

mod format;
mod path;
mod primitive;
mod rules;
mod scope;
mod walk;

#[cfg(test)]
mod tests;

use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Definitions, Issue};

use walk::Walk;

/// At most this many issues are given; those behind them are not looked for.
pub const ISSUES_MAX: usize = 100;

/// How deep elements may be nested, whatever depth the parser allows.
pub const DEPTH_MAX: usize = 100;

/// The issues of a resource, in the order of its text; empty if it conforms.
pub fn validate(definitions: &Definitions, resource: Value<'_>) -> Vec<Issue> {
    Walk::new(definitions).run(resource)
}
