//! From a filter to the ids it holds for.
//!
//! A filter is narrowed step by step, what is cheap first: lists at hand, short scans, then chains and their like, which are
//! told how few candidates are left; what remains is looked at candidate by candidate.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceId, ResourceKey, ResourceType};
use fhirpool_search::{Clause, TypeSearch, reference_target, reference_value};
use fhirpool_storage::{Result, StorageError};

use crate::search::budget::{ENTRIES_COST, SEEK_COST};
use crate::search::cache::Subject;
use crate::search::condition::{Check, Condition};
use crate::search::ids::{IdList, IdListBuilder, IdRef};
use crate::search::postings::{Postings, Stretch};
use crate::search::reader::Reader;

/// Chains, `_has` and alternatives within each other; the parser refuses deeper ones long before.
const DEPTH_MAX: usize = 64;

/// So many ids of lists in memory are merged at the cost of one posting scanned.
const MERGED_PER_UNIT: u64 = 16;

/// A chain's inner results whose referrers are looked up one by one, at most.
const CHAIN_UNION_MAX: usize = 20_000;

impl<P: Postings> Reader<'_, P> {
    /// The resources of a type for which everything in the filter holds; `within`: only those of these, which are there.
    /// None of a type that the access does not cover.
    pub(crate) fn evaluate(
        &self,
        resource_type: ResourceType,
        filter: &[Clause],
        within: Option<&Arc<IdList>>,
        depth: usize,
    ) -> Result<Arc<IdList>> {
        if !self.postings.allows(resource_type) {
            return Ok(Arc::default());
        }
        if depth > DEPTH_MAX {
            return Err(StorageError::TooCostly("the search is nested too deeply"));
        }
        let narrowing =
            Narrowing { reader: self, resource_type, depth, candidates: within.cloned(), excluded: Vec::new(), open: Vec::new() };
        narrowing.run(filter)
    }
}

/// A filter on its way to a list.
struct Narrowing<'s, 'r, 'c, P> {
    reader: &'s Reader<'r, P>,
    resource_type: ResourceType,
    depth: usize,
    /// Resources that are there, all that are sought among them; `None`: all of the type.
    candidates: Option<Arc<IdList>>,
    /// None of these is sought.
    excluded: Vec<Arc<IdList>>,
    /// What is not taken into account yet.
    open: Vec<Condition<'c>>,
}

impl<'c, P: Postings> Narrowing<'_, '_, 'c, P> {
    fn run(mut self, filter: &'c [Clause]) -> Result<Arc<IdList>> {
        let mut far = Vec::new();
        for clause in filter {
            match Condition::of(clause) {
                Some(condition) => self.open.push(condition),
                None => match clause {
                    Clause::Id(ids) => self.keep_ids(ids)?,
                    _ => far.push(clause),
                },
            }
        }
        self.take_kept_lists()?;
        self.take_short_lists()?;
        for clause in far {
            if self.is_settled() {
                break;
            }
            match clause {
                Clause::Chain { parameter, targets } => self.keep_chain(*parameter, targets)?,
                Clause::Has { parameter, source } => self.keep_referred_to(*parameter, source)?,
                Clause::AnyOf(alternatives) => self.keep_any_of(alternatives)?,
                _ => unreachable!("the others are conditions or ids"),
            }
        }
        let mut candidates = self.base()?;
        for excluded in std::mem::take(&mut self.excluded) {
            self.spend_on_merge(candidates.len())?;
            candidates = Arc::new(candidates.difference(&excluded));
        }
        self.verify(candidates)
    }

    fn is_settled(&self) -> bool {
        self.candidates.as_ref().is_some_and(|candidates| candidates.is_empty())
    }

    fn keep(&mut self, list: Arc<IdList>) -> Result<()> {
        self.candidates = Some(match self.candidates.take() {
            Some(candidates) => {
                self.spend_on_merge(candidates.len().min(list.len()))?;
                Arc::new(candidates.intersection(&list))
            }
            None => list,
        });
        Ok(())
    }

