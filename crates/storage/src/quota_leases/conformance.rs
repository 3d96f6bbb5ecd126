//! What [`QuotaLeases`] promises, on buckets that nobody has drawn from.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a case that fails panics")]

use std::time::{SystemTime, UNIX_EPOCH};

use fhirpool_authz::{Account, Draw, Principal, QuotaOf, Rate, TenantId, WriteAccess};

use crate::QuotaLeases;

const RATE: Rate = Rate { points_per_s: 100, burst_points: 500 };

fn access(tenant: &str) -> WriteAccess {
    let tenant = TenantId::parse(tenant).unwrap();
    WriteAccess::authorize(&Principal::operator(tenant.clone()), &tenant).unwrap()
}

fn account(of: QuotaOf, name: &str) -> Account {
    Account { of, name: name.into() }
}

/// Runs all of it; panics where a promise is broken.
pub async fn quota_leases(leases: &dyn QuotaLeases) {
    // A store may forget what was full long ago by its own clock.
    let start_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let draw = |owed, needed, wanted, after_ms| Draw { rate: RATE, owed, needed, wanted, now_ms: start_ms + after_ms };
    let (acme, of_tenant) = (access("acme"), account(QuotaOf::Tenant, ""));
    let given = async |of: &Account, asked: Draw| leases.draw(&acme, of, &asked).await.unwrap().given;
    assert_eq!(given(&of_tenant, draw(0, 1000, 450_000, 0)).await, 450_000);
    assert_eq!(given(&of_tenant, draw(0, 1000, 100_000, 0)).await, 50_000, "what is there");
    assert_eq!(given(&of_tenant, draw(0, 1000, 100_000, 5)).await, 0, "less than is needed");
    assert_eq!(given(&of_tenant, draw(0, 1000, 100_000, 10)).await, 1000, "what has come back");
    let owing = leases.draw(&acme, &of_tenant, &draw(300_000, 0, 0, 10)).await.unwrap();
    assert_eq!((owing.given, owing.left.level), (0, -300_000), "what is owed is taken though it is not there");
    assert_eq!(given(&of_tenant, draw(0, 1000, 100_000, 3000)).await, 0);
    assert_eq!(given(&of_tenant, draw(0, 1000, 100_000, 3020)).await, 1000);
    assert_eq!(given(&of_tenant, draw(0, 1000, 900_000, 60_000)).await, 500_000, "no more than the burst");
    // Others have their own: an application and a key of one name, names of any letters, another tenant.
    let long = "x".repeat(5000);
    for of in [(QuotaOf::Application, "a#b"), (QuotaOf::ApiKey, "a#b"), (QuotaOf::Application, ""), (QuotaOf::Application, long.as_str())] {
        assert_eq!(given(&account(of.0, of.1), draw(0, 1000, 500_000, 60_000)).await, 500_000, "{:?} {}", of.0, of.1.len());
    }
    let other = leases.draw(&access("acme1"), &of_tenant, &draw(0, 1000, 500_000, 60_000)).await.unwrap();
    assert_eq!(other.given, 500_000);
    // Racing nodes get no more than there is.
    let asked = draw(0, 1000, 40_000, 120_000);
    let racing = (0..20).map(|_| leases.draw(&acme, &of_tenant, &asked));
    let results = futures_util::future::join_all(racing).await;
    // One that was overtaken too often may be refused, and then got nothing.
    let sum: i64 = results.iter().flatten().map(|drawn| drawn.given).sum();
    let overtaken = results.iter().filter(|result| result.is_err()).count() as i64;
    assert!(sum <= 500_000 && sum >= (500_000 - 40_000 * overtaken).min(500_000), "{sum} given, {overtaken} overtaken");
    let after = leases.draw(&acme, &of_tenant, &draw(0, 0, i64::MAX, 120_000)).await.unwrap();
    assert_eq!(sum + after.given, 500_000);
}
