//! Many clients at once. Each notes what it did and saw; what they noted must fit together.

use std::collections::{BTreeMap, HashMap};

use super::*;

const CLIENTS: u64 = 5;
const STEPS: usize = 80;
const NAMES: [&str; 7] =
    ["Observation/0", "Observation/1", "Observation/2", "Observation/3", "Observation/4", "Observation/5", "Observation/6"];

/// A commit that was acknowledged: its label, its time, and the version it made of each resource.
struct Acknowledged {
    label: String,
    last_updated: Timestamp,
    made: BTreeMap<&'static str, u64>,
}

/// The newest version of each resource as someone saw them together.
type Seen = BTreeMap<&'static str, u64>;

#[derive(Default)]
struct Notes {
    acknowledged: Vec<Acknowledged>,
    /// Labels of commits that were refused.
    refused: Vec<String>,
    /// In the order in which they were seen.
    seen: Vec<Seen>,
}

/// No update is lost, no version is missing or made twice, nobody ever sees a part of a commit, nobody sees time run backwards,
/// and what was refused never happened.
pub async fn many_clients_see_a_consistent_store(fixture: Fixture) {
    let random = Random::seeded("many_clients_see_a_consistent_store");
    let tasks: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(live(fixture.a.clone(), fixture.pictures, number, random.fork(number)))).collect();
    let mut notes = Notes::default();
    for task in tasks {
        let own = task.await.unwrap();
        assert_runs_forward(&own.seen);
        notes.acknowledged.extend(own.acknowledged);
        notes.refused.extend(own.refused);
        notes.seen.extend(own.seen);
    }
    let entries = fixture.a.history(history(HistoryScope::Tenant, 50)).await;
    assert_history_is_what_was_acknowledged(&entries, &notes);
    assert_no_commit_is_torn(&notes);
    assert_one_order(&notes.acknowledged);
}

/// What one client does.
async fn live(client: Client, pictures: bool, number: u64, mut random: Random) -> Notes {
    let mut notes = Notes::default();
    for step in 0..STEPS {
        match random.below(5) {
            0..=2 => write(&client, &mut random, format!("c{number}s{step}"), &mut notes).await,
            3 => look(&client, pictures, &mut notes).await,
            _ => look_at_history(&client, &mut notes).await,
        }
    }
    notes
}

async fn write(client: &Client, random: &mut Random, label: String, notes: &mut Notes) {
    let view = client.view().await;
    let before = client.read_many(&view, &NAMES).await;
    let first = random.below(NAMES.len());
    let chosen: Vec<usize> = (0..1 + random.below(4)).map(|place| (first + place * 2) % NAMES.len()).collect();
    let mut changes: Vec<Change> = Vec::new();
    for index in &chosen {
        let current = before[*index].as_ref().map(|version| version.version);
        let deletable = before[*index].as_ref().is_some_and(|version| version.content != Content::Deleted);
        let change = match random.below(5) {
            0 if deletable => on(Precondition::Unchanged(current), delete(NAMES[*index])),
            1 => on(Precondition::None, put(NAMES[*index], &observation(&label, 1, ""))),
            _ => on(Precondition::Unchanged(current), put(NAMES[*index], &observation(&label, 1, ""))),
        };
        changes.push(change);
    }
    let preconditions: Vec<Precondition> = changes.iter().map(|change| change.precondition).collect();
    match client.commit(changes).await {
        CommitOutcome::Committed { last_updated, changes } => {
            let mut made = BTreeMap::new();
            for ((index, change), precondition) in chosen.iter().zip(changes).zip(preconditions) {
                let version = change.version.unwrap().0;
                if let Precondition::Unchanged(read) = precondition {
                    assert_eq!(version, read.map_or(0, |read| read.0) + 1, "an update was lost: {label} on {}", NAMES[*index]);
                }
                made.insert(NAMES[*index], version);
            }
            // Whoever was acknowledged sees it.
            let seen = newest(client.read_many(&client.view().await, &NAMES).await);
            assert!(made.iter().all(|(name, version)| seen.get(name).is_some_and(|seen| seen >= version)), "{label} is not seen");
            notes.seen.push(seen);
            notes.acknowledged.push(Acknowledged { label, last_updated, made });
        }
        CommitOutcome::PreconditionFailed { change, current } => {
            let Precondition::Unchanged(read) = preconditions[change] else { panic!("nothing was asked of this change") };
            assert!(current.map(|(version, _)| version) > read, "refused although nothing had changed: {label}");
            notes.refused.push(label);
        }
        CommitOutcome::Stale => panic!("nothing was assumed"),
    }
}

