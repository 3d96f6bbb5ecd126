//! Batch: every entry for itself (R4 http.html#brules). Those that look do so behind the writes, all in one picture: no half of
//! another client's transaction is seen.

use std::sync::Arc;

use fhirpool_authz::WriteAccess;
use fhirpool_fhir::json::Document;
use tokio::task::JoinSet;

use super::BundleContext;
use super::entry::{Action, Entry, Phase};
use super::look::Picture;
use super::progress::BundleProgress;
use super::response::{EntryResponse, response_bundle};
use super::touched::touched;
use crate::{
    BundleOutcome, CreateRequest, DeleteRequest, ErrorKind, InteractionError, Interactions, PatchFormat, PatchRequest, Result,
    UpdateRequest,
};

/// What all entries of a batch share.
struct Batch {
    interactions: Interactions,
    access: WriteAccess,
    context: BundleContext,
    document: Document,
    entries: Vec<Result<Entry>>,
}

impl Interactions {
    /// Does every entry by itself, several at once, in the order of a transaction's phases.
    pub(super) async fn batch(
        &self,
        access: &WriteAccess,
        context: BundleContext,
        document: Document,
        entries: Vec<Result<Entry>>,
        progress: &BundleProgress,
    ) -> Result<BundleOutcome> {
        let mut responses: Vec<Option<EntryResponse>> = vec![None; entries.len()];
        let batch = Arc::new(Batch { interactions: self.clone(), access: access.clone(), context, document, entries });
        for phase in [Phase::Delete, Phase::Create, Phase::Update, Phase::Look] {
            let entries = batch.of_phase(phase);
            let picture = match phase {
                Phase::Look if !entries.is_empty() => Some(self.picture(access.as_read()).await),
                _ => None,
            };
            let mut waiting = entries.into_iter();
            let mut running = JoinSet::new();
            loop {
                while running.len() < self.limits.batch_concurrency.max(1)
                    && let Some(index) = waiting.next()
                {
                    let (batch, picture) = (batch.clone(), picture.clone());
                    running.spawn(async move { (index, batch.answer(index, picture).await) });
                }
                match running.join_next().await {
                    None => break,
                    Some(Ok((index, response))) => {
                        progress.end(index, touched(batch.entries[index].as_ref().ok(), &response));
                        responses[index] = Some(response);
                    }
                    Some(Err(error)) => {
                        return Err(InteractionError { internal: Some(error.to_string()), ..failed() });
                    }
                }
            }
        }
        let answer = |(index, response): (usize, Option<EntryResponse>)| {
            response.unwrap_or_else(|| match &batch.entries[index] {
                Err(error) => {
                    let response = EntryResponse::of_error(&error.clone().within(&format!("Bundle.entry[{index}]")));
                    progress.end(index, touched(None, &response));
                    response
                }
                Ok(_) => EntryResponse::of_error(&failed()),
            })
        };
        let responses: Vec<EntryResponse> = responses.into_iter().enumerate().map(answer).collect();
        Ok(BundleOutcome { json: response_bundle("batch-response", &responses) })
    }
}

impl Batch {
    fn of_phase(&self, phase: Phase) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, entry)| entry.as_ref().is_ok_and(|entry| entry.action.phase() == phase)).map(|(index, _)| index).collect()
    }

    async fn answer(&self, index: usize, picture: Option<Picture>) -> EntryResponse {
        let answer = match &self.entries[index] {
            Ok(entry) => self.run(entry, picture).await,
            Err(error) => Err(error.clone()),
        };
        answer.unwrap_or_else(|error| EntryResponse::of_failed_entry(index, error))
    }

    async fn run(&self, entry: &Entry, picture: Option<Picture>) -> Result<EntryResponse> {
        let (this, access) = (&self.interactions, &self.access);
        let (base, returning) = (&self.context.base, self.context.returning);
        let body = || entry.resource.clone().map(|range| self.document.source().as_bytes()[range].to_vec()).unwrap_or_default();
        let (if_match, if_none_match) = (entry.if_match.as_deref(), entry.if_none_match.as_deref());
        let in_resource = |error: InteractionError| match error.kind {
            ErrorKind::Unprocessable => error.within("Entry.resource"),
            _ => error,
        };
        let outcome = match &entry.action {
            Action::Create { resource_type, if_none_exist } => {
                let if_none_exist = if_none_exist.as_deref();
                let request = CreateRequest { base, resource_type: *resource_type, body: body(), if_none_exist, returning };
                this.create(access, request).await.map_err(in_resource)?
            }
            Action::Update { resource_type, target, .. } => {
                let target = target.borrowed();
                let request =
                    UpdateRequest { base, resource_type: *resource_type, target, body: body(), if_match, if_none_match, returning };
                this.update(access, request).await.map_err(in_resource)?
            }
            Action::Patch { resource_type, target, patch } => {
                let (target, body) = (target.borrowed(), patch.clone());
                let format = PatchFormat::Json;
                let request = PatchRequest { base, resource_type: *resource_type, target, format, body, if_match, returning };
                this.patch(access, request).await?
            }
            Action::Delete { resource_type, target } => {
                let request = DeleteRequest { base, resource_type: *resource_type, target: target.borrowed(), if_match };
                this.delete(access, request).await?
            }
            Action::Look { .. } => {
                let Some(picture) = picture else { return Err(failed()) };
                return this.look(access, &self.context, entry, &picture).await;
            }
        };
        let outcome = this.complete_write(access, base, outcome, None).await;
        Ok(EntryResponse::of_write(base, outcome, returning))
    }
}

fn failed() -> InteractionError {
    InteractionError::of(ErrorKind::Internal, "the entry could not be worked on")
}
