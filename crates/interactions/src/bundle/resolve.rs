//! Which resources a transaction's entries are about, as of one view.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Issue, IssueCode, ResourceId, ResourceKey, ResourceType, ServiceBase};
use fhirpool_search::TypeSearch;
use fhirpool_storage::{Assumption, Method, Precondition, View};

use super::entry::{Action, Entry, OwnedTarget, Phase};
use super::links::{Link, LinkTarget};
use super::matching::{OwnWrites, Unmatched};
use super::stage::Transaction;
use crate::commit::{multiple_matches, precondition_failed, state};
use crate::conditions::EntityTags;
use crate::reach::Reached;
use crate::{ErrorKind, InteractionError, Interactions, Result};

/// What becomes of one entry.
#[derive(Debug, Clone)]
pub(super) enum Resolution {
    /// Its resource is written.
    Put { key: ResourceKey, method: Method, precondition: Precondition },
    /// As [`Resolution::Put`], with the patched resource and its links.
    PutPatched { key: ResourceKey, precondition: Precondition, document: Arc<Document>, links: Vec<Link> },
    /// A resource is deleted.
    Delete { key: ResourceKey, precondition: Precondition },
    /// A conditional delete matches nothing.
    NothingToDelete,
    /// A conditional create found its resource.
    Matched { key: ResourceKey },
    /// A conditional create means the resource that another entry makes or finds: one that matches, or the same criteria.
    SameAs(usize),
    /// It only looks.
    Look,
}

