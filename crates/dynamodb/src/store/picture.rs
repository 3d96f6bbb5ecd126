//! Views: what one reader sees, again and again, though the store goes on.
//!
//! The table has no snapshots. A view is a time, and remembers what it showed and which transactions it decided to see. A version
//! is seen if it was committed before the view began: by this node's own clock exactly, by another node's up to a margin later, so
//! that nothing is missed that was acknowledged. Versions of a transaction that may have been committed while the view was
//! already being read are seen only if nothing that was read contradicts it: neither one of its other keys, read in its absence,
//! nor a version beneath one of its own that is not seen itself. So no transaction is seen in part.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use fhirpool_authz::{Principal, ReadAccess, TenantId};
use fhirpool_fhir::{ResourceKey, VersionId};
use fhirpool_storage::{Result, StorageError, StoredVersion, View};
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::concurrent::each;
use crate::cost::Operation;
use crate::item::{ManifestEntry, NodeId, Outcome, Standing, TransactionId, VersionItem};
use crate::keys::{Partition, PartitionKey};
use crate::store::Core;
use crate::transaction::Undecided;

const READ_MANY: Operation = Operation("read_many");

/// A view's handle.
struct Handle {
    tenant: TenantId,
    /// Microseconds since 1970, by the node's clock.
    began: i64,
    picture: Mutex<Picture>,
}

/// What a view has seen.
#[derive(Default)]
struct Picture {
    /// The version shown of each key that was asked for; 0: none.
    shown: HashMap<ResourceKey, u64>,
    /// What stood on top of each of these keys, committed or not.
    met: HashMap<ResourceKey, Met>,
    /// Whether a transaction is seen.
    decided: HashMap<TransactionId, bool>,
}

/// What a view met on top of a key.
#[derive(Debug, Clone, Copy)]
struct Met {
    /// 0: no version at all.
    version: u64,
    /// Whose it was, where a transaction made it.
    transaction: Option<TransactionId>,
}

impl Met {
    /// Whether it shows that a transaction had not staged its version of the key. What an aborted one left stands under the number
    /// that the next one takes.
    fn precedes(self, transaction: TransactionId, version: VersionId) -> bool {
        self.version < version.0 || (self.version == version.0 && self.transaction != Some(transaction))
    }
}

pub(super) fn handle(access: &ReadAccess, began: i64) -> Arc<dyn Any + Send + Sync> {
    Arc::new(Handle { tenant: access.tenant().clone(), began, picture: Mutex::default() })
}

/// How long ago a version was committed, as far as a view is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Surely before the view began.
    Old,
    /// Perhaps before, perhaps while it was read.
    Young,
    /// Afterwards, or never.
    Unseen,
}

impl Core {
    pub(super) async fn read_many(&self, access: &ReadAccess, view: &View, keys: &[ResourceKey]) -> Result<Vec<Option<StoredVersion>>> {
        let handle = view.handle.clone().downcast::<Handle>().map_err(|_| StorageError::Unavailable("a view of another store".into()))?;
        if handle.tenant != *access.tenant() {
            return Err(StorageError::Denied);
        }
        // Reads of one view go one after the other: each rests on what those before have met.
        let mut picture = handle.picture.lock().await;
        let mut items = HashMap::new();
        let new: HashSet<&ResourceKey> = keys.iter().filter(|key| !picture.shown.contains_key(key)).collect();
        let tops: Vec<(&ResourceKey, Option<VersionItem>)> = each(self.settings.concurrency, new.into_iter(), |key| {
            Box::pin(async move {
                let partition = PartitionKey::new(access, Partition::Resource(key))?;
                Ok((key, self.top(READ_MANY, &partition).await?))
            })
        })
        .await?;
        // All are met before any is judged.
        for (key, top) in &tops {
            let met = match top {
                Some(top) => Met { version: top.version.0, transaction: top.transaction() },
                None => Met { version: 0, transaction: None },
            };
            picture.met.insert((*key).clone(), met);
        }
        let mut look = Look { core: self, access: operator(&handle.tenant)?, began: handle.began, picture: &mut picture };
        for (key, top) in tops {
            let seen = match top {
                Some(top) => look.newest_seen(key, top).await?,
                None => None,
            };
            look.picture.shown.insert(key.clone(), seen.as_ref().map_or(0, |item| item.version.0));
            items.insert(key, seen);
        }
        let again: HashSet<&ResourceKey> = keys.iter().filter(|key| !items.contains_key(key)).collect();
        let again = again.into_iter().map(|key| (key, VersionId(picture.shown.get(key).copied().unwrap_or(0))));
        let again: Vec<(&ResourceKey, Option<VersionItem>)> = each(self.settings.concurrency, again, |(key, version)| {
            Box::pin(async move { Ok((key, self.committed_version(READ_MANY, access, key, version).await?)) })
        })
        .await?;
        drop(picture);
        items.extend(again);
        let mut versions = Vec::with_capacity(keys.len());
        for key in keys {
            versions.push(match items.get(key) {
                Some(Some(item)) => Some(self.bodies.open(access, key, item).await?),
                _ => None,
            });
        }
        Ok(versions)
    }
}

