//! The log of accesses: blocks in the database, written by the committer along with commits.
//!
//! | key | value |
//! |---|---|
//! | tenant u32 | name and digest of the newest block |
//! | tenant u32 · chain u64 | number of the last block of the chain that has expired, and its sealed anchor |
//! | tenant u32 · name of a block | its bytes |
//!
//! There is one chain, since one process has the folder: it goes on across restarts.

use async_trait::async_trait;
use fhirpool_authz::{ReadAccess, WriteAccess};
use fhirpool_fhir::Timestamp;
use fhirpool_storage::{
    AUDIT_HOUR_MS, AuditBlock, AuditLog, AuditPage, AuditRange, BlockName, Chain, ChainEnd, ExpiredBlocks, Result, SealedAnchor,
    StorageError, check_audit,
};
use tokio::sync::oneshot;

use crate::EmbeddedStore;
use crate::committer::Job;
use crate::database::{Batch, Snapshot, Space};
use crate::tenants::{Scope, TenantNumber};

/// The number of the one chain.
const CHAIN: u64 = 0;

/// So many blocks are removed in one batch: commits wait behind it.
const EXPIRED_AT_ONCE: usize = if cfg!(test) { 1 } else { 1000 };

/// Blocks to append or to remove, and who waits for it.
pub(crate) struct Append {
    tenant: TenantNumber,
    blocks: Vec<AuditBlock>,
    expired: ExpiredBlocks,
    reply: oneshot::Sender<Result<()>>,
}

impl Append {
    /// Puts the blocks into a batch; gives who waits for it.
    pub(crate) fn write(self, batch: &mut Batch) -> oneshot::Sender<Result<()>> {
        if let Some(last) = self.blocks.last() {
            let end = [last.name.to_bytes().as_slice(), &last.digest()].concat();
            batch.insert(Space::Audit, end_key(self.tenant), end);
        }
        for block in self.blocks {
            batch.insert(Space::Audit, block_key(self.tenant, &block.name), block.bytes);
        }
        for anchor in self.expired.anchors {
            let value = [anchor.sequence.to_be_bytes().as_slice(), &anchor.bytes].concat();
            batch.insert(Space::Audit, anchor_key(self.tenant, anchor.chain), value);
        }
        for name in self.expired.blocks {
            batch.remove(Space::Audit, block_key(self.tenant, &name));
        }
        self.reply
    }

    /// About how many keys it writes.
    pub(crate) fn writes(&self) -> usize {
        self.blocks.len() + 1 + self.expired.anchors.len() + self.expired.blocks.len()
    }

    /// The log cannot be written.
    pub(crate) fn refuse(self, refusal: StorageError) {
        // Whoever does not wait any more does not care.
        let _ = self.reply.send(Err(refusal));
    }
}

fn end_key(tenant: TenantNumber) -> [u8; 4] {
    tenant.0.to_be_bytes()
}

fn block_key(tenant: TenantNumber, name: &BlockName) -> Vec<u8> {
    [tenant.0.to_be_bytes().as_slice(), &name.to_bytes()].concat()
}

/// Ahead of all blocks of the tenant: the names of these begin with their times, and none is so early.
fn anchor_key(tenant: TenantNumber, chain: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&tenant.0.to_be_bytes());
    key[4..].copy_from_slice(&chain.to_be_bytes());
    key
}

/// What a key of the keyspace is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The note of the newest block.
    End,
    /// The anchor of a chain.
    Anchor(u64),
    /// A block.
    Block(BlockName),
}

/// What a key of the keyspace says.
pub(crate) fn parse(key: &[u8]) -> Option<(TenantNumber, Entry)> {
    let (number, rest) = key.split_first_chunk::<4>()?;
    let number = TenantNumber(u32::from_be_bytes(*number));
    let entry = match rest.len() {
        0 => Entry::End,
        8 => Entry::Anchor(u64::from_be_bytes(rest.try_into().ok()?)),
        _ => Entry::Block(BlockName::of_bytes(rest)?),
    };
    Some((number, entry))
}

/// The anchor of a chain, as it is stored.
pub(crate) fn read_anchor(chain: u64, value: &[u8]) -> Result<SealedAnchor> {
    let (sequence, bytes) =
        value.split_first_chunk::<8>().ok_or_else(|| StorageError::Damaged("an anchor of an audit log is too short".into()))?;
    Ok(SealedAnchor { chain, sequence: u64::from_be_bytes(*sequence), bytes: bytes.to_vec() })
}

fn anchor(snapshot: &Snapshot, tenant: TenantNumber) -> Result<Option<SealedAnchor>> {
    snapshot.get(Space::Audit, &anchor_key(tenant, CHAIN))?.map(|value| read_anchor(CHAIN, &value)).transpose()
}

/// The newest block, as it is noted.
pub(crate) fn end(snapshot: &Snapshot, tenant: TenantNumber) -> Result<Option<ChainEnd>> {
    let Some(bytes) = snapshot.get(Space::Audit, &end_key(tenant))? else { return Ok(None) };
    let read = || {
        let (name, digest) = bytes.split_at_checked(BlockName::LENGTH)?;
        Some(ChainEnd { name: BlockName::of_bytes(name)?, digest: digest.try_into().ok()? })
    };
    read().map(Some).ok_or_else(|| StorageError::Damaged("the end of an audit log cannot be read".into()))
}

