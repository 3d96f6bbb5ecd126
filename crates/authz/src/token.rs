//! Verifying tokens: JWTs in compact form (RFC 7519), signed by one of the configured issuers.
//!
//! Pinned: an issuer's keys each have one algorithm, and a token's `alg` must be that of the key its `kid` names. Keys come
//! from the configuration, or from where it says ([`KeySource`]); `jku`, `jwk`, `x5u` and `x5c` in a token's header are never looked at. Symmetric
//! algorithms and `none` do not exist here.
//!
//! Deliberately absent: how keys are fetched, and what a principal may do.

mod accepted;
mod admin;
mod claims;
mod keys;
mod remote;
mod signed;

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

pub use accepted::IssuerName;
pub use admin::{ADMIN_SCOPE, AdminError, Administrator};
pub use keys::{Algorithm, KeyError, KeySet};
pub use remote::{KeySource, RemoteIssuer, is_safe_address};

use crate::{Policy, Principal, TenantAccess, TenantAddresses, TenantId};
use accepted::Accepted;
use claims::Accepting;
use signed::Signed;

/// Someone whose tokens are accepted.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The claim `iss`, byte for byte.
    pub url: String,
    /// The claim `aud` must hold one of these; where a token has no `aud` (Cognito's access tokens), its `client_id`.
    pub audiences: Vec<String>,
    /// The claim `aud` (or `client_id`, likewise) of tokens for the administration of tenants must hold one of these; empty: it
    /// issues none.
    pub admin_audiences: Vec<String>,
    /// Base addresses of which an `aud` may be `<base>/tenant/<tenant id>`, without a slash at the end. Where there are some, `aud`
    /// may be a base of the tenant's own, too ([`TenantAddresses`]).
    pub tenant_audience_bases: Vec<String>,
    /// The claim `token_use` must be one of these; empty: it is not looked at.
    pub token_uses: Vec<String>,
    /// The tenants whose tokens it may issue; empty: all.
    pub tenants: Vec<TenantId>,
    /// The keys.
    pub keys: KeySet,
}

