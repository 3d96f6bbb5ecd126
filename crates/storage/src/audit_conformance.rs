//! What every audit log must do. Backends call [`check`] in a test of theirs.
#![expect(clippy::unwrap_used, reason = "tests")]

use fhirpool_authz::{Principal, ReadAccess, TenantId, WriteAccess};
use fhirpool_fhir::Timestamp;

use crate::{
    AUDIT_HOUR_MS, AuditAnchor, AuditBlock, AuditLog, AuditRange, BlockName, ChainCheck, ChainEnd, ExpiredBlocks, KeyEpoch, StorageError,
    TenantKey,
};

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
    assert_eq!((check.blocks(), check.problems(&log.ends(&read).await.unwrap(), &[])), (6, vec![]));

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
    expiry(log, [tenant, other], &appended).await;
}

/// What expires is gone, and each chain says where it begins then.
async fn expiry(log: &dyn AuditLog, [tenant, other]: [TenantId; 2], appended: &[AuditBlock]) {
    let (write, read) = accesses(&tenant);
    let (_, other_read) = accesses(&other);
    let hour = appended[0].name.time.0 / AUDIT_HOUR_MS * AUDIT_HOUR_MS;
    let hours = async || {
        let (mut hours, mut from) = (Vec::new(), Timestamp(0));
        while let Some(next) = log.next_hour(&read, from).await.unwrap() {
            assert!(next >= from && next.0 % AUDIT_HOUR_MS == 0);
            hours.push((next.0 - hour) / AUDIT_HOUR_MS);
            from = Timestamp(next.0 + AUDIT_HOUR_MS);
        }
        hours
    };
    assert_eq!(hours().await, [0, 1, 3]);
    assert_eq!(log.next_hour(&other_read, Timestamp(0)).await.unwrap(), Some(Timestamp(hour)));
    assert_eq!(log.anchors(&read).await.unwrap(), []);
    let anchor = |place: usize| {
        let block = &appended[place];
        AuditAnchor { chain: block.name.chain, sequence: block.name.sequence, digest: block.digest(), broken: 0 }.seal(&key(), &tenant)
    };
    let (first, second) = (anchor(1), anchor(3));
    let names = |places: &[usize]| places.iter().map(|place| appended[*place].name).collect::<Vec<_>>();
    log.expire(&write, &ExpiredBlocks { blocks: names(&[0, 1]), anchors: vec![first.clone()] }).await.unwrap();
    assert_eq!(log.anchors(&read).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!((all(log, &read, whole(10)).await.len(), hours().await), (4, vec![0, 1, 3]), "the first hour has blocks left");
    assert_eq!(log.block(&read, &appended[0].name).await.unwrap(), None);
    // Done again, with blocks of two hours.
    let more = ExpiredBlocks { blocks: names(&[1, 2, 3, 5]), anchors: vec![second.clone()] };
    for _ in 0..2 {
        log.expire(&write, &more).await.unwrap();
        assert_eq!((all(log, &read, whole(10)).await, hours().await), (vec![appended[4].clone()], vec![3]));
    }
    // An earlier anchor does not come back.
    log.expire(&write, &ExpiredBlocks { blocks: vec![], anchors: vec![first] }).await.unwrap();
    assert_eq!(log.anchors(&read).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(second.open(&key(), &tenant).unwrap().digest, appended[3].digest());
    // Another tenant's is as it was, and not everyone may look.
    assert_eq!((all(log, &other_read, whole(10)).await.len(), log.anchors(&other_read).await.unwrap()), (1, vec![]));
    let reader = ReadAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap();
    assert_eq!(log.anchors(&reader).await, Err(StorageError::Denied));
    assert_eq!(log.next_hour(&reader, Timestamp(0)).await, Err(StorageError::Denied));
    // What is appended later goes on.
    let end = ChainEnd { name: appended[5].name, digest: appended[5].digest() };
    let next = blocks(&tenant, end.name.chain, Some(end), &[hour + 4 * AUDIT_HOUR_MS]);
    log.append(&write, &next).await.unwrap();
    assert_eq!(hours().await, [3, 4]);
}
