//! What every audit log must do. Backends call [`check`] in a test of theirs.
#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::Timestamp;

use crate::{AUDIT_HOUR_MS, AuditBlock, AuditLog, AuditRange, BlockName, ChainCheck, ChainEnd, KeyEpoch, StorageError, TenantKey};

fn accesses(tenant: &TenantId) -> (WriteAccess, ReadAccess) {
    let operator = Principal::operator(tenant.clone());
    (WriteAccess::authorize(&operator, tenant).unwrap(), ReadAccess::authorize_audit(&operator, tenant).unwrap())
}

fn key() -> TenantKey {
    TenantKey::new(KeyEpoch(1), &[9; TenantKey::LENGTH])
}

/// Blocks of these times behind the end of a chain, each with its number as its record.
fn blocks(tenant: &TenantId, number: u64, end: Option<ChainEnd>, times: &[i64]) -> Vec<AuditBlock> {
    let (mut previous, first) = end.map_or(([0; 32], 1), |end| (end.digest, end.name.sequence + 1));
    let seal = |(time, sequence): (&i64, u64)| {
        let name = BlockName { time: Timestamp(*time), chain: number, sequence };
        let block = AuditBlock::seal(&key(), tenant, name, &previous, &sequence.to_be_bytes());
        previous = block.digest();
        block
    };
    times.iter().zip(first..).map(seal).collect()
}

fn whole(limit: usize) -> AuditRange {
    AuditRange { from: Timestamp(0), until: Timestamp(4_000_000_000_000), before: None, limit }
}

async fn all(log: &dyn AuditLog, access: &ReadAccess, mut range: AuditRange) -> Vec<AuditBlock> {
    let mut found = Vec::new();
    loop {
        let page = log.scan(access, &range).await.unwrap();
        assert!(page.blocks.len() <= range.limit, "a page is longer than its limit");
        assert!(!page.more || !page.blocks.is_empty(), "an empty page promises more");
        range.before = page.blocks.last().map(|block| block.name);
        found.extend(page.blocks);
        if !page.more {
            return found;
        }
    }
}

/// Checks a log that holds nothing of these two tenants, which are there; `stranger` is not.
pub async fn check(log: &dyn AuditLog, tenants: [TenantId; 2], stranger: TenantId) {
    let [tenant, other] = tenants;
    let (write, read) = accesses(&tenant);
    let chain = log.chain(&write).await.unwrap();
    assert_eq!((chain.end, all(log, &read, whole(10)).await), (None, vec![]));

    // Over three hours, and out of order at the end, as a late record makes it.
    let hour = 1_700_000_000_000 / AUDIT_HOUR_MS * AUDIT_HOUR_MS;
    let times = [hour + 1, hour + 1, hour + 5, hour + AUDIT_HOUR_MS, hour + 3 * AUDIT_HOUR_MS, hour + AUDIT_HOUR_MS - 1];
    let appended = blocks(&tenant, chain.number, None, &times);
    log.append(&write, &appended[..1]).await.unwrap();
    log.append(&write, &appended).await.unwrap();
    let mut expected = appended.clone();
    expected.sort_by_key(|block| std::cmp::Reverse(block.name));
    for limit in [1, 2, 5, 6, 7] {
        assert_eq!(all(log, &read, whole(limit)).await, expected, "by {limit}");
    }
    for (from, until, count) in [(hour + 1, hour + 5, 2), (hour + 2, hour + AUDIT_HOUR_MS, 2), (hour, hour, 0), (hour + 9, hour, 0)] {
        let range = AuditRange { from: Timestamp(from), until: Timestamp(until), ..whole(10) };
        assert_eq!(all(log, &read, range).await.len(), count, "{from} to {until}");
    }
    assert_eq!(log.block(&read, &appended[3].name).await.unwrap().as_ref(), Some(&appended[3]));
    let absent = BlockName { sequence: 99, ..appended[3].name };
    assert_eq!(log.block(&read, &absent).await.unwrap(), None);
    assert_eq!(appended[5].open(&key(), &tenant).unwrap(), 6_u64.to_be_bytes());

    // Nothing is ever exchanged.
    let forged = AuditBlock { bytes: vec![1; 100], ..appended[2].clone() };
    assert!(matches!(log.append(&write, &[forged]).await, Err(StorageError::Damaged(_))));
    let mut check = ChainCheck::default();
    for block in all(log, &read, whole(4)).await {
        check.add(&block).unwrap();
    }
    assert_eq!((check.blocks(), check.problems(&log.ends(&read).await.unwrap())), (6, vec![]));

    // Another tenant's is another log, and not everyone may look.
    let (other_write, other_read) = accesses(&other);
    assert_eq!(all(log, &other_read, whole(10)).await, vec![]);
    assert_eq!(log.block(&other_read, &appended[3].name).await.unwrap(), None);
    let chain = log.chain(&other_write).await.unwrap();
    let others = blocks(&other, chain.number, chain.end, &[hour]);
    log.append(&other_write, &others).await.unwrap();
    assert_eq!((all(log, &other_read, whole(10)).await, all(log, &read, whole(10)).await.len()), (others, 6));
    let reader = ReadAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap();
    assert_eq!(log.scan(&reader, &whole(1)).await, Err(StorageError::Denied));
    assert_eq!(log.block(&reader, &appended[0].name).await, Err(StorageError::Denied));
    assert_eq!(log.chain(&accesses(&stranger).0).await, Err(StorageError::UnknownTenant));
}
