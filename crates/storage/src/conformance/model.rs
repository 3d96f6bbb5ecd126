//! Random interactions: of one client beside a simple model, and of many at once with what must hold of all they saw.
//!
//! The seed is printed; `FHIRPOOL_SEED` repeats a run (exactly so for one client).

use super::*;
use crate::Assumption;
use crate::memory::MemoryStore;

mod many;

pub use many::many_clients_see_a_consistent_store;

const STEPS: usize = 500;
const NAMES: [&str; 10] = [
    "Patient/1",
    "Patient/2",
    "Patient/01234567-89ab-cdef-0123-456789abcdef",
    "Observation/1",
    "Observation/2",
    "Observation/3",
    "Observation/4",
    "Observation/5",
    "Group/1",
    "Group/2",
];
const QUERIES: [&str; 14] = [
    "Observation",
    "Observation?code=c0",
    "Observation?code=c1,c2",
    "Observation?code:not=c0",
    "Observation?date=ge2024-01-03&_sort=-date",
    "Observation?_sort=code,-date",
    "Observation?code:missing=true",
    "Observation?subject=Patient/1",
    "Observation?subject:Patient.active=true",
    "Patient",
    "Patient?active=true",
    "Patient?_has:Observation:subject:code=c1",
    "?_type=Patient,Observation,Group",
    "Observation?_id=1,3,7",
];

/// Whatever one client does, in whatever order, the store answers as the model does.
pub async fn a_single_client_sees_what_the_model_sees(fixture: Fixture) {
    let mut random = Random::seeded("a_single_client_sees_what_the_model_sees");
    let tenants = ["a", "b"].map(tenant);
    let model = Arc::new(MemoryStore::new(&tenants, extractors(), || Timestamp(0)));
    let resources: Arc<dyn ResourceStore> = model.clone();
    let index: Arc<dyn SearchIndex> = model;
    let model = Client::new(&resources, &index, &Principal::operator(tenant("a")));
    let mut pair = Pair { pictures: fixture.pictures, store: fixture.a, model, views: Vec::new() };
    for step in 0..STEPS {
        match random.below(10) {
            0..=4 => pair.commit(&mut random, step).await,
            5 => pair.read(&mut random).await,
            6 => pair.history(&mut random).await,
            7 => pair.take_views().await,
            _ => pair.search(&mut random).await,
        }
    }
    for query in QUERIES {
        assert_eq!(pair.store.search(query).await, pair.model.search(query).await, "{query}");
    }
}

/// The store and the model, and views of both taken at the same times.
struct Pair {
    pictures: bool,
    store: Client,
    model: Client,
    views: Vec<(View, View)>,
}

/// What must be the same of a version: all but its time.
fn untimed(version: Option<StoredVersion>) -> Option<(VersionId, Method, Content)> {
    version.map(|version| (version.version, version.method, version.content))
}

impl Pair {
    async fn commit(&mut self, random: &mut Random, step: usize) {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..1 + random.below(4) {
            let name = random.pick(&NAMES);
            if changes.iter().all(|change| change.key != key(name)) {
                changes.push(self.change(random, name, step).await);
            }
        }
        let assumptions = if random.below(3) == 0 {
            // Alone, so that it is clear what fails.
            changes.iter_mut().for_each(|change| change.precondition = Precondition::None);
            Some(self.assumptions(random).await)
        } else {
            None
        };
        let (ours, theirs) = assumptions.unwrap_or_default();
        let prepared_at = theirs.first().map(|assumption| assumption.sequence);
        let commit = |assumptions| Commit { changes: changes.clone(), assumptions };
        let outcome = self.store.resources.commit(&self.store.write_access, commit(ours)).await.unwrap();
        if outcome == CommitOutcome::Stale {
            // A store may be wary of what happened in between, though it came to nothing; but something must have happened.
            let now = self.model.view().await.sequence;
            assert!(prepared_at.is_some_and(|sequence| sequence < now), "step {step}: stale, though nothing has happened");
            return;
        }
        let expected = self.model.resources.commit(&self.model.write_access, commit(theirs)).await.unwrap();
        assert_eq!(without_time(outcome), without_time(expected), "step {step}: {changes:?}");
    }

