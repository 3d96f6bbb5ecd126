//! What is posted for a resource, in one value: so that an update removes exactly that, and a search can look at all of a
//! candidate's values at once.
//!
//! Layout: for each entry, in their order: parameter u16 · length u16 · value. The entry of `_lastUpdated` is among them. A
//! resource that is there always has a list, one that is deleted never.

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_search::IndexEntry;

use crate::database::Bytes;

/// A list as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward(Bytes);

impl Forward {
    /// Takes what is stored.
    pub(crate) fn read(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Parameters and values in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (ParameterNumber, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (entry, behind) = split_entry(rest)?;
            rest = behind;
            Some(entry)
        })
    }

    /// The values of one parameter in their order.
    pub(crate) fn values(&self, parameter: ParameterNumber) -> impl Iterator<Item = &[u8]> {
        let mine = self.entries().skip_while(move |(other, _)| *other < parameter);
        mine.take_while(move |(other, _)| *other == parameter).map(|(_, value)| value)
    }

    /// The entries as `fhirpool_search` takes them.
    pub(crate) fn to_entries(&self) -> Vec<IndexEntry> {
        self.entries().map(|(parameter, value)| IndexEntry { parameter, value: value.to_vec() }).collect()
    }

    /// Whether the bytes are entries to their end, ascending and each once.
    pub(crate) fn is_sound(&self) -> bool {
        let read: usize = self.entries().map(|(_, value)| 4 + value.len()).sum();
        read == self.0.len() && self.entries().zip(self.entries().skip(1)).all(|(one, next)| one < next)
    }
}

/// A parameter and a value.
type Entry<'a> = (ParameterNumber, &'a [u8]);

fn split_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (head, tail) = bytes.split_first_chunk::<4>()?;
    let (value, behind) = tail.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
    Some(((ParameterNumber(u16::from_be_bytes([head[0], head[1]])), value), behind))
}

/// A list but for the entry of `_lastUpdated`, which is known only in the commit.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// Where in `bytes` the entry goes.
    time_at: usize,
}

impl Packed {
    /// Packs entries, which are ascending and each once.
    pub(crate) fn new(entries: &[IndexEntry], time: ParameterNumber) -> Self {
        let mut bytes = Vec::with_capacity(entries.iter().map(|entry| 4 + entry.value.len()).sum());
        let mut time_at = 0;
        for entry in entries {
            pack(entry, &mut bytes);
            if entry.parameter < time {
                time_at = bytes.len();
            }
        }
        Self { bytes, time_at }
    }

    /// The whole list.
    pub(crate) fn with_time(&self, time: &IndexEntry) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 4 + time.value.len());
        bytes.extend_from_slice(&self.bytes[..self.time_at]);
        pack(time, &mut bytes);
        bytes.extend_from_slice(&self.bytes[self.time_at..]);
        bytes
    }
}

fn pack(entry: &IndexEntry, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.parameter.0.to_be_bytes());
    bytes.extend_from_slice(&(entry.value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&entry.value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(parameter: u16, value: &[u8]) -> IndexEntry {
        IndexEntry { parameter: ParameterNumber(parameter), value: value.to_vec() }
    }

    #[test]
    fn the_time_takes_its_place_among_the_entries() {
        let entries = [entry(1, b"a"), entry(1, b"b"), entry(7, b"")];
        for time in [0, 3, 9] {
            let list = Packed::new(&entries, ParameterNumber(time)).with_time(&entry(time, b"now"));
            let list = Forward::read(list.into());
            let mut expected = entries.to_vec();
            expected.push(entry(time, b"now"));
            expected.sort();
            assert_eq!(list.to_entries(), expected);
            assert!(list.is_sound());
        }
    }

    #[test]
    fn values_are_those_of_one_parameter() {
        let list = Packed::new(&[entry(1, b"a"), entry(2, b"b"), entry(2, b"c")], ParameterNumber(4)).with_time(&entry(4, b"t"));
        let list = Forward::read(list.into());
        assert_eq!(list.values(ParameterNumber(2)).collect::<Vec<_>>(), [b"b", b"c"]);
        assert_eq!(list.values(ParameterNumber(3)).count(), 0);
    }

    #[test]
    fn a_cut_list_is_not_sound() {
        let list = Packed::new(&[entry(1, b"abc")], ParameterNumber(4)).with_time(&entry(4, b"t"));
        assert!(!Forward::read(list[..list.len() - 1].into()).is_sound());
    }
}
