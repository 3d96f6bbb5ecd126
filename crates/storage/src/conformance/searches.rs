//! Searches: that an index answers as `fhirpool_search` means it, and at once.

use fhirpool_search::testing::{describe, groups};

use super::*;

/// Every case of the meaning of searches, on this index.
pub async fn every_case_of_the_meaning_is_answered(fixture: Fixture) {
    let client = &fixture.a;
    let mut wrong = Vec::new();
    for group in groups() {
        let mut changes = Vec::new();
        for text in group.resources {
            let document = Document::parse(*text).unwrap();
            let root = document.root();
            let key = key(&format!("{}/{}", root.get_str("resourceType").unwrap(), root.get_str("id").unwrap()));
            let entries = extractors().entries(key.resource_type, root, &BASE);
            let content = ChangeContent::Put { body: ResourceBody::prepare(root, &key.id, &[]), entries };
            changes.push(Change { key, method: Method::Put, precondition: Precondition::None, content });
        }
        let deletions: Vec<Change> = changes.iter().map(|change| delete(&change.key.to_string())).collect();
        made(client.commit(changes).await);
        // The store tells the time of these itself.
        for (query, expected) in group.searches.iter().filter(|(query, _)| !query.contains("_lastUpdated")) {
            for limit in [1, 3, 1000] {
                let found = client.search_in(query, None, limit).await;
                let keys: Vec<ResourceKey> = found.iter().map(|name| key(name)).collect();
                let query_read = read_query(extractors().definitions(), query, Handling::Strict).unwrap();
                let found = describe(&query_read, &keys);
                if found != *expected {
                    wrong.push(format!("{}: {query} by {limit}\n   found    {found}\n   expected {expected}", group.name));
                }
            }
        }
        made(client.commit(deletions).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The very next search finds what was written.
pub async fn a_write_is_found_at_once(fixture: Fixture) {
    let client = &fixture.a;
    for number in 0..100 {
        let name = format!("Observation/o{number}");
        client.put(&name, &observation(&format!("c{number}"), number, "")).await;
        assert_eq!(client.search(&format!("Observation?code=c{number}")).await, [name.as_str()]);
        assert_eq!(client.search(&format!("Observation?code=urn:codes|c{number}&date=le2025")).await, [name.as_str()]);
        assert_eq!(client.search(&format!("Observation?_id=o{number}")).await, [name]);
    }
}

/// An update is found by what it says now and no longer by what it said.
pub async fn an_update_moves_a_resource(fixture: Fixture) {
    let client = &fixture.a;
    for number in 0..30 {
        client.put("Observation/1", &observation(&format!("c{number}"), number, "Patient/1")).await;
        assert_eq!(client.search("Observation").await, ["Observation/1"]);
        assert_eq!(client.search(&format!("Observation?code=c{number}")).await, ["Observation/1"]);
        assert_eq!(client.search("Observation?subject=Patient/1").await, ["Observation/1"]);
        if number > 0 {
            assert_eq!(client.search(&format!("Observation?code=c{}", number - 1)).await, [""; 0]);
            assert_eq!(client.search(&format!("Observation?code:not=c{number}")).await, [""; 0]);
        }
    }
    client.put("Observation/1", "\"status\":\"final\"").await;
    assert_eq!(client.search("Observation?code:missing=true").await, ["Observation/1"]);
    assert_eq!(client.search("Observation?code:missing=false").await, [""; 0]);
    assert_eq!(client.search("Observation?subject=Patient/1").await, [""; 0]);
}

/// A deleted resource is found by nothing, not even by what it lacks; brought back, it is found again.
pub async fn a_deleted_resource_is_not_found(fixture: Fixture) {
    let client = &fixture.a;
    let queries = ["Observation", "Observation?_id=1", "Observation?code=x", "Observation?code:not=y", "Observation?category:missing=true"];
    for _ in 0..3 {
        client.put("Observation/1", &observation("x", 1, "")).await;
        for query in queries {
            assert_eq!(client.search(query).await, ["Observation/1"], "{query}");
        }
        client.delete("Observation/1").await;
        for query in queries {
            assert_eq!(client.search(query).await, [""; 0], "{query}");
        }
        let page = client.page(SearchRequest { total: TotalMode::Accurate, limit: 0, ..search("Observation") }).await;
        assert_eq!(page.total, Some(0));
    }
}

/// Forty Observations; every fifth has no date, every third no code, and several share each.
async fn fill(client: &Client) {
    let changes = (0..40).map(|number| {
        let code = if number % 3 == 0 {
            String::new()
        } else {
            format!(",\"code\":{{\"text\":\"t\",\"coding\":[{{\"code\":\"c{}\"}}]}}", number % 4)
        };
        let date = if number % 5 == 0 { String::new() } else { format!(",\"effectiveDateTime\":\"2024-01-{:02}\"", 1 + number * 7 % 11) };
        put(&format!("Observation/o{:02}", number * 17 % 40), &format!("\"status\":\"final\"{code}{date}"))
    });
    made(client.commit(changes.collect()).await);
}

const QUERIES: [&str; 9] = [
    "Observation",
    "Observation?_sort=-_id",
    "Observation?_sort=date",
    "Observation?_sort=-date",
    "Observation?_sort=-date,code",
    "Observation?_sort=code,-date&status=final",
    "Observation?code=c1,c2&_sort=-date",
    "Observation?date=ge2024-01-05",
    "Observation?code:missing=true&_sort=date",
];

/// Pages of every length give the same hits in the same order, and each says truly whether more come.
pub async fn pages_are_complete(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    for query in QUERIES {
        let whole = client.search_in(query, None, 1000).await;
        let set: BTreeSet<&String> = whole.iter().collect();
        assert_eq!(set.len(), whole.len(), "{query} finds one twice");
        for limit in [1, 2, 3, 7, 20, 39, 40, 41] {
            assert_eq!(client.search_in(query, None, limit).await, whole, "{query} by {limit}");
        }
        let exact = client.page(SearchRequest { limit: whole.len(), ..search(query) }).await;
        assert!(!exact.more && exact.hits.len() == whole.len(), "{query}");
        let less = client.page(SearchRequest { limit: whole.len() - 1, ..search(query) }).await;
        assert!(less.more && less.hits.len() == whole.len() - 1, "{query}");
    }
}

/// Whatever the direction, what has no value to sort by comes last, by id.
pub async fn missing_sort_values_come_last(fixture: Fixture) {
    let client = &fixture.a;
    client
        .commit(vec![
            put("Observation/a", "\"status\":\"final\""),
            put("Observation/b", "\"effectiveDateTime\":\"2024-01-02\""),
            put("Observation/c", "\"status\":\"final\""),
            put("Observation/d", "\"effectiveDateTime\":\"2024-01-01\""),
            put("Observation/e", "\"effectiveDateTime\":\"2024-01-02\""),
        ])
        .await;
    let found = async |query| client.search(query).await.iter().map(|name| key(name).id.to_string()).collect::<Vec<_>>().concat();
    assert_eq!(found("Observation?_sort=date").await, "dbeac");
    assert_eq!(found("Observation?_sort=-date").await, "bedac");
    assert_eq!(found("Observation?_sort=-date,-_id").await, "ebdca");
    assert_eq!(found("Observation?_sort=-_id").await, "edcba");
}

/// A total is the number of all matches, or absent where it was not asked for or is above the bound.
pub async fn totals_are_exact_or_absent(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    client.put("Observation/gone", &observation("c1", 1, "")).await;
    client.delete("Observation/gone").await;
    for query in QUERIES {
        let count = client.search(query).await.len() as u64;
        for limit in [0, 1, 1000] {
            let total = async |total| client.page(SearchRequest { total, limit, ..search(query) }).await.total;
            assert_eq!(total(TotalMode::None).await, None, "{query}");
            assert_eq!(total(TotalMode::Accurate).await, Some(count), "{query}");
            assert_eq!(total(TotalMode::UpTo(count)).await, Some(count), "{query}");
            assert_eq!(total(TotalMode::UpTo(10_000)).await, Some(count), "{query}");
            if limit == 0 && query.contains('?') && !query.ends_with("_id") {
                assert!(total(TotalMode::UpTo(count - 1)).await.is_none_or(|total| total == count), "{query}");
            }
        }
        let page = client.page(SearchRequest { limit: 3, ..search(query) }).await;
        let after = page.hits.last().map(|hit| hit.position.clone());
        let page = client.page(SearchRequest { limit: 3, after, total: TotalMode::Accurate, ..search(query) }).await;
        assert_eq!(page.total, Some(count), "{query}: a later page counts all as well");
    }
}

/// A search in a view finds what was there then.
pub async fn a_search_keeps_to_its_view(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Observation/1", &observation("x", 1, "")).await;
    client.put("Observation/2", &observation("x", 2, "")).await;
    let view = client.view().await;
    client.put("Observation/1", &observation("y", 1, "")).await;
    client.delete("Observation/2").await;
    client.put("Observation/3", &observation("x", 3, "")).await;
    let (by_code, by_date) = (["Observation/1", "Observation/2"], ["Observation/2", "Observation/1"]);
    for (query, limit, expected) in [("Observation?code=x", 1, by_code), ("Observation?_sort=-date", 10, by_date)] {
        let found = client.search_in(query, Some(view.clone()), limit).await;
        match fixture.pictures {
            true => assert_eq!(found, expected, "{query}"),
            false => assert!(found.iter().all(|name| expected.contains(&name.as_str())), "{query}: {found:?}"),
        }
    }
    assert_eq!(client.search_in("Observation?code=y", Some(view), 10).await, [""; 0]);
    assert_eq!(client.search("Observation?code=x").await, ["Observation/3"]);
    let page = client.page(search("Observation?code=x")).await;
    client.delete("Observation/3").await;
    let read = client.read_many(&page.view, &["Observation/3"]).await;
    assert!(text(read[0].as_ref().unwrap()).contains("\"x\""), "hits are read in the picture in which they were found");
}

/// While others change, what does not change is found once, page by page over the newest state.
pub async fn pages_are_stable_under_writes(fixture: Fixture) {
    let client = &fixture.a;
    fill(client).await;
    for query in QUERIES {
        let whole = client.search(query).await;
        let mut request = search(query);
        request.limit = 3;
        let mut found = Vec::new();
        let mut round = 0;
        loop {
            let page = client.page(request.clone()).await;
            found.extend(page.hits.iter().map(|hit| hit.key.to_string()));
            let Some(last) = page.hits.last().filter(|_| page.more) else { break };
            request.after = Some(last.position.clone());
            round += 1;
            let other = format!("Observation/new{}", round % 5);
            client.put(&other, &observation("c1", round, "")).await;
            if round % 2 == 0 {
                client.delete(&other).await;
            }
        }
        found.retain(|name| !name.contains("new"));
        assert_eq!(found, whole, "{query}");
        for number in 0..5 {
            client.commit(vec![delete(&format!("Observation/new{number}"))]).await;
        }
    }
}

/// Chains and `_has` go by the newest versions of all resources on the way.
pub async fn chains_follow_the_newest_versions(fixture: Fixture) {
    let client = &fixture.a;
    client.put("Patient/1", "\"name\":[{\"family\":\"Old\"}]").await;
    client.put("Observation/1", &observation("x", 1, "Patient/1")).await;
    let (chain, has) = ("Observation?subject:Patient.family=", "Patient?_has:Observation:subject:code=");
    assert_eq!(client.search(&format!("{chain}old")).await, ["Observation/1"]);
    assert_eq!(client.search(&format!("{has}x")).await, ["Patient/1"]);
    client.put("Patient/1", "\"name\":[{\"family\":\"New\"}]").await;
    assert_eq!(client.search(&format!("{chain}old")).await, [""; 0]);
    assert_eq!(client.search(&format!("{chain}new")).await, ["Observation/1"]);
    client.put("Observation/1", &observation("y", 1, "Patient/1")).await;
    assert_eq!(client.search(&format!("{has}x")).await, [""; 0]);
    assert_eq!(client.search(&format!("{has}y")).await, ["Patient/1"]);
    client.delete("Patient/1").await;
    assert_eq!(client.search(&format!("{chain}new")).await, [""; 0]);
    assert_eq!(client.search(&format!("{has}y")).await, [""; 0]);
    client.put("Patient/1", "\"name\":[{\"family\":\"New\"}]").await;
    client.delete("Observation/1").await;
    assert_eq!(client.search(&format!("{has}y")).await, [""; 0]);
}

/// A search over several types gives its hits by type and id, whatever the pages; under a sort, by that first.
pub async fn several_types_come_in_order(fixture: Fixture) {
    let client = &fixture.a;
    let names = ["Observation/2", "Patient/1", "Condition/9", "Patient/0", "Condition/1", "Observation/1"];
    client.commit(names.iter().map(|name| put(name, "")).collect()).await;
    let mut sorted = names.to_vec();
    sorted.sort_by_key(|name| (key(name).resource_type, key(name).id));
    for limit in [1, 2, 6, 10] {
        assert_eq!(client.search_in("?_type=Patient,Condition,Observation", None, limit).await, sorted, "by {limit}");
    }
    let page = client.page(SearchRequest { total: TotalMode::Accurate, limit: 0, ..search("?_type=Patient,Condition") }).await;
    assert_eq!(page.total, Some(4));
    let by_id = ["Patient/0", "Condition/1", "Observation/1", "Patient/1", "Observation/2", "Condition/9"];
    let mut expected = by_id.to_vec();
    expected.sort_by_key(|name| (key(name).id, key(name).resource_type));
    for limit in [1, 4, 10] {
        assert_eq!(client.search_in("?_type=Patient,Condition,Observation&_sort=_id", None, limit).await, expected, "by {limit}");
    }
}
