//! Fetches the keys of issuers elsewhere: OpenID Connect Discovery and JWK Sets, over https or from this machine.
//!
//! [`Issuers`] keeps a verifier's keys fresh: every few minutes, and when a token names a key that is not known, but never more
//! often than a floor. An issuer that does not answer, or answers nonsense, keeps the keys that are known of it. Answers are
//! bounded in time and size, and redirects are not followed.
//!
//! Deliberately absent: whose tokens are accepted and what they grant ([`fhirpool_authz`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fhirpool_authz::{KeyError, KeySet, KeySource, RemoteIssuer, TokenVerifier};
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

/// The issuers of a deployment that are elsewhere.
#[derive(Debug)]
pub struct Issuers {
    watched: HashMap<String, Watched>,
    fetch: Fetch,
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

/// Why an issuer's keys are not to be had.
#[derive(Debug, thiserror::Error)]
enum IssuerError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the JWK Set is refused: {0}")]
    Keys(#[from] KeyError),
}

impl Issuers {
    /// These issuers.
    pub fn new(issuers: Vec<RemoteIssuer>, settings: Settings) -> Result<Self, FetchError> {
        let watched = |issuer: RemoteIssuer| (issuer.url.clone(), Watched { issuer, state: Mutex::default() });
        let fetch = Fetch::new(Duration::from_millis(settings.answer_ms_max), settings.answer_bytes_max)?;
        Ok(Self { watched: issuers.into_iter().map(watched).collect(), fetch, settings })
    }

    /// Keeps the keys of a verifier fresh for as long as it is polled.
    pub async fn watch(&self, verifier: &TokenVerifier) {
        loop {
            let mut all_known = true;
            for (url, watched) in &self.watched {
                if let Some(keys) = self.keys(url).await {
                    verifier.set_keys(url, keys);
                }
                all_known &= watched.state.lock().await.keys.is_some();
            }
            let wait_ms = if all_known { self.settings.refresh_ms } else { self.settings.floor_ms };
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }

    async fn ask(&self, issuer: &RemoteIssuer, known: &[u8]) -> Result<Option<(Vec<u8>, KeySet)>, IssuerError> {
        let jwks_uri = match &issuer.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.fetch.discover(&issuer.url).await?,
        };
        let jwks = self.fetch.get(&jwks_uri).await?;
        if jwks == known {
            return Ok(None);
        }
        let keys = KeySet::from_jwks(&jwks, issuer.algorithm)?;
        Ok(Some((jwks, keys)))
    }
}

#[async_trait]
impl KeySource for Issuers {
    async fn keys(&self, issuer: &str) -> Option<KeySet> {
        let watched = self.watched.get(issuer)?;
        let arrived = Instant::now();
        let mut state = watched.state.lock().await;
        match state.asked {
            // Someone else has asked while this call waited: the answer serves both.
            Some(asked) if asked >= arrived => return state.keys.clone(),
            Some(asked) if arrived < asked + Duration::from_millis(self.settings.floor_ms) => return None,
            _ => {}
        }
        state.asked = Some(Instant::now());
        match self.ask(&watched.issuer, &state.jwks).await {
            Ok(Some((jwks, keys))) => {
                tracing::info!(issuer, "the issuer's keys have changed");
                (state.jwks, state.keys) = (jwks, Some(keys.clone()));
                Some(keys)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(issuer, %error, "the issuer's keys are not to be had; those known stay");
                None
            }
        }
    }
}

impl Issuers {
    /// Starts to keep the keys of a verifier fresh, and serves it as its source; ends when the handle is aborted.
    pub fn start(self, verifier: &Arc<TokenVerifier>) -> tokio::task::JoinHandle<()> {
        let (issuers, verifier) = (Arc::new(self), verifier.clone());
        verifier.set_source(issuers.clone());
        tokio::spawn(async move { issuers.watch(&verifier).await })
    }
}