#[async_trait]
impl AuditLog for EmbeddedStore {
    async fn chain(&self, access: &WriteAccess) -> Result<Chain> {
        // Refused where the tenant's key is gone: nothing may be sealed under a new one then.
        self.sealing_key(access).await?;
        let picture = self.shared().picture()?;
        let scope = Scope::of(access.as_read(), &picture.tenants)?;
        Ok(Chain { number: CHAIN, end: end(&picture.snapshot, scope.tenant())? })
    }

    async fn append(&self, access: &WriteAccess, blocks: &[AuditBlock]) -> Result<()> {
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access.as_read(), &picture.tenants)?.tenant();
        let mut wanted = Vec::with_capacity(blocks.len());
        for block in blocks {
            match picture.snapshot.get(Space::Audit, &block_key(tenant, &block.name))? {
                None => wanted.push(block.clone()),
                // An attempt whose outcome was not told.
                Some(bytes) if *bytes == *block.bytes => {}
                Some(_) => return Err(StorageError::Damaged("another block of the audit log has this name".into())),
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let expired = ExpiredBlocks::default();
        self.ask(Job::Append(Append { tenant, blocks: wanted, expired, reply }), answer).await
    }

    async fn scan(&self, access: &ReadAccess, range: &AuditRange) -> Result<AuditPage> {
        check_audit(access)?;
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access, &picture.tenants)?.tenant();
        let bound = |time| BlockName { time, chain: 0, sequence: 0 };
        let until = range.before.map_or(bound(range.until), |before| before.min(bound(range.until)));
        let (from, until) = (block_key(tenant, &bound(range.from)), block_key(tenant, &until));
        if from >= until {
            return Ok(AuditPage::default());
        }
        let limit = range.limit;
        let scan = move || {
            let mut page = AuditPage::default();
            for item in picture.snapshot.range(Space::Audit, from..until).rev() {
                let (key, bytes) = item?;
                if page.blocks.len() == limit {
                    page.more = true;
                    break;
                }
                let Some((_, Entry::Block(name))) = parse(&key) else {
                    return Err(StorageError::Damaged("a key of the audit log cannot be read".into()));
                };
                page.blocks.push(AuditBlock { name, bytes: bytes.to_vec() });
            }
            Ok(page)
        };
        crate::store::in_background(scan).await
    }

    async fn block(&self, access: &ReadAccess, name: &BlockName) -> Result<Option<AuditBlock>> {
        check_audit(access)?;
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access, &picture.tenants)?.tenant();
        let bytes = picture.snapshot.get(Space::Audit, &block_key(tenant, name))?;
        Ok(bytes.map(|bytes| AuditBlock { name: *name, bytes: bytes.to_vec() }))
    }

    async fn ends(&self, access: &ReadAccess) -> Result<Vec<ChainEnd>> {
        check_audit(access)?;
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access, &picture.tenants)?.tenant();
        Ok(end(&picture.snapshot, tenant)?.into_iter().collect())
    }

    async fn next_hour(&self, access: &ReadAccess, from: Timestamp) -> Result<Option<Timestamp>> {
        check_audit(access)?;
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access, &picture.tenants)?.tenant();
        let bound = |time| block_key(tenant, &BlockName { time, chain: 0, sequence: 0 });
        let next = picture.snapshot.range(Space::Audit, bound(from)..bound(Timestamp(i64::MAX))).next().transpose()?;
        let Some((key, _)) = next else { return Ok(None) };
        match parse(&key) {
            Some((_, Entry::Block(name))) => Ok(Some(Timestamp(name.time.0.div_euclid(AUDIT_HOUR_MS) * AUDIT_HOUR_MS))),
            _ => Err(StorageError::Damaged("a key of the audit log cannot be read".into())),
        }
    }

    async fn expire(&self, access: &WriteAccess, expired: &ExpiredBlocks) -> Result<()> {
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access.as_read(), &picture.tenants)?.tenant();
        let kept = anchor(&picture.snapshot, tenant)?;
        let is_later = |anchor: &&SealedAnchor| kept.as_ref().is_none_or(|kept| kept.sequence < anchor.sequence);
        // The anchors go first: blocks that lie behind them are removed by the next attempt, where this one breaks off.
        let mut anchors: Vec<SealedAnchor> = expired.anchors.iter().filter(is_later).cloned().collect();
        let mut rest = expired.blocks.as_slice();
        loop {
            let (blocks, later) = rest.split_at(rest.len().min(EXPIRED_AT_ONCE));
            let expired = ExpiredBlocks { blocks: blocks.to_vec(), anchors: std::mem::take(&mut anchors) };
            let (reply, answer) = oneshot::channel();
            self.ask(Job::Append(Append { tenant, blocks: Vec::new(), expired, reply }), answer).await?;
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    async fn anchors(&self, access: &ReadAccess) -> Result<Vec<SealedAnchor>> {
        check_audit(access)?;
        let picture = self.shared().picture()?;
        let tenant = Scope::of(access, &picture.tenants)?.tenant();
        Ok(anchor(&picture.snapshot, tenant)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use fhirpool_storage::audit_conformance::check;

    use crate::testing::{TestStore, tenant};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_log_keeps_to_its_contract() {
        let folder = tempfile::tempdir().expect("a folder");
        let test = TestStore::open(folder.path()).await;
        check(&test.store, [tenant("a"), tenant("b")], tenant("c")).await;
    }
}
