//! Why a store could not answer.

/// What callers tell apart. The text is for logs; clients never see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The store cannot answer now; nothing was done, or it is not known whether it was.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Too much is waiting already.
    #[error("store overloaded")]
    Overloaded,
    /// Other writes hold what this one needs, and did not let go in time; nothing was done.
    #[error("other writes are in the way")]
    Busy,
    /// The request would look at more than the limit allows.
    #[error("too costly: {0}")]
    TooCostly(&'static str),
    /// The tenant may store no more of this.
    #[error("the tenant's quota is reached: {0}")]
    QuotaReached(&'static str),
    /// The access does not cover the tenant or type.
    #[error("access does not cover this")]
    Denied,
    /// The tenant is not there, or its keys were destroyed.
    #[error("unknown tenant")]
    UnknownTenant,
    /// What is stored cannot be read.
    #[error("damaged: {0}")]
    Damaged(String),
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, StorageError>;
