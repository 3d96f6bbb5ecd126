//! Random scopes and random requests against a plain model of who may see and change what.

use std::collections::BTreeMap;

use fhirpool_storage::HistoryScope;
use fhirpool_storage::conformance::Random;

use super::limited::found;
use super::*;
use crate::ErrorKind;

const PATIENTS: [&str; 3] = ["p", "q", "r"];
const CODES: [&str; 3] = ["a", "b", "c"];
const TYPES: [&str; 4] = ["Observation", "Condition", "Patient", "Practitioner"];

/// Every version of every resource by `Type/id`; `None`: deleted.
type World = BTreeMap<String, Vec<Option<Value>>>;

/// A token in plain words.
#[derive(Debug, Clone)]
struct Token {
    patient: &'static str,
    scopes: Vec<ModelScope>,
}

#[derive(Debug, Clone, Copy)]
struct ModelScope {
    of_patient: bool,
    /// `None`: all.
    name: Option<&'static str>,
    letters: &'static str,
    code: Option<&'static str>,
}

impl ModelScope {
    fn text(self) -> String {
        let context = if self.of_patient { "patient" } else { "system" };
        let criteria = self.code.map_or(String::new(), |code| format!("?code={code}"));
        format!("{context}/{}.{}{criteria}", self.name.unwrap_or("*"), self.letters)
    }

    /// Whether the scope says anything of a type: Practitioners are in no patient's compartment, and only two types have codes.
    fn covers(self, letter: char, name: &str) -> bool {
        self.letters.contains(letter)
            && self.name.is_none_or(|own| own == name)
            && !(self.of_patient && name == "Practitioner")
            && (self.code.is_none() || ["Observation", "Condition"].contains(&name))
    }
}

impl Token {
    fn random(random: &mut Random) -> Self {
        let scope = |random: &mut Random| ModelScope {
            of_patient: random.below(3) > 0,
            name: Some(random.pick(&TYPES)).filter(|_| random.below(3) > 0),
            letters: random.pick(&["rs", "r", "s", "cruds", "cud", "u", "d", "rsu", "ru", "rd"].map(order)),
            code: Some(random.pick(&CODES)).filter(|_| random.below(3) == 0),
        };
        let count = 1 + random.below(3);
        Self { patient: random.pick(&PATIENTS), scopes: (0..count).map(|_| scope(random)).collect() }
    }

    fn is_granted(&self, letter: char, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.covers(letter, name))
    }

    fn is_whole(&self, letter: char, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.covers(letter, name) && !scope.of_patient && scope.code.is_none())
    }

    fn reaches(&self, letter: char, resource: &Value) -> bool {
        let name = resource["resourceType"].as_str().unwrap();
        self.scopes.iter().any(|scope| {
            scope.covers(letter, name)
                && (!scope.of_patient || is_about(resource, self.patient))
                && scope.code.is_none_or(|code| code_of(resource) == Some(code))
        })
    }

    /// Whether the version at this place is reached: its own content, or what a deletion deleted.
    fn reaches_version(&self, letter: char, versions: &[Option<Value>], place: usize) -> bool {
        let content = versions[place].as_ref().or_else(|| versions[place.checked_sub(1)?].as_ref());
        content.is_some_and(|content| self.reaches(letter, content))
    }
}

/// Letters in SMART's order.
fn order(letters: &'static str) -> &'static str {
    match letters {
        "rsu" => "rus",
        letters => letters,
    }
}

fn is_about(resource: &Value, patient: &str) -> bool {
    let reference = format!("Patient/{patient}");
    match resource["resourceType"].as_str().unwrap() {
        "Patient" => resource["id"] == patient,
        "Observation" => resource["subject"]["reference"] == *reference || resource["performer"][0]["reference"] == *reference,
        "Condition" => resource["subject"]["reference"] == *reference,
        _ => false,
    }
}

fn code_of(resource: &Value) -> Option<&str> {
    resource["code"]["coding"][0]["code"].as_str()
}

fn random_resource(random: &mut Random, name: &str, id: &str) -> Value {
    let reference = |random: &mut Random| json!({ "reference": format!("Patient/{}", random.pick(&PATIENTS)) });
    let code = json!({ "coding": [{ "code": random.pick(&CODES) }] });
    match name {
        "Observation" => json!({ "resourceType": name, "id": id, "status": "final", "code": code, "subject": reference(random),
            "performer": [reference(random)] }),
        "Condition" => json!({ "resourceType": name, "id": id, "code": code, "subject": reference(random) }),
        _ => json!({ "resourceType": name, "id": id, "name": [{ "family": id }] }),
    }
}

fn visible<'w>(world: &'w World, token: &Token, letter: char) -> Vec<&'w Value> {
    let live = world.values().filter_map(|versions| versions.last().unwrap().as_ref());
    live.filter(|resource| token.reaches(letter, resource)).collect()
}

