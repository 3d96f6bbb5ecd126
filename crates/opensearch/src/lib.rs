//! The index of the aws profile: one pooled OpenSearch index behind an alias.
//!
//! A document holds the same bytes that every index compares ([`fhirpool_search::IndexEntry`]), written as text whose order is
//! the order of the bytes; every clause of a search is compiled to a query that finds just what
//! [`fhirpool_search::matches`] means. So nothing is looked at twice, and totals are exact.
//!
//! | module | duty |
//! |---|---|
//! | `settings`, `client` | hosts, time limits, retries |
//! | `names`, `text` | how documents and terms of a tenant are named: made from an access, in one place |
//! | `fields`, `schema` | the mapping, and the index behind the alias |
//! | `document`, `writer`, `purge` | telling the index of changes, and forgetting |
//! | `query`, `regexp`, `compile`, `related` | from clauses to queries; chains and `_has` by inner searches |
//! | `picture`, `search` | what one answer is of; pages and totals |
//! | `rebuild` | a new index beside the one that answers |
//!
//! Deliberately absent: what a value means, reading resources, waiting for what is not yet indexed.

mod client;
mod compile;
mod document;
mod fields;
mod names;
mod picture;
mod purge;
mod query;
mod rebuild;
mod regexp;
mod related;
mod schema;
mod search;
mod settings;
mod targets;
mod text;
mod writer;

use std::sync::Arc;

use fhirpool_fhir::Definitions;
use fhirpool_storage::Result;

pub use settings::{Login, OpenSearchSettings};

use crate::client::Client;
use crate::fields::Fields;
use crate::targets::Targets;

/// The index. Cloning gives another handle on the same.
#[derive(Clone)]
pub struct OpenSearch {
    shared: Arc<Shared>,
}

struct Shared {
    settings: OpenSearchSettings,
    client: Client,
    fields: Fields,
    targets: Targets,
}

impl OpenSearch {
    /// Gets ready to speak to the cluster; does not speak to it yet.
    ///
    /// # Errors
    /// Settings that name no host, or one that is no URL.
    pub fn new(settings: OpenSearchSettings, definitions: &Definitions) -> Result<Self> {
        let client = Client::new(&settings)?;
        let fields = Fields::new(definitions);
        Ok(Self { shared: Arc::new(Shared { settings, client, fields, targets: Targets::default() }) })
    }

    fn settings(&self) -> &OpenSearchSettings {
        &self.shared.settings
    }

    fn client(&self) -> &Client {
        &self.shared.client
    }

    fn fields(&self) -> &Fields {
        &self.shared.fields
    }
}

impl std::fmt::Debug for OpenSearch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSearch").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}
