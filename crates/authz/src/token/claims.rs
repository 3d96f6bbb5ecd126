//! The claims of a token.

use std::borrow::Cow;

use fhirpool_fhir::json::{Document, Value};
use fhirpool_fhir::{ResourceKey, ResourceType};

use super::signed::parse_object;
use super::{Administrator, Issuer, TokenError, TokenVerifier};
use crate::smart::{Scopes, names_practitioner, own_resource};
use crate::{Launch, Policy, Principal, TenantAddresses, TenantId};

/// Limits on what a principal carries around.
const AUDIENCES_MAX: usize = 32;
const GROUPS_MAX: usize = 200;
const SCOPES_MAX: usize = 500;
const SUBJECT_BYTES_MAX: usize = 256;
/// Seconds of the year 9999, the last that FHIR can write.
const LAST_SECOND: i64 = 253_402_300_799;

/// Whose tokens are looked at, and where tenants are.
#[derive(Clone, Copy)]
pub(super) struct Accepting<'a> {
    pub issuer: &'a Issuer,
    pub addresses: &'a TenantAddresses,
}

/// Parses the payload.
pub(super) fn parse(payload: &[u8]) -> Result<Document, TokenError> {
    parse_object(payload)
}

/// The URL of the issuer that the claims name. They are not verified yet.
pub(super) fn issuer_url(claims: &Document) -> Result<Cow<'_, str>, TokenError> {
    required_text(claims.root(), "iss")
}

/// Whether the claims name this tenant, as this issuer's. They are not verified yet.
pub(super) fn name_tenant(claims: &Document, accepting: Accepting<'_>, tenant: &TenantId) -> bool {
    let claims = claims.root();
    audiences_of(claims).and_then(|audiences| tenant_of(claims, accepting, &audiences)).is_ok_and(|named| named == *tenant)
}

/// The principal of verified claims, and when the token expires.
pub(super) fn principal_of(claims: &Document, accepting: Accepting<'_>, policy: &Policy, now: i64) -> Result<(Principal, i64), TokenError> {
    let (claims, issuer) = (claims.root(), accepting.issuer);
    let expires = check_times(claims, now)?;
    check_use(claims, issuer)?;
    let audiences = audiences_of(claims)?;
    check_audience(claims, accepting, &audiences)?;
    let tenant = tenant_of(claims, accepting, &audiences)?;
    if !issuer.tenants.is_empty() && !issuer.tenants.contains(&tenant) {
        return Err(TokenError::TenantOfOthers);
    }
    let subject = required_text(claims, "sub")?;
    if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
        return Err(TokenError::Claim("sub"));
    }
    let client = match (optional_text(claims, "client_id")?, optional_text(claims, "azp")?) {
        (Some(client), _) | (None, Some(client)) => Some(client),
        // An ID token's audience is the application (OpenID Connect Core, section 2).
        (None, None) => audiences.first().map(|audience| Cow::Owned(audience.clone())),
    };
    let groups = text_list(claims, "cognito:groups", GROUPS_MAX)?;
    let scopes = scopes_of(claims)?;
    let launch = launch_of(claims, accepting, &tenant)?;
    let grants = policy.grants(&tenant, &groups, &Scopes::parse(&scopes), &launch);
    let principal = Principal {
        tenant,
        issuer: issuer.url.as_str().into(),
        subject: subject.into(),
        client: client.map(Into::into),
        groups: groups.into(),
        scopes: scopes.into(),
        launch,
        grants: grants.into(),
    };
    Ok((principal, expires))
}

/// The administrator of verified claims, and the scopes.
pub(super) fn administrator_of(claims: &Document, accepting: Accepting<'_>, now: i64) -> Result<(Administrator, Vec<String>), TokenError> {
    let (claims, issuer) = (claims.root(), accepting.issuer);
    check_times(claims, now)?;
    check_use(claims, issuer)?;
    let audiences = audiences_of(claims)?;
    let client = if claims.get("aud").is_none() { optional_text(claims, "client_id")? } else { None };
    let is_own = |audience: &str| issuer.admin_audiences.iter().any(|own| own == audience);
    if !audiences.iter().any(|audience| is_own(audience)) && !client.is_some_and(|client| is_own(&client)) {
        return Err(TokenError::Audience);
    }
    let names_tenant = ["custom:tenantId", "tenantId"].iter().any(|name| claims.get(name).is_some());
    if names_tenant || audiences.iter().any(|audience| accepting.tenant_in(audience).is_some()) {
        return Err(TokenError::OfTenant);
    }
    let subject = required_text(claims, "sub")?;
    if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
        return Err(TokenError::Claim("sub"));
    }
    Ok((Administrator { issuer: issuer.url.as_str().into(), subject: subject.into() }, scopes_of(claims)?))
}

