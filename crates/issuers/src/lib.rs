//! Fetches the keys of issuers elsewhere: OpenID Connect Discovery and JWK Sets, over https or from this machine.
//!
//! [`Issuers`] keeps a verifier's keys fresh: every few minutes, and when a token names a key that is not known, but never more
//! often than a floor. An issuer that does not answer, or answers nonsense, keeps the keys that are known of it. Answers are
//! bounded in time and size, and redirects are not followed.
//!
//! Deliberately absent: whose tokens are accepted and what they grant ([`fhirpool_authz`]).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use fhirpool_authz::{IssuerName, KeyError, KeySet, KeySource, RemoteIssuer, TenantId, TokenVerifier};
use futures_util::StreamExt;
use tokio::sync::Mutex;
use tokio::time::Instant;

mod fetch;
#[cfg(test)]
mod tests;

use fetch::Fetch;
pub use fetch::FetchError;

/// How issuers are asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often, in milliseconds.
    pub refresh_ms: u64,
    /// How long after one question the next may follow, in milliseconds.
    pub floor_ms: u64,
    /// How long an answer may take, in milliseconds.
    pub answer_ms_max: u64,
    /// The largest answer in bytes.
    pub answer_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { refresh_ms: 300_000, floor_ms: 15_000, answer_ms_max: 5_000, answer_bytes_max: 256 << 10 }
    }
}

/// The issuers of a deployment, and of its tenants, that are elsewhere.
#[derive(Debug)]
pub struct Issuers {
    watched: RwLock<HashMap<IssuerName, Arc<Watched>>>,
    fetch: Arc<Fetch>,
    settings: Settings,
}

#[derive(Debug)]
struct Watched {
    issuer: RemoteIssuer,
    /// Held while the issuer is asked, so that one question serves all who wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Option<Instant>,
    /// The last good answer.
    jwks: Vec<u8>,
    keys: Option<KeySet>,
}

impl Watched {
    fn new(issuer: &RemoteIssuer) -> Arc<Self> {
        Arc::new(Self { issuer: issuer.clone(), state: Mutex::default() })
    }
}

/// So many issuers are asked at once when their time has come.
const QUESTIONS_MAX: usize = 16;

/// Why an issuer's keys are not to be had.
#[derive(Debug, thiserror::Error)]
enum IssuerError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the JWK Set is refused: {0}")]
    Keys(#[from] KeyError),
}

impl Issuers {
    /// These issuers of the deployment.
    ///
    /// # Errors
    /// There are some, and this machine's certificates cannot be used.
    pub fn new(issuers: Vec<RemoteIssuer>, settings: Settings) -> Result<Self, FetchError> {
        let watched = issuers.iter().map(|issuer| (issuer.url.as_str().into(), Watched::new(issuer)));
        let fetch = Fetch::new(Duration::from_millis(settings.answer_ms_max), settings.answer_bytes_max);
        if !issuers.is_empty() {
            fetch.client()?;
        }
        Ok(Self { watched: RwLock::new(watched.collect()), fetch: Arc::new(fetch), settings })
    }

    /// Watches these of a tenant's own in place of those it had; what is known of one that stays as it is stays. A new one is asked
    /// when its first token comes.
    pub fn set_tenant(&self, tenant: &TenantId, issuers: &[RemoteIssuer]) {
        let mut all = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, watched| name.of_tenant.as_ref() != Some(tenant) || issuers.contains(&watched.issuer));
        for issuer in issuers {
            let name = IssuerName { url: issuer.url.clone(), of_tenant: Some(tenant.clone()) };
            all.entry(name).or_insert_with(|| Watched::new(issuer));
        }
    }

    fn watched(&self, name: &IssuerName) -> Option<Arc<Watched>> {
        self.watched.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Keeps the keys of a verifier fresh for as long as it is polled.
    pub async fn watch(&self, verifier: &TokenVerifier) {
        loop {
            let names: Vec<IssuerName> = self.watched.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
            let asked = futures_util::stream::iter(names).for_each_concurrent(QUESTIONS_MAX, async |name| {
                if self.is_due(&name).await
                    && let Some(keys) = self.keys(&name).await
                {
                    verifier.set_keys(&name, keys);
                }
            });
            asked.await;
            tokio::time::sleep(Duration::from_millis(self.settings.floor_ms.max(1))).await;
        }
    }

    /// Whether its keys are not known, or have been for long.
    async fn is_due(&self, name: &IssuerName) -> bool {
        let Some(watched) = self.watched(name) else { return false };
        let state = watched.state.lock().await;
        let is_fresh = |asked: Instant| asked.elapsed() < Duration::from_millis(self.settings.refresh_ms);
        state.keys.is_none() || !state.asked.is_some_and(is_fresh)
    }
}

impl Watched {
    /// The keys as they are known after a question to the issuer, where it was not asked lately.
    async fn keys(&self, fetch: &Fetch, floor: Duration) -> Option<KeySet> {
        let arrived = Instant::now();
        let mut state = self.state.lock().await;
        // That is also so where someone else has asked while this call waited: the answer serves both.
        if state.asked.is_some_and(|asked| arrived < asked + floor) {
            return state.keys.clone();
        }
        state.asked = Some(Instant::now());
        let issuer = &self.issuer.url;
        match self.ask(fetch, &state.jwks).await {
            Ok(Some((jwks, keys))) => {
                tracing::info!(issuer, "the issuer's keys have changed");
                (state.jwks, state.keys) = (jwks, Some(keys));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(issuer, %error, "the issuer's keys are not to be had; those known stay"),
        }
        state.keys.clone()
    }

    async fn ask(&self, fetch: &Fetch, known: &[u8]) -> Result<Option<(Vec<u8>, KeySet)>, IssuerError> {
        let jwks_uri = match &self.issuer.jwks_uri {
            Some(uri) => uri.clone(),
            None => fetch.discover(&self.issuer.url).await?,
        };
        let jwks = fetch.get(&jwks_uri).await?;
        if jwks == known {
            return Ok(None);
        }
        let keys = KeySet::from_jwks(&jwks, self.issuer.algorithm)?;
        Ok(Some((jwks, keys)))
    }
}

#[async_trait]
impl KeySource for Issuers {
    async fn keys(&self, issuer: &IssuerName) -> Option<KeySet> {
        let (watched, fetch) = (self.watched(issuer)?, Arc::clone(&self.fetch));
        let floor = Duration::from_millis(self.settings.floor_ms);
        // In a task of its own: whoever asked and has gone away spends no question, and its answer serves the next.
        tokio::spawn(async move { watched.keys(&fetch, floor).await }).await.ok().flatten()
    }
}

impl Issuers {
    /// Starts to keep the keys of a verifier fresh, and serves it as its source; ends when the handle is aborted.
    pub fn start(self: &Arc<Self>, verifier: &Arc<TokenVerifier>) -> tokio::task::JoinHandle<()> {
        let (issuers, verifier) = (Arc::clone(self), verifier.clone());
        verifier.set_source(issuers.clone());
        tokio::spawn(async move { issuers.watch(&verifier).await })
    }
}
