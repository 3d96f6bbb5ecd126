//! `_include` and `_revinclude`, with `:iterate` and `*` (R4 search.html#include). All of it is read in the view of the matches.

use std::collections::HashSet;

use fhirpool_authz::{Interaction, ReadAccess};
use fhirpool_fhir::definitions::{ParameterNumber, SearchParameter, SearchParameterKind};
use fhirpool_fhir::{ResourceKey, ResourceType, ServiceBase, VersionId};
use fhirpool_search::parse::{self, Options, Scope};
use fhirpool_search::{Clause, Include, Query, ReferenceTarget, TypeSearch, ValueTest};
use fhirpool_storage::View;

use super::answer::Entry;
use super::{plain_request, plain_search};
use crate::reach::Reach;
use crate::{ErrorKind, InteractionError, Interactions, Result};

/// What is being gathered.
struct Gathering<'a> {
    access: &'a ReadAccess,
    reach: &'a Reach<'a>,
    base: &'a ServiceBase,
    view: &'a View,
    /// Matches and what is included so far: nothing comes twice.
    seen: HashSet<ResourceKey>,
    included: Vec<Entry>,
}

impl Interactions {
    /// What the matches of a query include.
    pub(super) async fn included(
        &self,
        access: &ReadAccess,
        reach: &Reach<'_>,
        base: &ServiceBase,
        view: &View,
        query: &Query,
        matches: &[Entry],
    ) -> Result<Vec<Entry>> {
        let seen = matches.iter().map(|entry| entry.key.clone()).collect();
        let mut gathering = Gathering { access, reach, base, view, seen, included: Vec::new() };
        self.include_round(&mut gathering, query, matches, false).await?;
        let iterates = query.includes.iter().chain(&query.revincludes).any(|include| include.iterate);
        let mut done = 0;
        for round in 0.. {
            let fresh = gathering.included[done..].to_vec();
            if !iterates || fresh.is_empty() {
                break;
            }
            if round == self.limits.include_rounds_max {
                return Err(too_many(format!("includes iterate over more than {round} rounds")));
            }
            done = gathering.included.len();
            self.include_round(&mut gathering, query, &fresh, true).await?;
        }
        Ok(gathering.included)
    }

    /// Applies the includes to these resources; of later rounds only those that iterate.
    async fn include_round(&self, gathering: &mut Gathering<'_>, query: &Query, from: &[Entry], later: bool) -> Result<()> {
        let applied = |include: &&Include| !later || include.iterate;
        let includes: Vec<Include> = query.includes.iter().filter(applied).copied().collect();
        if !includes.is_empty() {
            let (base, entries) = (gathering.base.to_owned(), from.to_vec());
            let bytes = entries.iter().map(|entry| entry.body.text.len()).sum();
            let targets = self.work(bytes, move |this| this.targets(&base, &entries, &includes)).await?;
            self.include_targets(gathering, targets).await?;
        }
        for include in query.revincludes.iter().filter(applied) {
            self.include_referring(gathering, include, from).await?;
        }
        Ok(())
    }

    /// What the references of these resources lead to, as far as the includes name them.
    fn targets(&self, base: &ServiceBase, entries: &[Entry], includes: &[Include]) -> Result<Vec<(ReferenceTarget, ResourceTypes)>> {
        let mut found = Vec::new();
        let mut known = HashSet::new();
        for entry in entries {
            let resource_type = entry.key.resource_type;
            let of_type = includes.iter().filter(|include| include.source.is_none_or(|source| source == resource_type));
            let wanted: Vec<(&SearchParameter, Option<ResourceType>)> = of_type
                .flat_map(|include| {
                    let parameters = self.reference_parameters(resource_type, include.parameter);
                    parameters.into_iter().map(|parameter| (parameter, include.target))
                })
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let document = self.parse(entry.body.text.clone().into_bytes())?;
            for (parameter, target_type) in wanted {
                for target in self.extractors.references(parameter.number, resource_type, document.root(), base) {
                    let types = match (&target, target_type) {
                        (ReferenceTarget::Local { key, .. }, Some(wanted)) if key.resource_type != wanted => continue,
                        (ReferenceTarget::Local { .. }, _) => ResourceTypes::new(),
                        (ReferenceTarget::Canonical { .. }, Some(wanted)) => vec![wanted],
                        (ReferenceTarget::Canonical { .. }, None) => parameter.targets.clone(),
                    };
                    if known.insert((target.clone(), types.clone())) {
                        found.push((target, types));
                    }
                }
            }
        }
        Ok(found)
    }

    async fn include_targets(&self, gathering: &mut Gathering<'_>, targets: Vec<(ReferenceTarget, ResourceTypes)>) -> Result<()> {
        let mut keys = Vec::new();
        let mut versions: Vec<Option<VersionId>> = Vec::new();
        for (target, types) in targets {
            match target {
                ReferenceTarget::Local { key, version } => {
                    if gathering.admits(&key) {
                        self.check_room(gathering, keys.len())?;
                        keys.push(key);
                        versions.push(version);
                    }
                }
                ReferenceTarget::Canonical { url, version } => {
                    for key in self.canonical_keys(gathering, &url, version.as_deref(), &types).await? {
                        if gathering.admits(&key) {
                            self.check_room(gathering, keys.len())?;
                            keys.push(key);
                            versions.push(None);
                        }
                    }
                }
            }
        }
        self.include_keys(gathering, keys, &versions).await
    }

