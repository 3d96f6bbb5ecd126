//! Nodes that share a rate, by a clock of their own: whatever they are asked, together they keep to it.

use super::tests::{by, tenant};
use super::*;

/// Nodes, and the one bucket that they draw from.
struct Fleet {
    nodes: Vec<Quotas>,
    bucket: Option<SharedBucket>,
    acme: TenantId,
    admitted_points: u64,
    /// Draws that wrote the bucket.
    writes: u64,
    is_reachable: bool,
}

impl Fleet {
    fn new(nodes: u64, rate: Rate) -> Self {
        let deployment = TenantQuota { tenant: Some(rate), ..TenantQuota::default() };
        let rules = QuotaRules { deployment, ..QuotaRules::default() };
        let nodes = (0..nodes).map(|seed| Quotas::shared(Arc::new(rules.clone().into()), scatter(seed + 1))).collect();
        Self { nodes, bucket: None, acme: tenant("acme"), admitted_points: 0, writes: 0, is_reachable: true }
    }

    /// Sends a request to a node, as the door does: what is short is drawn, and the node asked again.
    fn ask(&mut self, node: usize, points: u32, now_ms: i64) -> bool {
        let acme = self.acme.clone();
        for _ in 0..3 {
            match self.nodes[node].admit(by(&acme, None), points, now_ms) {
                Ok(_) => {
                    self.admitted_points += u64::from(points);
                    return true;
                }
                Err(refusal) if refusal.shortages.is_empty() => {
                    assert!(refusal.retry_in_ms > 0);
                    return false;
                }
                Err(refusal) => self.draw(node, &refusal.shortages),
            }
        }
        panic!("what was drawn is always short");
    }

    fn draw(&mut self, node: usize, shortages: &[Shortage]) {
        for shortage in shortages {
            let drawn = self.is_reachable.then(|| {
                let bucket = self.bucket.get_or_insert_with(|| SharedBucket::full(shortage.draw.rate, shortage.draw.now_ms));
                let given = bucket.draw(&shortage.draw);
                self.writes += u64::from(given > 0 || shortage.draw.owed > 0);
                Drawn { given, left: *bucket }
            });
            self.nodes[node].settle(&self.acme, shortage, drawn);
        }
    }

    fn charge(&mut self, node: usize, points: u64, now_ms: i64) {
        let acme = self.acme.clone();
        self.nodes[node].charge(by(&acme, None), points, now_ms);
        let owed = self.nodes[node].owed(by(&acme, None), now_ms);
        self.draw(node, &owed);
    }
}

/// Within a tenth of what the rate and the burst give over so many seconds.
fn assert_near(points: u64, rate: Rate, seconds: u64) {
    let due = u64::from(rate.points_per_s) * seconds + u64::from(rate.burst_points);
    assert!(points * 10 >= due * 9 && points * 10 <= due * 11, "{points} of {due} points, {rate:?}");
}

fn rates() -> impl Iterator<Item = Rate> {
    let pairs = [(200, 800), (1000, 100), (500, 500), (5000, 20_000), (200, 2000)];
    pairs.into_iter().map(|(points_per_s, burst_points)| Rate { points_per_s, burst_points })
}

#[test]
fn many_nodes_at_full_blast_keep_to_one_rate() {
    for rate in rates() {
        for nodes in [1, 2, 3, 8, 20] {
            let mut fleet = Fleet::new(nodes, rate);
            for now_ms in 0..10_000 {
                for node in 0..nodes as usize {
                    // Reads, and now and then a search.
                    fleet.ask(node, if (now_ms + node as i64) % 7 == 0 { 20 } else { 1 }, now_ms);
                    // Each of them is asked more than all of them may give.
                    (0..=rate.points_per_s / 400).for_each(|_| {
                        fleet.ask(node, 1, now_ms);
                    });
                }
            }
            assert_near(fleet.admitted_points, rate, 10);
            let writes_a_second = fleet.writes as f64 / 10.0 / nodes as f64;
            assert!(writes_a_second <= 2.5, "{writes_a_second} writes a second and node, {rate:?}, {nodes} nodes");
        }
    }
}

#[test]
fn what_an_idle_node_does_not_use_goes_to_the_others() {
    for rate in rates() {
        let mut fleet = Fleet::new(4, rate);
        // All of them for five seconds, and one alone for ten.
        for now_ms in 0..15_000 {
            for node in 0..if now_ms < 5000 { 4 } else { 1 } {
                (0..8).for_each(|_| {
                    let _ = fleet.ask(node, 1, now_ms);
                });
            }
        }
        assert_near(fleet.admitted_points, rate, 15);
    }
}

