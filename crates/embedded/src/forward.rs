//! What is posted for a resource, in one value: so that an update removes exactly that, and a search can look at all of a
//! candidate's values at once.
//!
//! Layout: last updated i64 · then, in the order of the entries: parameter u16 · length u16 · value. The entry of
//! `_lastUpdated` is not listed: it follows from the time. A resource that is there always has a list, one that is deleted
//! never.

use fhirpool_fhir::Timestamp;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_search::IndexEntry;

use crate::database::Bytes;

/// A list as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Forward(Bytes);

impl Forward {
    /// Takes what is stored; `None` if it is too short to be a list.
    pub(crate) fn read(bytes: Bytes) -> Option<Self> {
        (bytes.len() >= 8).then_some(Self(bytes))
    }

    /// Writes the list of a version. The entries are sorted.
    pub(crate) fn write(last_updated: Timestamp, entries: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + entries.len());
        bytes.extend_from_slice(&last_updated.0.to_be_bytes());
        bytes.extend_from_slice(entries);
        bytes
    }

    /// Packs entries, which are sorted.
    pub(crate) fn pack(entries: &[IndexEntry]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(entries.iter().map(|entry| 4 + entry.value.len()).sum());
        for entry in entries {
            bytes.extend_from_slice(&entry.parameter.0.to_be_bytes());
            bytes.extend_from_slice(&(entry.value.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&entry.value);
        }
        bytes
    }

    /// When the version was committed.
    pub(crate) fn last_updated(&self) -> Timestamp {
        Timestamp(self.0.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes)))
    }

    /// Parameters and values in their order, `_lastUpdated` aside.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (ParameterNumber, &[u8])> {
        let mut rest = self.0.get(8..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let (value, behind) = tail.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
            rest = behind;
            Some((ParameterNumber(u16::from_be_bytes([head[0], head[1]])), value))
        })
    }

    /// The values of one parameter in their order.
    pub(crate) fn values(&self, parameter: ParameterNumber) -> impl Iterator<Item = &[u8]> {
        self.entries()
            .skip_while(move |(other, _)| *other < parameter)
            .take_while(move |(other, _)| *other == parameter)
            .map(|(_, value)| value)
    }
}
