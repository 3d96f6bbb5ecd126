//! Claims and keys of tokens; the published cases of signatures are in `jose`.
#![expect(clippy::unwrap_used, reason = "tests")]

mod jose;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::local_key::shared_test_key;

const NOW: i64 = 1_800_000_000;
const URL: &str = "https://issuer.example";

fn verifier() -> TokenVerifier {
    TokenVerifier::new(vec![Issuer {
        admin_audiences: vec!["admin".into()],
        url: URL.into(),
        audiences: vec!["app".into()],
        tenant_audience_bases: vec!["https://fhir.example".into()],
        token_uses: vec!["id".into(), "access".into()],
        tenants: ["acme", "b", "c"].iter().map(|tenant| crate::TenantId::parse(tenant).unwrap()).collect(),
        keys: shared_test_key().key_set().clone(),
    }])
}

/// Good claims, of which those named are replaced by JSON text, or left out where the text is empty.
fn claims(changes: &[(&str, &str)]) -> String {
    let exp = (NOW + 60).to_string();
    let good: &[(&str, &str)] = &[
        ("iss", "\"https://issuer.example\""),
        ("sub", "\"someone\""),
        ("aud", "\"app\""),
        ("exp", &exp),
        ("token_use", "\"id\""),
        ("custom:tenantId", "\"acme\""),
        ("cognito:groups", "[\"practitioner\"]"),
    ];
    let kept = good.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let members: Vec<String> =
        kept.chain(changes).filter(|(_, json)| !json.is_empty()).map(|(name, json)| format!("\"{name}\":{json}")).collect();
    format!("{{{}}}", members.join(","))
}

fn verdict(payload: &str) -> Result<Arc<Principal>, TokenError> {
    verifier().verify(&shared_test_key().sign(payload).unwrap(), NOW)
}

#[test]
fn a_good_token_makes_a_principal() {
    let principal = verdict(&claims(&[("scope", "\"openid  system/*.read\""), ("azp", "\"client\"")])).unwrap();
    assert_eq!((principal.tenant().as_str(), principal.subject(), principal.issuer()), ("acme", "someone", URL));
    assert_eq!(principal.client(), Some("client"));
    assert_eq!(principal.groups(), ["practitioner"]);
    assert_eq!(principal.scopes(), ["openid", "system/*.read"]);
}

#[test]
fn the_tenant_comes_from_either_claim_or_from_the_audience() {
    let tenant = |changes: &[(&str, &str)]| verdict(&claims(changes)).map(|principal| principal.tenant().as_str().to_owned());
    assert_eq!(tenant(&[("custom:tenantId", ""), ("tenantId", "\"b\"")]), Ok("b".into()));
    assert_eq!(tenant(&[("custom:tenantId", ""), ("aud", "\"https://fhir.example/tenant/c\"")]), Ok("c".into()));
    assert_eq!(tenant(&[("aud", "[\"app\",\"https://fhir.example/tenant/acme\"]")]), Ok("acme".into()));
    assert_eq!(tenant(&[("tenantId", "\"acme\"")]), Ok("acme".into()));
    assert_eq!(tenant(&[("tenantId", "\"other\"")]), Err(TokenError::TenantConflict));
    assert_eq!(tenant(&[("aud", "[\"app\",\"https://fhir.example/tenant/other\"]")]), Err(TokenError::TenantConflict));
    assert_eq!(tenant(&[("custom:tenantId", "")]), Err(TokenError::NoTenant));
    assert_eq!(tenant(&[("custom:tenantId", "\"a/b\"")]), Err(TokenError::Claim("custom:tenantId")));
    assert_eq!(tenant(&[("aud", "[\"app\",\"https://fhir.example/tenant/a/b\"]")]), Err(TokenError::Claim("aud")));
    assert_eq!(tenant(&[("custom:tenantId", ""), ("aud", "[\"app\",\"https://evil.example/tenant/c\"]")]), Err(TokenError::NoTenant));
}

