//! Whether what was noted fits what is stored.

use std::collections::HashMap;

use fhirpool_storage::conformance::{history, key, parts, put, text};
use fhirpool_storage::{Assumption, CommitOutcome, HistoryScope, StoredVersion};

use super::notes::{Notes, Seen, label, member};
use super::*;
use crate::testing::read_access;

/// The versions of each resource, from the first on.
type Stored = BTreeMap<&'static str, Vec<StoredVersion>>;

pub(super) async fn assert_notes_fit(store: &DynamoStore, notes: &Notes) {
    assert!(notes.wrong.is_empty(), "{:?}", notes.wrong);
    let stored = stored(store).await;
    assert_no_update_is_lost(&stored, notes);
    let commits = assert_no_transaction_is_torn(&stored, notes);
    assert_only_what_was_committed_was_seen(&stored, notes);
    for seen in &notes.seen {
        assert_seen_whole(seen, &commits);
    }
    assert_one_patient_an_identifier(store, notes).await;
}

async fn stored(store: &DynamoStore) -> Stored {
    let mut stored = Stored::new();
    for name in NAMES {
        let request = history(HistoryScope::Instance(key(name)), 1_000_000);
        let page = store.history(&read_access("a"), &request).await.unwrap();
        let versions: Vec<StoredVersion> = page.entries.into_iter().rev().map(|entry| entry.version).collect();
        assert!(versions.iter().map(|version| version.version.0).eq(1..=versions.len() as u64), "{name} has gaps");
        assert!(versions.is_sorted_by(|one, other| one.last_updated < other.last_updated), "the time of {name} runs backwards");
        stored.insert(name, versions);
    }
    stored
}

/// What was told to be committed is there, as told; what was refused is not.
fn assert_no_update_is_lost(stored: &Stored, notes: &Notes) {
    for (told, made) in &notes.committed {
        for (name, version) in made {
            let there = stored[name.as_str()].get(*version as usize - 1).map(label);
            assert_eq!(there.as_ref(), Some(told), "version {version} of {name} is lost");
        }
    }
    let refused: HashSet<&String> = notes.refused.iter().collect();
    for version in stored.values().flatten() {
        assert!(!refused.contains(&label(version)), "{} was refused", label(version));
    }
}

/// Each commit is there as a whole, with one time. The version it made of each resource, by label.
fn assert_no_transaction_is_torn(stored: &Stored, notes: &Notes) -> BTreeMap<String, BTreeMap<&'static str, u64>> {
    let mut commits: BTreeMap<String, BTreeMap<&'static str, &StoredVersion>> = BTreeMap::new();
    for (name, versions) in stored {
        for version in versions {
            let other = commits.entry(label(version)).or_default().insert(*name, version);
            assert!(other.is_none(), "{} wrote {name} twice", label(version));
        }
    }
    for (label, parts) in &commits {
        let times: HashSet<i64> = parts.values().map(|version| version.last_updated.0).collect();
        assert_eq!(times.len(), 1, "{label} has several times");
        for version in parts.values() {
            assert_eq!(member(version, "implicitRules"), format!("of {}", parts.len()), "{label} is torn");
        }
        if let Some(told) = notes.committed.get(label) {
            assert_eq!(told.len(), parts.len(), "{label} is not what was told");
        }
    }
    let versions =
        |parts: BTreeMap<&'static str, &StoredVersion>| parts.into_iter().map(|(name, version)| (name, version.version.0)).collect();
    commits.into_iter().map(|(label, parts)| (label, versions(parts))).collect()
}

fn assert_only_what_was_committed_was_seen(stored: &Stored, notes: &Notes) {
    for (name, (version, seen)) in notes.seen.iter().flatten() {
        let there = stored[name.as_str()].get(*version as usize - 1).map(label);
        assert_eq!(there.as_ref(), Some(seen), "version {version} of {name} was seen, and was never committed");
    }
}

/// Of every commit all or nothing was seen, of the resources that were looked at.
fn assert_seen_whole(seen: &Seen, commits: &BTreeMap<String, BTreeMap<&'static str, u64>>) {
    if seen.len() == 1 {
        // A single read.
        return;
    }
    for (label, parts) in commits.iter().filter(|(_, parts)| parts.len() > 1) {
        let mut shown = parts.iter().map(|(name, version)| seen.get(*name).is_some_and(|(shown, _)| shown >= version));
        let first = shown.next();
        assert!(shown.all(|part| Some(part) == first), "{label} was seen in part: {parts:?} in {seen:?}");
    }
}

/// Conditional creations made one Patient for each identifier at most, and all that they told of.
async fn assert_one_patient_an_identifier(store: &DynamoStore, notes: &Notes) {
    let told: HashMap<&str, &str> = notes.created.iter().map(|(identifier, name)| (identifier.as_str(), name.as_str())).collect();
    assert_eq!(told.len(), notes.created.len(), "an identifier was created twice: {:?}", notes.created);
    let mut patients: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in keys(store, &tenant("a")).await.into_iter().filter(|key| key.resource_type.name() == "Patient") {
        let Some(version) = store.read(&read_access("a"), &key).await.unwrap() else { continue };
        let document = Document::parse(text(&version)).unwrap();
        let identifier = document.root().get("identifier").unwrap().elements().next().unwrap().get_str("value").unwrap().into_owned();
        patients.entry(identifier).or_default().push(key.to_string());
    }
    for (identifier, names) in &patients {
        assert_eq!(names.len(), 1, "several Patients have {identifier}");
        assert!(told.get(identifier.as_str()).is_none_or(|told| told == names.first().unwrap()));
    }
    assert!(told.keys().all(|identifier| patients.contains_key(*identifier)), "a Patient is lost");
}

/// Nothing uncommitted is left after the sweeper, and everything can be written at once.
pub(super) async fn assert_nothing_is_locked(store: &DynamoStore, notes: &Notes, folder: &Path) {
    let open: HashSet<crate::TransactionId> = transactions(store).await.into_iter().collect();
    for item in items(store).await {
        let is_version = crate::keys::version_of(&text_of(&item, crate::keys::SORT)).is_some();
        if let Some(transaction) = is_version.then(|| crate::item::VersionItem::read(item.clone()).unwrap().transaction()).flatten() {
            assert!(!open.contains(&transaction), "a version of an aborted transaction is left");
        }
    }
    let settings = StoreSettings { wait_ms_max: 0, ..hasty() };
    let impatient = super::store(store.client().clone(), vec![tenant("a")], &folder.join("impatient"), settings);
    let changes = NAMES.iter().map(|name| put(name, "\"language\":\"last\",\"implicitRules\":\"of 6\"")).collect();
    let outcome = impatient.commit(&write_access("a"), Commit { changes, assumptions: Vec::new() }).await;
    assert!(matches!(outcome, Ok(CommitOutcome::Committed { .. })), "{outcome:?}");
    for (identifier, _) in &notes.created {
        let search = Arc::new(parts(&format!("Patient?identifier=urn:test|{identifier}"))[0].clone());
        let name = format!("Patient/{}", uuid::Uuid::new_v4());
        let members = format!("\"language\":\"last.{identifier}\",\"identifier\":[{{\"system\":\"urn:test\",\"value\":\"{identifier}\"}}]");
        let assumptions = vec![Assumption { search, found: Vec::new(), sequence: 0 }];
        let outcome = impatient.commit(&write_access("a"), Commit { changes: vec![put(&name, &members)], assumptions }).await;
        assert!(matches!(outcome, Ok(CommitOutcome::Committed { .. } | CommitOutcome::Stale)), "{outcome:?}");
    }
}
