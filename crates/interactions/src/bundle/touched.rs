//! What the entries of a Bundle were about, for the log of accesses.

use fhirpool_audit::{Activity, Touched};
use fhirpool_fhir::{ResourceId, ResourceType};
use fhirpool_storage::HistoryScope;

use super::address::Address;
use super::entry::{Action, Entry, OwnedTarget};
use super::response::EntryResponse;
use crate::SearchScope;

/// What an entry asks for, ahead of its answer. `None`: the entry could not be read.
pub(super) fn planned(entry: Option<&Entry>) -> Touched {
    let (activity, resource_type, id) = match entry.map(|entry| &entry.action) {
        None => (Activity::Other, None, None),
        Some(Action::Create { resource_type, .. }) => (Activity::Create, Some(*resource_type), None),
        Some(Action::Update { resource_type, target, .. }) => (Activity::Update, Some(*resource_type), id_of(target)),
        Some(Action::Patch { resource_type, target, .. }) => (Activity::Patch, Some(*resource_type), id_of(target)),
        Some(Action::Delete { resource_type, target }) => (Activity::Delete, Some(*resource_type), id_of(target)),
        Some(Action::Look { address, .. }) => looked_at(address),
    };
    Touched { activity, status: 0, resource_type, id: id.map(ToString::to_string), version: None }
}

/// What an entry asked for and which resource it met.
pub(super) fn touched(entry: Option<&Entry>, response: &EntryResponse) -> Touched {
    let (met_type, met_id) = response.key.as_ref().map(|key| (key.resource_type, key.id.to_string())).unzip();
    let asked = planned(entry);
    Touched {
        status: response.status.0,
        resource_type: met_type.or(asked.resource_type),
        id: met_id.or(asked.id),
        version: response.version.map(|version| version.0),
        ..asked
    }
}

fn id_of(target: &OwnedTarget) -> Option<&ResourceId> {
    match target {
        OwnedTarget::Id(id) => Some(id),
        OwnedTarget::Criteria(_) => None,
    }
}

fn looked_at(address: &Address) -> (Activity, Option<ResourceType>, Option<&ResourceId>) {
    let (activity, id) = match address {
        Address::Read { key, .. } => (Activity::Read, Some(&key.id)),
        Address::VersionRead { key, .. } => (Activity::Vread, Some(&key.id)),
        Address::History { scope: HistoryScope::Instance(key), .. } => (Activity::HistoryInstance, Some(&key.id)),
        Address::History { scope: HistoryScope::Type(_), .. } => (Activity::HistoryType, None),
        Address::History { scope: HistoryScope::Tenant, .. } => (Activity::HistorySystem, None),
        Address::Search { scope: SearchScope::Tenant, .. } => (Activity::SearchSystem, None),
        Address::Search { .. } => (Activity::SearchType, None),
        Address::Capabilities => (Activity::Other, None),
    };
    (activity, address.resource_type(), id)
}
