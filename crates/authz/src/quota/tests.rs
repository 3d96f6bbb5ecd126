#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn quotas(tenant: Option<Rate>, application: Option<Rate>, requests_at_once_max: Option<u32>) -> Quotas {
    let deployment = TenantQuota { tenant, application, requests_at_once_max, ..TenantQuota::default() };
    Quotas::new(Arc::new(QuotaRules { deployment, ..QuotaRules::default() }.into()))
}

pub(super) fn by<'a>(tenant: &'a TenantId, application: Option<&'a str>) -> Asker<'a> {
    Asker { tenant, application, api_key: None }
}

const RATE: Rate = Rate { points_per_s: 10, burst_points: 100 };

#[test]
fn a_burst_is_spent_and_comes_back_at_the_rate() {
    let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
    for left in [80, 60, 40, 20, 0] {
        assert_eq!(quotas.admit(by(&acme, None), 20, 0).unwrap().standings[0].left_points, left);
    }
    let refusal = quotas.admit(by(&acme, None), 20, 500).unwrap_err();
    assert_eq!((refusal.retry_in_ms, refusal.standings[0].left_points), (1500, 5));
    assert!(quotas.admit(by(&acme, None), 20, 1999).is_err());
    let standing = quotas.admit(by(&acme, None), 20, 2000).unwrap().standings[0];
    assert_eq!((standing.left_points, standing.full_in_ms), (0, 10_000));
    assert!(quotas.admit(by(&tenant("acme10"), None), 100, 2000).is_ok());
}

#[test]
fn a_rate_that_changes_begins_full() {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let current = Arc::new(CurrentQuotas::default());
    let quotas = Quotas::new(Arc::clone(&current));
    assert!(!quotas.is_any() && quotas.admit(by(&acme, None), 1000, 0).unwrap().standings.is_empty());
    for points in [10, 20] {
        let access = format!("{{\"quota\":{{\"points_per_second\":1,\"burst_points\":{points}}}}}");
        current.set_tenant(&acme, crate::TenantAccess::parse(&acme, &access).unwrap().as_ref());
        assert!(quotas.is_any());
        assert_eq!(quotas.admit(by(&acme, None), points, 0).unwrap().standings[0].left_points, 0);
        assert!(quotas.admit(by(&acme, None), 1, 0).is_err());
        assert!(quotas.admit(by(&other, None), 1000, 0).is_ok());
    }
    current.set_tenant(&acme, None);
    assert!(!quotas.is_any() && quotas.admit(by(&acme, None), 1000, 0).is_ok());
}

#[test]
fn in_the_long_run_the_rate_holds_whatever_is_asked() {
    let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
    let mut spent = 0;
    for now_ms in 0..100_000 {
        if quotas.admit(by(&acme, None), 3, now_ms).is_ok() {
            spent += 3;
        }
    }
    assert!((1097..=1100).contains(&spent), "{spent}");
}

#[test]
fn more_than_a_burst_is_owed() {
    let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
    assert!(quotas.admit(by(&acme, None), 1000, 0).is_ok());
    assert_eq!(quotas.admit(by(&acme, None), 1, 0).unwrap_err().retry_in_ms, 90_100);
    let other = tenant("other");
    assert!(quotas.admit(by(&other, None), 1, 0).is_ok());
    quotas.charge(by(&other, None), 199, 0);
    assert_eq!(quotas.admit(by(&other, None), 1, 0).unwrap_err().retry_in_ms, 10_100);
}

#[test]
fn an_application_has_its_own_and_takes_from_neither_where_one_refuses() {
    let small = Rate { points_per_s: 1, burst_points: 10 };
    let (quotas, acme) = (quotas(Some(RATE), Some(small), None), tenant("acme"));
    assert!(quotas.admit(by(&acme, Some("a")), 10, 0).is_ok());
    for _ in 0..50 {
        assert!(quotas.admit(by(&acme, Some("a")), 10, 0).is_err());
    }
    let admitted = quotas.admit(by(&acme, Some("b")), 10, 0).unwrap();
    assert_eq!(admitted.standings.iter().map(|standing| standing.left_points).collect::<Vec<_>>(), [80, 0]);
}

#[test]
fn a_key_has_its_own_in_each_tenant() {
    let key = ApiKey { name: "portal".into(), digest: [0; 32], tenants: Vec::new(), rate: Some(Rate { points_per_s: 1, burst_points: 5 }) };
    let (quotas, acme, other) = (quotas(Some(RATE), None, None), tenant("acme"), tenant("other"));
    let with_key = |tenant| Asker { tenant, application: Some("portal"), api_key: Some(&key) };
    assert_eq!(quotas.admit(with_key(&acme), 5, 0).unwrap().standings.len(), 2);
    assert!(quotas.admit(with_key(&acme), 5, 0).is_err());
    assert!(quotas.admit(by(&acme, Some("portal")), 5, 0).is_ok());
    assert!(quotas.admit(with_key(&other), 5, 0).is_ok());
}

#[test]
fn requests_at_once_are_counted_while_they_last() {
    let (quotas, acme) = (quotas(None, None, Some(2)), tenant("acme"));
    let first = quotas.admit(by(&acme, None), 1, 0).unwrap();
    let _second = quotas.admit(by(&acme, None), 1, 0).unwrap();
    assert_eq!(quotas.admit(by(&acme, None), 1, 0).unwrap_err().retry_in_ms, 1000);
    assert!(quotas.admit(by(&tenant("other"), None), 1, 0).is_ok());
    drop(first);
    assert!(quotas.admit(by(&acme, None), 1, 0).is_ok());
}

#[test]
fn a_clock_that_goes_back_gives_nothing() {
    let (quotas, acme) = (quotas(Some(RATE), None, None), tenant("acme"));
    assert!(quotas.admit(by(&acme, None), 100, 10_000).is_ok());
    assert!(quotas.admit(by(&acme, None), 1, 0).is_err());
    assert!(quotas.admit(by(&acme, None), 1, 10_099).is_err());
    assert!(quotas.admit(by(&acme, None), 1, 10_100).is_ok());
}

#[test]
fn full_buckets_are_forgotten() {
    let quotas = quotas(Some(RATE), None, None);
    for number in 0..Quotas::BUCKETS_MAX + 10 {
        assert!(quotas.admit(by(&tenant(&format!("t{number}")), None), 1, number as i64 * 1000).is_ok());
    }
    let tenants = quotas.tenants.lock().unwrap();
    assert!(tenants.all.len() < 100 && tenants.buckets == tenants.all.len(), "{} of {}", tenants.buckets, tenants.all.len());
}