#[test]
fn a_base_of_the_tenants_own_names_it_as_an_audience() {
    let addresses = ["acme=https://fhir.acme.example", "https://{tenant}.fhir.example/r4", "https://fhir.example/{tenant}/r4"];
    let addresses = Arc::new(TenantAddresses::new(Some("https://fhir.example"), addresses).unwrap());
    let verify =
        |changes: &[(&str, &str)]| verifier().at(Arc::clone(&addresses)).verify(&shared_test_key().sign(&claims(changes)).unwrap(), NOW);
    let tenant = |changes: &[(&str, &str)]| verify(changes).map(|principal| principal.tenant().as_str().to_owned());
    let none = ("custom:tenantId", "");
    assert_eq!(tenant(&[none, ("aud", "\"https://fhir.acme.example\"")]), Ok("acme".into()));
    assert_eq!(tenant(&[none, ("aud", "\"https://b.fhir.example/r4\"")]), Ok("b".into()));
    assert_eq!(tenant(&[none, ("aud", "[\"app\",\"https://fhir.example/c/r4\"]")]), Ok("c".into()));
    assert_eq!(tenant(&[("aud", "[\"https://fhir.acme.example\",\"https://fhir.example/tenant/acme\"]")]), Ok("acme".into()));
    for two in [
        "[\"app\",\"https://b.fhir.example/r4\"]",
        "[\"https://fhir.acme.example\",\"https://fhir.example/b/r4\"]",
        "[\"https://fhir.acme.example\",\"https://fhir.example/tenant/b\"]",
    ] {
        assert_eq!(tenant(&[("aud", two)]), Err(TokenError::TenantConflict), "{two}");
    }
    assert_eq!(tenant(&[none, ("aud", "\"https://x.fhir.example/r4\"")]), Err(TokenError::TenantOfOthers));
    for other in [
        "https://fhir.acme.example/",
        "http://fhir.acme.example",
        "https://B.fhir.example/r4",
        "https://b.fhir.example",
        "https://fhir.example/admin/r4",
    ] {
        assert_eq!(tenant(&[("aud", &format!("\"{other}\""))]), Err(TokenError::Audience), "{other}");
    }
    // What is below it is the tenant's own resource, and below another tenant's it is none.
    let launched =
        verify(&[("patient", "\"https://fhir.acme.example/Patient/p\""), ("fhirUser", "\"https://b.fhir.example/r4/Patient/q\"")]).unwrap();
    assert_eq!((launched.launch().patient.as_ref().map(ToString::to_string), launched.launch().user.is_none()), (Some("p".into()), true));
    let of_other = verify(&[("patient", "\"https://b.fhir.example/r4/Patient/p\"")]);
    assert_eq!(of_other.err(), Some(TokenError::Claim("patient")));
    // Nor does it name one to who may not name tenants by audiences, or it is no administrator's.
    let named = verifier().at(addresses);
    let issuer = Issuer { tenant_audience_bases: Vec::new(), ..named.accepted().issuers[0].clone() };
    named.set_issuer(issuer);
    let token = |changes: &[(&str, &str)]| shared_test_key().sign(&claims(changes)).unwrap();
    assert_eq!(named.verify(&token(&[("aud", "\"https://fhir.acme.example\"")]), NOW).err(), Some(TokenError::Audience));
}

/// Whose user is not known here has nothing of his own here, whatever his groups may do; practitioners are what their groups are.
#[test]
fn a_user_who_is_not_known_here_sees_nothing() {
    let addresses = TenantAddresses::new(Some("https://fhir.example"), ["https://fhir.example/{tenant}/r4"]).unwrap();
    let verifier = verifier().at(Arc::new(addresses));
    let named = verifier.accepted().issuers[0].clone();
    let observation = fhirpool_fhir::ResourceType::parse("Observation").unwrap();
    for bases in [vec![], named.tenant_audience_bases.clone()] {
        verifier.set_issuer(Issuer { tenant_audience_bases: bases, ..named.clone() });
        let sees = |user: &str| {
            let claims = claims(&[("scope", "\"user/*.rs\""), ("fhirUser", user)]);
            let principal = verifier.verify(&shared_test_key().sign(&claims).unwrap(), NOW).unwrap();
            match principal.grants.leave(crate::Interaction::Read, observation) {
                crate::Leave::Denied => "nothing",
                crate::Leave::Whole => "everything",
                crate::Leave::Within(_) => "own",
            }
        };
        for own in ["Patient/p", "https://fhir.example/tenant/acme/Patient/p", "https://fhir.example/acme/r4/Patient/p"] {
            assert_eq!(sees(&format!("\"{own}\"")), "own", "{own}");
        }
        for other in ["https://ehr.example/Patient/p", "https://fhir.example/tenant/b/Patient/p", "Patient/p/_history/1", "x", "Person/p"] {
            assert_eq!(sees(&format!("\"{other}\"")), "nothing", "{other}");
        }
        for practitioner in ["https://ehr.example/fhir/Practitioner/1", "Practitioner/1"] {
            assert_eq!(sees(&format!("\"{practitioner}\"")), "everything", "{practitioner}");
        }
        assert_eq!(sees(""), "everything");
    }
}