    fn take(&mut self, list: Arc<IdList>, negated: bool) -> Result<()> {
        if negated {
            self.excluded.push(list);
            return Ok(());
        }
        self.keep(list)
    }

    /// Accounts for merging so many ids of lists in memory.
    fn spend_on_merge(&self, ids: usize) -> Result<()> {
        self.reader.budget.spend(ids as u64 / MERGED_PER_UNIT)
    }

    fn union(&self, mut lists: Vec<Arc<IdList>>) -> Result<Arc<IdList>> {
        if lists.len() == 1 {
            return Ok(lists.remove(0));
        }
        let count = lists.iter().map(|list| list.len()).sum();
        self.reader.budget.check_length(count)?;
        self.spend_on_merge(count)?;
        Ok(Arc::new(IdList::union(lists.iter().map(|list| &**list))))
    }

    fn keep_ids(&mut self, ids: &[ResourceId]) -> Result<()> {
        let mut list = IdListBuilder::default();
        for id in ids {
            list.push((&OrderedId::from(id)).into());
        }
        self.keep_if_there(list.finish())
    }

    /// Narrows to ids that may lead to nothing.
    fn keep_if_there(&mut self, ids: IdList) -> Result<()> {
        let ids = match &self.candidates {
            Some(candidates) => candidates.intersection(&ids),
            None => self.reader.existing(self.resource_type, &ids)?,
        };
        self.candidates = Some(Arc::new(ids));
        Ok(())
    }

    fn take_kept_lists(&mut self) -> Result<()> {
        for condition in std::mem::take(&mut self.open) {
            let mut lists = Vec::with_capacity(1);
            let subjects = condition.check.subjects();
            for subject in &subjects {
                lists.extend(self.reader.kept_list(self.resource_type, *subject)?);
            }
            if !subjects.is_empty() && lists.len() == subjects.len() {
                let list = self.union(lists)?;
                self.take(list, condition.negated)?;
            } else {
                self.open.push(condition);
            }
        }
        Ok(())
    }

    /// Scans for lists where looking at each candidate would be dearer, as far as the scan is short.
    fn take_short_lists(&mut self) -> Result<()> {
        for condition in std::mem::take(&mut self.open) {
            let list = if self.is_settled() { None } else { self.short_list(&condition)? };
            match list {
                Some(list) => self.take(list, condition.negated)?,
                None => self.open.push(condition),
            }
        }
        Ok(())
    }

    fn short_list(&self, condition: &Condition<'_>) -> Result<Option<Arc<IdList>>> {
        let subjects = condition.check.subjects();
        let has_column = self.reader.kept_column(self.resource_type, condition.check.parameter())?.is_some();
        let mut scan_max = match condition.check.is_of_single_values() {
            true => self.reader.settings.probe_length,
            false if has_column => self.reader.settings.probe_length / 16,
            false => self.reader.settings.probe_length / 4,
        };
        if subjects.is_empty() || condition.negated && self.candidates.is_none() {
            return Ok(None);
        }
        let is_cheap_to_verify = |list: &Arc<IdList>| has_column || list.len() as u64 * ENTRIES_COST <= scan_max;
        if self.candidates.as_ref().is_some_and(is_cheap_to_verify) {
            return Ok(None);
        }
        let mut lists = Vec::with_capacity(subjects.len());
        for subject in subjects {
            let Some(list) = self.reader.list(self.resource_type, subject, scan_max)? else { return Ok(None) };
            scan_max = scan_max.saturating_sub(list.len() as u64 + SEEK_COST);
            lists.push(list);
        }
        self.union(lists).map(Some)
    }

