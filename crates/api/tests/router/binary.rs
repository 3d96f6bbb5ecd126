//! Content of any type as a Binary.

use axum::body::Body;
use http::StatusCode;
use serde_json::json;

use crate::support::Api;

#[tokio::test]
async fn content_goes_in_and_comes_out_as_it_is() {
    let api = Api::new().await;
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("x-security-context", "Patient/1"),
        ("accept", "application/fhir+json, */*; q=0.1"),
    ];
    let created = api.send("POST", "Binary", &headers, "héllo").await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let resource = created.json();
    assert_eq!((&resource["contentType"], &resource["data"]), (&json!("text/plain; charset=utf-8"), &json!("aMOpbGxv")));
    assert_eq!(resource["securityContext"]["reference"], "Patient/1");
    let path = format!("Binary/{}", resource["id"].as_str().unwrap());

    let raw = api.send("GET", &path, &[("accept", "text/plain")], Body::empty()).await;
    assert_eq!((raw.status, raw.header("content-type"), &raw.body[..]), (StatusCode::OK, "text/plain; charset=utf-8", "héllo".as_bytes()));
    assert_eq!((raw.header("x-content-type-options"), raw.header("etag")), ("nosniff", "W/\"1\""));
    for accept in ["", "*/*", "application/fhir+json", "application/json", "application/fhir+json, */*; q=0.1"] {
        let answer = api.send("GET", &path, &[("accept", accept)], Body::empty()).await;
        assert_eq!(answer.json()["resourceType"], "Binary", "{accept}");
    }
    assert_eq!(api.send("GET", &path, &[("accept", "image/png")], Body::empty()).await.status, StatusCode::NOT_ACCEPTABLE);

    let replaced = api.send("PUT", &path, &[("content-type", "image/png")], vec![0_u8, 1, 2]).await;
    assert_eq!((replaced.status, &replaced.json()["data"]), (StatusCode::OK, &json!("AAEC")));
    let raw = api.send("GET", &path, &[("accept", "image/*")], Body::empty()).await;
    assert_eq!((raw.header("content-type"), &raw.body[..]), ("image/png", &[0_u8, 1, 2][..]));
}

#[tokio::test]
async fn a_binary_resource_is_taken_as_such() {
    let api = Api::new().await;
    let binary = r#"{"resourceType":"Binary","contentType":"application/pdf","data":"JVBERg=="}"#;
    let created = api.put_json("POST", "Binary", &[], binary).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let path = format!("Binary/{}", created.json()["id"].as_str().unwrap());
    let raw = api.send("GET", &path, &[("accept", "application/pdf")], Body::empty()).await;
    assert_eq!(&raw.body[..], b"%PDF");
}

/// Text as bytes that are more than what stays in a resource.
fn large() -> Vec<u8> {
    (0..200_000_u32).map(|at| (at * 7 % 251) as u8).collect()
}

#[tokio::test]
async fn large_content_is_set_aside_and_comes_back_the_same() {
    let api = Api::new().await;
    let created = api.send("POST", "Binary", &[("content-type", "image/png")], large()).await;
    assert_eq!(created.status, StatusCode::CREATED, "{:?}", created.body);
    let data = created.json()["data"].clone();
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(api.objects(), 1);
    let read = api.send("GET", &format!("Binary/{id}"), &[], Body::empty()).await;
    assert_eq!((&read.json()["data"], read.json().get("_data")), (&data, None));
    let raw = api.send("GET", &format!("Binary/{id}"), &[("accept", "image/png")], Body::empty()).await;
    assert_eq!((raw.header("content-type"), &raw.body[..]), ("image/png", &large()[..]));
    // Lists leave it out and say so.
    for path in [format!("Binary?_id={id}"), format!("Binary/{id}/_history"), "_history".to_owned()] {
        let listed = api.send("GET", &path, &[], Body::empty()).await.json();
        let resource = &listed["entry"][0]["resource"];
        assert_eq!((resource.get("data"), resource.get("_data")), (None, None), "{path}");
        assert_eq!(resource["meta"]["tag"][0]["code"], "SUBSETTED", "{path}");
    }
    let batch =
        json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": format!("Binary/{id}")}}]});
    let entry = api.put_json("POST", "", &[], &batch.to_string()).await.json()["entry"][0]["resource"].clone();
    assert_eq!((entry.get("data"), &entry["meta"]["tag"][0]["code"]), (None, &json!("SUBSETTED")));
    // A patch sees the data and keeps it.
    let patch = json!([{"op": "test", "path": "/data", "value": data}, {"op": "add", "path": "/language", "value": "en"}]);
    let headers = [("content-type", "application/json-patch+json")];
    let patched = api.send("PATCH", &format!("Binary/{id}"), &headers, patch.to_string()).await;
    assert_eq!((patched.status, &patched.json()["data"]), (StatusCode::OK, &data), "{:?}", patched.body);
    // Each version has its own.
    let replaced = api.send("PUT", &format!("Binary/{id}"), &[("content-type", "text/plain")], "small").await;
    assert_eq!(replaced.json()["meta"]["versionId"], "3");
    for (version, expected) in [("1", large()), ("2", large()), ("3", b"small".to_vec())] {
        let accept = if version == "3" { "text/plain" } else { "image/png" };
        let raw = api.send("GET", &format!("Binary/{id}/_history/{version}"), &[("accept", accept)], Body::empty()).await;
        assert_eq!(&raw.body[..], &expected[..], "version {version}");
    }
}