#[test]
fn a_verdict_weighs_what_its_grants_take() {
    let scopes: Vec<String> = (0..200).map(|number| format!("system/Observation.cruds?code={number}")).collect();
    let token = shared_test_key().sign(&claims(&[("scope", &format!("\"{}\"", scopes.join(" ")))])).unwrap();
    let verifier = verifier();
    let principal = verifier.verify(&token, NOW).unwrap();
    assert!(principal.grants.bytes() > 200 * 80);
    assert!(verifier.verdicts.weight() > principal.grants.bytes());
}

#[test]
fn times_are_held_against_the_clock() {
    let at = |name: &str, second: i64| verdict(&claims(&[(name, &second.to_string())])).err();
    assert_eq!(at("exp", NOW), Some(TokenError::Expired));
    assert_eq!(at("exp", NOW + 1), None);
    assert_eq!(at("nbf", NOW + 60), None);
    assert_eq!(at("nbf", NOW + 61), Some(TokenError::NotYetValid));
    assert_eq!(at("iat", NOW + 61), Some(TokenError::NotYetValid));
    assert_eq!(verdict(&claims(&[("exp", "1800000060.75")])).err(), None);
}

#[test]
fn odd_claims_are_refused() {
    let many: String = (0..201).map(|number| format!("\"g{number}\",")).collect();
    let many = format!("[{}]", many.trim_end_matches(','));
    let long = format!("\"{}\"", "x".repeat(257));
    let cases: &[(&str, &str, TokenError)] = &[
        ("exp", "", TokenError::Claim("exp")),
        ("exp", "\"1800000060\"", TokenError::Claim("exp")),
        ("exp", "1e400", TokenError::Claim("exp")),
        ("exp", "99999999999999999999999", TokenError::Claim("exp")),
        ("exp", "-1", TokenError::Claim("exp")),
        ("exp", "null", TokenError::Claim("exp")),
        ("nbf", "[]", TokenError::Claim("nbf")),
        ("iat", "{}", TokenError::Claim("iat")),
        ("sub", "", TokenError::Claim("sub")),
        ("sub", "\"\"", TokenError::Claim("sub")),
        ("sub", "7", TokenError::Claim("sub")),
        ("sub", &long, TokenError::Claim("sub")),
        ("iss", "[\"https://issuer.example\"]", TokenError::Claim("iss")),
        ("iss", "\"https://issuer.example/\"", TokenError::UnknownIssuer),
        ("aud", "", TokenError::Audience),
        ("aud", "[]", TokenError::Audience),
        ("aud", "\"other\"", TokenError::Audience),
        ("aud", "{\"a\":\"app\"}", TokenError::Claim("aud")),
        ("aud", "[\"app\",1]", TokenError::Claim("aud")),
        ("token_use", "", TokenError::TokenUse),
        ("token_use", "\"refresh\"", TokenError::TokenUse),
        ("token_use", "[\"id\"]", TokenError::Claim("token_use")),
        ("custom:tenantId", "[\"acme\"]", TokenError::Claim("custom:tenantId")),
        ("tenantId", "null", TokenError::Claim("tenantId")),
        ("cognito:groups", "\"practitioner\"", TokenError::Claim("cognito:groups")),
        ("cognito:groups", "[[\"practitioner\"]]", TokenError::Claim("cognito:groups")),
        ("cognito:groups", &many, TokenError::Claim("cognito:groups")),
        ("scope", "[\"a\"]", TokenError::Claim("scope")),
        ("client_id", "{}", TokenError::Claim("client_id")),
        ("scp", "[1]", TokenError::Claim("scp")),
        ("scp", "{}", TokenError::Claim("scp")),
        ("custom:tenantId", "\"other\"", TokenError::TenantOfOthers),
        ("patient", "[\"p\"]", TokenError::Claim("patient")),
        ("patient", "7", TokenError::Claim("patient")),
        ("patient", "null", TokenError::Claim("patient")),
        ("patient", "\"\"", TokenError::Claim("patient")),
        ("patient", "\"a b\"", TokenError::Claim("patient")),
        ("patient", "\"Observation/1\"", TokenError::Claim("patient")),
        ("patient", "\"https://evil.example/Patient/1\"", TokenError::Claim("patient")),
        ("encounter", "\"Patient/1\"", TokenError::Claim("encounter")),
        ("launch_response_patient", "{}", TokenError::Claim("launch_response_patient")),
        ("ext", "{\"launch_response_patient\":1}", TokenError::Claim("launch_response_patient")),
        ("fhirUser", "[\"Patient/1\"]", TokenError::Claim("fhirUser")),
    ];
    for (name, json, expected) in cases {
        assert_eq!(verdict(&claims(&[(name, json)])).err(), Some(*expected), "{name}: {json}");
    }
}

