#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{ErrorKind, SearchInteraction};

fn ids(bundle: &Value, mode: &str) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries.filter(|entry| entry["search"]["mode"] == mode).map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()).collect()
}

fn link<'a>(bundle: &'a Value, relation: &str) -> Option<&'a str> {
    bundle["link"].as_array().unwrap().iter().find(|link| link["relation"] == relation).map(|link| link["url"].as_str().unwrap())
}

async fn family(server: &Server) {
    for (id, name, organization) in [("p1", "Anna", "o1"), ("p2", "Berta", "o1"), ("p3", "Carla", "o2")] {
        server
            .put(json!({ "resourceType": "Patient", "id": id, "name": [{ "given": [name], "family": "Meyer" }],
                "managingOrganization": { "reference": format!("Organization/{organization}") } }))
            .await
            .unwrap();
    }
    for (id, parent) in [("o1", Some("o2")), ("o2", None)] {
        let mut organization = json!({ "resourceType": "Organization", "id": id, "name": id });
        if let Some(parent) = parent {
            organization["partOf"] = json!({ "reference": format!("Organization/{parent}") });
        }
        server.put(organization).await.unwrap();
    }
    for (id, patient) in [("b1", "p1"), ("b2", "p1"), ("b3", "p2")] {
        server
            .put(json!({ "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "x" },
                "subject": { "reference": format!("Patient/{patient}") } }))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_page_has_links_totals_and_modes() {
    let server = Server::start().await;
    family(&server).await;
    let page = server.search("Patient?family=Meyer&_count=2&_sort=given").await.unwrap();
    assert_eq!((ids(&page, "match"), &page["total"]), (vec!["p1".to_owned(), "p2".to_owned()], &json!(3)));
    assert_eq!(page["entry"][0]["fullUrl"], format!("{BASE}/Patient/p1"));
    assert_eq!(link(&page, "self").unwrap(), format!("{BASE}/Patient?family=Meyer&_count=2&_sort=given"));
    let next = link(&page, "next").unwrap().strip_prefix(&format!("{BASE}/")).unwrap().to_owned();
    assert!(!next.contains("Meyer"));
    let second = server.search(&next).await.unwrap();
    assert_eq!((ids(&second, "match"), &second["total"]), (vec!["p3".to_owned()], &json!(3)));
    assert_eq!(link(&second, "next"), None);
    assert_eq!(link(&second, "first"), link(&page, "self"));
    let none = server.search("Patient?family=Nobody").await.unwrap();
    assert_eq!((none.get("entry"), &none["total"]), (None, &json!(0)));
    for counted in ["Patient?_count=0", "Patient?_summary=count"] {
        let counted = server.search(counted).await.unwrap();
        assert_eq!((counted.get("entry"), &counted["total"]), (None, &json!(3)));
    }
    assert_eq!(server.search("Patient?_total=none").await.unwrap().get("total"), None);
}

#[tokio::test]
async fn a_page_link_is_worth_nothing_elsewhere() {
    let server = Server::start().await;
    family(&server).await;
    let page = server.search("Patient?_count=1").await.unwrap();
    let next = link(&page, "next").unwrap().strip_prefix(&format!("{BASE}/")).unwrap().to_owned();
    let (_, token) = next.split_once("_page=").unwrap();
    let token = token.split('&').next().unwrap();
    let refused = async |address: String| {
        assert_eq!(server.search(&address).await.unwrap_err().kind, ErrorKind::BadRequest, "{address}");
    };
    refused(format!("Observation?_page={token}")).await;
    refused(format!("?_page={token}")).await;
    refused(format!("Patient?_page={token}&family=x")).await;
    refused(format!("Patient?_page={}", &token[1..])).await;
    refused("Patient?_page=".to_owned()).await;
    let (_, query) = next.split_once('?').unwrap();
    let request = SearchInteraction {
        base: &BASE,
        scope: SearchScope::Type(resource_type("Patient")),
        query,
        handling: Handling::Strict,
        freshness: Freshness::default(),
    };
    let foreign = server.interactions.search(access("other").as_read(), request).await;
    assert_eq!(foreign.unwrap_err().kind, ErrorKind::BadRequest);
    assert!(server.search(&format!("{next}&_format=json")).await.is_ok());
    server.clock.0.fetch_add(25 * 3_600_000, Ordering::SeqCst);
    refused(next).await;
}

#[tokio::test]
async fn includes_come_once_and_iterate_where_asked() {
    let server = Server::start().await;
    family(&server).await;
    let included = async |address: &str| {
        let bundle = server.search(address).await.unwrap();
        let mut included = ids(&bundle, "include");
        included.sort();
        included.join(" ")
    };
    assert_eq!(included("Patient?_include=Patient:organization").await, "o1 o2");
    assert_eq!(included("Patient?_id=p1&_include=Patient:organization").await, "o1");
    assert_eq!(included("Patient?_id=p1&_include=Patient:organization&_include:iterate=Organization:partof").await, "o1 o2");
    assert_eq!(included("Patient?_id=p1&_include=*").await, "o1");
    assert_eq!(included("Patient?_id=p1&_revinclude=Observation:subject").await, "b1 b2");
    assert_eq!(
        included("Organization?_id=o1&_revinclude=Patient:organization&_revinclude:iterate=Observation:subject").await,
        "b1 b2 b3 p1 p2"
    );
    let limited = Server::start_with(Limits { includes_max: 1, ..Limits::default() }).await;
    family(&limited).await;
    assert_eq!(limited.search("Patient?_include=Patient:organization").await.unwrap_err().kind, ErrorKind::TooCostly);
}

#[tokio::test]
async fn shortened_resources_are_tagged_and_keep_what_is_mandatory() {
    let server = Server::start().await;
    family(&server).await;
    let short = server.search("Observation?_elements=subject&_id=b1").await.unwrap()["entry"][0]["resource"].take();
    assert_eq!(short["status"], "final");
    assert_eq!(short["code"]["text"], "x");
    assert_eq!(short["meta"]["tag"][0]["code"], "SUBSETTED");
    assert_eq!(server.put(short).await.unwrap_err().kind, ErrorKind::Unprocessable);
}

#[tokio::test]
async fn searches_of_compartments_and_of_all_types() {
    let server = Server::start().await;
    family(&server).await;
    let scope = SearchScope::Compartment { owner: key("Patient/p1"), resource_type: Some(resource_type("Observation")) };
    let request = SearchInteraction { base: &BASE, scope, query: "", handling: Handling::Strict, freshness: Freshness::default() };
    let bundle = json_of(&server.interactions.search(server.access.as_read(), request).await.unwrap().json);
    assert_eq!(ids(&bundle, "match"), ["b1", "b2"]);
    assert_eq!(link(&bundle, "self").unwrap(), format!("{BASE}/Patient/p1/Observation"));
    let all = server.search("?_type=Patient,Organization").await.unwrap();
    assert_eq!(ids(&all, "match"), ["o1", "o2", "p1", "p2", "p3"]);
}

#[tokio::test]
async fn what_is_not_understood_is_an_error_or_a_warning() {
    let server = Server::start().await;
    family(&server).await;
    assert_eq!(server.search("Patient?nonsense=1").await.unwrap_err().kind, ErrorKind::BadRequest);
    let scope = SearchScope::Type(resource_type("Patient"));
    let request =
        SearchInteraction { base: &BASE, scope, query: "nonsense=1&_id=p1", handling: Handling::Lenient, freshness: Freshness::default() };
    let bundle = json_of(&server.interactions.search(server.access.as_read(), request).await.unwrap().json);
    assert_eq!(ids(&bundle, "match"), ["p1"]);
    assert_eq!(link(&bundle, "self").unwrap(), format!("{BASE}/Patient?_id=p1"));
    let outcome = bundle["entry"].as_array().unwrap().last().unwrap();
    assert_eq!((&outcome["search"]["mode"], &outcome["resource"]["issue"][0]["severity"]), (&json!("outcome"), &json!("warning")));
}