fn name_of(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn kind<T>(result: &Result<T>) -> Option<ErrorKind> {
    result.as_ref().err().map(|error| error.kind)
}

/// What a write by id ends with, by the model.
fn expected_write(world: &World, token: &Token, letter: char, key: &str, incoming: Option<&Value>) -> Option<ErrorKind> {
    let name = key.split('/').next().unwrap();
    if !token.is_granted(letter, name) {
        return Some(ErrorKind::Forbidden);
    }
    if !token.is_whole(letter, name) {
        let versions = world.get(key).map(Vec::as_slice).unwrap_or_default();
        let reached = |letter| !versions.is_empty() && token.reaches_version(letter, versions, versions.len() - 1);
        if !reached(letter) {
            return Some(if reached('r') { ErrorKind::Forbidden } else { ErrorKind::NotFound });
        }
    }
    incoming.filter(|incoming| !token.reaches(letter, incoming)).map(|_| ErrorKind::Forbidden)
}

async fn check_reads(client: &Server, world: &World, token: &Token, random: &mut Random) -> usize {
    let keys: Vec<&String> = world.keys().collect();
    let name = random.pick(&TYPES);
    let key_text = keys[random.below(keys.len())].as_str();
    let (of_key, versions) = (key_text.split('/').next().unwrap(), &world[key_text]);
    let last = versions.len() - 1;
    let read_kind = |place: usize| match () {
        () if !token.is_granted('r', of_key) => Some(ErrorKind::Forbidden),
        () if !token.reaches_version('r', versions, place) => Some(ErrorKind::NotFound),
        () if versions[place].is_none() => Some(ErrorKind::Gone),
        () => None,
    };
    assert_eq!(kind(&client.read(key_text).await), read_kind(last), "{token:?} reads {key_text}");
    let place = random.below(versions.len());
    assert_eq!(kind(&client.vread(key_text, place as u64 + 1).await), read_kind(place), "{token:?} reads {key_text} {place}");
    let history = client.history(HistoryScope::Instance(key(key_text)), "").await;
    let shown = (0..versions.len()).filter(|place| token.reaches_version('r', versions, *place)).count();
    match () {
        () if !token.is_granted('r', of_key) => assert_eq!(kind(&history), Some(ErrorKind::Forbidden)),
        () if shown == 0 => assert_eq!(kind(&history), Some(ErrorKind::NotFound), "{token:?} history of {key_text}"),
        () => assert_eq!(history.unwrap()["entry"].as_array().unwrap().len(), shown, "{token:?} history of {key_text}"),
    }
    let history = client.history(HistoryScope::Tenant, "_count=1000").await.unwrap();
    let shown = world.values().flat_map(|versions| (0..versions.len()).filter(|place| token.reaches_version('s', versions, *place)));
    assert_eq!(history["entry"].as_array().map_or(0, Vec::len), shown.count(), "{token:?} history of all");

    let seen = visible(world, token, 's');
    let of_type = |name: &str| seen.iter().copied().filter(|resource| resource["resourceType"] == name).collect::<Vec<_>>();
    let (code, patient) = (random.pick(&CODES), random.pick(&PATIENTS));
    let is_seen = |reference: &Value| seen.iter().any(|resource| *reference == *name_of(resource));
    let everything: Vec<String> = seen.iter().map(|resource| name_of(resource)).collect();
    assert_eq!(sorted(found(&client.search("?_count=1000").await.unwrap())), sorted(everything), "{token:?} searches all");
    let mut queries = vec![(name, name.to_owned(), of_type(name))];
    for name in ["Observation", "Condition"] {
        let with_code = of_type(name).into_iter().filter(|resource| code_of(resource) == Some(code)).collect();
        queries.push((name, format!("{name}?code={code}"), with_code));
        let reference = format!("Patient/{patient}");
        let about = |resource: &&Value| resource["subject"]["reference"] == *reference && is_seen(&resource["subject"]["reference"]);
        queries.push((name, format!("{name}?subject:Patient.family={patient}"), of_type(name).into_iter().filter(about).collect()));
    }
    let referred = |resource: &&Value| {
        let reference = name_of(resource);
        of_type("Observation").iter().any(|other| other["subject"]["reference"] == *reference && code_of(other) == Some(code))
    };
    queries.push((
        "Patient",
        format!("Patient?_has:Observation:subject:code={code}"),
        of_type("Patient").into_iter().filter(referred).collect(),
    ));
    let decisions = queries.len() + 5;
    for (name, query, expected) in queries {
        let separator = if query.contains('?') { '&' } else { '?' };
        let answer = client.search(&format!("{query}{separator}_total=accurate&_count=1000")).await;
        if !token.is_granted('s', name) {
            assert_eq!(kind(&answer), Some(ErrorKind::Forbidden), "{token:?} {query}");
            continue;
        }
        let answer = answer.unwrap();
        assert_eq!(sorted(found(&answer)), sorted(expected.iter().map(|resource| name_of(resource)).collect()), "{token:?} {query}");
        assert_eq!(answer["total"], expected.len(), "{token:?} {query}");
        let included = client.search(&format!("{query}{separator}_count=1000&_include=*&_revinclude=*")).await.unwrap();
        for name in found(&included) {
            assert!(is_seen(&json!(name)), "{token:?} {query} includes {name}");
        }
    }
    decisions
}

async fn check_writes(client: &Server, world: &mut World, token: &Token, random: &mut Random) -> usize {
    let name = random.pick(&["Observation", "Condition", "Practitioner"]);
    let id = format!("{}{}", name.to_ascii_lowercase(), random.below(8));
    let key_text = format!("{name}/{id}");
    let resource = random_resource(random, name, &id);
    let expected = expected_write(world, token, 'u', &key_text, Some(&resource));
    let result = client.put(resource.clone()).await;
    assert_eq!(kind(&result), expected, "{token:?} puts {resource}");
    if result.is_ok() {
        world.entry(key_text.clone()).or_default().push(Some(resource));
    }
    let id = format!("{}{}", name.to_ascii_lowercase(), random.below(8));
    let key_text = format!("{name}/{id}");
    // Deleting nothing succeeds, and what is not reached is nothing.
    let expected = expected_write(world, token, 'd', &key_text, None);
    let result = client.delete(&key_text).await;
    assert_eq!(kind(&result), expected.filter(|kind| *kind != ErrorKind::NotFound), "{token:?} deletes {key_text}");
    if expected.is_none()
        && let Some(versions) = world.get_mut(&key_text)
        && versions.last().unwrap().is_some()
    {
        versions.push(None);
    }
    let resource = random_resource(random, name, "new");
    let expected = match () {
        () if !token.is_granted('c', name) || !token.reaches('c', &resource) => Some(ErrorKind::Forbidden),
        () => None,
    };
    let result = client.create(resource.clone()).await;
    assert_eq!(kind(&result), expected, "{token:?} creates {resource}");
    if let Ok(outcome) = result {
        world.insert(outcome.key.unwrap().to_string(), vec![Some(json_of(&outcome.json.unwrap()))]);
    }
    3
}

#[tokio::test]
async fn random_scopes_see_and_change_what_a_plain_model_says() {
    let mut random = Random::seeded("random_scopes_see_and_change_what_a_plain_model_says");
    let server = Server::start().await;
    let mut world = World::new();
    let names = ["Observation", "Condition", "Practitioner"];
    let of_types = names.iter().flat_map(|name| (0..8).map(move |number| (*name, format!("{}{number}", name.to_ascii_lowercase()))));
    for (name, id) in PATIENTS.iter().map(|id| ("Patient", (*id).to_owned())).chain(of_types) {
        let resource = random_resource(&mut random, name, &id);
        server.put(resource.clone()).await.unwrap();
        world.insert(format!("{name}/{id}"), vec![Some(resource)]);
    }
    let mut decisions = 0;
    for _ in 0..150 {
        let token = Token::random(&mut random);
        let scopes: Vec<String> = token.scopes.iter().map(|scope| scope.text()).collect();
        let client = server.with_scopes(&scopes.iter().map(String::as_str).collect::<Vec<_>>(), token.patient);
        for _ in 0..2 {
            decisions += check_reads(&client, &world, &token, &mut random).await;
            decisions += check_writes(&client, &mut world, &token, &mut random).await;
        }
    }
    println!("{decisions} decisions");
}
