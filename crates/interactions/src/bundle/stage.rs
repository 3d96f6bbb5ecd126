//! The part of a transaction that takes time but no store: finding links, and preparing every resource.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::json::{Document, Value};
use fhirpool_fhir::{Issue, IssueCode, ResourceBody, ResourceId, ResourceKey, ResourceType};
use fhirpool_search::IndexEntry;
use fhirpool_storage::{Change, ChangeContent, Commit, Method};

use super::entry::{Action, Entry, OwnedTarget};
use super::links::{self, FullUrls, Link};
use super::matching::OwnWrites;
use super::parallel::map_indices;
use super::resolve::{Resolution, Resolved};
use super::transaction::shown;
use super::{BundleContext, resources};
use crate::prepare::Prepared;
use crate::{ErrorKind, InteractionError, Interactions, Result};

/// A transaction laid out: what does not depend on what is stored.
#[derive(Debug)]
pub(super) struct Transaction {
    pub context: BundleContext,
    pub document: Document,
    pub entries: Vec<Entry>,
    /// By entry: the id of what it may make.
    pub new_ids: Vec<Option<ResourceId>>,
    /// By entry: the links in its resource.
    pub links: Vec<Vec<Link>>,
    urls: FullUrls,
}

/// The commit of a round and how it belongs to the entries.
#[derive(Debug)]
pub(super) struct Staged {
    pub commit: Commit,
    /// By change: its entry.
    pub order: Vec<usize>,
    /// By entry: its body where the client wants to see it.
    pub shown: Vec<Option<ResourceBody>>,
    /// By entry: warnings.
    pub issues: Vec<Vec<Issue>>,
}

impl Interactions {
    /// Assigns ids, and finds the links between entries.
    pub(super) fn lay_out(&self, context: BundleContext, document: Document, entries: Vec<Entry>) -> Result<Arc<Transaction>> {
        let mut urls = FullUrls::default();
        let mut new_ids = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let is_linked = matches!(entry.action, Action::Create { .. } | Action::Update { .. } | Action::Patch { .. });
            if let Some(url) = entry.full_url.as_deref().filter(|url| is_linked && !url.is_empty())
                && !urls.insert(url, index)
            {
                let issue = Issue::error(IssueCode::Duplicate, "another entry has the same fullUrl");
                return Err(InteractionError::new(ErrorKind::BadRequest, issue.at(format!("Bundle.entry[{index}].fullUrl"))));
            }
            let may_make = match &entry.action {
                Action::Create { .. } => true,
                Action::Update { target: OwnedTarget::Criteria(_), body_id, .. } => body_id.is_none(),
                _ => false,
            };
            new_ids.push(may_make.then(|| self.ids.next_id()));
        }
        let mut transaction = Transaction { context, document, entries, new_ids, links: Vec::new(), urls };
        let links = {
            let values = resources(&transaction.document);
            map_indices(self.threads_for(&transaction), transaction.entries.len(), |index| {
                let entry = &transaction.entries[index];
                match (&entry.action, values.get(index).copied().flatten()) {
                    (Action::Create { .. } | Action::Update { .. }, Some(resource)) => transaction.links_of(self, resource, Some(entry)),
                    _ => Vec::new(),
                }
            })
        };
        transaction.links = links;
        Ok(Arc::new(transaction))
    }

    /// Prepares every resource and builds the commit.
    pub(super) fn stage(&self, access: &WriteAccess, transaction: &Transaction, resolved: &Resolved) -> Result<Staged> {
        let values = resources(&transaction.document);
        let count = transaction.entries.len();
        let base = &transaction.context.base;
        let [creating, updating, patching] =
            [Interaction::Create, Interaction::Update, Interaction::Patch].map(|interaction| self.write_reach(access, interaction, base));
        let prepared = map_indices(self.threads_for(transaction), count, |index| {
            let prepared = self.prepare_entry(transaction, resolved, values.get(index).copied().flatten(), index);
            let allowed = prepared.and_then(|prepared| {
                let reach = match &resolved.resolutions[index] {
                    Resolution::Put { method: Method::Post, .. } => &creating,
                    Resolution::PutPatched { .. } => &patching,
                    _ => &updating,
                };
                if let (Some(key), Some(prepared)) = (resolved.resolutions[index].target(), &prepared) {
                    reach.check_incoming(key, &prepared.entries)?;
                }
                Ok(prepared)
            });
            allowed.map_err(|error| error.within(&format!("Bundle.entry[{index}].resource")))
        });
        let mut prepared = prepared.into_iter().collect::<Result<Vec<Option<Prepared>>>>()?;
        let reading = access.reading(Interaction::Read);
        let reading = self.reach(&reading, base);
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|index| transaction.entries[*index].action.phase());
        let mut staged = Staged {
            commit: Commit { changes: Vec::with_capacity(count), assumptions: resolved.assumptions.clone() },
            order: Vec::with_capacity(count),
            shown: vec![None; count],
            issues: vec![Vec::new(); count],
        };
        for index in order {
            let (key, method, precondition) = match &resolved.resolutions[index] {
                Resolution::Put { key, method, precondition } => (key, *method, *precondition),
                Resolution::PutPatched { key, precondition, .. } => (key, Method::Patch, *precondition),
                Resolution::Delete { key, precondition } => (key, Method::Delete, *precondition),
                _ => continue,
            };
            let content = match prepared[index].take() {
                None => ChangeContent::Delete,
                Some(prepared) => {
                    // What a patch leaves unchanged is shown to whom may read it.
                    if method != Method::Patch || reading.admits_entries(key, &prepared.entries) {
                        staged.shown[index] = shown(transaction.context.returning, &prepared.body);
                    }
                    staged.issues[index] = prepared.issues;
                    ChangeContent::Put { body: prepared.body, entries: prepared.entries }
                }
            };
            staged.order.push(index);
            staged.commit.changes.push(Change { key: key.clone(), method, precondition, content });
        }
        Ok(staged)
    }

    /// The resource of an entry with its links in place; `None` where it writes none.
    fn prepare_entry(
        &self,
        transaction: &Transaction,
        resolved: &Resolved,
        resource: Option<Value<'_>>,
        index: usize,
    ) -> Result<Option<Prepared>> {
        let (key, resource, links) = match (&resolved.resolutions[index], resource) {
            (Resolution::Put { key, .. }, Some(resource)) => (key, resource, &transaction.links[index]),
            (Resolution::PutPatched { key, document, links, .. }, _) => (key, document.root(), links),
            _ => return Ok(None),
        };
        let edits =
            links::edits(links, |entry| resolved.names[entry].as_deref(), |resource_type, query| resolved.reference(resource_type, query));
        self.prepare(&transaction.context.base, resource, key, &edits).map(Some)
    }

    /// Small bundles are prepared where they are.
    fn threads_for(&self, transaction: &Transaction) -> usize {
        if transaction.document.source().len() < self.limits.blocking_bytes_min { 1 } else { self.limits.prepare_threads }
    }
}

