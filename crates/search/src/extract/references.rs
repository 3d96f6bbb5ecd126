//! What references lead to, for `_include`.

use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Canonical, Reference, ResourceKey, ResourceType, ServiceBase, VersionId};

use super::convert::{Convert, resource_key};

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReferenceTarget {
    /// A resource of this server, perhaps a certain version of it.
    Local {
        /// The resource.
        key: ResourceKey,
        /// The version, where the reference names one.
        version: Option<VersionId>,
    },
    /// A canonical resource, by its `url` and perhaps its `version`.
    Canonical {
        /// Its URL.
        url: String,
        /// Its business version.
        version: Option<String>,
    },
}

/// Appends what a value of a reference parameter leads to.
pub(super) fn targets(
    convert: Convert,
    value: Value<'_>,
    resolves_to: Option<ResourceType>,
    base: &ServiceBase,
    out: &mut Vec<ReferenceTarget>,
) {
    match convert {
        Convert::Reference => {
            let Some(text) = value.get_str("reference") else { return };
            let target = local(&text, base);
            let fits = |key: &ResourceKey| resolves_to.is_none_or(|sought| sought == key.resource_type);
            out.extend(target.filter(|target| matches!(target, ReferenceTarget::Local { key, .. } if fits(key))));
        }
        Convert::Canonical => {
            let Some(text) = value.as_str() else { return };
            let Canonical { url, version, .. } = Canonical::parse(&text);
            match local(url, base) {
                Some(target) => out.push(target),
                None if url.is_empty() => {}
                None => out.push(ReferenceTarget::Canonical { url: url.to_owned(), version: version.map(str::to_owned) }),
            }
        }
        Convert::Resource => out.extend(resource_key(value).map(|key| ReferenceTarget::Local { key, version: None })),
        _ => {}
    }
}

fn local(text: &str, base: &ServiceBase) -> Option<ReferenceTarget> {
    let reference = Reference::parse(text);
    let (key, version) = reference.local(base)?;
    Some(ReferenceTarget::Local { key: key.clone(), version: version.and_then(VersionId::parse) })
}