    async fn change(&self, random: &mut Random, name: &str, step: usize) -> Change {
        let current = self.model.read(name).await.map(|version| version.version);
        let near = VersionId(current.map_or(0, |version| version.0) + random.below(2) as u64);
        let precondition = match random.below(8) {
            0 => Precondition::NeverExisted,
            1 => Precondition::Version(near),
            2 => Precondition::Version(current.unwrap_or(VersionId(1))),
            3 => Precondition::Unchanged(current),
            4 => Precondition::Unchanged(Some(near)),
            _ => Precondition::None,
        };
        let members = match key(name).resource_type.name() {
            "Observation" if random.below(5) == 0 => format!("\"status\":\"final\",\"language\":\"s{step}\""),
            "Observation" => {
                observation(&format!("c{}", random.below(3)), random.below(9) as i64, random.pick(&["", "Patient/1", "Patient/2"]))
            }
            "Patient" => format!("\"active\":{}", random.below(2) == 0),
            _ => format!("\"language\":\"s{step}\""),
        };
        let change = if random.below(4) == 0 { delete(name) } else { put(name, &members) };
        Change {
            method: if change.method == Method::Put { random.pick(&[Method::Put, Method::Patch]) } else { change.method },
            precondition,
            ..change
        }
    }

    /// What some criteria gave now or in an older view, for each of the two: each store has its own sequences.
    async fn assumptions(&self, random: &mut Random) -> (Vec<Assumption>, Vec<Assumption>) {
        let older = self.views.get(random.below(self.views.len() + 2)).filter(|_| self.pictures).cloned();
        let (ours, theirs) = match older {
            Some(views) => views,
            None => (self.store.view().await, self.model.view().await),
        };
        let search = TypeSearch { sort: Vec::new(), ..parts(random.pick(&QUERIES[..4]))[0].clone() };
        let request = |view| SearchRequest {
            parts: [search.clone()].into(),
            limit: 1_000,
            view: Some(view),
            freshness: Freshness::Exact,
            ..super::search("Patient")
        };
        let assumption = |page: SearchPage| {
            let found = page.hits.into_iter().map(|hit| hit.key.id).collect();
            vec![Assumption { search: Arc::new(search.clone()), found, sequence: page.view.sequence }]
        };
        (assumption(self.store.page(request(ours)).await), assumption(self.model.page(request(theirs)).await))
    }

    async fn read(&self, random: &mut Random) {
        for name in NAMES {
            assert_eq!(untimed(self.store.read(name).await), untimed(self.model.read(name).await), "{name}");
            let version = random.below(6) as u64;
            assert_eq!(
                untimed(self.store.read_version(name, version).await),
                untimed(self.model.read_version(name, version).await),
                "{name}"
            );
        }
    }

    async fn history(&self, random: &mut Random) {
        let limit = 1 + random.below(20);
        let scope = HistoryScope::Instance(key(random.pick(&NAMES)));
        let ours = self.store.history(history(scope.clone(), limit)).await;
        let theirs = self.model.history(history(scope, limit)).await;
        let untimed =
            |entries: Vec<HistoryEntry>| entries.into_iter().map(|entry| (entry.key, untimed(Some(entry.version)))).collect::<Vec<_>>();
        assert_eq!(untimed(ours), untimed(theirs));
        for scope in [HistoryScope::Tenant, HistoryScope::Type(key("Observation/1").resource_type)] {
            let ours = self.store.history(history(scope.clone(), limit)).await;
            assert_eq!(name_set(&ours), name_set(&self.model.history(history(scope, limit)).await));
        }
    }

    async fn take_views(&mut self) {
        let views = (self.store.view().await, self.model.view().await);
        if self.views.len() == 3 {
            self.views.remove(0);
        }
        self.views.push(views);
    }

    /// Now, or in an older view, where reads are compared as well.
    async fn search(&self, random: &mut Random) {
        let (query, limit) = (random.pick(&QUERIES), 1 + random.below(6));
        let Some((ours, theirs)) = self.views.get(random.below(self.views.len() + 1)) else {
            assert_eq!(
                self.store.search_in(query, None, limit).await,
                self.model.search_in(query, None, limit).await,
                "{query} by {limit}"
            );
            return;
        };
        let found = self.store.search_in(query, Some(ours.clone()), limit).await;
        let expected = self.model.search_in(query, Some(theirs.clone()), limit).await;
        if self.pictures {
            assert_eq!(found, expected, "{query} by {limit} in an older view");
        } else {
            // What a chain leads to is the index's word, which is of what is newest.
            let of_view =
                if query.contains([':', '.']) { self.model.search_in(all_of(query), Some(theirs.clone()), 100).await } else { expected };
            assert!(found.iter().all(|name| of_view.contains(name)), "{query} by {limit} in an older view: {found:?}");
        }
        let read = self.store.read_many(ours, &NAMES).await.into_iter().map(untimed);
        assert!(read.eq(self.model.read_many(theirs, &NAMES).await.into_iter().map(untimed)), "an older view changed");
    }
}

/// The query without its criteria.
fn all_of(query: &str) -> &str {
    query.split('?').next().unwrap()
}

fn without_time(outcome: CommitOutcome) -> CommitOutcome {
    match outcome {
        CommitOutcome::Committed { changes, .. } => CommitOutcome::Committed { last_updated: Timestamp(0), changes },
        other => other,
    }
}