/// The scopes: `scope`, a text (RFC 8693, section 4.2), or `scp` where that is absent, a list as some issuers have it.
fn scopes_of(claims: Value<'_>) -> Result<Vec<String>, TokenError> {
    let (name, text) = match (optional_text(claims, "scope")?, claims.get("scp")) {
        (Some(text), _) => ("scope", text),
        (None, Some(list)) if list.is_array() => return text_list(claims, "scp", SCOPES_MAX),
        (None, _) => ("scp", optional_text(claims, "scp")?.unwrap_or_default()),
    };
    let scopes: Vec<String> = text.split(' ').filter(|part| !part.is_empty()).take(SCOPES_MAX + 1).map(str::to_owned).collect();
    if scopes.len() > SCOPES_MAX { Err(TokenError::Claim(name)) } else { Ok(scopes) }
}

/// The context of a SMART launch. As some issuers have it: `launch_response_patient`, also within `ext`. Where two claims of one
/// thing differ, or one is not of its form, the token is refused.
fn launch_of(claims: Value<'_>, accepting: Accepting<'_>, tenant: &TenantId) -> Result<Launch, TokenError> {
    let Accepting { issuer, addresses } = accepting;
    let mut bases: Vec<String> = issuer.tenant_audience_bases.iter().map(|base| format!("{base}/tenant/{tenant}")).collect();
    bases.extend(issuer.tenant_audience_bases.iter().cloned());
    bases.extend(addresses.bases(tenant));
    let resource = |text: &str, name, of_type| own_resource(text, of_type, &bases).ok_or(TokenError::Claim(name));
    let of = |plain: &'static str, response: &'static str, type_name: &str| {
        let resource_type = ResourceType::parse(type_name);
        let inner = claims.get("ext").filter(|inner| inner.is_object());
        let places = [(Some(claims), plain), (Some(claims), response), (inner, response)];
        let mut found: Option<ResourceKey> = None;
        for (place, name) in places.into_iter().filter_map(|(place, name)| Some((place?, name))) {
            let Some(text) = optional_text(place, name)? else { continue };
            let key = resource(&text, name, resource_type)?;
            if found.as_ref().is_some_and(|other| *other != key) {
                return Err(TokenError::Claim(name));
            }
            found = Some(key);
        }
        Ok(found.map(|key| key.id))
    };
    // Who the user is may well be another server's matter, and is no error then: a practitioner is here what the groups say.
    let named = optional_text(claims, "fhirUser")?;
    let user = named.as_deref().and_then(|text| own_resource(text, None, &bases));
    let is_stranger = user.is_none() && named.is_some_and(|text| !names_practitioner(&text));
    Ok(Launch {
        patient: of("patient", "launch_response_patient", "Patient")?,
        encounter: of("encounter", "launch_response_encounter", "Encounter")?,
        user,
        is_stranger,
    })
}

