//! Reading for one search: from what is kept where possible, else from the postings, within the budget.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{OrderedId, ResourceType};
use fhirpool_search::ValueTest;
use fhirpool_storage::Result;

use crate::forward::Forward;
use crate::search::budget::{Budget, ENTRIES_COST, SEEK_COST, SearchSettings};
use crate::search::cache::{Moment, SearchCache, Subject};
use crate::search::column::{ColumnBuilder, ColumnView};
use crate::search::ids::{IdList, IdListBuilder, IdRef};
use crate::search::postings::{Postings, Stretch, behind_value};

/// Reads of one search.
pub(crate) struct Reader<'a, P> {
    /// The snapshot.
    pub(crate) postings: &'a P,
    /// What is kept.
    pub(crate) cache: &'a SearchCache,
    /// The limits.
    pub(crate) settings: &'a SearchSettings,
    /// What is left of them.
    pub(crate) budget: Budget,
    /// Resources that changed lately, looked at once for all lists and columns.
    looked: RefCell<HashMap<(ResourceType, OrderedId), Option<Forward>>>,
}

impl<'a, P: Postings> Reader<'a, P> {
    /// For one search.
    pub(crate) fn new(postings: &'a P, cache: &'a SearchCache, settings: &'a SearchSettings, budget: Budget) -> Self {
        Self { postings, cache, settings, budget, looked: RefCell::default() }
    }

    /// A kept list, if there is one.
    pub(crate) fn kept_list(&self, resource_type: ResourceType, subject: Subject<'_>) -> Result<Option<Arc<IdList>>> {
        self.cache.list(self.moment(resource_type), subject, &mut |id| self.look(resource_type, id))
    }

    /// A kept column, if there is one.
    pub(crate) fn kept_column(&self, resource_type: ResourceType, parameter: ParameterNumber) -> Result<Option<Arc<ColumnView>>> {
        self.cache.column(self.moment(resource_type), parameter, &mut |id| self.look(resource_type, id))
    }

    /// A list: kept, or scanned and then kept. `None` if scanning it takes more than `scan_max` postings.
    pub(crate) fn list(&self, resource_type: ResourceType, subject: Subject<'_>, scan_max: u64) -> Result<Option<Arc<IdList>>> {
        if let Some(list) = self.kept_list(resource_type, subject)? {
            return Ok(Some(list));
        }
        let scanned = match subject {
            Subject::All => self.scan_ids(resource_type, scan_max)?,
            Subject::Any(parameter) => self.scan_any(resource_type, parameter, scan_max)?,
            Subject::Test(parameter, test) => self.scan_test(resource_type, parameter, test, scan_max)?,
            Subject::Value(parameter, value) => self.scan_value(resource_type, parameter, value, scan_max)?,
        };
        let Some(list) = scanned.map(Arc::new) else { return Ok(None) };
        self.keep_list(resource_type, subject, &list);
        Ok(Some(list))
    }

    /// Keeps a list for later searches, if it is worth it.
    pub(crate) fn keep_list(&self, resource_type: ResourceType, subject: Subject<'_>, list: &Arc<IdList>) {
        if list.len() >= self.settings.kept_length_min {
            self.cache.keep_list(self.moment(resource_type), subject, list.clone());
        }
    }

    /// A list, however long it takes within the limits.
    pub(crate) fn whole_list(&self, resource_type: ResourceType, subject: Subject<'_>) -> Result<Arc<IdList>> {
        Ok(self.list(resource_type, subject, u64::MAX)?.expect("no scan is longer than the greatest number"))
    }