    fn keep_chain(&mut self, parameter: ParameterNumber, targets: &[TypeSearch]) -> Result<()> {
        let mut found = Vec::new();
        let mut count = 0;
        for target in targets {
            let ids = self.reader.evaluate(target.resource_type, &target.filter, None, self.depth + 1)?;
            count += ids.len();
            if !ids.is_empty() {
                found.push((target.resource_type, ids));
            }
        }
        if found.is_empty() {
            self.candidates = Some(Arc::default());
            return Ok(());
        }
        let has_column = self.reader.kept_column(self.resource_type, parameter)?.is_some();
        let candidates = match &self.candidates {
            Some(candidates) => candidates.len() as u64,
            None => self.reader.postings.count(self.resource_type)?,
        };
        let verify_cost = candidates * if has_column { 1 } else { ENTRIES_COST };
        if count > CHAIN_UNION_MAX || count as u64 * SEEK_COST > verify_cost {
            self.open.push(Condition { check: Check::RefersTo { parameter, targets: found }, negated: false });
            return Ok(());
        }
        let mut lists = Vec::with_capacity(count);
        for (target_type, ids) in &found {
            for id in ids.iter() {
                let value = reference_to(*target_type, id);
                lists.push(self.reader.whole_list(self.resource_type, Subject::Value(parameter, &value))?);
            }
        }
        let list = self.union(lists)?;
        self.keep(list)
    }

    fn keep_referred_to(&mut self, parameter: ParameterNumber, source: &TypeSearch) -> Result<()> {
        let sources = self.reader.evaluate(source.resource_type, &source.filter, None, self.depth + 1)?;
        if sources.is_empty() {
            self.candidates = Some(Arc::default());
            return Ok(());
        }
        let has_column = self.reader.kept_column(source.resource_type, parameter)?.is_some();
        let walk_cost = sources.len() as u64 * if has_column { 1 } else { ENTRIES_COST };
        match self.candidates.clone() {
            Some(candidates) if candidates.len() as u64 * SEEK_COST < walk_cost => {
                let kept = candidates.try_filter(|id| {
                    let value = reference_to(self.resource_type, id);
                    let referrers = self.reader.whole_list(source.resource_type, Subject::Value(parameter, &value))?;
                    Ok::<_, StorageError>(!referrers.intersection(&sources).is_empty())
                })?;
                self.candidates = Some(Arc::new(kept));
                Ok(())
            }
            _ => {
                let referred_to = self.targets_of(source.resource_type, parameter, &sources)?;
                self.keep_if_there(referred_to)
            }
        }
    }

    /// What of this type some resources refer to.
    fn targets_of(&self, source_type: ResourceType, parameter: ParameterNumber, sources: &IdList) -> Result<IdList> {
        let mut targets = IdListBuilder::default();
        let mut seen = HashSet::new();
        let mut take = |value: &[u8]| {
            if seen.contains(value) {
                return;
            }
            seen.insert(value.to_vec());
            if let Some(target) = reference_target(value).filter(|target| target.resource_type == self.resource_type) {
                targets.push((&OrderedId::from(&target.id)).into());
            }
        };
        match self.reader.column_if_worth(source_type, parameter, sources.len())? {
            Some(column) => {
                let mut cursor = column.cursor();
                self.reader.budget.spend(sources.len() as u64 / ENTRIES_COST)?;
                sources.iter().for_each(|id| cursor.values(id).for_each(&mut take));
            }
            None => {
                for id in sources.iter() {
                    let entries = self.reader.entries(source_type, id)?;
                    entries.iter().flat_map(|entries| entries.values(parameter)).for_each(&mut take);
                }
            }
        }
        Ok(targets.finish())
    }

    fn keep_any_of(&mut self, alternatives: &[Vec<Clause>]) -> Result<()> {
        let mut lists = Vec::with_capacity(alternatives.len());
        for alternative in alternatives {
            lists.push(self.reader.evaluate(self.resource_type, alternative, self.candidates.as_ref(), self.depth + 1)?);
        }
        let list = self.union(lists)?;
        self.keep(list)
    }

