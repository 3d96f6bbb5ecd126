//! What the adapter must be told.

use std::time::Duration;

/// Where the index is and how it is used.
#[derive(Debug, Clone)]
pub struct OpenSearchSettings {
    /// Base URLs of hosts of one cluster; requests go round, and pass over one that just failed.
    pub urls: Vec<String>,
    /// How to say who asks; `None`: not at all.
    pub login: Option<Login>,
    /// The alias that searches go to. The indices behind it are `<alias>-v<mapping>-<number>`.
    pub alias: String,
    /// Primary shards of a new index. A tenant lies on one of them.
    pub shards: u32,
    /// Copies of each shard of a new index.
    pub replicas: u32,
    /// How often a new index refreshes by itself; `None`: only when asked to.
    pub refresh_interval: Option<Duration>,
    /// How long one try of a request may take.
    pub request_time_max: Duration,
    /// How long a search may take in the cluster.
    pub search_time_max: Duration,
    /// How often a request is tried.
    pub tries_max: u32,
    /// The longest pause ahead of a second try; it doubles with each further one.
    pub pause_max: Duration,
    /// Resources that an inner search of a chain or `_has` may give.
    pub related_max: usize,
    /// Bytes of one bulk request.
    pub bulk_bytes_max: usize,
    /// Documents of one bulk request.
    pub bulk_documents_max: usize,
    /// How long a node may go on with what it knows of the indices to write to.
    pub targets_kept: Duration,
}

/// A name with its password.
#[derive(Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl OpenSearchSettings {
    /// One host, and for the rest what suits a cluster of some nodes.
    pub fn new(url: impl Into<String>, alias: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            login: None,
            alias: alias.into(),
            shards: 6,
            replicas: 1,
            refresh_interval: Some(Duration::from_secs(1)),
            request_time_max: Duration::from_secs(30),
            search_time_max: Duration::from_secs(20),
            tries_max: 5,
            pause_max: Duration::from_millis(100),
            related_max: 250_000,
            bulk_bytes_max: 5 << 20,
            bulk_documents_max: 2_000,
            targets_kept: Duration::from_secs(5),
        }
    }
}
