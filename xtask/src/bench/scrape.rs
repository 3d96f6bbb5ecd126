//! What a server's `/metrics` say, and what has come since.

use std::collections::BTreeMap;

use crate::Failure;

/// Counters, gauges and buckets by their whole name, labels included.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    pub(super) fn take(address: &str) -> Result<Self, Failure> {
        let text = ureq::get(format!("{address}/metrics")).call()?.body_mut().with_config().limit(64 << 20).read_to_string()?;
        let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Ok(Self(lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()))
    }

    /// What has come since an earlier one.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self(self.0.iter().map(|(name, value)| (name.clone(), value - earlier.0.get(name).copied().unwrap_or(0.0))).collect())
    }

    /// The sum of all lines of a metric that have these labels.
    pub(super) fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        self.lines(metric).filter(|(name, _)| labels.iter().all(|label| name.contains(label))).map(|(_, value)| value).sum()
    }

    /// The values of a label, each with its sum.
    pub(super) fn by_label(&self, metric: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (name, value) in self.lines(metric) {
            let Some(text) = name.split(&format!("{label}=\"")).nth(1).and_then(|rest| rest.split('"').next()) else { continue };
            *sums.entry(text.to_owned()).or_default() += value;
        }
        sums
    }

    /// A quantile of a histogram in milliseconds, interpolated within its bucket; `None` where nothing was counted.
    pub(super) fn quantile_ms(&self, metric: &str, quantile: f64) -> Option<f64> {
        let mut buckets = BTreeMap::<u64, f64>::new();
        for (name, value) in self.lines(&format!("{metric}_bucket")) {
            let bound = name.split("le=\"").nth(1).and_then(|rest| rest.split('"').next())?;
            let bound: f64 = if bound == "+Inf" { f64::MAX } else { bound.parse().ok()? };
            *buckets.entry((bound * 1e6).min(1e15) as u64).or_default() += value;
        }
        let total = *buckets.values().last()?;
        let sought = total * quantile;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            let bound_ms = bound as f64 / 1e3;
            if count >= sought && total > 0.0 {
                let share = if count > below.1 { (sought - below.1) / (count - below.1) } else { 1.0 };
                return Some(below.0 + (bound_ms - below.0) * share);
            }
            below = (bound_ms, count);
        }
        None
    }

    fn lines(&self, metric: &str) -> impl Iterator<Item = (&String, f64)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.strip_prefix(metric).is_some_and(|rest| rest.is_empty() || rest.starts_with('{')))
            .map(|(name, value)| (name, *value))
    }
}
