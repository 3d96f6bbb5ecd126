//! What one request may cost.

/// Limits of a request, with safe defaults.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many arrays and objects of a client's JSON may be open at once.
    pub depth_max: usize,
    /// Entries of a batch or transaction.
    pub bundle_entries_max: usize,
    /// Entries of a batch that are at work at once.
    pub batch_concurrency: usize,
    /// Distinct criteria of the conditions and conditional references in a bundle.
    pub criteria_max: usize,
    /// How long the reads of a batch or transaction may take behind its writes, in milliseconds. Less than a request may take:
    /// what was written must be answered for, whatever becomes of the reads.
    pub look_ms_max: u64,
    /// How often a write is prepared anew because what its criteria matched has changed.
    pub stale_rounds_max: usize,
    /// `_count` where the client gives none.
    pub page_size_default: usize,
    /// The greatest `_count`; a greater one is taken as this.
    pub page_size_max: usize,
    /// Versions that a page of history looks at under an access that shows some of them only.
    pub history_looks_max: usize,
    /// Included resources on a page.
    pub includes_max: usize,
    /// Rounds of `:iterate`.
    pub include_rounds_max: usize,
    /// Up to here `Bundle.total` is exact without `_total=accurate`.
    pub total_exact_max: u64,
    /// How long a page link may be used, in milliseconds.
    pub page_token_ttl_ms: i64,
    /// Operations of one patch.
    pub patch_operations_max: usize,
    /// Bytes of a resource that a patch has changed.
    pub patched_bytes_max: usize,
    /// Bytes of a Binary's `data` up to which it stays in the resource; more is set aside in the content store.
    pub binary_inline_bytes_max: usize,
    /// Bytes of content that a client may upload by URL.
    pub content_bytes_max: u64,
    /// Seconds that a signed URL of content is good for.
    pub content_url_ttl_s: u32,
    /// Bodies from this size on are prepared on a thread of their own.
    pub blocking_bytes_min: usize,
    /// Threads that prepare one bundle.
    pub prepare_threads: usize,
    /// How much a query may ask.
    pub query: fhirpool_search::parse::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 100,
            bundle_entries_max: 100_000,
            batch_concurrency: 16,
            criteria_max: 10_000,
            look_ms_max: 60_000,
            stale_rounds_max: 8,
            page_size_default: 50,
            page_size_max: 1000,
            history_looks_max: 10_000,
            includes_max: 1000,
            include_rounds_max: 8,
            total_exact_max: 10_000,
            page_token_ttl_ms: 24 * 3_600_000,
            patch_operations_max: 10_000,
            patched_bytes_max: 64 << 20,
            binary_inline_bytes_max: 64 << 10,
            content_bytes_max: 256 << 20,
            content_url_ttl_s: 300,
            blocking_bytes_min: 128 << 10,
            prepare_threads: 4,
            query: fhirpool_search::parse::Limits::default(),
        }
    }
}
