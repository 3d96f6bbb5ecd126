use std::sync::Arc;

use fhirpool_fhir::OrderedId;
use fhirpool_fhir::definitions::ParameterNumber;
use fhirpool_search::{TypeSearch, ValueTest};

use super::*;
use crate::forward::Packed;
use crate::tenants::TenantNumber;
use crate::testing::{CODE, code, key, uuid};

const TENANT: TenantNumber = TenantNumber(1);
const TIME: ParameterNumber = ParameterNumber(900);

fn entry(parameter: ParameterNumber, text: &str) -> IndexEntry {
    IndexEntry { parameter, value: ValueTest::uri(text).ranges()[0].from.clone() }
}

fn slot(key: &ResourceKey) -> ResourceSlot {
    ResourceSlot::found(TENANT, key.resource_type, &OrderedId::from(&key.id))
}

/// Notes a change to a resource with this text; `None`: its deletion.
fn note(recent: &mut Recent, sequence: u64, key: &ResourceKey, text: Option<&str>) {
    let forward = text.map(|text| Packed::new(&[entry(CODE, text)], TIME).with_time(&entry(TIME, "now")).into());
    recent.record(sequence, slot(key), key.id.clone(), forward);
}

fn assumption(resource_type: &str, filter: Vec<Clause>, found: &[&ResourceKey]) -> PreparedAssumption {
    let sought = key(resource_type, "x");
    let search = TypeSearch { resource_type: sought.resource_type, filter, sort: Vec::new() };
    let found = found.iter().map(|key| key.id.clone()).collect();
    PreparedAssumption { prefix: slot(&sought).type_prefix().to_vec(), search: Arc::new(search), found }
}

/// What becomes of one assumption: `Some(true)` where it holds, `None` where that is not known.
fn check(recent: &Recent, assumption: &PreparedAssumption, since: u64) -> Option<bool> {
    match recent.check(&[assumption], since) {
        Verdict::Hold => Some(true),
        Verdict::Broken => Some(false),
        Verdict::Unsure(unsure) => {
            assert_eq!(unsure.len(), 1);
            None
        }
    }
}

#[test]
fn what_a_resource_is_now_decides() {
    let mut recent = Recent::new(0, 100, 1 << 20);
    let patient = key("Patient", &uuid(1));
    note(&mut recent, 1, &patient, Some("red"));
    note(&mut recent, 2, &patient, Some("blue"));
    note(&mut recent, 2, &key("Observation", &uuid(2)), Some("red"));
    let (none, one) = (assumption("Patient", vec![code("red")], &[]), assumption("Patient", vec![code("red")], &[&patient]));
    assert_eq!(check(&recent, &none, 0), Some(true));
    assert_eq!(check(&recent, &one, 0), Some(false));
    assert_eq!(check(&recent, &one, 2), Some(true));
    note(&mut recent, 3, &patient, None);
    assert_eq!(check(&recent, &none, 0), Some(true));
    assert_eq!(check(&recent, &one, 2), Some(false));
}

#[test]
fn only_changes_of_the_types_that_decide_make_related_criteria_unsure() {
    let mut recent = Recent::new(0, 100, 1 << 20);
    let source = TypeSearch { resource_type: key("Observation", "x").resource_type, filter: vec![code("red")], sort: Vec::new() };
    let has = Clause::Has { parameter: ParameterNumber(7), source: Box::new(source) };
    let assumed = assumption("Patient", vec![has, code("red")], &[]);
    note(&mut recent, 1, &key("Encounter", &uuid(1)), Some("red"));
    // The text alone rules it out.
    note(&mut recent, 2, &key("Patient", &uuid(1)), Some("blue"));
    assert_eq!(check(&recent, &assumed, 0), Some(true));
    note(&mut recent, 3, &key("Patient", &uuid(2)), Some("red"));
    assert_eq!(check(&recent, &assumed, 0), None);
    note(&mut recent, 4, &key("Patient", &uuid(2)), None);
    assert_eq!(check(&recent, &assumed, 0), Some(true));
    note(&mut recent, 5, &key("Observation", &uuid(1)), Some("blue"));
    assert_eq!(check(&recent, &assumed, 0), None);
    assert_eq!(check(&recent, &assumed, 5), Some(true));
}

#[test]
fn nothing_is_known_from_before_the_oldest_change() {
    let mut recent = Recent::new(0, 2, 1 << 20);
    for sequence in 1..=4 {
        note(&mut recent, sequence, &key("Observation", &uuid(sequence as usize)), Some("red"));
    }
    let assumed = assumption("Patient", vec![code("red")], &[]);
    assert_eq!(check(&recent, &assumed, 1), None);
    assert_eq!(check(&recent, &assumed, 2), Some(true));
}

#[test]
fn many_criteria_and_many_changes_are_not_compared_each_with_each() {
    let mut recent = Recent::new(0, 20_000, 64 << 20);
    for number in 0..10_000 {
        note(&mut recent, 1 + number as u64, &key("Observation", &uuid(number)), Some("red"));
    }
    let of = |resource_type: &str| -> Vec<_> {
        (0..2_000).map(|number| assumption(resource_type, vec![code(&format!("{number}"))], &[])).collect()
    };
    let (patients, observations) = (of("Patient"), of("Observation"));
    assert!(matches!(recent.check(&patients.iter().collect::<Vec<_>>(), 0), Verdict::Hold));
    let Verdict::Unsure(unsure) = recent.check(&observations.iter().collect::<Vec<_>>(), 0) else { panic!("all were compared") };
    assert_eq!(unsure.len(), observations.len());
    assert!(matches!(recent.check(&observations.iter().collect::<Vec<_>>(), 9_990), Verdict::Hold));
}
