//! `request.url` of an entry: an address below the base.

use fhirpool_authz::Interaction;
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};
use fhirpool_storage::HistoryScope;

use super::entry::OwnedTarget;
use crate::{ErrorKind, InteractionError, Result, SearchScope};

/// What a GET or HEAD looks at; queries are undecoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Read { key: ResourceKey, query: String },
    VersionRead { key: ResourceKey, version: String, query: String },
    History { scope: HistoryScope, query: String },
    Search { scope: SearchScope, query: String },
    Capabilities,
}

/// What a POST, PUT, PATCH or DELETE is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WriteAddress {
    pub resource_type: ResourceType,
    /// `None`: the type itself.
    pub target: Option<OwnedTarget>,
}

impl Address {
    pub(super) fn parse(path: &str) -> Result<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query.to_owned();
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| part.starts_with('$')) {
            return Err(InteractionError::of(ErrorKind::NotSupported, "operations are not supported in a Bundle"));
        }
        Ok(match parts.as_slice() {
            [] => Self::Search { scope: SearchScope::Tenant, query },
            ["metadata"] => Self::Capabilities,
            ["_history"] => Self::History { scope: HistoryScope::Tenant, query },
            [name] => Self::Search { scope: SearchScope::Type(resource_type(name)?), query },
            [name, "_history"] => Self::History { scope: HistoryScope::Type(resource_type(name)?), query },
            [name, id] => Self::Read { key: key(name, id)?, query },
            [name, id, "_history"] => Self::History { scope: HistoryScope::Instance(key(name, id)?), query },
            [name, id, "_history", version] => Self::VersionRead { key: key(name, id)?, version: (*version).to_owned(), query },
            [name, id, inner] => {
                let inner = if *inner == "*" { None } else { Some(resource_type(inner)?) };
                Self::Search { scope: SearchScope::Compartment { owner: key(name, id)?, resource_type: inner }, query }
            }
            _ => return Err(unknown_address()),
        })
    }
}

impl Address {
    /// What looking there is; `None`: it needs no leave.
    pub(super) fn interaction(&self) -> Option<Interaction> {
        match self {
            Self::Read { .. } => Some(Interaction::Read),
            Self::VersionRead { .. } => Some(Interaction::Vread),
            Self::History { scope: HistoryScope::Instance(_), .. } => Some(Interaction::HistoryInstance),
            Self::History { .. } => Some(Interaction::HistoryType),
            Self::Search { .. } => Some(Interaction::Search),
            Self::Capabilities => None,
        }
    }

    /// The one type that it is about.
    pub(super) fn resource_type(&self) -> Option<ResourceType> {
        match self {
            Self::Read { key, .. } | Self::VersionRead { key, .. } => Some(key.resource_type),
            Self::History { scope: HistoryScope::Instance(key), .. } => Some(key.resource_type),
            Self::History { scope: HistoryScope::Type(resource_type), .. } => Some(*resource_type),
            Self::Search { scope: SearchScope::Type(resource_type), .. } => Some(*resource_type),
            Self::Search { scope: SearchScope::Compartment { resource_type, .. }, .. } => *resource_type,
            Self::History { scope: HistoryScope::Tenant, .. } | Self::Search { scope: SearchScope::Tenant, .. } | Self::Capabilities => {
                None
            }
        }
    }
}

impl WriteAddress {
    pub(super) fn parse(method: &str, path: &str) -> Result<Self> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').filter(|part| !part.is_empty()).collect();
        let (name, target) = match parts.as_slice() {
            [_, second, ..] if second.starts_with('$') => {
                return Err(InteractionError::of(ErrorKind::NotSupported, "operations are not supported in a Bundle"));
            }
            [first] if first.starts_with('$') => {
                return Err(InteractionError::of(ErrorKind::NotSupported, "operations are not supported in a Bundle"));
            }
            [name] if method == "POST" => (name, None),
            [name] => (name, Some(OwnedTarget::Criteria(query.unwrap_or_default().to_owned()))),
            [name, id] => (name, Some(OwnedTarget::Id(key(name, id)?.id))),
            _ => return Err(unknown_address()),
        };
        Ok(Self { resource_type: resource_type(name)?, target })
    }
}

fn resource_type(name: &str) -> Result<ResourceType> {
    ResourceType::parse(name)
        .ok_or_else(|| InteractionError::of(ErrorKind::NotFound, "request.url does not begin with a resource type of FHIR R4"))
}

fn key(name: &str, id: &str) -> Result<ResourceKey> {
    let resource_type = resource_type(name)?;
    match ResourceId::parse(id) {
        Some(id) => Ok(ResourceKey::new(resource_type, id)),
        None => Err(InteractionError::bad_request("the id in request.url breaks the grammar of ids")),
    }
}

fn unknown_address() -> InteractionError {
    InteractionError::of(ErrorKind::NotFound, "request.url is no address of this server")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn addresses_of_every_read() {
        let name = |text: &str| format!("{:?}", Address::parse(text).unwrap());
        assert!(name("Patient/1").starts_with("Read"));
        assert!(name("Patient/1/_history/3").starts_with("VersionRead"));
        for history in ["_history", "Patient/_history?_count=1", "Patient/1/_history"] {
            assert!(name(history).starts_with("History"), "{history}");
        }
        for search in ["", "?_type=Patient", "Patient", "Patient?name=x", "Patient/1/Observation?code=y", "Patient/1/*"] {
            assert!(name(search).starts_with("Search"), "{search}");
        }
        for wrong in ["Patent/1", "Patient/1_2", "Patient/1/x", "a/b/c/d/e"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_every_write() {
        let target = |method: &str, path: &str| WriteAddress::parse(method, path).unwrap().target;
        assert_eq!(target("POST", "Patient"), None);
        assert_eq!(target("PUT", "Patient/1"), Some(OwnedTarget::Id(ResourceId::parse("1").unwrap())));
        assert_eq!(target("DELETE", "Patient?identifier=x"), Some(OwnedTarget::Criteria("identifier=x".to_owned())));
        assert_eq!(WriteAddress::parse("POST", "Patient/$match").unwrap_err().kind, ErrorKind::NotSupported);
    }
}
