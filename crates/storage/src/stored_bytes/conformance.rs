//! What [`StoredBytes`] promises, of the tenants `a` and `b`, of which nothing was counted yet.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case that fails panics")]

use fhirpool_authz::{Principal, TenantId, WriteAccess};

use crate::StoredBytes;

fn access(tenant: &str) -> WriteAccess {
    let tenant = TenantId::parse(tenant).unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

/// Runs all of it; panics where a promise is broken.
pub async fn stored_bytes(count: &dyn StoredBytes) {
    let (a, b) = (access("a"), access("b"));
    for (added, sum) in [(0, 0), (5, 5), (1 << 40, (1 << 40) + 5), (0, (1 << 40) + 5)] {
        assert_eq!(count.add_bytes(&a, added).await.unwrap(), sum);
    }
    assert_eq!(count.add_bytes(&b, 0).await.unwrap(), 0);
    let sums = futures_util::future::join_all((0..20).map(|_| count.add_bytes(&b, 3))).await;
    let mut sums: Vec<u64> = sums.into_iter().map(Result::unwrap).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=20).map(|number| 3 * number).collect::<Vec<_>>());
}