/// Reads everything in one view, and finds the same there by a search (or nothing else, where the index has no pictures).
async fn look(client: &Client, pictures: bool, notes: &mut Notes) {
    let view = client.view().await;
    let read = client.read_many(&view, &NAMES).await;
    let there = NAMES.iter().zip(&read).filter(|(_, version)| version.as_ref().is_some_and(|version| version.content != Content::Deleted));
    let there: Vec<&str> = there.map(|(name, _)| *name).collect();
    let found = client.search_in("Observation", Some(view), 3).await;
    match pictures {
        true => assert_eq!(found, there, "a search and reads of one view differ"),
        false => assert!(found.iter().all(|name| there.contains(&name.as_str())), "{found:?} is not in the view, which has {there:?}"),
    }
    notes.seen.push(newest(read));
}

/// One page that holds everything.
async fn look_at_history(client: &Client, notes: &mut Notes) {
    let request = history(HistoryScope::Tenant, 100_000);
    let page = client.resources.history(&client.read_access, &request).await.unwrap();
    let mut seen = Seen::new();
    for entry in &page.entries {
        let name = entry.key.to_string();
        let name = *NAMES.iter().find(|known| **known == name).unwrap();
        let version = entry.version.version.0;
        let newest = *seen.entry(name).or_insert(version);
        assert!(version <= newest, "history is not newest first");
    }
    assert_eq!(page.entries.len() as u64, seen.values().sum::<u64>(), "history has gaps");
    notes.seen.push(seen);
}

fn newest(read: Vec<Option<StoredVersion>>) -> Seen {
    NAMES.into_iter().zip(read).filter_map(|(name, version)| version.map(|version| (name, version.version.0))).collect()
}

fn assert_runs_forward(seen: &[Seen]) {
    for pair in seen.windows(2) {
        for (name, version) in &pair[0] {
            assert!(pair[1].get(name).is_some_and(|later| later >= version), "{name} went back from version {version}");
        }
    }
}

/// Every version was acknowledged to one client, and every acknowledged one is there, with its content and time.
fn assert_history_is_what_was_acknowledged(entries: &[HistoryEntry], notes: &Notes) {
    let mut acknowledged: HashMap<String, &Acknowledged> = HashMap::new();
    for commit in &notes.acknowledged {
        for (name, version) in &commit.made {
            let other = acknowledged.insert(format!("{name} {version}"), commit);
            assert!(
                other.is_none(),
                "{name} {version} was acknowledged twice: {} and {}",
                commit.label,
                other.map_or("", |other| &other.label)
            );
        }
    }
    assert_eq!(name_set(entries), acknowledged.keys().cloned().collect::<BTreeSet<_>>());
    for (name, entry) in names(entries).iter().zip(entries) {
        let commit = acknowledged[name];
        assert_eq!(entry.version.last_updated, commit.last_updated, "{name}");
        if let Content::Resource(body) = &entry.version.content {
            assert!(body.text.contains(&format!("\"{}\"", commit.label)), "{name} is not what {} wrote", commit.label);
            assert!(!notes.refused.iter().any(|label| body.text.contains(&format!("\"{label}\""))), "{name} was refused");
        }
    }
}

/// Of every commit, everyone who saw its resources together saw all of it or nothing.
fn assert_no_commit_is_torn(notes: &Notes) {
    for commit in &notes.acknowledged {
        for seen in &notes.seen {
            let mut parts = commit.made.iter().map(|(name, version)| seen.get(name).is_some_and(|seen| seen >= version));
            let first = parts.next();
            assert!(parts.all(|part| Some(part) == first), "{} was seen in part: {:?} in {seen:?}", commit.label, commit.made);
        }
    }
}

/// Two commits that meet in several resources come in the same order in all of them.
fn assert_one_order(acknowledged: &[Acknowledged]) {
    for (number, one) in acknowledged.iter().enumerate() {
        for other in &acknowledged[number + 1..] {
            let mut orders = one.made.iter().filter_map(|(name, version)| other.made.get(name).map(|other| version < other));
            let first = orders.next();
            assert!(orders.all(|order| Some(order) == first), "{} and {} overlap", one.label, other.label);
        }
    }
}
