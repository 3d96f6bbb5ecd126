//! Commits.
//!
//! One change that no claim must protect is one conditional write of its version: its being there is the commit. Anything else is
//! a transaction: claims, manifest, a staged version for each change, and one record that decides ([`together`]). A commit never
//! waits while it has versions staged: where another stands in its way it ends its transaction, waits, and begins anew with what is
//! there then. So there are no deadlocks, and nobody waits for who waits.
//!
//! A commit goes on though its request has ended, for minutes where it is large. Each of its writes therefore looks first whether
//! the tenant is being deleted: what is written later than a request may take would stay behind the last purge.

use std::sync::Arc;
use std::time::Duration;

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};
use fhirpool_storage::value::Compressed;
use fhirpool_storage::{
    Assumption, Change, ChangeContent, ChangeOutcome, Commit, CommitOutcome, Content, Method, Precondition, Result, StorageError,
};
use rand::Rng;

use crate::concurrent::each;
use crate::conditional::{self, Staged, Verdict};
use crate::digest::Digester;
use crate::item::TransactionId;
use crate::keys::{DIGEST_BYTES, Partition, PartitionKey, VERSION_MAX};
use crate::store::Core;
use crate::transaction::Undecided;
use claims::{Claim, claims_of};
use current::{Base, Current, current};
use together::Coordinator;

mod alone;
mod claims;
pub(crate) mod current;
mod together;

/// Bodies are compressed on another thread where there are more.
const CHANGES_INLINE_MAX: usize = 16;

/// Makes all changes or none.
pub(crate) async fn commit(core: &Arc<Core>, access: &WriteAccess, commit: Commit) -> Result<CommitOutcome> {
    let prepared = Prepared::new(core, access, commit).await?;
    let mut coordinator = None;
    let mut patience = Patience::default();
    let result = loop {
        let attempt = match attempt(core, access, &prepared, &mut coordinator, patience.rounds).await {
            Ok(attempt) => attempt,
            Err(error) => break Err(error),
        };
        let goes_on = match attempt {
            Attempt::Done(outcome) => break Ok(outcome),
            Attempt::Blocked(by) => patience.wait_for(core, access, by).await,
            Attempt::Overtaken => Ok(patience.pause(core).await),
        };
        match goes_on {
            Ok(true) => {}
            Ok(false) => {
                metrics::counter!("fhirpool_dynamodb_busy_total").increment(1);
                break Err(StorageError::Busy);
            }
            Err(error) => break Err(error),
        }
    };
    if let Some(coordinator) = coordinator {
        coordinator.release(core, access).await;
    }
    result
}

/// A commit, ready to be tried.
pub(crate) struct Prepared {
    changes: Vec<PreparedChange>,
    assumptions: Vec<Assumption>,
    claims: Vec<Claim>,
}

/// A change, compressed.
struct PreparedChange {
    key: ResourceKey,
    partition: PartitionKey,
    precondition: Precondition,
    deletes: bool,
    compressed: Compressed,
    /// Under an id of the server's, which nobody else has: nothing to be read first.
    fresh: bool,
    /// Digests of its identifiers.
    identifiers: Vec<[u8; DIGEST_BYTES]>,
}

impl Prepared {
    async fn new(core: &Arc<Core>, access: &WriteAccess, commit: Commit) -> Result<Self> {
        let Commit { changes, assumptions } = commit;
        let claims = claims_of(core, access, &assumptions).await?;
        let has_identifiers = changes.iter().any(|change| conditional::identifiers_of_change(core, change).next().is_some());
        let digester = if has_identifiers { Some(core.bodies.digester(access.tenant()).await?) } else { None };
        let is_long = changes.len() > CHANGES_INLINE_MAX;
        let prepare = {
            let (core, access) = (core.clone(), access.clone());
            move || {
                changes.into_iter().map(|change| PreparedChange::new(&core, &access, digester.as_ref(), change)).collect::<Result<Vec<_>>>()
            }
        };
        let changes = if is_long {
            tokio::task::spawn_blocking(prepare).await.map_err(|_| StorageError::Unavailable("a commit could not be prepared".into()))??
        } else {
            prepare()?
        };
        Ok(Self { changes, assumptions, claims })
    }
}