impl Transaction {
    /// The links of a resource that belongs to an entry.
    pub(super) fn links_of(&self, interactions: &Interactions, resource: Value<'_>, entry: Option<&Entry>) -> Vec<Link> {
        let own_url = entry.and_then(|entry| entry.full_url.as_deref());
        links::find(&interactions.definitions, &self.urls, &self.context.base, own_url, resource)
    }

    /// What the entries write of these types.
    pub(super) fn own_writes(&self, interactions: &Interactions, resolutions: &[Resolution], types: &HashSet<ResourceType>) -> OwnWrites {
        let is_sought = |key: &ResourceKey| types.contains(&key.resource_type);
        let sought = resolutions.iter().any(|resolution| match resolution {
            Resolution::Put { key, .. } | Resolution::PutPatched { key, .. } => is_sought(key),
            _ => false,
        });
        if !sought {
            return OwnWrites::default();
        }
        let values = resources(&self.document);
        let entries_of = |key: &ResourceKey, resource: Value<'_>| -> Vec<IndexEntry> {
            interactions.extractors.entries(key.resource_type, resource, &self.context.base)
        };
        OwnWrites::new(resolutions.iter().zip(values).filter_map(|(resolution, value)| match resolution {
            Resolution::Put { key, .. } if is_sought(key) => Some((key.clone(), entries_of(key, value?))),
            Resolution::PutPatched { key, document, .. } if is_sought(key) => Some((key.clone(), entries_of(key, document.root()))),
            _ => None,
        }))
    }

    /// The path of a link in the Bundle, for errors.
    pub(super) fn place_of(&self, index: usize, resolutions: &[Resolution], link: &Link) -> String {
        let entry = format!("Bundle.entry[{index}]");
        if let Resolution::PutPatched { .. } = resolutions[index] {
            return entry;
        }
        let resource = resources(&self.document).get(index).copied().flatten();
        match resource.and_then(|resource| links::path_to(resource, link)) {
            Some(path) => format!("{entry}.resource{path}"),
            None => entry,
        }
    }
}

impl Resolved {
    /// What a conditional reference becomes.
    fn reference(&self, resource_type: ResourceType, query: &str) -> Option<&str> {
        let of_type: &HashMap<String, String> = self.references.get(&resource_type)?;
        of_type.get(query).map(String::as_str)
    }
}
