//! Transaction: all entries or none (R4 http.html#trules).
//!
//! Ids are assigned up front and links found once. Then, in rounds: every entry is resolved on a view of now, all resources
//! are prepared, and one commit makes them if what the resolution rests on still holds; else the next round begins. GET entries
//! are answered behind the commit, from one view.

use std::sync::Arc;

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{ResourceBody, ResourceKey, Timestamp, VersionId};
use fhirpool_storage::{ChangeOutcome, CommitOutcome, Precondition};

use super::BundleContext;
use super::entry::Entry;
use super::look::Picture;
use super::progress::BundleProgress;
use super::resolve::{Resolution, Resolved};
use super::response::{EntryResponse, response_bundle};
use super::stage::{Staged, Transaction};
use super::touched::touched;
use crate::commit::{overtaken, precondition_failed};
use crate::read::json_of;
use crate::{BundleOutcome, Effect, ErrorKind, InteractionError, Interactions, Result, Returning, WriteOutcome};

impl Interactions {
    /// Does all entries or none.
    pub(super) async fn transaction(
        &self,
        access: &WriteAccess,
        context: BundleContext,
        document: Document,
        entries: Vec<Entry>,
        progress: &BundleProgress,
    ) -> Result<BundleOutcome> {
        for (index, entry) in entries.iter().enumerate() {
            let checked = self.check_entry_look(access, &context, entry);
            checked.map_err(|error| error.within(&format!("Bundle.entry[{index}].request.url")))?;
        }
        let bytes = document.source().len();
        let transaction = self.work(bytes, move |this| this.lay_out(context, document, entries)).await?;
        for _ in 0..self.limits.stale_rounds_max {
            let resolved = Arc::new(self.resolve(access, &transaction).await?);
            let (writer, laid_out, of_round) = (access.clone(), transaction.clone(), resolved.clone());
            let mut staged = self.work(bytes, move |this| this.stage(&writer, &laid_out, &of_round)).await?;
            if staged.commit.changes.is_empty() {
                return Ok(self.respond(access, &transaction, &resolved, vec![None; transaction.entries.len()], progress).await);
            }
            let keys = resolved.resolutions.iter().enumerate();
            progress.meet(keys.filter_map(|(index, resolution)| Some((index, resolution.written()?))));
            match self.commit_with_content(access, std::mem::take(&mut staged.commit)).await? {
                CommitOutcome::Committed { last_updated, changes } => {
                    let written = self.written_by_entry(&resolved, staged, last_updated, changes);
                    return Ok(self.respond(access, &transaction, &resolved, written, progress).await);
                }
                CommitOutcome::PreconditionFailed { change, current } => {
                    self.check_own_condition(&transaction, &resolved, staged.order.get(change).copied(), current)?;
                }
                CommitOutcome::Stale => {}
            }
        }
        Err(overtaken())
    }

    /// The refusal where a condition of the client's own does not hold. Any other means that another write came between.
    fn check_own_condition(
        &self,
        transaction: &Transaction,
        resolved: &Resolved,
        entry: Option<usize>,
        current: Option<(VersionId, bool)>,
    ) -> Result<()> {
        let Some(index) = entry else {
            return Err(InteractionError::of(ErrorKind::Internal, "the store named a change that is not there"));
        };
        let key = match &resolved.resolutions[index] {
            Resolution::Put { key, precondition: Precondition::Version(_), .. }
            | Resolution::Delete { key, precondition: Precondition::Version(_) } => key,
            _ => return Ok(()),
        };
        if transaction.entries[index].if_match.is_some() {
            return Err(precondition_failed(key, current).within(&format!("Bundle.entry[{index}].request.ifMatch")));
        }
        Ok(())
    }

    fn written_by_entry(
        &self,
        resolved: &Resolved,
        mut staged: Staged,
        last_updated: Timestamp,
        changes: Vec<ChangeOutcome>,
    ) -> Vec<Option<WriteOutcome>> {
        let mut written = vec![None; resolved.resolutions.len()];
        for (index, change) in staged.order.into_iter().zip(changes) {
            written[index] = match &resolved.resolutions[index] {
                Resolution::Put { key, .. } | Resolution::PutPatched { key, .. } => {
                    let (shown, issues) = (staged.shown[index].take(), std::mem::take(&mut staged.issues[index]));
                    Some(self.written(key.clone(), change, last_updated, shown, issues))
                }
                Resolution::Delete { key, .. } => {
                    let last_updated = change.version.map(|_| last_updated);
                    Some(WriteOutcome { version: change.version, last_updated, ..crate::delete::deleted(Some(key.clone())) })
                }
                _ => None,
            };
        }
        written
    }

