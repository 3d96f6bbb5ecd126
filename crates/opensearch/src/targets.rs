//! The indices behind the alias: which one answers, and which are written to.
//!
//! An index is called `<alias>-v<mapping>-<number>` and is written to by an alias of its own, `<index>-write`, with which it
//! comes and goes; so a write that is late never makes an index anew. While a new index is built there are two.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fhirpool_storage::{Result, StorageError};
use opensearch::http::Method;
use serde_json::{Map, Value};

use crate::OpenSearch;
use crate::client::{Body, Request};

/// What a node knows of the indices.
#[derive(Default)]
pub(crate) struct Targets {
    known: Mutex<Option<(Instant, Arc<[Index]>)>>,
}

/// An index behind the alias.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Index {
    /// Grows with each that is made.
    pub(crate) number: u64,
    /// The version of its mapping.
    pub(crate) mapping: u32,
    /// Its name.
    pub(crate) name: String,
    /// Whether searches go to it.
    pub(crate) answers: bool,
}

impl Index {
    /// The alias that writes go to.
    pub(crate) fn write_alias(&self) -> String {
        write_alias(&self.name)
    }
}

pub(crate) fn write_alias(name: &str) -> String {
    format!("{name}-write")
}

impl OpenSearch {
    /// The name of an index of this mapping.
    pub(crate) fn index_name(&self, mapping: u32, number: u64) -> String {
        format!("{}-v{mapping}-{number}", self.settings().alias)
    }

    /// Mapping and number of an index behind the alias.
    fn numbers_of(&self, name: &str) -> Option<(u32, u64)> {
        let (mapping, number) = name.strip_prefix(&*self.settings().alias)?.strip_prefix("-v")?.split_once('-')?;
        let numbers = (mapping.parse().ok()?, number.parse().ok()?);
        (self.index_name(numbers.0, numbers.1) == name).then_some(numbers)
    }

    /// The indices there are, in the order in which they were made.
    pub(crate) async fn indices(&self) -> Result<Vec<Index>> {
        let alias = &self.settings().alias;
        let path = format!("/{alias}-v*/_alias");
        let answer = self.client().send(Request { operation: "aliases", method: Method::Get, path: &path, body: Body::None }).await?;
        if answer.is_gone() {
            return Ok(Vec::new());
        }
        let found: Map<String, Value> = answer.read()?;
        let mut indices: Vec<Index> = found
            .into_iter()
            .filter_map(|(name, about)| {
                let (mapping, number) = self.numbers_of(&name)?;
                Some(Index { number, mapping, answers: about["aliases"].get(alias).is_some(), name })
            })
            .collect();
        indices.sort();
        Ok(indices)
    }

    /// The indices to write to, as far as this node may go on with what it knows.
    pub(crate) async fn targets(&self) -> Result<Arc<[Index]>> {
        let known = self.shared.targets.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, indices)) = known.filter(|(since, _)| since.elapsed() < self.settings().targets_kept) {
            return Ok(indices);
        }
        self.targets_anew().await
    }

    /// The indices to write to.
    pub(crate) async fn targets_anew(&self) -> Result<Arc<[Index]>> {
        let asked = Instant::now();
        let indices: Arc<[Index]> = self.indices().await?.into();
        if !indices.iter().any(|index| index.answers) {
            return Err(StorageError::Unavailable("the index is not there: `fhirpool migrate` makes it".into()));
        }
        *self.shared.targets.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, indices.clone()));
        Ok(indices)
    }
}