#[test]
fn nodes_that_are_asked_seldom_take_little_from_one_that_is_busy() {
    for rate in rates() {
        let mut fleet = Fleet::new(10, rate);
        for now_ms in 0..20_000 {
            (0..10).for_each(|_| {
                let _ = fleet.ask(0, 1, now_ms);
            });
            if now_ms % 300 == 0 {
                fleet.ask(1 + (now_ms as usize / 300) % 9, 1, now_ms);
            }
        }
        assert_near(fleet.admitted_points, rate, 20);
    }
}

#[test]
fn below_the_rate_nothing_is_refused_and_little_is_written() {
    let rate = Rate { points_per_s: 1000, burst_points: 2000 };
    let mut fleet = Fleet::new(4, rate);
    for now_ms in 0..20_000 {
        if now_ms % 2 == 0 {
            assert!(fleet.ask((now_ms as usize / 2) % 4, 1, now_ms), "{now_ms}");
        }
    }
    assert_eq!(fleet.admitted_points, 10_000);
    let writes_a_second = fleet.writes as f64 / 20.0 / 4.0;
    assert!(writes_a_second <= 1.2, "{writes_a_second} writes a second and node");
}

#[test]
fn what_one_node_lets_a_bundle_owe_all_wait_for() {
    let rate = Rate { points_per_s: 100, burst_points: 200 };
    let mut fleet = Fleet::new(3, rate);
    assert!(fleet.ask(0, 1, 0));
    fleet.charge(0, 1199, 0);
    // It owes a thousand points, which take ten seconds.
    assert!((0..9_900).step_by(100).all(|now_ms| !fleet.ask(1, 1, now_ms)));
    assert!((9_900..12_000).step_by(10).any(|now_ms| fleet.ask(2, 1, now_ms)));
}

#[test]
fn what_ends_at_once_is_paid_once() {
    let rate = Rate { points_per_s: 100, burst_points: 200 };
    let mut fleet = Fleet::new(1, rate);
    let acme = fleet.acme.clone();
    // Both are taken before either is drawn for.
    fleet.nodes[0].charge(by(&acme, None), 1000, 0);
    fleet.nodes[0].charge(by(&acme, None), 500, 0);
    for _ in 0..2 {
        let owed = fleet.nodes[0].owed(by(&acme, None), 0);
        fleet.draw(0, &owed);
    }
    assert_eq!(fleet.bucket.map(|bucket| bucket.level), Some((200 - 1500) * 1000));
    let level = fleet.nodes[0].tenants().all[&acme].buckets.tenant.map(|bucket| bucket.level);
    assert_eq!((level, fleet.writes), (Some(0), 1));
}

#[test]
fn debts_give_nothing_while_the_bucket_cannot_be_reached() {
    let rate = Rate { points_per_s: 800, burst_points: 800 };
    let mut fleet = Fleet::new(1, rate);
    fleet.is_reachable = false;
    (0..100).for_each(|_| fleet.charge(0, 10, 0));
    let acme = fleet.acme.clone();
    let level = fleet.nodes[0].tenants().all[&acme].buckets.tenant.map(|bucket| bucket.level);
    // An eighth of a second's worth, once.
    assert_eq!(level, Some((100 - 1000) * 1000));
    // It is told as soon as the bucket can be reached again.
    fleet.is_reachable = true;
    fleet.charge(0, 0, 1000);
    assert_eq!(fleet.bucket.map(|bucket| bucket.level), Some((800 - 900) * 1000));
}

#[test]
fn a_node_that_cannot_reach_the_bucket_keeps_a_safe_part() {
    let rate = Rate { points_per_s: 800, burst_points: 800 };
    let mut fleet = Fleet::new(2, rate);
    fleet.is_reachable = false;
    for now_ms in 0..10_000 {
        (0..2).for_each(|node| {
            let _ = fleet.ask(node, 1, now_ms);
        });
    }
    // An eighth each.
    assert!((1800..=2200).contains(&fleet.admitted_points), "{}", fleet.admitted_points);
    fleet.is_reachable = true;
    let before = fleet.admitted_points;
    for now_ms in 10_000..20_000 {
        (0..2).for_each(|node| {
            let _ = fleet.ask(node, 1, now_ms);
        });
    }
    assert_near(fleet.admitted_points - before, rate, 10);
}

#[test]
fn clocks_that_differ_give_nothing_twice() {
    let rate = Rate { points_per_s: 500, burst_points: 1000 };
    let mut fleet = Fleet::new(3, rate);
    for now_ms in 0..10_000 {
        for (node, ahead_ms) in [(0, 0), (1, 250), (2, -250)] {
            (0..3).for_each(|_| {
                let _ = fleet.ask(node, 1, 100_000 + now_ms + ahead_ms);
            });
        }
    }
    assert_near(fleet.admitted_points, rate, 10);
}
