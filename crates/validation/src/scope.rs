//! The resource around an element: what a local reference may name.

use std::borrow::Cow;
use std::cell::OnceCell;

use fhirpool_fhir::json::Value;

/// A resource that is not contained in another.
pub(crate) struct Scope<'a> {
    resource: Value<'a>,
    /// The ids of its contained resources, sorted: collected once, lest many references look through many of them.
    ids: OnceCell<Vec<Cow<'a, str>>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(resource: Value<'a>) -> Self {
        Self { resource, ids: OnceCell::new() }
    }

    /// Whether a contained resource has this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        let ids = self.ids.get_or_init(|| {
            let contained = self.resource.get("contained");
            let mut ids: Vec<_> = contained.into_iter().flat_map(Value::elements).filter_map(|contained| contained.get_str("id")).collect();
            ids.sort_unstable();
            ids
        });
        ids.binary_search_by(|probe| probe.as_ref().cmp(id)).is_ok()
    }
}