#[tokio::test]
async fn what_a_write_has_set_aside_goes_when_it_fails() {
    let api = Api::new().await;
    let binary = |id: &str| json!({"resourceType": "Binary", "id": id, "contentType": "a/b", "data": base64_of(&large())}).to_string();
    let refused = api.put_json("PUT", "Binary/x", &[("if-match", "W/\"7\"")], &binary("x")).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(api.objects(), 0);
    assert_eq!(api.put_json("PUT", "Binary/x", &[], &binary("x")).await.status, StatusCode::CREATED);
    let entry = |id: &str, if_match: &str| {
        json!({"request": {"method": "PUT", "url": format!("Binary/{id}"), "ifMatch": if_match},
               "resource": serde_json::from_str::<serde_json::Value>(&binary(id)).unwrap()})
    };
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry("x", "W/\"1\""), entry("y", "W/\"1\"")]});
    let refused = api.put_json("POST", "", &[], &bundle.to_string()).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{:?}", refused.body);
    assert_eq!(api.objects(), 1);
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry("x", "W/\"1\"")]});
    assert_eq!(api.put_json("POST", "", &[], &bundle.to_string()).await.status, StatusCode::OK);
    assert_eq!(api.objects(), 2);
    let raw = api.send("GET", "Binary/x", &[("accept", "a/b")], Body::empty()).await;
    assert_eq!(&raw.body[..], &large()[..]);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A Binary whose content is to come, and its URL below the server's root.
async fn announced(api: &Api) -> (String, String) {
    let created = api.put_json("POST", "Binary", &[], r#"{"resourceType":"Binary","contentType":"image/png"}"#).await.json();
    let url = created["presignedPutUrl"].as_str().unwrap();
    let url = url.strip_prefix("http://fhir.example").unwrap_or_else(|| panic!("{url}"));
    (created["id"].as_str().unwrap().to_owned(), url.to_owned())
}

#[tokio::test]
async fn a_signed_url_is_the_right_to_one_upload() {
    let api = Api::new().await;
    let (id, url) = announced(&api).await;
    let png = [("content-type", "image/png"), ("authorization", "")];
    for (from, to) in
        [("/tenant/acme/", "/tenant/other/"), (id.as_str(), "another"), ("/1?", "/2?"), ("expires=", "expires=1"), ("type=", "typ=")]
    {
        let other = url.replace(from, to);
        assert_ne!(other, url);
        let refused = api.send("PUT", &other, &png, "pixels").await;
        assert_eq!((refused.status, &refused.json()["issue"][0]["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{to}");
    }
    let other_kind = url.replace("/Binary/", "/Patient/");
    assert_eq!(api.send("PUT", &other_kind, &png, "pixels").await.status, StatusCode::NOT_FOUND);
    let (path, _) = url.split_once('?').unwrap();
    assert_eq!(api.send("PUT", path, &png, "pixels").await.status, StatusCode::FORBIDDEN);
    // A token is no substitute.
    assert_eq!(api.send("PUT", path, &[("content-type", "image/png")], "pixels").await.status, StatusCode::FORBIDDEN);
    assert_eq!(api.send("GET", &url, &[("authorization", "")], Body::empty()).await.status, StatusCode::FORBIDDEN);
    let encoded = [("content-type", "image/png"), ("content-encoding", "gzip")];
    assert_eq!(api.send("PUT", &url, &encoded, "pixels").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // More than the content folder of the tests takes.
    assert_eq!(api.send("PUT", &url, &png, vec![0; (1 << 20) + 1]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(api.objects(), 0);
    assert_eq!(api.send("PUT", &url, &png, large()).await.status, StatusCode::OK);
    assert_eq!(api.send("PUT", &url, &png, "other").await.status, StatusCode::PRECONDITION_FAILED);
    let read = api.send("GET", &format!("Binary/{id}"), &[], Body::empty()).await.json();
    let url = read["presignedGetUrl"].as_str().unwrap().strip_prefix("http://fhir.example").unwrap().to_owned();
    let download = api.send("GET", &url, &[("authorization", "")], Body::empty()).await;
    assert_eq!((download.status, &download.body[..]), (StatusCode::OK, &large()[..]));
    assert_eq!((download.header("content-type"), download.header("content-length")), ("image/png", "200000"));
    assert_eq!((download.header("x-content-type-options"), download.header("content-security-policy")), ("nosniff", "sandbox"));
    assert_eq!(api.send("GET", &url.replace("/acme/", "/other/"), &[], Body::empty()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn whoever_may_not_read_a_binary_gets_no_url_of_it() {
    let api = Api::new().await;
    let (id, url) = announced(&api).await;
    api.send("PUT", &url, &[("content-type", "image/png"), ("authorization", "")], "pixels").await;
    let auditor = format!("Bearer {}", crate::support::token("acme", "auditor", 0));
    for accept in ["application/fhir+json", "image/png"] {
        let refused = api.send("GET", &format!("Binary/{id}"), &[("authorization", &auditor), ("accept", accept)], Body::empty()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{accept}");
    }
    let stranger = format!("Bearer {}", crate::support::token("other", "practitioner", 0));
    let refused = api.send("GET", &format!("Binary/{id}"), &[("authorization", &stranger)], Body::empty()).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
}