/// What the store itself may look at.
fn operator(tenant: &TenantId) -> Result<ReadAccess> {
    ReadAccess::authorize(&Principal::operator(tenant.clone()), tenant).map_err(|_| StorageError::Denied)
}

/// One read of a view.
struct Look<'a> {
    core: &'a Core,
    /// An operator's: what contradicts a transaction may be of a type that the reader does not see.
    access: ReadAccess,
    began: i64,
    picture: &'a mut Picture,
}

impl Look<'_> {
    /// The newest version from this one down that the view sees.
    async fn newest_seen(&mut self, key: &ResourceKey, from: VersionItem) -> Result<Option<VersionItem>> {
        let partition = PartitionKey::new(&self.access, Partition::Resource(key))?;
        // From above down to what is surely seen.
        let mut above = Vec::new();
        let mut next = Some(from);
        let mut seen = None;
        while let Some(item) = next {
            if self.age(&item).await? == Age::Old {
                seen = Some(item);
                break;
            }
            next = self.core.below(READ_MANY, &partition, item.version).await?;
            above.push(item);
        }
        // Back up, as far as each is seen that the next stands on.
        while let Some(item) = above.pop() {
            if !self.sees(&item).await? {
                break;
            }
            seen = Some(item);
        }
        Ok(seen)
    }

    /// Whether a version is seen, if all beneath it are.
    async fn sees(&mut self, item: &VersionItem) -> Result<bool> {
        Ok(match (self.age(item).await?, item.transaction()) {
            (Age::Unseen, _) => false,
            (Age::Old, _) | (Age::Young, None) => true,
            (Age::Young, Some(transaction)) => self.decide(transaction).await?,
        })
    }

    async fn age(&mut self, item: &VersionItem) -> Result<Age> {
        let (transaction, deadline) = match item.standing {
            Standing::Alone { at, writer } => return Ok(self.age_at(at, writer.node)),
            Standing::Intent { transaction, deadline } => (transaction, deadline),
        };
        if self.picture.decided.get(&transaction) == Some(&false) {
            return Ok(Age::Unseen);
        }
        let undecided = Undecided { transaction, deadline };
        let outcome = self.core.transactions.outcome(&self.access, undecided, self.core.node.now_us()).await?;
        let age = match outcome {
            Some(Outcome::Committed { at, writer, .. }) => self.age_at(at, writer.node),
            Some(Outcome::Aborted) | None => Age::Unseen,
        };
        if age == Age::Unseen {
            self.picture.decided.insert(transaction, false);
        }
        Ok(age)
    }

    fn age_at(&self, at: i64, node: NodeId) -> Age {
        let margin = i64::try_from(self.core.settings.clock_margin_ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
        if node == self.core.node.id() {
            // One clock: its order is the order of what happened.
            return if at <= self.began { Age::Old } else { Age::Unseen };
        }
        if at <= self.began.saturating_sub(margin) {
            Age::Old
        } else if at <= self.began.saturating_add(margin) {
            Age::Young
        } else {
            Age::Unseen
        }
    }

    /// Decides once whether a transaction is seen that may have been committed while the view was read.
    fn decide(&mut self, transaction: TransactionId) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move {
            if let Some(seen) = self.picture.decided.get(&transaction) {
                return Ok(*seen);
            }
            let seen = self.contradiction(transaction).await?.is_none();
            self.picture.decided.insert(transaction, seen);
            Ok(seen)
        })
    }

    /// A key of a transaction whose reading shows that it was not there when the view began.
    async fn contradiction(&mut self, transaction: TransactionId) -> Result<Option<ResourceKey>> {
        if self.picture.met.len() <= 1 {
            // Nothing was read before; what is read later finds what is committed now.
            return Ok(None);
        }
        let Some(manifest) = self.core.transactions.manifest(&self.access, transaction).await? else { return Ok(None) };
        let was_absent = |entry: &&ManifestEntry| {
            let met = self.picture.met.get(&entry.key);
            met.is_some_and(|met| met.precedes(transaction, entry.version))
        };
        if let Some(entry) = manifest.entries.iter().find(was_absent) {
            return Ok(Some(entry.key.clone()));
        }
        for entry in manifest.entries.into_iter().filter(|entry| entry.version.0 > 1) {
            let partition = PartitionKey::new(&self.access, Partition::Resource(&entry.key))?;
            let Some(beneath) = self.core.below(READ_MANY, &partition, entry.version).await? else { continue };
            let version = beneath.version;
            if self.newest_seen(&entry.key, beneath).await?.is_none_or(|seen| seen.version != version) {
                return Ok(Some(entry.key));
            }
        }
        Ok(None)
    }
}
