//! What a search reads: one tenant's postings, entries, ids and counters in one snapshot.

use std::ops::ControlFlow;

use fhirpool_fhir::ResourceType;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_storage::Result;

use crate::forward::Forward;
use crate::search::ids::IdRef;

/// A tenant's index in a snapshot. Everything is read as of [`Postings::sequence`]: two with the same tenant and sequence
/// answer alike.
///
/// Contract: a type that the access behind it does not cover is [`fhirpool_storage::StorageError::Denied`].
pub(crate) trait Postings {
    /// The tenant's number.
    fn tenant(&self) -> u32;

    /// Up to which commit everything is seen.
    fn sequence(&self) -> u64;

    /// Whether the access covers a type.
    fn allows(&self, resource_type: ResourceType) -> bool;

    /// Visits the postings of a stretch by value, then id, until told to break.
    fn scan(&self, stretch: Stretch<'_>, visit: &mut dyn FnMut(&[u8], IdRef<'_>) -> ControlFlow<()>) -> Result<()>;

    /// The greatest value of the postings of a stretch.
    fn greatest_value(&self, stretch: Stretch<'_>) -> Result<Option<Vec<u8>>>;

    /// What is posted for a resource; `None` if it is not there or deleted.
    fn entries(&self, resource_type: ResourceType, id: IdRef<'_>) -> Result<Option<Forward>>;

    /// Visits the ids of the resources that are there, in order, from behind `after`, until told to break.
    fn ids(&self, resource_type: ResourceType, after: Option<IdRef<'_>>, visit: &mut dyn FnMut(IdRef<'_>) -> ControlFlow<()>)
    -> Result<()>;

    /// How many resources of a type are there.
    fn count(&self, resource_type: ResourceType) -> Result<u64>;
}

/// A part of the postings of a parameter. Bounds are of a value, or of a value and an id's bytes behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch<'a> {
    /// The type.
    pub(crate) resource_type: ResourceType,
    /// The parameter.
    pub(crate) parameter: ParameterNumber,
    /// The first.
    pub(crate) from: &'a [u8],
    /// The first that is too large; `None`: to the end.
    pub(crate) to: Option<&'a [u8]>,
}

/// The bound behind all postings of a value: an id begins with a marker that is less than 255.
pub(crate) fn behind_value(value: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(value.len() + 1);
    bound.extend_from_slice(value);
    bound.push(u8::MAX);
    bound
}
