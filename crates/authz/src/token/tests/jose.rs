//! The published JWS and JWK cases (Wycheproof), most of them attacks, against keys and signatures as a verifier uses them.
//!
//! Claims are not looked at: the cases' payloads are no JSON.

use fhirpool_fhir::json::{Document, Value};

use super::super::signed::Signed;
use crate::{Algorithm, KeySet};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/jose");

/// Valid cases whose token names another algorithm (PS384) than its key is for (PS256): refused here, algorithms are pinned.
const UNPINNED: [&str; 2] = ["346", "350"];

/// Valid cases of what is not supported: symmetric algorithms, and ES512 (which the cases spell ES521).
const UNSUPPORTED: [&str; 4] = ["HS256", "HS384", "HS512", "ES521"];

#[test]
fn published_cases_of_signatures_and_keys() {
    let (mut accepted, mut refused) = (0, 0);
    for name in ["json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json"] {
        let path = format!("{FOLDER}/{name}");
        let text = std::fs::read(&path).unwrap_or_else(|_| panic!("the JOSE cases belong at ../shared/data/jose: {name} is missing"));
        let document = Document::parse(text).unwrap();
        for group in document.root().get("testGroups").unwrap().elements() {
            for case in group.get("tests").unwrap().elements() {
                let Some(token) = case.get("jws") else { continue };
                let label = format!("{name} {} {}", case.get("tcId").unwrap().raw(), case.get_str("comment").unwrap());
                // The JSON serialization is an object in one of the files and a text in another.
                let token = token.as_str().unwrap_or(token.raw().into());
                let unpinned = name == "json_web_signature_test.json" && UNPINNED.contains(&case.get("tcId").unwrap().raw());
                let expected = case.get_str("result").unwrap() == "valid" && !unpinned && !is_unsupported(group);
                assert_eq!(verdict(group, &token), expected, "{label}");
                *(if expected { &mut accepted } else { &mut refused }) += 1;
            }
        }
    }
    assert!(accepted >= 30 && refused >= 400, "accepted {accepted}, refused {refused}");
}

fn keys_of(group: Value<'_>) -> Value<'_> {
    group.get("public").or(group.get("private")).unwrap()
}

fn is_unsupported(group: Value<'_>) -> bool {
    let keys = keys_of(group);
    let mut algorithms = keys.get("keys").unwrap_or(keys).each().filter_map(|key| key.get_str("alg"));
    algorithms.any(|algorithm| UNSUPPORTED.contains(&&*algorithm))
}

/// Whether the token verifies with the group's keys under the algorithm they name (or, where they name none, under any).
fn verdict(group: Value<'_>, token: &str) -> bool {
    let keys = keys_of(group);
    let Ok(signed) = Signed::parse(token) else { return false };
    if signed.payload().is_err() {
        return false;
    }
    let named: Vec<Algorithm> = keys.get("keys").unwrap_or(keys).each().filter_map(|key| Algorithm::parse(&key.get_str("alg")?)).collect();
    let candidates = if named.is_empty() { vec![Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256] } else { named };
    candidates
        .into_iter()
        .any(|algorithm| KeySet::from_jwks(keys.raw().as_bytes(), algorithm).is_ok_and(|keys| keys.verify(&signed).is_ok()))
}
