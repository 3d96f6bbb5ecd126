//! Commits of one change.

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::{Issue, IssueCode, ResourceBody, ResourceKey, Timestamp, VersionId};
use fhirpool_storage::{Assumption, Change, ChangeOutcome, Commit, CommitOutcome, Content, Precondition, StorageError, StoredVersion};

use crate::binary::CommitFailure;
use crate::conditions::EntityTags;
use crate::reach::Reached;
use crate::{Effect, ErrorKind, InteractionError, Interactions, Result, WriteOutcome};

/// What became of one change.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is on stable storage.
    Done(ChangeOutcome, Timestamp),
    /// Its precondition does not hold.
    Failed { current: Option<(VersionId, bool)> },
    /// What its criteria matched has changed.
    Stale,
}

impl Interactions {
    pub(crate) async fn commit_one(&self, access: &WriteAccess, change: Change, assumptions: Vec<Assumption>) -> Result<Attempt> {
        let outcome = match self.commit_with_content(access, Commit { changes: vec![change], assumptions }).await {
            // One change meets just the writes of its own resource and criteria: the client can tell what to do.
            Err(CommitFailure::Storage(StorageError::Busy)) => return Err(overtaken()),
            outcome => outcome?,
        };
        Ok(match outcome {
            CommitOutcome::Committed { last_updated, changes } => match changes.first() {
                Some(change) => Attempt::Done(*change, last_updated),
                None => return Err(InteractionError::of(ErrorKind::Internal, "the store did not say what it committed")),
            },
            CommitOutcome::PreconditionFailed { current, .. } => Attempt::Failed { current },
            CommitOutcome::Stale => Attempt::Stale,
        })
    }

    /// The outcome of a write that put a resource; `shown` is its body where the client wants to see it.
    pub(crate) fn written(
        &self,
        key: ResourceKey,
        change: ChangeOutcome,
        last_updated: Timestamp,
        shown: Option<ResourceBody>,
        issues: Vec<Issue>,
    ) -> WriteOutcome {
        let json = shown.zip(change.version).map(|(body, version)| {
            let mut json = String::with_capacity(body.text.len() + 96);
            body.write(version, last_updated, &mut json);
            json
        });
        let effect = if change.created { Effect::Created } else { Effect::Updated };
        WriteOutcome { effect, key: Some(key), version: change.version, last_updated: Some(last_updated), json, issues }
    }

    /// What `If-Match` and `If-None-Match` demand of a write's target, besides what the write itself rests on (`own`), which
    /// stays the demand where there is one. A version that was judged must still be the newest.
    pub(crate) async fn precondition(
        &self,
        access: &WriteAccess,
        key: &ResourceKey,
        reached: Reached,
        own: Precondition,
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<Precondition> {
        let expected = if_match.map(|tags| EntityTags::parse(tags, "If-Match")).transpose()?;
        let unwanted = if_none_match.map(|tags| EntityTags::parse(tags, "If-None-Match")).transpose()?;
        match (expected, unwanted, reached) {
            (None, None, Reached::Everything | Reached::Nothing) => Ok(own),
            (Some(EntityTags::Versions(versions)), None, Reached::Everything) if versions.len() == 1 && own == Precondition::None => {
                Ok(Precondition::Version(versions[0]))
            }
            (expected, unwanted, reached) => {
                let current = match reached {
                    Reached::Everything => self.store.read(access.as_read(), key).await?,
                    Reached::Stored(current) => Some(current),
                    Reached::Nothing => None,
                };
                let live = current.as_ref().filter(|current| matches!(current.content, Content::Resource(_)));
                let holds = expected.is_none_or(|tags| live.is_some_and(|live| tags.contains(live.version)))
                    && unwanted.is_none_or(|tags| live.is_none_or(|live| !tags.contains(live.version)));
                if !holds {
                    return Err(precondition_failed(key, current.as_ref().map(state)));
                }
                Ok(match own {
                    Precondition::None => Precondition::Unchanged(current.map(|current| current.version)),
                    own => own,
                })
            }
        }
    }
}

/// The version and whether it is a tombstone.
pub(crate) fn state(version: &StoredVersion) -> (VersionId, bool) {
    (version.version, matches!(version.content, Content::Deleted))
}

/// The refusal where a version is not the one a client named.
pub(crate) fn precondition_failed(key: &ResourceKey, current: Option<(VersionId, bool)>) -> InteractionError {
    let is = match current {
        None => "is not there".to_owned(),
        Some((version, true)) => format!("was deleted in version {version}"),
        Some((version, false)) => format!("is at version {version}"),
    };
    let issue = Issue::error(IssueCode::Conflict, format!("the condition on the version does not hold: {} {is}", key.resource_type));
    InteractionError::new(ErrorKind::PreconditionFailed, issue)
}

/// The refusal where other writes were faster in every round.
pub(crate) fn overtaken() -> InteractionError {
    let issue = Issue::error(IssueCode::Conflict, "other writes kept changing what this one depends on; try again");
    InteractionError::new(ErrorKind::Conflict, issue)
}

/// The refusal where criteria of a conditional interaction match several resources.
pub(crate) fn multiple_matches() -> InteractionError {
    let issue = Issue::error(IssueCode::MultipleMatches, "the criteria match several resources where they may match one");
    InteractionError::new(ErrorKind::PreconditionFailed, issue)
}