impl PreparedChange {
    fn new(core: &Core, access: &WriteAccess, digester: Option<&Digester>, change: Change) -> Result<Self> {
        let partition = PartitionKey::new(access, Partition::Resource(&change.key))?;
        let identifiers = match digester {
            Some(digester) => conditional::identifiers_of_change(core, &change).map(|value| digester.digest(&[value])).collect(),
            None => Vec::new(),
        };
        let Change { key, method, precondition, content } = change;
        let (content, deletes) = match content {
            ChangeContent::Put { body, .. } => (Content::Resource(body), false),
            ChangeContent::Delete => (Content::Deleted, true),
        };
        let fresh = method == Method::Post && precondition == Precondition::NeverExisted;
        Ok(Self { key, partition, precondition, deletes, compressed: core.bodies.compress(method, &content), fresh, identifiers })
    }

    /// Whether a write may happen where this is the newest version.
    fn holds(&self, newest: Option<(VersionId, bool)>) -> bool {
        match self.precondition {
            Precondition::None => true,
            Precondition::NeverExisted => newest.is_none(),
            Precondition::Version(version) => newest == Some((version, false)),
            Precondition::Unchanged(version) => newest.map(|(version, _)| version) == version,
        }
    }
}

/// What became of one try.
enum Attempt {
    /// It is decided.
    Done(CommitOutcome),
    /// Another transaction stands in the way.
    Blocked(Undecided),
    /// Another write was faster.
    Overtaken,
}

/// A version to be made.
struct Write {
    /// Of which change.
    change: usize,
    version: VersionId,
    /// The aborted transaction whose version stands in its place.
    replaces: Option<TransactionId>,
    /// Whether the resource has versions already.
    exists: bool,
    /// Digests of identifiers that the version before did not have.
    lookups: Vec<[u8; DIGEST_BYTES]>,
}

async fn attempt(
    core: &Core,
    access: &WriteAccess,
    prepared: &Prepared,
    coordinator: &mut Option<Coordinator>,
    round: u32,
) -> Result<Attempt> {
    core.refuse_closed(access.tenant()).await?;
    let bases = match bases(core, access, prepared, round).await? {
        Ok(bases) => bases,
        Err(by) => return Ok(Attempt::Blocked(by)),
    };
    let failed = prepared.changes.iter().zip(&bases).position(|(change, base)| !change.holds(base.state()));
    if let Some(change) = failed {
        return Ok(Attempt::Done(CommitOutcome::PreconditionFailed { change, current: bases[change].state() }));
    }
    let previous = bases.iter().filter_map(|base| base.newest.as_ref()).map(|newest| newest.last_updated.0 + 1).max();
    let last_updated = Timestamp(core.node.now().0.max(previous.unwrap_or(i64::MIN)));
    let (writes, outcomes) = plan(core, access, prepared, bases).await?;
    let committed = CommitOutcome::Committed { last_updated, changes: outcomes };
    if writes.is_empty() {
        return Ok(assumptions(core, access, prepared, None).await?.unwrap_or(Attempt::Done(committed)));
    }
    let claims = !prepared.claims.is_empty();
    if claims {
        // Who had to wait for a claim may well find its criteria met, and need not wait for the others that waited.
        if round > 0
            && let Some(attempt) = assumptions(core, access, prepared, None).await?
        {
            return Ok(attempt);
        }
        let coordinator = coordinator.get_or_insert_with(|| Coordinator::new(core, prepared.changes.len()));
        if let Some(by) = coordinator.claim(core, access, &prepared.claims).await? {
            return Ok(Attempt::Blocked(by));
        }
    }
    if let Some(attempt) = assumptions(core, access, prepared, None).await? {
        return Ok(attempt);
    }
    let attempt = match &writes[..] {
        [write] if !claims && core.bodies.fits(&prepared.changes[write.change].compressed) => {
            alone::write(core, access, &prepared.changes[write.change], write, last_updated).await?
        }
        _ => {
            let coordinator = coordinator.take().unwrap_or_else(|| Coordinator::new(core, writes.len()));
            coordinator.carry_out(core, access, prepared, &writes, last_updated, round > 0).await?
        }
    };
    Ok(attempt.unwrap_or(Attempt::Done(committed)))
}

