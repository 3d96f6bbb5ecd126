//! Whether the blocks of a log are all there and as they were appended.

use std::collections::BTreeMap;

use super::{AuditAnchor, AuditBlock, BlockDigest, ChainEnd};
use crate::Result;

/// No more problems are told of one chain.
const PROBLEMS_MAX: usize = 20;

/// What a block says of its neighbours.
struct Link {
    previous: BlockDigest,
    digest: BlockDigest,
}

/// Takes the blocks of one tenant's log, in any order, and tells what is wrong with their chains. It holds some hundred bytes a
/// block. A chain whose first blocks have expired begins behind its anchor: what is missing behind that is missing.
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
    pub fn problems(&self, ends: &[ChainEnd], anchors: &[AuditAnchor]) -> Vec<String> {
        let mut problems = Vec::new();
        let anchor_of = |chain: u64| anchors.iter().find(|anchor| anchor.chain == chain);
        for (chain, links) in &self.chains {
            let broken = chain_problems(links, anchor_of(*chain));
            problems.extend(broken.take(PROBLEMS_MAX).map(|problem| format!("chain {chain:016x}: {problem}")));
        }
        for AuditAnchor { chain, broken, .. } in anchors.iter().filter(|anchor| anchor.broken > 0) {
            problems.push(format!("chain {chain:016x}: blocks were missing or changed at {broken} places of what has expired"));
        }
        for end in ends {
            let last = self.chains.get(&end.name.chain).and_then(|links| links.last_key_value());
            let last = last.map(|(sequence, link)| (*sequence, link.digest));
            // A chain may have expired to its end.
            let last = last.or(anchor_of(end.name.chain).map(|anchor| (anchor.sequence, anchor.digest)));
            if last != Some((end.name.sequence, end.digest)) {
                problems.push(format!("chain {:016x}: it does not end with block {}, as it should", end.name.chain, end.name.sequence));
            }
        }
        problems
    }
}

fn chain_problems<'a>(links: &'a BTreeMap<u64, Link>, anchor: Option<&AuditAnchor>) -> impl Iterator<Item = String> + 'a {
    let mut ahead = anchor.map_or((0, [0; 32]), |anchor| (anchor.sequence, anchor.digest));
    // What is left ahead of the anchor is on its way out.
    links.range(ahead.0 + 1..).filter_map(move |(sequence, link)| {
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
        check.problems(ends, &[])
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

    #[test]
    fn what_has_expired_is_told_from_what_was_removed() {
        let blocks = chain(1, 6);
        let anchor = |place: usize| AuditAnchor { chain: 1, sequence: place as u64 + 1, digest: blocks[place].digest(), broken: 0 };
        let end = ChainEnd { name: blocks[5].name, digest: blocks[5].digest() };
        let problems = |blocks: &[AuditBlock], anchor: AuditAnchor| {
            let mut check = ChainCheck::default();
            blocks.iter().for_each(|block| check.add(block).unwrap());
            check.problems(&[end], &[anchor])
        };
        assert_eq!(problems(&blocks[3..], anchor(2)), Vec::<String>::new());
        assert_eq!(problems(&blocks[1..], anchor(2)), Vec::<String>::new(), "what an expiry that broke off has left");
        assert_eq!(problems(&[&blocks[..1], &blocks[3..]].concat(), anchor(2)), Vec::<String>::new());
        assert_eq!(problems(&[], anchor(5)), Vec::<String>::new(), "all of it has expired");
        assert_eq!(problems(&blocks[4..], anchor(2)), ["chain 0000000000000001: block 4 is missing"]);
        assert_eq!(problems(&[], anchor(4)).len(), 1, "the last one was removed");
        assert_eq!(problems(&blocks[3..], anchor(1)).len(), 1, "an earlier anchor was put in its place");
        let forged = AuditAnchor { digest: [9; 32], ..anchor(2) };
        assert_eq!(problems(&blocks[3..], forged), ["chain 0000000000000001: block 3 was changed, or block 4 exchanged"]);
        assert_eq!(problems(&blocks[3..], AuditAnchor { broken: 2, ..anchor(2) }).len(), 1, "expiry hides nothing");
    }
}