#[test]
fn a_property_that_stands_twice_refuses_the_token() {
    let twice = claims(&[]).replacen('{', "{\"sub\":\"other\",", 1);
    assert_eq!(verdict(&twice).err(), Some(TokenError::Malformed));
    let inner = claims(&[("x", "{\"a\":1,\"\\u0061\":2}")]);
    assert_eq!(verdict(&inner).err(), Some(TokenError::Malformed));
    let deep = claims(&[("x", &format!("{}{}", "[".repeat(5000), "]".repeat(5000)))]);
    assert_eq!(verdict(&deep).err(), Some(TokenError::Malformed));
    assert_eq!(verdict(&claims(&[("x", &format!("\"{}\"", "y".repeat(20_000)))])).err(), Some(TokenError::Malformed));
    for payload in ["", "[]", "null", "\"\"", "{", "\u{feff}{}"] {
        assert_eq!(verdict(payload).err(), Some(TokenError::Malformed), "{payload:?}");
    }
}

#[test]
fn an_access_token_without_an_audience_is_for_its_client() {
    let access = |client: &str| {
        let client = format!("\"{client}\"");
        verdict(&claims(&[("aud", ""), ("client_id", &client), ("token_use", "\"access\"")])).err()
    };
    assert_eq!(access("app"), None);
    assert_eq!(access("other"), Some(TokenError::Audience));
}

/// A token with this header and good claims, under a signature of the right key over exactly them.
fn with_header(header: &str) -> Result<Arc<Principal>, TokenError> {
    let token = shared_test_key().sign_with_header(header, &claims(&[])).unwrap();
    verifier().verify(&token, NOW)
}

#[test]
fn the_header_chooses_neither_key_nor_algorithm() {
    let id = shared_test_key().id();
    let header = |rest: &str| format!("{{\"kid\":\"{id}\"{rest}}}");
    assert!(with_header(&header(",\"alg\":\"RS256\",\"typ\":\"JWT\"")).is_ok());
    assert!(with_header(&header(",\"alg\":\"RS256\",\"jku\":\"https://evil.example\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}")).is_ok());
    for algorithm in ["none", "None", "NONE", "", "HS256", "RS512", "PS256", "ES256", "rs256"] {
        let header = header(&format!(",\"alg\":\"{algorithm}\""));
        assert_eq!(with_header(&header).err(), Some(TokenError::Algorithm), "{algorithm}");
    }
    assert_eq!(with_header(&header("")).err(), Some(TokenError::Malformed));
    assert_eq!(with_header(&header(",\"alg\":[\"RS256\"]")).err(), Some(TokenError::Malformed));
    assert_eq!(with_header(&header(",\"alg\":\"none\",\"alg\":\"RS256\"")).err(), Some(TokenError::Malformed));
    assert_eq!(with_header(&header(",\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":true")).err(), Some(TokenError::CriticalHeader));
    assert_eq!(with_header("{\"kid\":\"other\",\"alg\":\"RS256\"}").err(), Some(TokenError::UnknownKey));
    assert_eq!(with_header("{\"kid\":7,\"alg\":\"RS256\"}").err(), Some(TokenError::UnknownKey));
    assert_eq!(with_header("{\"alg\":\"RS256\"}").err(), Some(TokenError::UnknownKey));
}

#[test]
fn a_changed_byte_anywhere_refuses_the_token() {
    let (verifier, token) = (verifier(), shared_test_key().sign(&claims(&[])).unwrap());
    assert!(verifier.verify(&token, NOW).is_ok());
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        assert!(verifier.verify(&String::from_utf8(changed).unwrap(), NOW).is_err(), "{place}");
        assert!(verifier.verify(&token[..place], NOW).is_err());
    }
    let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(claims(&[])));
    assert!(verifier.verify(&unsigned, NOW).is_err());
}

#[test]
fn a_kept_verdict_ends_with_its_token_and_with_its_issuers_keys() {
    let (verifier, token) = (verifier(), shared_test_key().sign(&claims(&[])).unwrap());
    let first = verifier.verify(&token, NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &verifier.verify(&token, NOW + 59).unwrap()));
    assert_eq!(verifier.verify(&token, NOW + 60).err(), Some(TokenError::Expired));
    let without_keys = KeySet::from_jwks(b"{\"keys\":[]}", Algorithm::Rs256).unwrap();
    let issuer = Issuer {
        admin_audiences: Vec::new(),
        keys: without_keys,
        url: URL.into(),
        audiences: vec![],
        tenant_audience_bases: vec![],
        token_uses: vec![],
        tenants: vec![],
    };
    verifier.set_issuer(issuer);
    assert_eq!(verifier.verify(&token, NOW).err(), Some(TokenError::UnknownKey));
}

