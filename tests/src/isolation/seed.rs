//! What the tenants of the attacks hold.

use fhirpool_testkit::Client;

/// Stands in every text of the other tenant and in no request of the attacker: no answer may hold it.
pub(super) const CANARY: &str = "zq7canary";

/// The other tenant's things, `KNOWN` in texts is what the attacker has guessed. `OWN` and `OTHER` are the tenants' base URLs.
const OTHERS: &[&str] = &[
    r#"{"resourceType":"Organization","id":"b-org","name":"known CANARY","alias":["CANARY"],"identifier":[{"system":"urn:known","value":"org-1"}]}"#,
    r#"{"resourceType":"Practitioner","id":"b-doc","name":[{"family":"known CANARY"}],"identifier":[{"system":"urn:known","value":"doc-1"}]}"#,
    r#"{"resourceType":"Patient","id":"b-pat","meta":{"profile":["http://known.example/profile"],"tag":[{"system":"urn:known","code":"tag","display":"CANARY"}],"security":[{"system":"urn:known","code":"secret","display":"CANARY"}],"source":"urn:known-source"},"text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">known CANARY</div>"},"identifier":[{"system":"urn:known","value":"pat-1","assigner":{"display":"CANARY"}}],"active":true,"name":[{"family":"known","given":["CANARY"],"text":"known CANARY"}],"telecom":[{"system":"phone","value":"known-1","rank":1},{"system":"email","value":"CANARY@example.org"}],"gender":"female","birthDate":"1970-01-01","address":[{"city":"Knowntown","line":["CANARY"]}],"managingOrganization":{"reference":"Organization/b-org","display":"CANARY"},"generalPractitioner":[{"reference":"Practitioner/b-doc","display":"CANARY"}],"extension":[{"url":"http://known.example/extension","valueString":"CANARY"}],"link":[{"other":{"reference":"Patient/b-pat"},"type":"seealso"}]}"#,
    r#"{"resourceType":"Patient","id":"shared","name":[{"family":"shared","text":"CANARY"}],"identifier":[{"system":"urn:known","value":"shared-other"}],"birthDate":"1970-01-01"}"#,
    r#"{"resourceType":"Observation","id":"b-obs","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8302-2","display":"CANARY"}],"text":"known CANARY"},"subject":{"reference":"Patient/b-pat","display":"CANARY"},"effectiveDateTime":"2020-01-01T00:00:00Z","valueQuantity":{"value":180.50,"unit":"CANARY","system":"http://unitsofmeasure.org","code":"cm"},"note":[{"text":"CANARY"}],"identifier":[{"system":"urn:known","value":"obs-1"}],"performer":[{"reference":"Practitioner/b-doc","display":"CANARY"}]}"#,
    r#"{"resourceType":"Observation","id":"b-obs2","status":"final","code":{"text":"CANARY"},"subject":{"reference":"Patient/shared","display":"CANARY"},"performer":[{"reference":"OWN/Practitioner/b-doc"},{"reference":"OWN/Practitioner/b-doc/_history/1"}],"focus":[{"identifier":{"system":"urn:known","value":"pat-1"}}]}"#,
    r#"{"resourceType":"Observation","id":"b-spy","status":"final","code":{"text":"CANARY"},"subject":{"reference":"OTHER/Patient/a-pat","display":"CANARY"},"performer":[{"reference":"Practitioner/a-doc"}]}"#,
    r#"{"resourceType":"ValueSet","id":"b-vs","url":"http://known.example/vs","version":"1","name":"known","title":"CANARY","status":"active"}"#,
    r#"{"resourceType":"RiskAssessment","id":"b-risk","status":"final","subject":{"reference":"Patient/b-pat"},"prediction":[{"probabilityDecimal":0.25,"rationale":"CANARY"}]}"#,
    r#"{"resourceType":"Binary","id":"b-bin","contentType":"text/plain","data":"enE3Y2FuYXJ5"}"#,
    r#"{"resourceType":"Group","id":"b-group","type":"person","actual":true,"name":"CANARY","member":[{"entity":{"reference":"Patient/b-pat","display":"CANARY"}},{"entity":{"reference":"Patient/shared"}}]}"#,
];

/// The attacker's own things, which point at the other's by every form of reference.
const OWN: &[&str] = &[
    r#"{"resourceType":"Practitioner","id":"a-doc","name":[{"family":"own"}]}"#,
    r#"{"resourceType":"Patient","id":"a-pat","name":[{"family":"own"}],"managingOrganization":{"reference":"OTHER/Organization/b-org"},"link":[{"other":{"reference":"Patient/b-pat"},"type":"seealso"},{"other":{"reference":"Patient/shared"},"type":"seealso"}]}"#,
    r#"{"resourceType":"Patient","id":"shared","name":[{"family":"shared"}],"generalPractitioner":[{"reference":"Practitioner/b-doc"}]}"#,
    r#"{"resourceType":"Observation","id":"a-obs","status":"final","code":{"text":"own"},"subject":{"reference":"Patient/b-pat"},"performer":[{"reference":"Practitioner/a-doc"},{"reference":"OTHER/Practitioner/b-doc"},{"reference":"OTHER/Practitioner/b-doc/_history/1"}],"derivedFrom":[{"reference":"Observation/b-obs"}]}"#,
    r#"{"resourceType":"Observation","id":"a-obs2","status":"final","code":{"text":"own"},"subject":{"reference":"OTHER/Patient/b-pat"},"focus":[{"reference":"Patient/shared/_history/3"},{"identifier":{"system":"urn:known","value":"pat-1"}}]}"#,
    r#"{"resourceType":"Observation","id":"a-obs3","status":"final","code":{"text":"own"},"subject":{"reference":"Patient/a-pat"}}"#,
    r#"{"resourceType":"Group","id":"a-group","type":"person","actual":true,"member":[{"entity":{"reference":"Patient/b-pat"}},{"entity":{"reference":"Patient/shared"}}]}"#,
];

async fn put(client: &Client, texts: &[&str], other: &Client) {
    let other_id = other.base.rsplit('/').next().unwrap();
    for text in texts {
        let text = text.replace("CANARY", CANARY).replace("OTHERID", other_id).replace("OTHER", &other.base).replace("OWN", &client.base);
        let resource: serde_json::Value = serde_json::from_str(&text).unwrap();
        let address = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let response = client.put(&address, text).await;
        assert!(matches!(response.status, 200 | 201), "{address}: {} {}", response.status, response.text());
    }
}

/// Fills the other tenant, with three versions of a resource whose id both have, and one that was deleted.
pub(super) async fn fill_other(other: &Client, attacker: &Client) {
    put(other, OTHERS, attacker).await;
    for version in 2..=3 {
        let text =
            format!(r#"{{"resourceType":"Patient","id":"shared","name":[{{"family":"{CANARY}"}}],"multipleBirthInteger":{version}}}"#);
        assert_eq!(other.put("Patient/shared", text).await.status, 200);
    }
    let gone = format!(r#"{{"resourceType":"Patient","id":"b-gone","name":[{{"family":"{CANARY}"}}]}}"#);
    assert_eq!(other.put("Patient/b-gone", gone).await.status, 201);
    assert!(other.send("DELETE", "Patient/b-gone", &[], "").await.status < 300);
}

/// Fills the attacker's tenant.
pub(super) async fn fill_attacker(attacker: &Client, other: &Client) {
    put(attacker, OWN, other).await;
}