/// What each change meets; `Err`: a transaction that must be waited for.
async fn bases(core: &Core, access: &WriteAccess, prepared: &Prepared, round: u32) -> Result<std::result::Result<Vec<Base>, Undecided>> {
    let read = each(core.settings.concurrency, prepared.changes.iter(), |change| {
        Box::pin(async move {
            // Should its id be taken after all, staging finds that out.
            if change.fresh && round == 0 { Ok(Current::Known(Base::default())) } else { current(core, access, &change.key, None).await }
        })
    })
    .await?;
    let known = read.into_iter().map(|current| match current {
        Current::Known(base) => Ok(base),
        Current::Blocked(by) => Err(by),
    });
    Ok(known.collect())
}

/// The versions to be made, and what to tell of each change.
async fn plan(core: &Core, access: &WriteAccess, prepared: &Prepared, bases: Vec<Base>) -> Result<(Vec<Write>, Vec<ChangeOutcome>)> {
    let mut writes = Vec::with_capacity(bases.len());
    let mut outcomes = Vec::with_capacity(bases.len());
    for (index, (change, base)) in prepared.changes.iter().zip(bases).enumerate() {
        let state = base.state();
        let there = matches!(state, Some((_, false)));
        if change.deletes && !there {
            outcomes.push(ChangeOutcome { version: state.map(|(version, _)| version), created: false });
            continue;
        }
        let version = VersionId(state.map_or(1, |(version, _)| version.0 + 1));
        if version > VERSION_MAX {
            return Err(StorageError::TooCostly("versions of one resource"));
        }
        let mut lookups = change.identifiers.clone();
        if let Some(newest) = base.newest.as_ref().filter(|_| there && !lookups.is_empty()) {
            let known = conditional::stored_identifiers(core, access, &change.key, newest).await?;
            lookups.retain(|digest| !known.contains(digest));
        }
        writes.push(Write { change: index, version, replaces: base.replaces, exists: base.newest.is_some(), lookups });
        outcomes.push(ChangeOutcome { version: Some(version), created: !there });
    }
    Ok((writes, outcomes))
}

/// What keeps a commit from going on, if its assumptions do.
async fn assumptions(core: &Core, access: &WriteAccess, prepared: &Prepared, own: Option<&Staged<'_>>) -> Result<Option<Attempt>> {
    for assumption in &prepared.assumptions {
        match conditional::verify(core, access, assumption, own).await? {
            Verdict::Holds => {}
            Verdict::Stale => return Ok(Some(Attempt::Done(CommitOutcome::Stale))),
            Verdict::Blocked(by) => return Ok(Some(Attempt::Blocked(by))),
        }
    }
    Ok(None)
}

/// How long a commit still waits for others.
#[derive(Default)]
struct Patience {
    waited: Duration,
    rounds: u32,
}

const PAUSE_MS: u64 = 2;
const PAUSE_MS_MAX: u64 = 50;

impl Patience {
    /// Until a transaction is final. `false`: not in time.
    async fn wait_for(&mut self, core: &Core, access: &WriteAccess, by: Undecided) -> Result<bool> {
        self.rounds += 1;
        for poll in 0.. {
            if core.transactions.settle(access, by, core.node.now_us()).await?.is_some() {
                break;
            }
            if !self.sleep(core, poll).await {
                return Ok(false);
            }
        }
        Ok(self.rounds <= core.settings.rounds_max)
    }

    /// A moment, so that those who met do not meet again. `false`: there were enough.
    async fn pause(&mut self, core: &Core) -> bool {
        self.rounds += 1;
        self.sleep(core, self.rounds - 1).await && self.rounds <= core.settings.rounds_max
    }

    async fn sleep(&mut self, core: &Core, count: u32) -> bool {
        let ceiling_ms = (PAUSE_MS << count.min(16)).min(PAUSE_MS_MAX);
        let pause = Duration::from_micros(rand::rng().random_range(0..=ceiling_ms * 1_000));
        self.waited += pause;
        if self.waited > Duration::from_millis(core.settings.wait_ms_max) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}
