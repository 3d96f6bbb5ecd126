//! What there is, held against what was told.

use std::collections::{BTreeMap, BTreeSet};

use fhirpool_testkit::{Client, Deployment};
use serde_json::{Value, json};

use super::TENANT;
use super::ledger::{Ledger, Place, Write, text_of};

/// A version of a resource: its id and number.
type Name = (String, u64);

/// A version, as the history of its resource has it.
struct Version {
    name: Name,
    /// `None`: the resource was deleted.
    token: Option<String>,
    key: Option<String>,
    is_newest: bool,
}

/// What is wrong, a line each.
pub(super) async fn of(ledger: &Ledger, client: &Client, deployment: &Deployment) -> Vec<String> {
    let mut wrong = ledger.wrong.clone();
    let mut versions = Vec::new();
    for id in stored(deployment).await {
        versions.extend(history(client, &id, &mut wrong).await);
    }
    check_writes(ledger, &versions, &mut wrong);
    check_keyed(ledger, &versions, &mut wrong);
    check_deletes(ledger, &versions, &mut wrong);
    check_found(client, &versions, &mut wrong).await;
    check_log(client, &versions, &mut wrong).await;
    wrong
}

/// The ids of all resources that the table names, as the service itself tells.
async fn stored(deployment: &Deployment) -> BTreeSet<String> {
    let given = deployment.given();
    let (endpoint, prefix) = (given.dynamodb_endpoint.unwrap(), given.dynamodb_table.unwrap());
    let service = Client::new(endpoint, None);
    let user = std::env::var("AWS_ACCESS_KEY_ID").unwrap_or_else(|_| "test".to_owned());
    let signed =
        format!("AWS4-HMAC-SHA256 Credential={user}/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=unchecked");
    let headers = [
        ("authorization", signed.as_str()),
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-date", "20260101T000000Z"),
        ("x-amz-target", "DynamoDB_20120810.Scan"),
    ];
    let mut ids = BTreeSet::new();
    let mut after = Value::Null;
    loop {
        let mut body = json!({"TableName": format!("{prefix}-data"), "ProjectionExpression": "pk", "ConsistentRead": true});
        if !after.is_null() {
            body["ExclusiveStartKey"] = after;
        }
        let answer = service.send("POST", "/", &headers, body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut page = answer.json();
        let items = page["Items"].as_array().unwrap();
        let keys = items.iter().filter_map(|item| item["pk"]["S"].as_str());
        ids.extend(keys.filter_map(|key| key.strip_prefix(&format!("T#{TENANT}#R#Observation#"))).map(str::to_owned));
        after = page["LastEvaluatedKey"].take();
        if after.is_null() {
            return ids;
        }
    }
}

/// The entries of all pages.
async fn entries(client: &Client, path: &str, wrong: &mut Vec<String>) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut next = path.to_owned();
    loop {
        let answer = client.get(&next).await;
        if answer.status != 200 {
            wrong.push(format!("{next}: {} {}", answer.status, answer.text()));
            return entries;
        }
        let bundle = answer.json();
        entries.extend(bundle["entry"].as_array().cloned().unwrap_or_default());
        let links = bundle["link"].as_array().map(Vec::as_slice).unwrap_or_default();
        match links.iter().find(|link| link["relation"] == "next") {
            Some(link) => next = link["url"].as_str().unwrap().to_owned(),
            None => return entries,
        }
    }
}

