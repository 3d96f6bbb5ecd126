//! Places in the order of results as bytes of a page token.

use fhirpool_fhir::{OrderedId, ResourceType};
use fhirpool_search::Position;

/// Count of keys; each a length, or all ones where it is missing, and its bytes; type; id.
pub(super) fn write(position: &Position) -> Vec<u8> {
    let mut out = vec![position.keys.len() as u8];
    for key in &position.keys {
        match key {
            Some(bytes) => {
                out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
                out.extend_from_slice(bytes);
            }
            None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
        }
    }
    out.push(position.resource_type.number());
    position.id.write(&mut out);
    out
}

/// What [`write`] wrote.
pub(super) fn read(bytes: &[u8]) -> Option<Position> {
    let (count, mut rest) = bytes.split_first()?;
    let mut keys = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind;
        let length = u32::from_be_bytes(*length);
        if length == u32::MAX {
            keys.push(None);
        } else {
            let (key, behind) = rest.split_at_checked(length as usize)?;
            keys.push(Some(key.to_vec()));
            rest = behind;
        }
    }
    let (number, id) = rest.split_first()?;
    Some(Position { keys, resource_type: ResourceType::from_number(*number)?, id: OrderedId::read(id)? })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_position_reads_as_it_was_written() {
        let position = Position {
            keys: vec![Some(vec![1, 2, 3]), None, Some(Vec::new())],
            resource_type: ResourceType::parse("Patient").unwrap(),
            id: OrderedId::Text("x.1".into()),
        };
        let bytes = write(&position);
        assert_eq!(read(&bytes), Some(position));
        for length in 0..bytes.len() - 4 {
            assert_eq!(read(&bytes[..length]), None, "{length}");
        }
    }
}
