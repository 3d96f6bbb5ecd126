//! What an access reaches within a type: its limits compiled to clauses, added to every search, and held against every version
//! that is shown or changed.
//!
//! A version is judged by its own content, whichever version it is: what it says of its compartments and what criteria find in
//! it. A deletion is judged by the version that it deleted. What is not reached is not there: it is answered in the words and
//! with the status of what never was.
//!
//! A limit that cannot be understood (an unknown parameter, a chain, a type without a part in the compartment) admits nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fhirpool_authz::{Interaction, Leave, Limit, ReadAccess, WriteAccess};
use fhirpool_fhir::{ResourceBody, ResourceKey, ResourceType, ServiceBase, Timestamp, VersionId};
use fhirpool_search::parse::{self, Options, decode_query, parse_criteria};
use fhirpool_search::{Alone, Clause, IndexEntry, TypeSearch, compartment_clause, matches};
use fhirpool_storage::{Content, StoredVersion};

use crate::access::refusal;
use crate::{ErrorKind, InteractionError, Interactions, Result};

/// What is reached of each type, for one interaction of one request.
pub(crate) struct Reach<'a> {
    interactions: &'a Interactions,
    granted: Granted<'a>,
    /// By which absolute references are known as local.
    base: &'a ServiceBase,
    compiled: Mutex<HashMap<ResourceType, Bound>>,
}

/// Where the leaves come from.
#[derive(Clone, Copy)]
enum Granted<'a> {
    Looking(&'a ReadAccess),
    Writing(&'a WriteAccess, Interaction),
}

/// What is reached of a type.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    /// Nothing.
    Denied,
    /// All of it.
    Whole,
    /// That for which the clause holds. It needs no other resource to decide.
    Within(Arc<Clause>),
}

/// What a write by id finds at its target.
#[derive(Debug)]
pub(crate) enum Reached {
    /// Everything of the type is reached; nothing was looked up.
    Everything,
    /// This version, which the write must rest on.
    Stored(StoredVersion),
    /// Nothing, or nothing that may be known.
    Nothing,
}

impl Interactions {
    /// What an access shows.
    pub(crate) fn reach<'a>(&'a self, access: &'a ReadAccess, base: &'a ServiceBase) -> Reach<'a> {
        Reach { interactions: self, granted: Granted::Looking(access), base, compiled: Mutex::default() }
    }

    /// What an access allows to be written in this way.
    pub(crate) fn write_reach<'a>(&'a self, access: &'a WriteAccess, interaction: Interaction, base: &'a ServiceBase) -> Reach<'a> {
        Reach { interactions: self, granted: Granted::Writing(access, interaction), base, compiled: Mutex::default() }
    }

    /// What stands at the target of a write. One that may be seen and not written is refused.
    pub(crate) async fn reached(
        &self,
        access: &WriteAccess,
        interaction: Interaction,
        base: &ServiceBase,
        key: &ResourceKey,
    ) -> Result<Reached> {
        let reach = self.write_reach(access, interaction, base);
        reach.check(key.resource_type)?;
        if !reach.is_limited(key.resource_type) {
            return Ok(Reached::Everything);
        }
        let Some(current) = self.store.read(access.as_read(), key).await? else { return Ok(Reached::Nothing) };
        if reach.admits(key, &current).await? {
            return Ok(Reached::Stored(current));
        }
        if self.reach(&access.reading(Interaction::Read), base).admits(key, &current).await? {
            return Err(InteractionError::of(
                ErrorKind::Forbidden,
                format!("the access does not allow this on this {}", key.resource_type),
            ));
        }
        Ok(Reached::Nothing)
    }
}

