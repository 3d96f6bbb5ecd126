//! What a writer meets at a resource.

use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::Result;

use crate::cost::Operation;
use crate::item::{Outcome, Standing, TransactionId, VersionItem};
use crate::keys::{Access, Partition, PartitionKey};
use crate::store::Core;
use crate::transaction::Undecided;

const BASE: Operation = Operation("commit_read");

/// What a new version stands on.
#[derive(Default)]
pub(crate) struct Base {
    /// The newest committed version.
    pub newest: Option<VersionItem>,
    /// The aborted transaction whose version stands above it still.
    pub replaces: Option<TransactionId>,
}

impl Base {
    /// The newest version and whether it is a tombstone.
    pub(super) fn state(&self) -> Option<(VersionId, bool)> {
        self.newest.as_ref().map(|newest| (newest.version, newest.deleted))
    }
}

/// Whether a writer may go on.
pub(crate) enum Current {
    /// It may.
    Known(Base),
    /// It must wait for this transaction.
    Blocked(Undecided),
}

/// Reads strongly; ends a transaction in the way whose deadline has passed. What the reader's own transaction staged does not count.
pub(crate) async fn current(core: &Core, access: &(impl Access + Sync), key: &ResourceKey, own: Option<TransactionId>) -> Result<Current> {
    let partition = PartitionKey::new(access, Partition::Resource(key))?;
    let Some(top) = core.top(BASE, &partition).await? else { return Ok(Current::Known(Base::default())) };
    let Standing::Intent { transaction, deadline } = top.standing else {
        return Ok(Current::Known(Base { newest: Some(top), replaces: None }));
    };
    if own == Some(transaction) {
        return Ok(Current::Known(Base { newest: core.below(BASE, &partition, top.version).await?, replaces: None }));
    }
    let undecided = Undecided { transaction, deadline };
    Ok(match core.transactions.settle(access, undecided, core.node.now_us()).await? {
        Some(Outcome::Committed { .. }) => Current::Known(Base { newest: Some(top), replaces: None }),
        Some(Outcome::Aborted) => {
            Current::Known(Base { newest: core.below(BASE, &partition, top.version).await?, replaces: Some(transaction) })
        }
        None => Current::Blocked(undecided),
    })
}
