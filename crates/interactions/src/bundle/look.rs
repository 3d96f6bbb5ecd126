//! GET and HEAD entries.

use fhirpool_authz::{Interaction, ReadAccess, WriteAccess};
use fhirpool_storage::View;

use super::BundleContext;
use super::address::Address;
use super::deadline::Deadline;
use super::entry::{Action, Entry};
use super::response::EntryResponse;
use crate::history::check_history_query;
use crate::read::subset_of;
use crate::search::PreparedSearch;
use crate::{ErrorKind, HistoryInteraction, InteractionError, Interactions, ReadRequest, Result, SearchInteraction, VersionReadRequest};

/// What the reads of a bundle are answered from.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// The one view of all of them, or why there is none.
    view: Result<View>,
    /// Until when.
    pub deadline: Deadline,
}

impl Picture {
    pub(super) fn view(&self) -> Result<&View> {
        self.view.as_ref().map_err(InteractionError::clone)
    }
}

impl Interactions {
    /// The picture of now. The writes are done: a store that fails here fails the reads alone.
    pub(super) async fn picture(&self, access: &ReadAccess) -> Picture {
        let deadline = self.look_deadline();
        let view = deadline.keep(async { Ok(self.store.view(access).await?) }).await;
        Picture { view, deadline }
    }

    /// Refuses an entry that looks and cannot be understood, so that a transaction fails before anything is written.
    pub(super) fn check_entry_look(&self, access: &WriteAccess, context: &BundleContext, entry: &Entry) -> Result<()> {
        let Action::Look { address, .. } = &entry.action else { return Ok(()) };
        match address {
            Address::Read { query, .. } | Address::VersionRead { query, .. } => subset_of(query).map(|_| ()),
            Address::History { query, .. } => check_history_query(query, context.handling),
            Address::Search { .. } => self.prepare_entry_search(&access.reading(Interaction::Search), context, entry).map(|_| ()),
            Address::Capabilities => Ok(()),
        }
    }

    /// The search of an entry, read and checked, where the entry is one.
    pub(super) fn prepare_entry_search(
        &self,
        access: &ReadAccess,
        context: &BundleContext,
        entry: &Entry,
    ) -> Result<Option<PreparedSearch>> {
        let Action::Look { address: Address::Search { scope, query }, .. } = &entry.action else { return Ok(None) };
        let request = SearchInteraction {
            base: &context.base,
            scope: scope.clone(),
            query,
            handling: context.handling,
            freshness: context.freshness,
        };
        self.prepare_search(access, request).map(Some)
    }

    /// Answers an entry that looks. History has no views: it tells what was committed when it is asked.
    pub(super) async fn look(
        &self,
        access: &WriteAccess,
        context: &BundleContext,
        entry: &Entry,
        picture: &Picture,
    ) -> Result<EntryResponse> {
        let view = picture.view()?;
        let Action::Look { address, .. } = &entry.action else {
            return Err(InteractionError::of(ErrorKind::Internal, "the entry is no read"));
        };
        let reading = access.reading(address.interaction().unwrap_or(Interaction::Read));
        picture.deadline.keep(self.look_in(&reading, context, entry, view)).await
    }

    async fn look_in(&self, access: &ReadAccess, context: &BundleContext, entry: &Entry, view: &View) -> Result<EntryResponse> {
        let base = &context.base;
        let Action::Look { address, head } = &entry.action else {
            return Err(InteractionError::of(ErrorKind::Internal, "the entry is no read"));
        };
        let (if_none_match, if_modified_since) = (entry.if_none_match.as_deref(), entry.if_modified_since);
        match address {
            Address::Read { key, query } => {
                let request = ReadRequest { base, key: key.clone(), query, if_none_match, if_modified_since };
                let outcome = self.read_in(access, view, request).await?;
                Ok(EntryResponse::of_read(base, self.as_entry(access, base, outcome).await?, *head))
            }
            Address::VersionRead { key, version, query } => {
                let request = VersionReadRequest { base, key: key.clone(), version, query, if_none_match, if_modified_since };
                let outcome = self.vread_in(access, view, request).await?;
                Ok(EntryResponse::of_read(base, self.as_entry(access, base, outcome).await?, *head))
            }
            Address::History { scope, query } => {
                let request = HistoryInteraction { base, scope: scope.clone(), query, handling: context.handling };
                Ok(EntryResponse::of_resource(self.history(access, request).await?.json, *head))
            }
            Address::Search { .. } => {
                let Some(search) = self.prepare_entry_search(access, context, entry)? else {
                    return Err(InteractionError::of(ErrorKind::Internal, "the entry is no search"));
                };
                let found = self.run_search(access, base, &search, Some(view.clone())).await?;
                Ok(EntryResponse::of_resource(found.json, *head))
            }
            Address::Capabilities => Ok(EntryResponse::of_resource(self.capabilities(base).to_string(), *head)),
        }
    }
}