fn name_of(entry: &Value) -> Name {
    let id = entry["fullUrl"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
    let tag = entry["response"]["etag"].as_str().unwrap_or_default();
    (id, tag.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap_or_default())
}

/// The committed versions of a resource; none, where what the table holds of it was never committed.
async fn history(client: &Client, id: &str, wrong: &mut Vec<String>) -> Vec<Version> {
    let path = format!("Observation/{id}/_history?_count=200");
    if client.get(&path).await.status == 404 {
        return Vec::new();
    }
    let entries = entries(client, &path, wrong).await;
    let count = entries.len() as u64;
    let mut versions = Vec::new();
    for (position, entry) in entries.iter().enumerate() {
        let name = name_of(entry);
        if name != (id.to_owned(), count - position as u64) {
            wrong.push(format!("the history of {id} has {name:?} at {position} of {count}"));
        }
        let resource = &entry["resource"];
        let token = resource["code"]["coding"][0]["code"].as_str().map(str::to_owned);
        if let Some(token) = &token
            && resource["note"][0]["text"] != text_of(token)
        {
            wrong.push(format!("{name:?} does not hold what {token} sent"));
        }
        let key = resource["identifier"][0]["value"].as_str().map(str::to_owned);
        versions.push(Version { name, token, key, is_newest: position == 0 });
    }
    versions
}

/// Each write happened wholly or not at all, never twice; those that were acknowledged, where they were said to.
fn check_writes(ledger: &Ledger, versions: &[Version], wrong: &mut Vec<String>) {
    let mut made: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
    for version in versions {
        if let Some(token) = &version.token {
            made.entry(token).or_default().push(&version.name);
        }
    }
    for write in &ledger.writes {
        let made = made.remove(write.token.as_str()).unwrap_or_default();
        if !agrees(write, &made) {
            wrong.push(format!("{write:?} made {made:?}"));
        }
    }
    for keyed in &ledger.keyed {
        let made = made.remove(keyed.token.as_str()).unwrap_or_default();
        if made.len() > 1 || made.first().is_some_and(|name| keyed.id.as_ref().is_some_and(|id| *id != name.0)) {
            wrong.push(format!("{keyed:?} made {made:?}"));
        }
    }
    wrong.extend(made.into_iter().map(|(token, made)| format!("{token}, which was refused, made {made:?}")));
}

fn agrees(write: &Write, made: &[&Name]) -> bool {
    if made.is_empty() {
        return !write.acknowledged;
    }
    let fits = |place: &Place, name: &Name| {
        let (id, version) = (place.id.as_ref(), place.version);
        id.is_none_or(|id| *id == name.0) && version.is_none_or(|version| version == name.1)
    };
    made.len() == write.places.len() && write.places.iter().all(|place| made.iter().any(|name| fits(place, name)))
}

/// Of what was to be there once there is one, the one that all were told of.
fn check_keyed(ledger: &Ledger, versions: &[Version], wrong: &mut Vec<String>) {
    let mut holders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for version in versions {
        if let Some(key) = &version.key {
            holders.entry(key).or_default().insert(&version.name.0);
        }
    }
    let twice = holders.iter().filter(|(_, ids)| ids.len() > 1);
    wrong.extend(twice.map(|(key, ids)| format!("{key} is held by {ids:?}")));
    let told = ledger.keyed.iter().filter_map(|keyed| Some((keyed, keyed.id.as_deref()?)));
    let elsewhere = told.filter(|(keyed, id)| !holders.get(keyed.key.as_str()).is_some_and(|ids| ids.contains(id)));
    wrong.extend(elsewhere.map(|(keyed, _)| format!("{keyed:?} is not there")));
}

fn check_deletes(ledger: &Ledger, versions: &[Version], wrong: &mut Vec<String>) {
    let gone: BTreeSet<&str> =
        versions.iter().filter(|version| version.is_newest && version.token.is_none()).map(|version| &*version.name.0).collect();
    let kept = ledger.deletes.iter().filter(|(id, acknowledged)| *acknowledged && !gone.contains(id.as_str()));
    wrong.extend(kept.map(|(id, _)| format!("{id} was deleted and is there")));
    let unasked = gone.iter().filter(|id| !ledger.deletes.iter().any(|(asked, _)| asked == *id));
    wrong.extend(unasked.map(|id| format!("{id} is gone, and nobody deleted it")));
}

/// Tells what two sets differ in.
fn compare(what: &str, found: &[Name], expected: &BTreeSet<Name>, wrong: &mut Vec<String>) {
    let distinct: BTreeSet<Name> = found.iter().cloned().collect();
    if distinct.len() != found.len() {
        wrong.push(format!("{what}: something comes twice"));
    }
    let (missing, excess): (Vec<_>, Vec<_>) = (expected.difference(&distinct).collect(), distinct.difference(expected).collect());
    if !missing.is_empty() || !excess.is_empty() {
        wrong.push(format!("{what}: missing {missing:?}, too much {excess:?}"));
    }
}

/// Searches find just the newest versions.
async fn check_found(client: &Client, versions: &[Version], wrong: &mut Vec<String>) {
    let newest: Vec<&Version> = versions.iter().filter(|version| version.is_newest && version.token.is_some()).collect();
    let expected = newest.iter().map(|version| version.name.clone()).collect();
    let found = entries(client, "Observation?_count=200", wrong).await;
    let shown = |entry: &Value| {
        let resource = &entry["resource"];
        let version = resource["meta"]["versionId"].as_str().unwrap_or_default().parse().unwrap_or_default();
        (resource["id"].as_str().unwrap_or_default().to_owned(), version)
    };
    compare("the search for all", &found.iter().map(shown).collect::<Vec<_>>(), &expected, wrong);
    let count = client.get("Observation?_summary=count").await.json()["total"].as_u64();
    if count != Some(expected.len() as u64) {
        wrong.push(format!("{count:?} are counted of {}", expected.len()));
    }
    for version in newest.iter().step_by(newest.len() / 40 + 1) {
        let token = version.token.as_deref().unwrap_or_default();
        let expected = newest.iter().filter(|other| other.token == version.token).map(|other| other.name.clone()).collect();
        let found = entries(client, &format!("Observation?code=urn:tokens|{token}&_count=200"), wrong).await;
        compare(token, &found.iter().map(shown).collect::<Vec<_>>(), &expected, wrong);
    }
}

/// The history of the type tells just the versions that there are.
async fn check_log(client: &Client, versions: &[Version], wrong: &mut Vec<String>) {
    let expected = versions.iter().map(|version| version.name.clone()).collect();
    let told = entries(client, "Observation/_history?_count=200", wrong).await;
    compare("the history of the type", &told.iter().map(name_of).collect::<Vec<_>>(), &expected, wrong);
}