    /// A column: kept, or built and then kept.
    pub(crate) fn column(&self, resource_type: ResourceType, parameter: ParameterNumber) -> Result<Arc<ColumnView>> {
        if let Some(column) = self.kept_column(resource_type, parameter)? {
            return Ok(column);
        }
        let mut builder = ColumnBuilder::default();
        let mut full = false;
        self.scan(Stretch { resource_type, parameter, from: &[], to: None }, u64::MAX, &mut |value, id| {
            full = !builder.push(value, id);
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if full {
            self.budget.check_length(usize::MAX)?;
        }
        let column = Arc::new(ColumnView::new(builder.finish()));
        let moment = self.moment(resource_type);
        self.cache.keep_column(moment, parameter, column.clone());
        self.cache.forget_spending(moment, parameter);
        Ok(column)
    }

    /// A column where one is kept, or where building it is worth it for so many looks and those of searches before.
    pub(crate) fn column_if_worth(
        &self,
        resource_type: ResourceType,
        parameter: ParameterNumber,
        looks: usize,
    ) -> Result<Option<Arc<ColumnView>>> {
        if let Some(column) = self.kept_column(resource_type, parameter)? {
            return Ok(Some(column));
        }
        if self.is_worth_scanning(resource_type, parameter, looks)? && self.may_build_column(resource_type)? {
            return self.column(resource_type, parameter).map(Some);
        }
        Ok(None)
    }

    /// Whether a column of the parameter may be built.
    pub(crate) fn may_build_column(&self, resource_type: ResourceType) -> Result<bool> {
        Ok(self.postings.count(resource_type)? <= self.settings.column_length_max)
    }

    /// Notes that so many resources are to be looked at one by one for a parameter. `true` if, with what searches before this
    /// one spent on it, scanning all of its postings once would have been no dearer: then it is time to do so.
    pub(crate) fn is_worth_scanning(&self, resource_type: ResourceType, parameter: ParameterNumber, looks: usize) -> Result<bool> {
        let spent = self.cache.spend(self.moment(resource_type), parameter, (looks as u64).saturating_mul(ENTRIES_COST));
        Ok(spent >= self.postings.count(resource_type)?)
    }

    /// What is posted for a resource; `None` if it is not there.
    pub(crate) fn entries(&self, resource_type: ResourceType, id: IdRef<'_>) -> Result<Option<Forward>> {
        self.budget.spend(ENTRIES_COST)?;
        self.postings.entries(resource_type, id)
    }

    /// Those of some ids that are there.
    pub(crate) fn existing(&self, resource_type: ResourceType, ids: &IdList) -> Result<IdList> {
        if let Some(all) = self.kept_list(resource_type, Subject::All)? {
            return Ok(ids.intersection(&all));
        }
        ids.try_filter(|id| Ok(self.entries(resource_type, id)?.is_some()))
    }

    /// Visits a stretch within the budget; `false` if it was left after `max` postings.
    pub(crate) fn scan(&self, stretch: Stretch<'_>, max: u64, visit: Visit<'_>) -> Result<bool> {
        self.budget.spend(SEEK_COST)?;
        let mut seen = 0;
        let mut outcome = Ok(true);
        self.postings.scan(stretch, &mut |value, id| {
            if seen == max {
                outcome = Ok(false);
                return ControlFlow::Break(());
            }
            seen += 1;
            match self.budget.spend(1).and_then(|()| visit(value, id)) {
                Ok(flow) => flow,
                Err(error) => {
                    outcome = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        outcome
    }

    fn scan_test(&self, resource_type: ResourceType, parameter: ParameterNumber, test: &ValueTest, max: u64) -> Result<Option<IdList>> {
        let mut ids = IdListBuilder::default();
        let mut left = max;
        for range in test.ranges() {
            let stretch = Stretch { resource_type, parameter, from: &range.from, to: Some(&range.to) };
            let mut seen = 0;
            let complete = self.scan(stretch, left, &mut |value, id| {
                seen += 1;
                if test.accepts_all_in_ranges() || test.accepts(value) {
                    ids.push(id);
                    self.budget.check_length(ids.len())?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if !complete {
                return Ok(None);
            }
            left = left.saturating_sub(seen);
        }
        Ok(Some(ids.finish()))
    }

    fn scan_value(&self, resource_type: ResourceType, parameter: ParameterNumber, value: &[u8], max: u64) -> Result<Option<IdList>> {
        let mut ids = IdListBuilder::default();
        let to = behind_value(value);
        let complete = self.scan(Stretch { resource_type, parameter, from: value, to: Some(&to) }, max, &mut |_, id| {
            ids.push(id);
            self.budget.check_length(ids.len())?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(complete.then(|| ids.finish()))
    }

    fn scan_any(&self, resource_type: ResourceType, parameter: ParameterNumber, max: u64) -> Result<Option<IdList>> {
        let mut ids = IdListBuilder::default();
        let stretch = Stretch { resource_type, parameter, from: &[], to: None };
        let complete = self.scan(stretch, max, &mut |_, id| {
            ids.push(id);
            self.budget.check_length(ids.len())?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(complete.then(|| ids.finish()))
    }

    fn scan_ids(&self, resource_type: ResourceType, max: u64) -> Result<Option<IdList>> {
        let mut ids = IdListBuilder::default();
        let mut outcome = Ok(true);
        self.postings.ids(resource_type, None, &mut |id| {
            if ids.len() as u64 == max {
                outcome = Ok(false);
                return ControlFlow::Break(());
            }
            ids.push(id);
            match self.budget.spend(1).and_then(|()| self.budget.check_length(ids.len())) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    outcome = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        Ok(outcome?.then(|| ids.finish()))
    }

    fn look(&self, resource_type: ResourceType, id: &OrderedId) -> Result<Option<Forward>> {
        if let Some(known) = self.looked.borrow().get(&(resource_type, id.clone())) {
            return Ok(known.clone());
        }
        let looked = self.entries(resource_type, id.into())?;
        self.looked.borrow_mut().insert((resource_type, id.clone()), looked.clone());
        Ok(looked)
    }

    fn moment(&self, resource_type: ResourceType) -> Moment {
        Moment { tenant: self.postings.tenant(), resource_type, sequence: self.postings.sequence() }
    }
}

/// Takes a value and the id behind it.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], IdRef<'_>) -> Result<ControlFlow<()>>;