impl<'a> Reach<'a> {
    /// What another access reaches, in the same request.
    pub(crate) fn by<'b>(&self, access: &'b ReadAccess) -> Reach<'b>
    where
        'a: 'b,
    {
        self.interactions.reach(access, self.base)
    }

    /// What is reached of a type.
    pub(crate) fn bound(&self, resource_type: ResourceType) -> Bound {
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let leave = match self.granted {
            Granted::Looking(access) => access.leave(resource_type),
            Granted::Writing(access, interaction) => access.leave(interaction, resource_type),
        };
        let limits = match leave {
            Leave::Denied => return Bound::Denied,
            Leave::Whole => return Bound::Whole,
            Leave::Within(limits) => limits,
        };
        if let Some(known) = lock().get(&resource_type) {
            return known.clone();
        }
        let alternatives: Vec<Vec<Clause>> = limits.into_iter().filter_map(|limit| self.compile(limit, resource_type)).collect();
        let bound = if alternatives.is_empty() { Bound::Denied } else { Bound::Within(Arc::new(Clause::AnyOf(alternatives))) };
        lock().insert(resource_type, bound.clone());
        bound
    }

    fn compile(&self, limit: &Limit, resource_type: ResourceType) -> Option<Vec<Clause>> {
        let Interactions { definitions, limits, clock, .. } = self.interactions;
        let mut clauses = Vec::new();
        if let Some(owner) = &limit.compartment {
            clauses.push(compartment_clause(definitions, owner, resource_type)?);
        }
        if let Some(criteria) = &limit.criteria {
            let parameters = decode_query(criteria).ok()?;
            let options = Options { base: self.base, handling: parse::Handling::Strict, limits: limits.query.clone(), now: clock.now() };
            clauses.extend(parse_criteria(definitions, resource_type, &parameters, &options).ok()?.filter);
        }
        (!clauses.iter().any(Clause::needs_related)).then_some(clauses)
    }

    /// Refuses a type of which nothing is reached.
    pub(crate) fn check(&self, resource_type: ResourceType) -> Result<()> {
        if matches!(self.bound(resource_type), Bound::Denied) { Err(refusal(resource_type)) } else { Ok(()) }
    }

    /// Whether something of a type is not reached.
    pub(crate) fn is_limited(&self, resource_type: ResourceType) -> bool {
        !matches!(self.bound(resource_type), Bound::Whole)
    }

    /// The search within what is reached; `None`: it can find nothing.
    pub(crate) fn narrow(&self, search: TypeSearch) -> Option<TypeSearch> {
        let mut narrowed = TypeSearch { filter: search.filter.into_iter().map(|clause| self.narrow_clause(clause)).collect(), ..search };
        match self.bound(search.resource_type) {
            Bound::Denied => return None,
            Bound::Whole => {}
            Bound::Within(clause) => narrowed.filter.push(Clause::clone(&clause)),
        }
        Some(narrowed)
    }

    /// What a search leads through is narrowed, too: what is not reached holds for nothing.
    fn narrow_clause(&self, clause: Clause) -> Clause {
        let nothing = || Clause::AnyOf(Vec::new());
        match clause {
            Clause::Chain { parameter, targets } => {
                let targets: Vec<TypeSearch> = targets.into_iter().filter_map(|target| self.narrow(target)).collect();
                if targets.is_empty() { nothing() } else { Clause::Chain { parameter, targets } }
            }
            Clause::Has { parameter, source } => match self.narrow(*source) {
                Some(source) => Clause::Has { parameter, source: Box::new(source) },
                None => nothing(),
            },
            Clause::AnyOf(alternatives) => {
                let narrow = |clauses: Vec<Clause>| clauses.into_iter().map(|clause| self.narrow_clause(clause)).collect();
                Clause::AnyOf(alternatives.into_iter().map(narrow).collect())
            }
            clause => clause,
        }
    }

    /// The version if it is reached.
    pub(crate) async fn keep(&self, key: &ResourceKey, version: Option<StoredVersion>) -> Result<Option<StoredVersion>> {
        match version {
            Some(version) if self.admits(key, &version).await? => Ok(Some(version)),
            _ => Ok(None),
        }
    }

    /// Whether a stored version is reached.
    pub(crate) async fn admits(&self, key: &ResourceKey, version: &StoredVersion) -> Result<bool> {
        let clause = match self.bound(key.resource_type) {
            Bound::Denied => return Ok(false),
            Bound::Whole => return Ok(true),
            Bound::Within(clause) => clause,
        };
        match &version.content {
            Content::Resource(body) => self.holds_for(clause, key, body, version.last_updated).await,
            Content::Deleted => {
                let access = match self.granted {
                    Granted::Looking(access) => access,
                    Granted::Writing(access, _) => access.as_read(),
                };
                let Some(before) = version.version.0.checked_sub(1).filter(|before| *before > 0) else { return Ok(false) };
                match self.interactions.store.read_version(access, key, VersionId(before)).await? {
                    Some(StoredVersion { content: Content::Resource(body), last_updated, .. }) => {
                        self.holds_for(clause, key, &body, last_updated).await
                    }
                    _ => Ok(false),
                }
            }
        }
    }

    async fn holds_for(&self, clause: Arc<Clause>, key: &ResourceKey, body: &ResourceBody, last_updated: Timestamp) -> Result<bool> {
        let (key, text, base) = (key.clone(), body.text.clone(), self.base.to_owned());
        let judge = move |this: &Interactions| {
            let document = this.parse(text.into_bytes())?;
            let mut entries = this.extractors.entries(key.resource_type, document.root(), &base);
            entries.push(this.extractors.last_updated_entry(last_updated));
            Ok(holds(&clause, &key, &entries))
        };
        self.interactions.work(body.text.len(), judge).await
    }

    /// Whether a resource that is to be written is reached, as of now.
    pub(crate) fn admits_entries(&self, key: &ResourceKey, entries: &[IndexEntry]) -> bool {
        match self.bound(key.resource_type) {
            Bound::Denied => false,
            Bound::Whole => true,
            Bound::Within(clause) => {
                let mut entries = entries.to_vec();
                entries.push(self.interactions.extractors.last_updated_entry(self.interactions.clock.now()));
                holds(&clause, key, &entries)
            }
        }
    }

    /// Refuses a resource that is to be written and would not be reached.
    pub(crate) fn check_incoming(&self, key: &ResourceKey, entries: &[IndexEntry]) -> Result<()> {
        if self.admits_entries(key, entries) {
            return Ok(());
        }
        let text = format!("the access does not allow a {} as it would be", key.resource_type);
        Err(InteractionError::of(ErrorKind::Forbidden, text))
    }
}

/// Limits lead through no other resource, so they are always decided.
fn holds(clause: &Clause, key: &ResourceKey, entries: &[IndexEntry]) -> bool {
    matches(std::slice::from_ref(clause), key, entries, &Alone).unwrap_or(false)
}

/// The refusal of a write to what is not there, or may not be known to be.
pub(crate) fn not_there(resource_type: ResourceType) -> InteractionError {
    InteractionError::of(ErrorKind::NotFound, format!("there is no such {resource_type}"))
}