/// Checks `exp`, `nbf` and `iat`; gives `exp`.
fn check_times(claims: Value<'_>, now: i64) -> Result<i64, TokenError> {
    let expires = instant(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
    let latest_start = now.saturating_add(TokenVerifier::CLOCK_SKEW_S);
    if now >= expires {
        return Err(TokenError::Expired);
    }
    for name in ["nbf", "iat"] {
        if instant(claims, name)?.is_some_and(|start| start > latest_start) {
            return Err(TokenError::NotYetValid);
        }
    }
    Ok(expires)
}

fn check_use(claims: Value<'_>, issuer: &Issuer) -> Result<(), TokenError> {
    let token_use = optional_text(claims, "token_use")?;
    if issuer.token_uses.is_empty() || token_use.is_some_and(|token_use| issuer.token_uses.iter().any(|accepted| *accepted == token_use)) {
        Ok(())
    } else {
        Err(TokenError::TokenUse)
    }
}

/// The claim `aud`: one text or a list of them (RFC 7519, section 4.1.3); empty where it is absent.
fn audiences_of(claims: Value<'_>) -> Result<Vec<String>, TokenError> {
    match claims.get("aud") {
        Some(audience) if !audience.is_array() => audience.as_str().map(|text| vec![text.into_owned()]).ok_or(TokenError::Claim("aud")),
        _ => text_list(claims, "aud", AUDIENCES_MAX),
    }
}

fn check_audience(claims: Value<'_>, accepting: Accepting<'_>, audiences: &[String]) -> Result<(), TokenError> {
    let issuer = accepting.issuer;
    let client = if claims.get("aud").is_none() { optional_text(claims, "client_id")? } else { None };
    let accepted = |audience: &str| issuer.audiences.iter().any(|own| own == audience) || accepting.tenant_in(audience).is_some();
    if audiences.iter().any(|audience| accepted(audience)) || client.is_some_and(|client| issuer.audiences.iter().any(|own| *own == client))
    {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}

/// The one tenant that `custom:tenantId`, `tenantId` and `aud` name between them.
fn tenant_of(claims: Value<'_>, accepting: Accepting<'_>, audiences: &[String]) -> Result<TenantId, TokenError> {
    let mut found: Option<TenantId> = None;
    let mut take = |tenant: TenantId| match &found {
        Some(other) if *other != tenant => Err(TokenError::TenantConflict),
        _ => {
            found = Some(tenant);
            Ok(())
        }
    };
    for name in ["custom:tenantId", "tenantId"] {
        if let Some(text) = optional_text(claims, name)? {
            take(TenantId::parse(&text).ok_or(TokenError::Claim(name))?)?;
        }
    }
    for tenant in audiences.iter().filter_map(|audience| accepting.tenant_in(audience)) {
        take(tenant?)?;
    }
    found.ok_or(TokenError::NoTenant)
}

impl Accepting<'_> {
    /// The tenant of an audience of the form `<base>/tenant/<tenant id>`, or that is a base of a tenant's own, where the issuer may
    /// name tenants so; `None`: it is of another form.
    fn tenant_in(&self, audience: &str) -> Option<Result<TenantId, TokenError>> {
        let bases = &self.issuer.tenant_audience_bases;
        if let Some(id) = bases.iter().find_map(|base| audience.strip_prefix(base.as_str())?.strip_prefix("/tenant/")) {
            return Some(TenantId::parse(id).ok_or(TokenError::Claim("aud")));
        }
        if bases.is_empty() { None } else { self.addresses.tenant_of(audience).map(Ok) }
    }
}

fn optional_text<'a>(claims: Value<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, TokenError> {
    claims.get(name).map(|value| value.as_str().ok_or(TokenError::Claim(name))).transpose()
}

fn required_text<'a>(claims: Value<'a>, name: &'static str) -> Result<Cow<'a, str>, TokenError> {
    optional_text(claims, name)?.ok_or(TokenError::Claim(name))
}

fn text_list(claims: Value<'_>, name: &'static str, length_max: usize) -> Result<Vec<String>, TokenError> {
    let Some(list) = claims.get(name) else { return Ok(Vec::new()) };
    let texts: Option<Vec<String>> = list.elements().take(length_max + 1).map(|text| text.as_str().map(Cow::into_owned)).collect();
    texts.filter(|texts| list.is_array() && texts.len() <= length_max).ok_or(TokenError::Claim(name))
}

/// A NumericDate (RFC 7519, section 2): seconds, whose fraction is dropped; no exponent.
fn instant(claims: Value<'_>, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let text = value.as_number().ok_or(TokenError::Claim(name))?;
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        _ => text,
    };
    let seconds = whole.parse().ok().filter(|seconds| (0..=LAST_SECOND).contains(seconds));
    seconds.map(Some).ok_or(TokenError::Claim(name))
}