    /// Answers all entries in their order. What the transaction writes is committed: whatever fails here fails its entry alone.
    async fn respond(
        &self,
        access: &WriteAccess,
        transaction: &Transaction,
        resolved: &Resolved,
        mut written: Vec<Option<WriteOutcome>>,
        progress: &BundleProgress,
    ) -> BundleOutcome {
        let (context, read) = (&transaction.context, access.as_read());
        let looks = |resolution: &Resolution| matches!(resolution, Resolution::Look | Resolution::Matched { .. });
        let picture = if resolved.resolutions.iter().any(looks) { Some(self.picture(read).await) } else { None };
        let untold = match &picture {
            Some(picture) => self.fill_matched(access, context, picture, resolved, &mut written).await.err(),
            None => None,
        };
        let told = |index: usize| written[index].clone().ok_or_else(|| untold.clone().unwrap_or_else(unsaid));
        let mut responses = Vec::with_capacity(written.len());
        for (index, resolution) in resolved.resolutions.iter().enumerate() {
            let outcome = match (resolution, &picture) {
                (Resolution::Look, Some(picture)) => {
                    let answer = self.look(access, context, &transaction.entries[index], picture).await;
                    responses.push(answer.unwrap_or_else(|error| EntryResponse::of_failed_entry(index, error)));
                    continue;
                }
                (Resolution::SameAs(first), _) => told(*first).map(|outcome| WriteOutcome { effect: Effect::Matched, ..outcome }),
                (Resolution::NothingToDelete, _) => Ok(crate::delete::deleted(None)),
                _ => told(index),
            };
            responses.push(match outcome {
                Ok(outcome) => {
                    let outcome = self.complete_write(access, &context.base, outcome, None).await;
                    EntryResponse::of_write(&context.base, outcome, context.returning)
                }
                Err(error) => EntryResponse::of_failed_entry(index, error),
            });
        }
        for (index, (entry, response)) in transaction.entries.iter().zip(&responses).enumerate() {
            progress.end(index, touched(Some(entry), response));
        }
        BundleOutcome { json: response_bundle("transaction-response", &responses) }
    }

    /// Fills in what conditional creates found.
    async fn fill_matched(
        &self,
        access: &WriteAccess,
        context: &BundleContext,
        picture: &Picture,
        resolved: &Resolved,
        written: &mut [Option<WriteOutcome>],
    ) -> Result<()> {
        let matched: Vec<(usize, ResourceKey)> = resolved
            .resolutions
            .iter()
            .enumerate()
            .filter_map(|(index, resolution)| match resolution {
                Resolution::Matched { key } => Some((index, key.clone())),
                _ => None,
            })
            .collect();
        if matched.is_empty() {
            return Ok(());
        }
        let keys: Vec<ResourceKey> = matched.iter().map(|(_, key)| key.clone()).collect();
        let view = picture.view()?;
        let versions = picture.deadline.keep(async { Ok(self.store.read_many(access.as_read(), view, &keys).await?) }).await?;
        let reading = access.reading(Interaction::Read);
        let reach = self.reach(&reading, &context.base);
        for ((index, key), found) in matched.into_iter().zip(versions) {
            let (version, last_updated) = (found.as_ref().map(|found| found.version), found.as_ref().map(|found| found.last_updated));
            let shown = if context.returning == Returning::Representation { reach.keep(&key, found).await? } else { None };
            written[index] = Some(WriteOutcome {
                effect: Effect::Matched,
                key: Some(key),
                version,
                last_updated,
                json: shown.and_then(|shown| json_of(&shown)),
                issues: Vec::new(),
            });
        }
        Ok(())
    }
}

fn unsaid() -> InteractionError {
    InteractionError::of(ErrorKind::Internal, "the store did not say what it committed")
}

/// A body to be shown to the client, where it asked for one.
pub(super) fn shown(returning: Returning, body: &ResourceBody) -> Option<ResourceBody> {
    (returning == Returning::Representation).then(|| body.clone())
}
