//! Removing what is older than a log is to be kept.
//!
//! Blocks go in the order of their chains, so that what a chain still has is one piece, and each chain keeps an anchor: the digest of
//! the last block that went, sealed. A block that lies ahead of its predecessor in time (its record came late) waits for it. A
//! predecessor that does not come for a day was missing before; it is counted in the anchor, so that expiry hides nothing.

use std::collections::BTreeMap;

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::Timestamp;
use fhirpool_storage::{
    AUDIT_HOUR_MS, AuditAnchor, AuditLog, AuditRange, BlockDigest, BlockName, ExpiredBlocks, KeyRing, Result, StorageError,
};
use metrics::counter;

/// Blocks that are read at once.
const BLOCKS_AT_ONCE: usize = 100;
/// So long a predecessor is waited for, in milliseconds: requests and what waits for a log that cannot be written take less.
const LATE_MS_MAX: i64 = 24 * AUDIT_HOUR_MS;

/// What is known of a block that is to go.
struct Link {
    name: BlockName,
    previous: BlockDigest,
    digest: BlockDigest,
}

/// Chains by their numbers, and of each the blocks by theirs.
type Links = BTreeMap<u64, BTreeMap<u64, Link>>;

/// Removes the hours of a tenant's log that end at this time or before; gives how many blocks that were.
///
/// Nobody else may do it for the tenant at the same time.
///
/// # Errors
/// The log or the keys do not answer, or an anchor was changed. Done again, it goes on.
pub async fn expire(log: &dyn AuditLog, keys: &dyn KeyRing, tenant: &TenantId, until: Timestamp) -> Result<u64> {
    let operator = Principal::operator(tenant.clone());
    let write = WriteAccess::authorize(&operator, tenant).map_err(|_| StorageError::Denied)?;
    let read = ReadAccess::authorize_audit(&operator, tenant).map_err(|_| StorageError::Denied)?;
    let mut anchors = BTreeMap::new();
    let (mut waiting, mut from, mut removed) = (Links::new(), Timestamp(0), 0);
    while let Some(hour) = log.next_hour(&read, from).await? {
        let end = Timestamp(hour.0.saturating_add(AUDIT_HOUR_MS));
        if end > until {
            break;
        }
        if anchors.is_empty() {
            anchors = open_anchors(log, keys, &read).await?;
        }
        read_hour(log, &read, hour, end, &mut waiting).await?;
        let mut blocks = Vec::new();
        let mut moved = Vec::new();
        for (chain, links) in &mut waiting {
            let start = AuditAnchor { chain: *chain, sequence: 0, digest: [0; 32], broken: 0 };
            let anchor = anchors.entry(*chain).or_insert(start);
            let before = *anchor;
            take_run(anchor, links, until, &mut blocks);
            if *anchor != before {
                moved.push(*anchor);
            }
        }
        waiting.retain(|_, links| !links.is_empty());
        if !blocks.is_empty() {
            let key = keys.data_key(tenant).await?;
            let anchors = moved.iter().map(|anchor| anchor.seal(&key, tenant)).collect();
            removed += blocks.len() as u64;
            log.expire(&write, &ExpiredBlocks { blocks, anchors }).await?;
        }
        from = end;
    }
    counter!("fhirpool_audit_expired_blocks_total").increment(removed);
    Ok(removed)
}

async fn open_anchors(log: &dyn AuditLog, keys: &dyn KeyRing, access: &ReadAccess) -> Result<BTreeMap<u64, AuditAnchor>> {
    let mut anchors = BTreeMap::new();
    for sealed in log.anchors(access).await? {
        anchors.insert(sealed.chain, sealed.open_with(keys, access.tenant()).await?);
    }
    Ok(anchors)
}

async fn read_hour(log: &dyn AuditLog, access: &ReadAccess, hour: Timestamp, end: Timestamp, links: &mut Links) -> Result<()> {
    let mut range = AuditRange { from: hour, until: end, before: None, limit: BLOCKS_AT_ONCE };
    loop {
        let page = log.scan(access, &range).await?;
        range.before = page.blocks.last().map(|block| block.name);
        for block in &page.blocks {
            let link = Link { name: block.name, previous: *block.previous()?, digest: block.digest() };
            links.entry(block.name.chain).or_default().insert(block.name.sequence, link);
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// Takes the blocks that follow the anchor without a gap, and moves it behind them.
fn take_run(anchor: &mut AuditAnchor, links: &mut BTreeMap<u64, Link>, until: Timestamp, blocks: &mut Vec<BlockName>) {
    while let Some(first) = links.first_entry() {
        let (sequence, link) = (*first.key(), first.get());
        if sequence > anchor.sequence {
            let follows = sequence == anchor.sequence + 1;
            if !follows && until.0.saturating_sub(link.name.time.0) < LATE_MS_MAX {
                return;
            }
            anchor.broken += u32::from(!follows || link.previous != anchor.digest);
            (anchor.sequence, anchor.digest) = (sequence, link.digest);
        }
        // One that lies behind the anchor was left by an attempt that broke off.
        blocks.push(link.name);
        first.remove();
    }
}
