//! From clauses to queries that find just what they mean.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_fhir::{DateInterval, OrderedId};
use fhirpool_search::{Clause, Comparator, KeyRange, Rule, TypeSearch, ValueTest, reference_value};
use fhirpool_storage::StorageError;
use serde_json::{Value, json};

use crate::fields::{PLACE, SCOPE, TERMS};
use crate::names::TypeNames;
use crate::picture::Seen;
use crate::query::{AllOf, any_of, none, term, terms};
use crate::regexp;
use crate::related::Related;
use crate::schema::REGEXP_MAX;

/// Chains, `_has` and alternatives within each other; the parser refuses deeper ones long before.
const DEPTH_MAX: usize = 64;

impl Related<'_> {
    /// A query for the resources of a type for which everything in the filter holds.
    pub(crate) async fn compile(&self, search: &TypeSearch, depth: usize) -> Seen<Value> {
        let names = TypeNames::to_read(self.access, search.resource_type)?;
        let scope = term(SCOPE, names.scope());
        self.all_of(&names, &search.filter, depth, vec![scope]).await
    }

    fn all_of<'s>(&'s self, names: &'s TypeNames, filter: &'s [Clause], depth: usize, hold: Vec<Value>) -> BoxFuture<'s, Seen<Value>> {
        async move {
            if depth > DEPTH_MAX {
                return Err(StorageError::TooCostly("the search is nested too deeply").into());
            }
            let mut query = AllOf { hold, fail: Vec::new() };
            for clause in filter {
                match clause {
                    Clause::Matches { parameter, tests } => query.hold.push(self.any_test(names, *parameter, tests)?),
                    Clause::NotMatches { tests, .. } if tests.is_empty() => {}
                    Clause::NotMatches { parameter, tests } => query.fail.push(self.any_test(names, *parameter, tests)?),
                    Clause::Missing { parameter, missing } => {
                        let list = if *missing { &mut query.fail } else { &mut query.hold };
                        list.push(term(TERMS, names.parameter(*parameter)));
                    }
                    Clause::Id(ids) => query.hold.push(at(names, ids.iter().map(OrderedId::from))),
                    Clause::Chain { parameter, targets } => {
                        let mut values = Vec::new();
                        for target in targets.iter().filter(|target| self.access.allows(target.resource_type)) {
                            let found = self.found(target, depth + 1).await?;
                            values.extend(found.iter().map(|key| names.value(*parameter, &reference_value(key))));
                        }
                        query.hold.push(terms(TERMS, values));
                    }
                    Clause::Has { parameter, source } if self.access.allows(source.resource_type) => {
                        let found = self.referred_to(*parameter, source, depth + 1).await?;
                        let here = found.iter().filter(|key| key.resource_type == names.resource_type());
                        query.hold.push(at(names, here.map(|key| OrderedId::from(&key.id))));
                    }
                    Clause::Has { .. } => query.hold.push(none()),
                    Clause::AnyOf(alternatives) => {
                        let mut queries = Vec::with_capacity(alternatives.len());
                        for alternative in alternatives {
                            queries.push(self.all_of(names, alternative, depth + 1, Vec::new()).await?);
                        }
                        query.hold.push(any_of(queries));
                    }
                }
            }
            Ok(query.finish())
        }
        .boxed()
    }

    /// Resources of which some value of the parameter passes one of the tests.
    fn any_test(&self, names: &TypeNames, parameter: ParameterNumber, tests: &[ValueTest]) -> Seen<Value> {
        let mut queries = Vec::new();
        for test in tests {
            match test.rule() {
                Rule::Values => {
                    let values = test.ranges().iter().map(|range| names.value(parameter, &range.from));
                    queries.push(terms(TERMS, values.collect()));
                }
                Rule::Ranges => queries.extend(test.ranges().iter().map(|range| between(names, parameter, range))),
                Rule::Systems(systems) => {
                    let forms = test.ranges().iter().filter_map(|range| range.from.first());
                    let values = forms.flat_map(|form| systems.iter().map(|system| names.system(parameter, *form, system)));
                    queries.push(terms(TERMS, values.collect()));
                }
                Rule::Dates { comparator, sought } => match self.index.fields().dates(parameter) {
                    Some(field) => queries.extend(dates(&field, comparator, sought)),
                    None => queries.push(written(names, parameter, test)?),
                },
                Rule::Pattern(_) => queries.push(written(names, parameter, test)?),
            }
        }
        Ok(any_of(queries))
    }
}

/// The resources of these ids.
fn at(names: &TypeNames, ids: impl Iterator<Item = OrderedId>) -> Value {
    terms(PLACE, ids.map(|id| names.place(&id)).collect())
}

fn between(names: &TypeNames, parameter: ParameterNumber, range: &KeyRange) -> Value {
    json!({"range": {TERMS: {"gte": names.value(parameter, &range.from), "lt": names.value(parameter, &range.to)}}})
}

fn written(names: &TypeNames, parameter: ParameterNumber, test: &ValueTest) -> Seen<Value> {
    let expression = regexp::write(&names.parameter(parameter), &test.pattern());
    if expression.chars().count() > REGEXP_MAX {
        return Err(StorageError::TooCostly("the values sought are too long").into());
    }
    Ok(json!({"regexp": {TERMS: {"value": expression, "max_determinized_states": 100_000}}}))
}

/// Alternatives of how an interval compares so. What lies beyond all time is of none.
fn dates(field: &str, comparator: Comparator, sought: DateInterval) -> Vec<Value> {
    let related = |low: Option<i64>, high: Option<i64>, relation: &str| {
        let bounds = low.zip(high).filter(|(low, high)| low <= high);
        bounds.map(|(low, high)| json!({"range": {field: {"gte": low, "lte": high, "relation": relation}}}))
    };
    let (low, high) = (Some(sought.low), Some(sought.high));
    let (before, behind) = (sought.low.checked_sub(1), sought.high.checked_add(1));
    let (first, last) = (Some(i64::MIN), Some(i64::MAX));
    let is_equal = || related(low, high, "within");
    let begins_before = || related(first, before, "intersects");
    let ends_behind = || related(behind, last, "intersects");
    let alternatives = match comparator {
        Comparator::Equal => [is_equal(), None],
        Comparator::NotEqual => [begins_before(), ends_behind()],
        Comparator::Greater => [ends_behind(), None],
        Comparator::Less => [begins_before(), None],
        Comparator::GreaterOrEqual => [ends_behind(), is_equal()],
        Comparator::LessOrEqual => [begins_before(), is_equal()],
        Comparator::StartsAfter => [related(behind, last, "within"), None],
        Comparator::EndsBefore => [related(first, before, "within"), None],
        Comparator::Approximate => [related(low, high, "intersects"), None],
    };
    alternatives.into_iter().flatten().collect()
}
