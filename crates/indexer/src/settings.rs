//! What can be set, with what is usual.

/// How an indexer follows the stream. Times are milliseconds.
#[derive(Debug, Clone)]
pub struct IndexerSettings {
    /// A lease whose counter stands still so long is taken over.
    pub lease_ms: u64,
    /// A lease is renewed at least so often.
    pub renew_ms: u64,
    /// While something is written anywhere, progress is told so often.
    pub publish_ms: u64,
    /// For so long after a record was seen, something counts as being written.
    pub activity_ms: u64,
    /// The stream is asked for new shards so often.
    pub discover_ms: u64,
    /// The pause behind a poll that gave nothing, at first …
    pub poll_ms_min: u64,
    /// … and after many such; it doubles in between.
    pub poll_ms_max: u64,
    /// Refreshes begin at least so far apart …
    pub refresh_ms_min: u64,
    /// … and, where they take long and nobody waits in this process, at most so far.
    pub refresh_ms_max: u64,
    /// A record is in the stream so soon after its write was acknowledged.
    pub stream_margin_ms: u64,
    /// A transaction is swept so long after its deadline, for the clocks' sake.
    pub sweep_grace_ms: u64,
    /// At most so many versions are taken to the index at once …
    pub documents_max: usize,
    /// … by so many calls beside each other.
    pub calls_max: usize,
}

impl Default for IndexerSettings {
    fn default() -> Self {
        Self {
            lease_ms: 3_000,
            renew_ms: 1_000,
            publish_ms: 200,
            activity_ms: 5_000,
            discover_ms: 5_000,
            poll_ms_min: 20,
            poll_ms_max: 200,
            refresh_ms_min: 200,
            refresh_ms_max: 1_000,
            stream_margin_ms: 200,
            sweep_grace_ms: 2_000,
            documents_max: 250,
            calls_max: 4,
        }
    }
}

/// How searches wait for the index. Times are milliseconds.
#[derive(Debug, Clone)]
pub struct FreshnessSettings {
    /// No search waits longer.
    pub wait_ms_max: u64,
    /// The nodes' clocks differ by at most so much.
    pub clock_margin_ms: u64,
    /// While someone waits, other indexers' progress is read so often.
    pub read_ms: u64,
    /// A client's mark reaches so far ahead; it is renewed when half of it has passed.
    pub mark_ms: u64,
    /// So many clients' marks are remembered.
    pub clients_max: usize,
}

impl Default for FreshnessSettings {
    fn default() -> Self {
        Self { wait_ms_max: 2_000, clock_margin_ms: 50, read_ms: 30, mark_ms: 2_000, clients_max: 100_000 }
    }
}
