#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{TokenVerifier, WriteAccess};

const NOW: i64 = 1_800_000_000;

#[test]
fn the_key_is_made_once_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.pem");
    let made = LocalKey::load_or_create(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(LocalKey::load_or_create(&path).unwrap().id, made.id);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(LocalKey::load_or_create(&path), Err(LocalKeyError::Exposed)));
}

#[test]
fn a_damaged_key_file_is_neither_used_nor_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(LocalKey::load_or_create(&path), Err(LocalKeyError::Malformed)));
}

#[test]
fn issued_tokens_are_accepted_as_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let key = LocalKey::load_or_create(&folder.path().join("issuer.pem")).unwrap();
    let issuer = LocalIssuer::new(key, "urn:example:issuer", "fhirpool");
    let request = TokenRequest {
        tenant: TenantId::parse("acme").unwrap(),
        subject: "a \"quoted\" name".into(),
        groups: vec!["practitioner".into()],
        scopes: vec!["openid".into(), "system/*.*".into()],
        ttl_s: 3600,
    };
    let verifier = TokenVerifier::new(vec![issuer.issuer()]);
    let token = issuer.issue(&request, NOW).unwrap();
    let principal = verifier.verify(&token, NOW).unwrap();
    assert_eq!((principal.tenant(), principal.subject()), (&request.tenant, request.subject.as_str()));
    assert_eq!((principal.groups(), principal.scopes()), (request.groups.as_slice(), request.scopes.as_slice()));
    assert!(WriteAccess::authorize(&principal, &request.tenant).is_ok());
    assert!(verifier.verify(&token, NOW + 3600).is_err());
}