#[test]
fn a_tenants_verdicts_are_forgotten_and_no_others() {
    let verifier = verifier();
    let token = |tenant: &str| shared_test_key().sign(&claims(&[("custom:tenantId", &format!("\"{tenant}\""))])).unwrap();
    let (acme, b) = (token("acme"), token("b"));
    let (first, other) = (verifier.verify(&acme, NOW).unwrap(), verifier.verify(&b, NOW).unwrap());
    verifier.forget_tenant(first.tenant());
    assert!(!Arc::ptr_eq(&first, &verifier.verify(&acme, NOW).unwrap()));
    assert!(Arc::ptr_eq(&other, &verifier.verify(&b, NOW).unwrap()));
}

#[test]
fn tenants_are_administered_by_tokens_of_their_own_kind_alone() {
    let admin = |changes: &[(&str, &str)]| {
        let good = [("custom:tenantId", ""), ("cognito:groups", ""), ("aud", "\"admin\""), ("scope", "\"a fhirpool/tenants\"")];
        let kept = good.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let changes: Vec<_> = kept.chain(changes).copied().collect();
        let token = shared_test_key().sign(&claims(&changes)).unwrap();
        let verdict = at_once(verifier().verify_admin_or_fetch(&token, NOW));
        (verdict, verifier().verify(&token, NOW))
    };
    let (administrator, principal) = admin(&[]);
    assert_eq!(administrator.unwrap().subject(), "someone");
    assert_eq!(principal.err(), Some(TokenError::Audience), "it is no tenant's");
    let refused = |changes: &[(&str, &str)]| admin(changes).0.unwrap_err();
    for scope in ["", "\"\"", "\"fhirpool/tenant\"", "\"system/*.cruds\""] {
        assert_eq!(refused(&[("scope", scope)]), AdminError::Scope, "{scope}");
    }
    for audience in ["\"app\"", "\"Admin\"", "[]", ""] {
        assert_eq!(refused(&[("aud", audience)]), AdminError::Token(TokenError::Audience), "{audience}");
    }
    let of_tenant = AdminError::Token(TokenError::OfTenant);
    for claim in ["custom:tenantId", "tenantId"] {
        assert_eq!(refused(&[(claim, "\"acme\"")]), of_tenant);
        assert_eq!(refused(&[(claim, "null")]), of_tenant);
    }
    assert_eq!(refused(&[("aud", "[\"admin\",\"https://fhir.example/tenant/acme\"]")]), of_tenant);
    assert_eq!(refused(&[("exp", "1")]), AdminError::Token(TokenError::Expired));
    assert_eq!(refused(&[("token_use", "\"refresh\"")]), AdminError::Token(TokenError::TokenUse));
    assert_eq!(refused(&[("sub", "\"\"")]), AdminError::Token(TokenError::Claim("sub")));
}

fn public_pem(key: &crate::LocalKey) -> String {
    use rsa::pkcs8::EncodePublicKey;
    let jwks = key.jwks();
    let document = fhirpool_fhir::json::Document::parse(jwks).unwrap();
    let jwk = document.root().get("keys").unwrap().elements().next().unwrap();
    let number = |name| rsa::BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(&*jwk.get_str(name).unwrap()).unwrap());
    rsa::RsaPublicKey::new(number("n"), number("e")).unwrap().to_public_key_pem(rsa::pkcs8::LineEnding::LF).unwrap()
}

