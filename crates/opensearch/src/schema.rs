//! Making the index, and telling whether it is as this server needs it.

use async_trait::async_trait;
use fhirpool_storage::{Migrate, Migration, MigrationPart, Result, StorageError};
use opensearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::OpenSearch;
use crate::client::{Answer, Body, Request};
use crate::targets::write_alias;

/// The version of the mapping in [`crate::fields`] and of how terms are written. With a new one all is indexed anew.
pub(crate) const MAPPING: u32 = 1;

/// Terms of one query: ids that a chain leads to, or alternatives.
const TERMS_MAX: usize = 1_000_000;
/// Documents of one answer.
pub(crate) const WINDOW: usize = 10_000;
/// Characters of a regular expression.
pub(crate) const REGEXP_MAX: usize = 8_000;
const FIELDS_MAX: usize = 10_000;

/// What a migration says of the index.
#[derive(Deserialize)]
struct Description {
    mapping_version: u32,
}

impl Description {
    fn read(migration: &Migration) -> Result<Self> {
        let description: Self = serde_json::from_str(migration.description)
            .map_err(|error| StorageError::Unavailable(format!("migration {} cannot be read: {error}", migration.number)))?;
        if description.mapping_version > MAPPING {
            return Err(StorageError::Unavailable(format!("migration {} is of a later version of this server", migration.number)));
        }
        Ok(description)
    }
}

impl OpenSearch {
    /// Makes the index and its alias, where there is none.
    ///
    /// # Errors
    /// The cluster does not answer, or the name of the alias is an index of someone else's.
    pub async fn ensure(&self) -> Result<()> {
        if self.indices().await?.iter().any(|index| index.answers) {
            return Ok(());
        }
        let answer = self.create(1, true).await?;
        // Another may have been faster.
        if answer.status == 400 && self.indices().await?.iter().any(|index| index.answers) {
            return Ok(());
        }
        answer.expect_success()
    }

    /// Removes all indices behind the alias, with everything in them.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn remove(&self) -> Result<()> {
        for index in self.indices().await? {
            self.remove_index(&index.name).await?;
        }
        Ok(())
    }

    pub(crate) async fn remove_index(&self, name: &str) -> Result<()> {
        let path = format!("/{name}");
        let answer =
            self.client().send(Request { operation: "remove_index", method: Method::Delete, path: &path, body: Body::None }).await?;
        if answer.is_gone() { Ok(()) } else { answer.expect_success() }
    }

    /// Makes an index that is written to and, if asked for, answers.
    pub(crate) async fn create(&self, number: u64, answers: bool) -> Result<Answer> {
        let name = self.index_name(MAPPING, number);
        let mut aliases = serde_json::Map::from_iter([(write_alias(&name), json!({}))]);
        if answers {
            aliases.insert(self.settings().alias.clone(), json!({}));
        }
        let body = json!({"aliases": aliases, "settings": {"index": self.index_settings()}, "mappings": self.mapping()});
        let path = format!("/{name}");
        let body = Body::json(&body);
        self.client().send(Request { operation: "create_index", method: Method::Put, path: &path, body }).await
    }

    fn index_settings(&self) -> Value {
        let settings = self.settings();
        let refresh_interval = settings.refresh_interval.map_or("-1".to_owned(), |interval| format!("{}ms", interval.as_millis()));
        json!({
            "number_of_shards": settings.shards,
            "number_of_replicas": settings.replicas,
            "refresh_interval": refresh_interval,
            "max_terms_count": TERMS_MAX,
            "max_result_window": WINDOW,
            "max_regex_length": REGEXP_MAX,
            "mapping.total_fields.limit": FIELDS_MAX,
        })
    }

    fn mapping(&self) -> Value {
        json!({
            "dynamic": false,
            "_meta": {"fhirpool_mapping": MAPPING},
            // All that is asked for is in the order and in ids; what a resource says stays in the store.
            "_source": {"enabled": false},
            "_routing": {"required": true},
            "properties": self.fields().mapping(),
        })
    }
}

#[async_trait]
impl Migrate for OpenSearch {
    fn part(&self) -> MigrationPart {
        MigrationPart::OpenSearch
    }

    async fn check(&self, migration: &Migration) -> Result<Vec<String>> {
        let wanted = Description::read(migration)?.mapping_version;
        let alias = &self.settings().alias;
        Ok(match self.indices().await?.iter().find(|index| index.answers) {
            None => vec![format!("the index {alias} does not exist")],
            Some(index) if index.mapping < wanted => {
                vec![format!("the index {alias} has the mapping {}, not {wanted}: `fhirpool reindex` makes it anew", index.mapping)]
            }
            Some(_) => Vec::new(),
        })
    }

    async fn apply(&self, migration: &Migration) -> Result<()> {
        Description::read(migration)?;
        self.ensure().await
    }
}