/// Why a token was refused. The texts may be told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url with JSON objects in them, or too long.
    #[error("the token is malformed")]
    Malformed,
    /// The issuer is not a configured one.
    #[error("the token's issuer is not accepted")]
    UnknownIssuer,
    /// The issuer has no such key.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Another algorithm than the key's.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The header demands that an extension be understood.
    #[error("the token's header demands an extension")]
    CriticalHeader,
    /// The signature is not the key's over this content.
    #[error("the token's signature is not valid")]
    Signature,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`, or issued in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// It is of a kind that is not accepted.
    #[error("the token's use is not accepted")]
    TokenUse,
    /// A claim is absent or not of its form.
    #[error("the token's claim {0} is absent or malformed")]
    Claim(&'static str),
    /// It names no tenant.
    #[error("the token names no tenant")]
    NoTenant,
    /// It names two tenants.
    #[error("the token names two tenants")]
    TenantConflict,
    /// It is a tenant's, where none may be.
    #[error("the token is a tenant's")]
    OfTenant,
    /// Its issuer issues no tokens of its tenant.
    #[error("the token's issuer does not speak for its tenant")]
    TenantOfOthers,
}

/// Turns tokens into principals.
///
/// A verdict on a token that was found good is kept until it expires, under the whole token, so that the second request
/// costs a look-up. Refusals are not kept: nobody can fill the cache without a key.
#[derive(Debug)]
pub struct TokenVerifier {
    accepted: RwLock<Accepted>,
    addresses: Arc<TenantAddresses>,
    /// Where keys come from that are not known.
    source: OnceLock<Arc<dyn KeySource>>,
    verdicts: Cache<KnownToken, Verdict, TokenLength>,
    /// Whoever comes is this one.
    #[cfg(feature = "testing")]
    trusted: Option<Arc<Principal>>,
}

#[derive(Debug, Clone)]
struct Verdict {
    principal: Arc<Principal>,
    expires: i64,
}

/// A token that was found good. Hashed is its end alone, a part of the signature, which nobody can choose for a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KnownToken(Box<str>);

/// The same for looking one up.
struct GivenToken<'a>(&'a str);

impl Hash for GivenToken<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        const BYTES: usize = 32;
        let bytes = self.0.as_bytes();
        state.write(&bytes[bytes.len().saturating_sub(BYTES)..]);
    }
}

impl Hash for KnownToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        GivenToken(&self.0).hash(state);
    }
}

impl Equivalent<KnownToken> for GivenToken<'_> {
    fn equivalent(&self, known: &KnownToken) -> bool {
        *self.0 == *known.0
    }
}

#[derive(Debug, Clone)]
struct TokenLength;

impl Weighter<KnownToken, Verdict> for TokenLength {
    fn weight(&self, token: &KnownToken, verdict: &Verdict) -> u64 {
        // The principal repeats at most the claims, and the token is a third longer than those; its grants may repeat them often.
        2 * token.0.len() as u64 + 256 + verdict.principal.grants.bytes()
    }
}

impl TokenVerifier {
    /// No longer token is looked at, in bytes.
    pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
    /// How far an issuer's clock may be ahead of ours, in seconds.
    pub const CLOCK_SKEW_S: i64 = 60;
    /// How much memory verdicts may take, in bytes, and for how many the cache is laid out.
    const VERDICT_BYTES_MAX: u64 = 32 << 20;
    const VERDICTS_EXPECTED: usize = 10_000;

    /// A verifier that accepts these issuers, under the default policy.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self::with_policy(issuers, Policy::default())
    }

    /// A verifier that accepts these issuers, under a policy.
    pub fn with_policy(issuers: Vec<Issuer>, policy: Policy) -> Self {
        Self {
            accepted: RwLock::new(Accepted::new(issuers, policy)),
            addresses: Arc::default(),
            source: OnceLock::new(),
            verdicts: Cache::with_weighter(Self::VERDICTS_EXPECTED, Self::VERDICT_BYTES_MAX, TokenLength),
            #[cfg(feature = "testing")]
            trusted: None,
        }
    }

    /// The same, where tenants have these addresses.
    pub fn at(self, addresses: Arc<TenantAddresses>) -> Self {
        Self { addresses, ..self }
    }

    /// One that looks at no token and takes everyone for this principal: what a server costs that checks nothing.
    #[cfg(feature = "testing")]
    pub fn trusting(principal: Principal) -> Self {
        Self { trusted: Some(Arc::new(principal)), ..Self::new(Vec::new()) }
    }

    /// Accepts an issuer, in place of one with the same `url`; every verdict is forgotten.
    pub fn set_issuer(&self, issuer: Issuer) {
        let mut accepted = self.accepted_mut();
        accepted.issuers.retain(|known| known.url != issuer.url);
        accepted.issuers.push(issuer);
        self.verdicts.clear();
    }

    /// Gives a tenant roles and issuers of its own, in place of those it had, or takes them away; its verdicts are forgotten.
    pub fn set_tenant(&self, tenant: &TenantId, access: Option<&TenantAccess>) {
        let mut accepted = self.accepted_mut();
        accepted.set_tenant(tenant, access);
        self.forget_tenant(tenant);
    }

    /// Replaces the keys of an issuer; every verdict on tokens of its is forgotten.
    pub fn set_keys(&self, issuer: &IssuerName, keys: KeySet) {
        let mut accepted = self.accepted_mut();
        if accepted.set_keys(issuer, keys) {
            match &issuer.of_tenant {
                None => self.verdicts.clear(),
                Some(tenant) => self.forget_tenant(tenant),
            }
        }
    }

    fn accepted(&self) -> RwLockReadGuard<'_, Accepted> {
        self.accepted.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted_mut(&self) -> RwLockWriteGuard<'_, Accepted> {
        self.accepted.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets every verdict on a tenant's tokens.
    pub fn forget_tenant(&self, tenant: &TenantId) {
        self.verdicts.retain(|_, verdict| verdict.principal.tenant() != tenant);
    }

    /// Says where keys come from that are not known; the first to be said counts.
    pub fn set_source(&self, source: Arc<dyn KeySource>) {
        // Set twice, the first stays.
        let _ = self.source.set(source);
    }

    /// As [`TokenVerifier::verify`]; for a key that is not known its issuer is asked, as often as the source allows.
    pub async fn verify_or_fetch(&self, token: &str, now: i64) -> Result<Arc<Principal>, TokenError> {
        match (self.verify(token, now), self.source.get()) {
            // Boxed: every request would carry its room.
            (Err(TokenError::UnknownKey), Some(source)) => Box::pin(self.fetch_and_verify(&**source, token, now)).await,
            (verdict, _) => verdict,
        }
    }

    async fn fetch_and_verify(&self, source: &dyn KeySource, token: &str, now: i64) -> Result<Arc<Principal>, TokenError> {
        let name = self.issuer_of(token)?;
        if let Some(keys) = source.keys(&name).await {
            self.set_keys(&name, keys);
        }
        self.verify(token, now)
    }

    /// The accepted issuer that a token names; nothing is verified.
    fn issuer_of(&self, token: &str) -> Result<IssuerName, TokenError> {
        let claimed = claims::parse(&Signed::parse(token)?.payload()?)?;
        let accepted = self.accepted();
        let (issuer, of_tenant) = accepted.issuer(&claimed, &self.addresses)?;
        Ok(IssuerName { url: issuer.url.clone(), of_tenant: of_tenant.cloned() })
    }

    /// Whose token this is. `now` is in seconds since 1970-01-01T00:00:00Z.
    pub fn verify(&self, token: &str, now: i64) -> Result<Arc<Principal>, TokenError> {
        #[cfg(feature = "testing")]
        if let Some(principal) = &self.trusted {
            return Ok(Arc::clone(principal));
        }
        if let Some(verdict) = self.verdicts.get(&GivenToken(token)) {
            return if now < verdict.expires { Ok(verdict.principal) } else { Err(TokenError::Expired) };
        }
        if token.len() > Self::TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        // Held until the verdict is in the cache, so that none of an issuer that was replaced meanwhile gets there.
        let accepted = self.accepted();
        let signed = Signed::parse(token)?;
        let claimed = claims::parse(&signed.payload()?)?;
        let (issuer, _) = accepted.issuer(&claimed, &self.addresses)?;
        issuer.keys.verify(&signed)?;
        let (principal, expires) = claims::principal_of(&claimed, Accepting { issuer, addresses: &self.addresses }, &accepted.policy, now)?;
        let verdict = Verdict { principal: Arc::new(principal), expires };
        self.verdicts.insert(KnownToken(token.into()), verdict.clone());
        Ok(verdict.principal)
    }
}

#[cfg(test)]
mod tests;