#[test]
fn keys_come_from_pem_too() {
    let key = shared_test_key();
    let keys = KeySet::from_pem(key.id(), &public_pem(key), Algorithm::Rs256).unwrap();
    let token = key.sign("{}").unwrap();
    assert_eq!(keys.verify(&Signed::parse(&token).unwrap()), Ok(()));
    assert_eq!(KeySet::from_pem("k", "not a key", Algorithm::Rs256).err(), Some(KeyError::Malformed));
    assert_eq!(KeySet::from_pem("k", &public_pem(key), Algorithm::Es256).err(), Some(KeyError::Malformed));
    let jwks = KeySet::from_jwks(key.jwks().as_bytes(), Algorithm::Rs256).unwrap();
    assert_eq!(jwks.verify(&Signed::parse(&token).unwrap()), Ok(()));
}

#[test]
fn the_context_of_a_launch_comes_from_each_form_of_its_claims() {
    let patient = |changes: &[(&str, &str)]| verdict(&claims(changes)).map(|principal| principal.launch().patient.clone());
    let p = fhirpool_fhir::ResourceId::parse("p");
    for (name, json) in [
        ("patient", "\"p\""),
        ("patient", "\"Patient/p\""),
        ("patient", "\"https://fhir.example/tenant/acme/Patient/p\""),
        ("launch_response_patient", "\"Patient/p\""),
        ("ext", "{\"launch_response_patient\":\"p\"}"),
    ] {
        assert_eq!(patient(&[(name, json)]), Ok(p.clone()), "{name}: {json}");
    }
    assert_eq!(patient(&[]), Ok(None));
    assert_eq!(patient(&[("ext", "\"x\"")]), Ok(None));
    assert_eq!(patient(&[("patient", "\"p\""), ("launch_response_patient", "\"Patient/p\"")]), Ok(p));
    let two = [("patient", "\"p\""), ("launch_response_patient", "\"q\"")];
    assert_eq!(patient(&two), Err(TokenError::Claim("launch_response_patient")));
    let user = |json: &str| verdict(&claims(&[("fhirUser", json)])).unwrap().launch().user.as_ref().map(ToString::to_string);
    assert_eq!(user("\"https://fhir.example/tenant/acme/Practitioner/d\"").as_deref(), Some("Practitioner/d"));
    assert_eq!(user("\"https://fhir.example/tenant/other/Practitioner/d\""), None);
    assert_eq!(user("\"https://elsewhere.example/Practitioner/d\""), None);
}

#[test]
fn scopes_come_as_a_text_or_as_a_list() {
    let scopes = |name: &str, json: &str| verdict(&claims(&[(name, json)])).unwrap().scopes().to_vec();
    assert_eq!(scopes("scope", "\"a b\""), ["a", "b"]);
    assert_eq!(scopes("scp", "[\"a\",\"b\"]"), ["a", "b"]);
    assert_eq!(scopes("scp", "\"a b\""), ["a", "b"]);
}

/// Gives its keys once.
#[derive(Debug)]
struct Once(std::sync::Mutex<Option<KeySet>>);

#[async_trait::async_trait]
impl KeySource for Once {
    async fn keys(&self, issuer: &IssuerName) -> Option<KeySet> {
        self.0.lock().unwrap().take().filter(|_| *issuer == URL.into())
    }
}

/// What a future gives that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_key_that_is_not_known_is_asked_for() {
    let (verifier, token) = (verifier(), shared_test_key().sign(&claims(&[])).unwrap());
    verifier.set_keys(&URL.into(), KeySet::default());
    assert_eq!(at_once(verifier.verify_or_fetch(&token, NOW)).err(), Some(TokenError::UnknownKey));
    verifier.set_source(Arc::new(Once(std::sync::Mutex::new(Some(shared_test_key().key_set().clone())))));
    assert!(at_once(verifier.verify_or_fetch(&token, NOW)).is_ok());
    assert!(verifier.verify(&token, NOW).is_ok());
    verifier.set_keys(&URL.into(), KeySet::default());
    assert_eq!(at_once(verifier.verify_or_fetch(&token, NOW)).err(), Some(TokenError::UnknownKey));
}
