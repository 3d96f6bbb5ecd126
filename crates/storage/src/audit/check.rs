//! Whether the blocks of a log are all there and as they were appended.

use std::collections::BTreeMap;

use super::{AuditBlock, BlockDigest, ChainEnd};
use crate::Result;

/// No more problems are told of one chain.
const PROBLEMS_MAX: usize = 20;

/// What a block says of its neighbours.
struct Link {
    previous: BlockDigest,
    digest: BlockDigest,
}

/// Takes the blocks of one tenant's log, in any order, and tells what is wrong with their chains. It holds some hundred bytes a
/// block.
///
/// What is cut off at the end of a chain shows only against an end that is known besides, or by the chain that goes on later.
#[derive(Default)]
pub struct ChainCheck {
    chains: BTreeMap<u64, BTreeMap<u64, Link>>,
    blocks: u64,
}

impl ChainCheck {
    /// Takes a block up.
    ///
    /// # Errors
    /// [`crate::StorageError::Damaged`] where it is too short to be one.
    pub fn add(&mut self, block: &AuditBlock) -> Result<()> {
        let link = Link { previous: *block.previous()?, digest: block.digest() };
        self.blocks += 1;
        self.chains.entry(block.name.chain).or_default().insert(block.name.sequence, link);
        Ok(())
    }

    /// How many blocks were taken up.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many chains they are of.
    pub fn chains(&self) -> usize {
        self.chains.len()
    }

    /// What is wrong, a sentence each.
    pub fn problems(&self, ends: &[ChainEnd]) -> Vec<String> {
        let mut problems = Vec::new();
        for (chain, links) in &self.chains {
            let broken = chain_problems(links);
            problems.extend(broken.take(PROBLEMS_MAX).map(|problem| format!("chain {chain:016x}: {problem}")));
        }
        for end in ends {
            let last = self.chains.get(&end.name.chain).and_then(|links| links.last_key_value());
            let holds = last.is_some_and(|(sequence, link)| *sequence == end.name.sequence && link.digest == end.digest);
            if !holds {
                problems.push(format!("chain {:016x}: it does not end with block {}, as it should", end.name.chain, end.name.sequence));
            }
        }
        problems
    }
}

fn chain_problems(links: &BTreeMap<u64, Link>) -> impl Iterator<Item = String> + '_ {
    let mut ahead = (0, [0; 32]);
    links.iter().filter_map(move |(sequence, link)| {
        let (sequence_ahead, digest_ahead) = std::mem::replace(&mut ahead, (*sequence, link.digest));
        match *sequence {
            next if next != sequence_ahead + 1 && next == sequence_ahead + 2 => Some(format!("block {} is missing", next - 1)),
            next if next != sequence_ahead + 1 => Some(format!("blocks {} to {} are missing", sequence_ahead + 1, next - 1)),
            _ if link.previous != digest_ahead => Some(format!("block {sequence_ahead} was changed, or block {sequence} exchanged")),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::TenantId;
    use fhirpool_fhir::Timestamp;

    use super::super::BlockName;
    use super::*;
    use crate::{KeyEpoch, TenantKey};

    fn chain(number: u64, length: u64) -> Vec<AuditBlock> {
        let (key, tenant) = (TenantKey::new(KeyEpoch(1), &[7; TenantKey::LENGTH]), TenantId::parse("acme").unwrap());
        let mut previous = [0; 32];
        let seal = |sequence| {
            let name = BlockName { time: Timestamp(sequence as i64), chain: number, sequence };
            let block = AuditBlock::seal(&key, &tenant, name, &previous, b"x");
            previous = block.digest();
            block
        };
        (1..=length).map(seal).collect()
    }

    fn problems(blocks: &[AuditBlock], ends: &[ChainEnd]) -> Vec<String> {
        let mut check = ChainCheck::default();
        blocks.iter().rev().for_each(|block| check.add(block).unwrap());
        check.problems(ends)
    }

    #[test]
    fn whole_chains_are_sound_and_any_change_or_gap_is_told() {
        let blocks = [chain(1, 5), chain(2, 3)].concat();
        let last = &blocks[4];
        let end = ChainEnd { name: last.name, digest: last.digest() };
        assert_eq!(problems(&blocks, &[end]), Vec::<String>::new());
        for place in 0..blocks.len() {
            let mut fewer = blocks.clone();
            fewer.remove(place);
            // The second chain's end is not known.
            assert_eq!(problems(&fewer, &[end]).len(), usize::from(place != 7), "without {place}");
            let mut changed = blocks.clone();
            changed[place].bytes[40] ^= 1;
            assert_eq!(problems(&changed, &[end]).len(), usize::from(place != 7), "{place} changed");
        }
        assert_eq!(problems(&blocks[2..5], &[end]), ["chain 0000000000000001: blocks 1 to 2 are missing"]);
        assert_eq!(problems(&[], &[end]).len(), 1);
    }
}
