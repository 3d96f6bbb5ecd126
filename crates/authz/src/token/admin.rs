//! Tokens for the administration of tenants: of an audience of their own, with a scope of their own, and never a tenant's.

use std::sync::Arc;

use super::claims::Accepting;
use super::signed::Signed;
use super::{IssuerName, TokenError, TokenVerifier, claims};
use crate::principal::OPERATOR_ISSUER;

/// The scope that lets its bearer administer tenants.
pub const ADMIN_SCOPE: &str = "fhirpool/tenants";

/// Someone who may administer tenants, and nothing within them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    pub(crate) issuer: Arc<str>,
    pub(crate) subject: Arc<str>,
}

impl Administrator {
    /// The person at the machine itself, for the command line; never for a request.
    pub fn operator() -> Self {
        Self { issuer: OPERATOR_ISSUER.into(), subject: "operator".into() }
    }

    /// The issuer (`iss`).
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The subject (`sub`), unique within the issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// Why someone may not administer tenants. The texts may be told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The token is no good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It is good, and lacks [`ADMIN_SCOPE`].
    #[error("the token lacks the scope {ADMIN_SCOPE}")]
    Scope,
}

impl TokenVerifier {
    /// Whose token for the administration of tenants this is. Nothing is kept: it is asked for seldom.
    ///
    /// # Errors
    /// A token of a tenant is none, whatever else it says.
    pub async fn verify_admin_or_fetch(&self, token: &str, now: i64) -> Result<Administrator, AdminError> {
        match (self.verify_admin(token, now), self.source.get()) {
            (Err(AdminError::Token(TokenError::UnknownKey)), Some(source)) => {
                let claimed = claims::parse(&Signed::parse(token)?.payload()?)?;
                let name = IssuerName::from(&*self.accepted().deployments(&claimed)?.url);
                if let Some(keys) = source.keys(&name).await {
                    self.set_keys(&name, keys);
                }
                self.verify_admin(token, now)
            }
            (verdict, _) => verdict,
        }
    }

    fn verify_admin(&self, token: &str, now: i64) -> Result<Administrator, AdminError> {
        if token.len() > Self::TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed.into());
        }
        let accepted = self.accepted();
        let signed = Signed::parse(token)?;
        let claimed = claims::parse(&signed.payload()?)?;
        let issuer = accepted.deployments(&claimed)?;
        issuer.keys.verify(&signed)?;
        let (administrator, scopes) = claims::administrator_of(&claimed, Accepting { issuer, addresses: &self.addresses }, now)?;
        if scopes.iter().any(|scope| scope == ADMIN_SCOPE) { Ok(administrator) } else { Err(AdminError::Scope) }
    }
}