    /// Reads resources in the view, or in the version that a reference names, and takes them in.
    async fn include_keys(&self, gathering: &mut Gathering<'_>, keys: Vec<ResourceKey>, versions: &[Option<VersionId>]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let newest = self.store.read_many(gathering.access, gathering.view, &keys).await?;
        // A version that was replaced is for whoever may read that.
        let of_old = gathering.access.looking(Interaction::Vread);
        let old_reach = gathering.reach.by(&of_old);
        for (index, (key, newest)) in keys.into_iter().zip(newest).enumerate() {
            let named = versions.get(index).copied().flatten();
            let version = match (named, newest) {
                (Some(named), newest) if newest.as_ref().is_none_or(|newest| newest.version != named) => {
                    match of_old.allows(key.resource_type) {
                        true => old_reach.keep(&key, self.store.read_version(gathering.access, &key, named).await?).await?,
                        false => None,
                    }
                }
                (_, newest) => newest,
            };
            let version = gathering.reach.keep(&key, version).await?;
            gathering.included.extend(version.and_then(|version| Entry::new(key, version)));
        }
        Ok(())
    }

    /// Takes in the resources that refer to these.
    async fn include_referring(&self, gathering: &mut Gathering<'_>, include: &Include, to: &[Entry]) -> Result<()> {
        let targets: Vec<&ResourceKey> =
            to.iter().map(|entry| &entry.key).filter(|key| include.target.is_none_or(|wanted| key.resource_type == wanted)).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let test = ValueTest::references_to(targets.iter().copied());
        let mut parts = Vec::new();
        for source in ResourceType::all().filter(|source| include.source.is_none_or(|wanted| wanted == *source)) {
            if !gathering.access.allows(source) {
                continue;
            }
            let points_there = |parameter: &SearchParameter| {
                parameter.targets.is_empty() || targets.iter().any(|key| parameter.targets.contains(&key.resource_type))
            };
            let alternatives: Vec<Vec<Clause>> = self
                .reference_parameters(source, include.parameter)
                .into_iter()
                .filter(|parameter| points_there(parameter))
                .map(|parameter| vec![Clause::Matches { parameter: parameter.number, tests: vec![test.clone()] }])
                .collect();
            let part = match <[_; 1]>::try_from(alternatives) {
                Ok([single]) => TypeSearch { resource_type: source, filter: single, sort: Vec::new() },
                Err(none) if none.is_empty() => continue,
                Err(several) => plain_search(source, Clause::AnyOf(several)),
            };
            parts.extend(gathering.reach.narrow(part));
        }
        if parts.is_empty() {
            return Ok(());
        }
        // Those seen already take room in the page, too.
        let limit = self.limits.includes_max + gathering.seen.len() + 1;
        let page = self.index.search(gathering.access, &plain_request(parts, limit, gathering.view)).await?;
        let mut keys = Vec::new();
        for hit in page.hits {
            if gathering.admits(&hit.key) {
                self.check_room(gathering, keys.len())?;
                keys.push(hit.key);
            }
        }
        self.include_keys(gathering, keys, &[]).await
    }

    /// The resources of these types with this canonical URL.
    async fn canonical_keys(
        &self,
        gathering: &Gathering<'_>,
        url: &str,
        version: Option<&str>,
        types: &[ResourceType],
    ) -> Result<Vec<ResourceKey>> {
        let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('$', "\\$").replace('|', "\\|");
        let mut parameters = vec![("url".to_owned(), escape(url))];
        parameters.extend(version.map(|version| ("version".to_owned(), escape(version))));
        let options =
            Options { base: gathering.base, handling: parse::Handling::Strict, limits: self.limits.query.clone(), now: self.clock.now() };
        let mut parts = Vec::new();
        for resource_type in types.iter().filter(|resource_type| gathering.access.allows(**resource_type)) {
            if ["url", "version"].iter().all(|code| self.definitions.search_parameter(*resource_type, code).is_some()) {
                let query = parse::parse(&self.definitions, &Scope::Type(*resource_type), &parameters, &options)?;
                parts.extend(query.parts.iter().cloned().filter_map(|part| gathering.reach.narrow(part)));
            }
        }
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let page = self.index.search(gathering.access, &plain_request(parts, self.limits.includes_max + 1, gathering.view)).await?;
        Ok(page.hits.into_iter().map(|hit| hit.key).collect())
    }

    /// The reference parameters of a type: one of them, or all.
    fn reference_parameters(&self, resource_type: ResourceType, number: Option<ParameterNumber>) -> Vec<&SearchParameter> {
        let parameters = self.definitions.search_parameters(resource_type);
        parameters
            .filter(|parameter| parameter.kind == SearchParameterKind::Reference && number.is_none_or(|number| parameter.number == number))
            .collect()
    }

    fn check_room(&self, gathering: &Gathering<'_>, waiting: usize) -> Result<()> {
        let limit = self.limits.includes_max;
        if gathering.included.len() + waiting < limit {
            return Ok(());
        }
        Err(too_many(format!("the page includes more than {limit} further resources")))
    }
}

/// The types a canonical may be of; empty where the key says it.
type ResourceTypes = Vec<ResourceType>;

impl Gathering<'_> {
    /// Whether a resource may be seen and is not there yet; from now on it is.
    fn admits(&mut self, key: &ResourceKey) -> bool {
        self.access.allows(key.resource_type) && self.seen.insert(key.clone())
    }
}

fn too_many(what: String) -> InteractionError {
    InteractionError::of(ErrorKind::TooCostly, format!("{what}; ask for a smaller _count or include less"))
}