    /// The candidates, where need be from a condition with a long list, or all resources of the type.
    fn base(&mut self) -> Result<Arc<IdList>> {
        if let Some(candidates) = self.candidates.take() {
            return Ok(candidates);
        }
        let Some(index) = self.best_base() else { return self.reader.whole_list(self.resource_type, Subject::All) };
        let condition = self.open.remove(index);
        let parameter = condition.check.parameter();
        if !condition.check.is_of_single_values() && self.reader.may_build_column(self.resource_type)? {
            let ids = self.reader.column(self.resource_type, parameter)?.ids();
            let list = Arc::new(self.verify_by_column(&ids, &condition)?);
            if let [subject] = &*condition.check.subjects() {
                self.reader.keep_list(self.resource_type, *subject, &list);
            }
            return Ok(list);
        }
        match &condition.check {
            Check::RefersTo { .. } => {
                let mut ids = IdListBuilder::default();
                let stretch = Stretch { resource_type: self.resource_type, parameter, from: &[], to: None };
                self.reader.scan(stretch, u64::MAX, &mut |value, id| {
                    if condition.check.accepts(value) {
                        ids.push(id);
                        self.reader.budget.check_length(ids.len())?;
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(Arc::new(ids.finish()))
            }
            check => self.whole_list(check),
        }
    }

    /// The open condition to begin with: one of a single value, since its postings are in the order of ids, else any.
    fn best_base(&self) -> Option<usize> {
        let positive = |condition: &Condition<'_>| !condition.negated;
        let single = self.open.iter().position(|condition| positive(condition) && condition.check.is_of_single_values());
        single.or_else(|| self.open.iter().position(positive))
    }

    fn whole_list(&self, check: &Check<'_>) -> Result<Arc<IdList>> {
        let lists = check.subjects().into_iter().map(|subject| self.reader.whole_list(self.resource_type, subject));
        self.union(lists.collect::<Result<_>>()?)
    }

    /// Looks at each candidate for what is still open.
    fn verify(&mut self, mut candidates: Arc<IdList>) -> Result<Arc<IdList>> {
        let mut one_by_one = Vec::new();
        for condition in std::mem::take(&mut self.open) {
            if candidates.is_empty() {
                return Ok(candidates);
            }
            let parameter = condition.check.parameter();
            if condition.check.is_of_single_values() && self.reader.kept_column(self.resource_type, parameter)?.is_none() {
                if self.reader.is_worth_scanning(self.resource_type, parameter, candidates.len())? {
                    let list = self.whole_list(&condition.check)?;
                    let narrowed = if condition.negated { candidates.difference(&list) } else { candidates.intersection(&list) };
                    candidates = Arc::new(narrowed);
                } else {
                    one_by_one.push(condition);
                }
                continue;
            }
            match self.reader.column_if_worth(self.resource_type, parameter, candidates.len())? {
                Some(_) => candidates = Arc::new(self.verify_by_column(&candidates, &condition)?),
                None => one_by_one.push(condition),
            }
        }
        if one_by_one.is_empty() {
            return Ok(candidates);
        }
        let verified = candidates.try_filter(|id| {
            let Some(entries) = self.reader.entries(self.resource_type, id)? else { return Ok(false) };
            Ok::<_, StorageError>(one_by_one.iter().all(|condition| condition.holds(entries.values(condition.check.parameter()))))
        })?;
        Ok(Arc::new(verified))
    }

    fn verify_by_column(&self, ids: &IdList, condition: &Condition<'_>) -> Result<IdList> {
        let column = self.reader.column(self.resource_type, condition.check.parameter())?;
        let mut cursor = column.cursor();
        self.reader.budget.spend(ids.len() as u64 / ENTRIES_COST)?;
        ids.try_filter(|id| Ok(condition.holds(cursor.values(id))))
    }
}

/// The index value of a reference to a resource.
fn reference_to(resource_type: ResourceType, id: IdRef<'_>) -> Vec<u8> {
    reference_value(&ResourceKey::new(resource_type, ResourceId::from(&id.to_ordered())))
}