impl Resolution {
    /// The resource that is put.
    pub(super) fn target(&self) -> Option<&ResourceKey> {
        match self {
            Self::Put { key, .. } | Self::PutPatched { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The resource that is put or deleted.
    pub(super) fn written(&self) -> Option<&ResourceKey> {
        match self {
            Self::Delete { key, .. } => Some(key),
            other => other.target(),
        }
    }
}

/// What the entries are about, and on what that rests.
#[derive(Debug)]
pub(super) struct Resolved {
    /// By entry.
    pub resolutions: Vec<Resolution>,
    /// By entry: what links to it become, as `Type/id`.
    pub names: Vec<Option<String>>,
    /// What conditional references become, by type and query.
    pub references: HashMap<ResourceType, HashMap<String, String>>,
    pub assumptions: Vec<Assumption>,
}

/// The look-ups of one round.
struct Lookups<'a> {
    interactions: &'a Interactions,
    access: &'a WriteAccess,
    transaction: &'a Transaction,
    view: View,
    /// By criteria.
    assumptions: HashMap<Arc<TypeSearch>, Assumption>,
    /// What entries write or delete.
    claimed: HashMap<ResourceKey, Claim>,
    /// How many of those there are of each type.
    claimed_of_type: HashMap<ResourceType, usize>,
}

/// What an entry does to a resource.
#[derive(Debug, Clone, Copy)]
struct Claim {
    entry: usize,
    deletes: bool,
}

/// Stored resources that are left out of a look-up, because earlier phases of the transaction have changed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// What the transaction deletes: deletes come first.
    Deleted,
    /// All that it writes, too, which is matched as it will be.
    Written,
}

impl Interactions {
    /// Resolves every entry on a view of now.
    pub(super) async fn resolve(&self, access: &WriteAccess, transaction: &Transaction) -> Result<Resolved> {
        let view = self.store.view(access.as_read()).await?;
        let mut lookups = Lookups {
            interactions: self,
            access,
            transaction,
            view,
            assumptions: HashMap::new(),
            claimed: HashMap::new(),
            claimed_of_type: HashMap::new(),
        };
        let resolutions = lookups.resolutions().await?;
        let name = |resolution: &Resolution| match resolution {
            Resolution::Put { key, .. } | Resolution::PutPatched { key, .. } | Resolution::Matched { key } => Some(key.to_string()),
            _ => None,
        };
        let mut names: Vec<Option<String>> = resolutions.iter().map(name).collect();
        for (index, resolution) in resolutions.iter().enumerate() {
            if let Resolution::SameAs(first) = resolution {
                names[index] = names[*first].clone();
            }
        }
        let references = lookups.references(&resolutions).await?;
        let assumptions = lookups.assumptions.into_values().collect();
        Ok(Resolved { resolutions, names, references, assumptions })
    }
}

impl Lookups<'_> {
    async fn resolutions(&mut self) -> Result<Vec<Resolution>> {
        let entries = &self.transaction.entries;
        let mut resolutions = vec![Resolution::Look; entries.len()];
        let mut makers: HashMap<Arc<TypeSearch>, usize> = HashMap::new();
        for phase in [Phase::Delete, Phase::Create, Phase::Update] {
            for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.action.phase() == phase) {
                let resolution = self.resolution(index, entry, &mut makers).await;
                resolutions[index] = resolution.map_err(|error| error.within(&format!("Bundle.entry[{index}]")))?;
            }
        }
        self.match_own_creations(&mut resolutions)?;
        Ok(resolutions)
    }

    /// Holds the criteria of conditional entries against what the transaction itself makes. A conditional create that matches
    /// such a resource means it; an update or patch that does would be about a resource that is written already.
    fn match_own_creations(&self, resolutions: &mut [Resolution]) -> Result<()> {
        let mut conditional: Vec<(usize, Arc<TypeSearch>)> = Vec::new();
        for (index, entry) in self.transaction.entries.iter().enumerate() {
            if let Some((resource_type, query)) = entry.action.creating_criteria() {
                conditional.push((index, self.criteria(resource_type, query)?));
            }
        }
        let types: HashSet<ResourceType> = conditional.iter().map(|(_, criteria)| criteria.resource_type).collect();
        let makers: HashMap<ResourceKey, usize> = resolutions
            .iter()
            .enumerate()
            .filter_map(|(index, resolution)| match resolution {
                Resolution::Put { key, method: Method::Post, .. } if types.contains(&key.resource_type) => Some((key.clone(), index)),
                _ => None,
            })
            .collect();
        if makers.is_empty() || (makers.len() == 1 && conditional.len() == 1 && makers.values().any(|maker| *maker == conditional[0].0)) {
            return Ok(());
        }
        let mut own = self.transaction.own_writes(self.interactions, resolutions, &types);
        for (index, criteria) in conditional {
            let matched = self.matching_creation(index, &criteria, &mut own, &makers, resolutions);
            let Some(maker) = matched.map_err(|error| error.within(&format!("Bundle.entry[{index}]")))? else { continue };
            match (&self.transaction.entries[index].action, &resolutions[index]) {
                (Action::Create { .. }, Resolution::Put { .. }) => resolutions[index] = Resolution::SameAs(maker),
                (Action::Create { .. }, Resolution::Matched { .. }) => {
                    return Err(multiple_matches().within(&format!("Bundle.entry[{index}]")));
                }
                (Action::Create { .. }, _) => {}
                _ => return Err(twice(maker).within(&format!("Bundle.entry[{index}]"))),
            }
        }
        for index in 0..resolutions.len() {
            // An entry with the criteria of one that has just found its maker means the same maker.
            if let Resolution::SameAs(first) = resolutions[index]
                && let Resolution::SameAs(maker) = resolutions[first]
            {
                resolutions[index] = Resolution::SameAs(maker);
            }
        }
        Ok(())
    }

    /// The other entry that makes a resource which the criteria match, and stands to be made.
    fn matching_creation(
        &self,
        index: usize,
        criteria: &TypeSearch,
        own: &mut OwnWrites,
        makers: &HashMap<ResourceKey, usize>,
        resolutions: &[Resolution],
    ) -> Result<Option<usize>> {
        let found = own.matching(criteria).map_err(unmatched)?;
        let is_conditional = |maker: usize| self.transaction.entries[maker].action.creating_criteria().is_some();
        let mut others = found.iter().filter_map(|key| makers.get(key).copied()).filter(|maker| {
            // Of two conditional entries that match each other's resource, the earlier one makes it.
            *maker != index && (!is_conditional(*maker) || *maker < index) && matches!(resolutions[*maker], Resolution::Put { .. })
        });
        match (others.next(), others.next()) {
            (maker, None) => Ok(maker),
            _ => Err(multiple_matches()),
        }
    }

    async fn resolution(&mut self, index: usize, entry: &Entry, makers: &mut HashMap<Arc<TypeSearch>, usize>) -> Result<Resolution> {
        match &entry.action {
            Action::Delete { resource_type, target } => self.delete(index, entry, *resource_type, target).await,
            Action::Create { resource_type, if_none_exist: None } => {
                let key = ResourceKey::new(*resource_type, self.new_id(index));
                self.claim(index, &key, false)?;
                Ok(Resolution::Put { key, method: Method::Post, precondition: Precondition::NeverExisted })
            }
            Action::Create { resource_type, if_none_exist: Some(query) } => {
                let criteria = self.criteria(*resource_type, query)?;
                if let Some(first) = makers.get(&criteria) {
                    return Ok(Resolution::SameAs(*first));
                }
                makers.insert(criteria.clone(), index);
                match self.find(&criteria, Without::Deleted).await?.as_slice() {
                    [] => {
                        let key = ResourceKey::new(*resource_type, self.new_id(index));
                        self.claim(index, &key, false)?;
                        Ok(Resolution::Put { key, method: Method::Post, precondition: Precondition::NeverExisted })
                    }
                    [id] => Ok(Resolution::Matched { key: ResourceKey::new(*resource_type, id.clone()) }),
                    _ => Err(multiple_matches()),
                }
            }
            Action::Update { resource_type, target, body_id } => {
                self.update(index, entry, *resource_type, target, body_id.as_ref(), makers).await
            }
            Action::Patch { resource_type, target, patch } => self.patch(index, entry, *resource_type, target, patch).await,
            Action::Look { .. } => Ok(Resolution::Look),
        }
    }

    async fn delete(&mut self, index: usize, entry: &Entry, resource_type: ResourceType, target: &OwnedTarget) -> Result<Resolution> {
        let id = match target {
            OwnedTarget::Id(id) => id.clone(),
            OwnedTarget::Criteria(query) => {
                let criteria = self.criteria(resource_type, query)?;
                match self.find(&criteria, Without::Nothing).await?.as_slice() {
                    [] => return Ok(Resolution::NothingToDelete),
                    [id] => id.clone(),
                    _ => return Err(multiple_matches()),
                }
            }
        };
        let key = ResourceKey::new(resource_type, id);
        self.claim(index, &key, true)?;
        let reached = self.interactions.reached(self.access, Interaction::Delete, self.base(), &key).await?;
        let is_nothing = matches!(reached, Reached::Nothing);
        let if_match = entry.if_match.as_deref();
        let precondition = self.interactions.precondition(self.access, &key, reached, Precondition::None, if_match, None).await?;
        if is_nothing {
            // What is there for others stays.
            self.claimed.entry(key).and_modify(|claim| claim.deletes = false);
            return Ok(Resolution::NothingToDelete);
        }
        Ok(Resolution::Delete { key, precondition })
    }

    async fn update(
        &mut self,
        index: usize,
        entry: &Entry,
        resource_type: ResourceType,
        target: &OwnedTarget,
        body_id: Option<&ResourceId>,
        makers: &mut HashMap<Arc<TypeSearch>, usize>,
    ) -> Result<Resolution> {
        let (key, method, precondition) = match target {
            OwnedTarget::Id(id) => (ResourceKey::new(resource_type, id.clone()), Method::Put, Precondition::None),
            OwnedTarget::Criteria(query) => {
                let criteria = self.criteria(resource_type, query)?;
                let found = self.find(&criteria, Without::Deleted).await?;
                if let Some(other) = makers.insert(criteria.clone(), index) {
                    return Err(twice(other));
                }
                let assumption = Assumption { search: criteria, found, sequence: self.view.sequence };
                let destination = self
                    .interactions
                    .conditional_destination(self.access, self.base(), resource_type, assumption, body_id.cloned())
                    .await?;
                let mut key = destination.key;
                if destination.method == Method::Post {
                    key.id = self.new_id(index);
                }
                (key, destination.method, destination.precondition)
            }
        };
        self.claim(index, &key, false)?;
        let (if_match, if_none_match) = (entry.if_match.as_deref(), entry.if_none_match.as_deref());
        let (_, reached) = self.interactions.update_target(self.access, self.base(), &key, method).await?;
        let precondition = self.interactions.precondition(self.access, &key, reached, precondition, if_match, if_none_match).await?;
        Ok(Resolution::Put { key, method, precondition })
    }

    async fn patch(
        &mut self,
        index: usize,
        entry: &Entry,
        resource_type: ResourceType,
        target: &OwnedTarget,
        patch: &[u8],
    ) -> Result<Resolution> {
        let id = match target {
            OwnedTarget::Id(id) => id.clone(),
            OwnedTarget::Criteria(query) => {
                let criteria = self.criteria(resource_type, query)?;
                match self.find(&criteria, Without::Deleted).await?.as_slice() {
                    [] => return Err(InteractionError::of(ErrorKind::NotFound, format!("there is no such {resource_type} to patch"))),
                    [id] => id.clone(),
                    _ => return Err(multiple_matches()),
                }
            }
        };
        let key = ResourceKey::new(resource_type, id);
        self.claim(index, &key, false)?;
        let read = self.access.as_read();
        let current = self.interactions.store.read_many(read, &self.view, std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        let current = self.interactions.patchable(self.access, self.base(), &key, current).await?;
        let current = self.interactions.patchable_binary(self.access, &key, current).await?;
        if let Some(tags) = &entry.if_match {
            let expected = EntityTags::parse(tags, "ifMatch")?;
            if !current.as_ref().is_some_and(|current| !state(current).1 && expected.contains(current.version)) {
                return Err(precondition_failed(&key, current.as_ref().map(state)));
            }
        }
        let patch = Arc::new(self.interactions.parse(patch.to_vec())?);
        let (precondition, document) = self.interactions.patched(&key, current, &patch).await?;
        let links = self.transaction.links_of(self.interactions, document.root(), Some(entry));
        Ok(Resolution::PutPatched { key, precondition, document, links })
    }

    /// What each conditional reference becomes.
    async fn references(&mut self, resolutions: &[Resolution]) -> Result<HashMap<ResourceType, HashMap<String, String>>> {
        let transaction = self.transaction;
        let patched = resolutions.iter().enumerate().filter_map(|(index, resolution)| match resolution {
            Resolution::PutPatched { links, .. } => Some((index, links)),
            _ => None,
        });
        let mut places: HashMap<(ResourceType, &str), (usize, &Link)> = HashMap::new();
        let mut sought: Vec<(ResourceType, &str)> = Vec::new();
        for (index, links) in transaction.links.iter().enumerate().chain(patched) {
            for link in links {
                let LinkTarget::Criteria { resource_type, query } = &link.target else { continue };
                places.entry((*resource_type, query)).or_insert_with(|| {
                    sought.push((*resource_type, query));
                    (index, link)
                });
            }
        }
        if sought.is_empty() {
            return Ok(HashMap::new());
        }
        let types: HashSet<ResourceType> = sought.iter().map(|(resource_type, _)| *resource_type).collect();
        let mut own = transaction.own_writes(self.interactions, resolutions, &types);
        let mut references: HashMap<ResourceType, HashMap<String, String>> = HashMap::new();
        for (resource_type, query) in sought {
            let (index, link) = places[&(resource_type, query)];
            let found = match self.criteria(resource_type, query) {
                Ok(criteria) => self.find_reference(&criteria, &mut own).await,
                Err(error) => Err(error),
            };
            let key = found.map_err(|error| error.within(&transaction.place_of(index, resolutions, link)))?;
            references.entry(resource_type).or_default().insert(query.to_owned(), key.to_string());
        }
        Ok(references)
    }

    /// The one resource that a conditional reference means, among what is stored and what the transaction writes.
    async fn find_reference(&mut self, criteria: &Arc<TypeSearch>, own: &mut OwnWrites) -> Result<ResourceKey> {
        let stored = self.find(criteria, Without::Written).await?;
        let written = own.matching(criteria).map_err(unmatched)?;
        let stored = stored.into_iter().map(|id| ResourceKey::new(criteria.resource_type, id));
        let mut found = stored.chain(written);
        match (found.next(), found.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => {
                let issue = Issue::error(IssueCode::NotFound, "the conditional reference matches nothing");
                Err(InteractionError::new(ErrorKind::PreconditionFailed, issue))
            }
            (Some(_), Some(_)) => {
                let issue = Issue::error(IssueCode::MultipleMatches, "the conditional reference matches several resources");
                Err(InteractionError::new(ErrorKind::PreconditionFailed, issue))
            }
        }
    }

    /// The stored resources that match: all of them, or at least two.
    async fn find(&mut self, criteria: &Arc<TypeSearch>, without: Without) -> Result<Vec<ResourceId>> {
        let read = self.access.as_read();
        let found = match self.assumptions.get(criteria) {
            Some(assumption) => assumption.found.clone(),
            None => {
                if self.assumptions.len() >= self.interactions.limits.criteria_max {
                    return Err(InteractionError::of(ErrorKind::TooCostly, "the transaction has too many different criteria"));
                }
                let assumption = self.interactions.find(read, &self.view, criteria).await?;
                let found = assumption.found.clone();
                self.assumptions.insert(criteria.clone(), assumption);
                found
            }
        };
        let is_left_out = |id: &ResourceId| {
            let claim = self.claimed.get(&ResourceKey::new(criteria.resource_type, id.clone()));
            claim.is_some_and(|claim| without == Without::Written || (without == Without::Deleted && claim.deletes))
        };
        if !found.iter().any(is_left_out) {
            return Ok(found);
        }
        let claimed = self.claimed_of_type.get(&criteria.resource_type).copied().unwrap_or(0);
        if claimed > self.interactions.limits.includes_max {
            return Err(InteractionError::of(ErrorKind::TooCostly, "criteria match resources that the same transaction writes many of"));
        }
        // What is left out is found, too: the commit rests on all of it, lest another match hide behind.
        let all = self.interactions.find_some(read, &self.view, criteria, claimed + 2).await?;
        let left = all.found.iter().filter(|id| !is_left_out(id)).take(2).cloned().collect();
        self.assumptions.insert(criteria.clone(), all);
        Ok(left)
    }

    fn base(&self) -> &ServiceBase {
        &self.transaction.context.base
    }

    fn criteria(&self, resource_type: ResourceType, query: &str) -> Result<Arc<TypeSearch>> {
        self.interactions.criteria(self.access, self.base(), resource_type, query)
    }

    /// The id assigned up front to what an entry may make.
    fn new_id(&self, index: usize) -> ResourceId {
        self.transaction.new_ids[index].clone().unwrap_or_else(|| self.interactions.ids.next_id())
    }

    /// No resource may be written twice (R4 http.html#trules).
    fn claim(&mut self, entry: usize, key: &ResourceKey, deletes: bool) -> Result<()> {
        if let Some(other) = self.claimed.insert(key.clone(), Claim { entry, deletes }) {
            return Err(twice(other.entry));
        }
        *self.claimed_of_type.entry(key.resource_type).or_default() += 1;
        Ok(())
    }
}

fn unmatched(why: Unmatched) -> InteractionError {
    match why {
        Unmatched::Undecided => {
            let text = "criteria with a chain cannot be held against a type that the same transaction writes";
            InteractionError::of(ErrorKind::NotSupported, text)
        }
        Unmatched::TooCostly => {
            let text = "the criteria match too many resources of the same transaction; use identifiers";
            InteractionError::of(ErrorKind::TooCostly, text)
        }
    }
}

fn twice(other: usize) -> InteractionError {
    let text = format!("the entry is about the same resource as Bundle.entry[{other}]");
    InteractionError::new(ErrorKind::BadRequest, Issue::error(IssueCode::Duplicate, text))
}
