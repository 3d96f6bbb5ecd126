//! Update, update as create and conditional update (R4 http.html#update, #upsert, #cond-update).

use std::sync::Arc;

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Issue, IssueCode, ResourceId, ResourceKey, ResourceType, ServiceBase};
use fhirpool_storage::{Assumption, Change, ChangeContent, Content, Method, Precondition};

use crate::access::check_granted;
use crate::commit::{Attempt, multiple_matches, overtaken, precondition_failed};
use crate::prepare::id_of;
use crate::reach::{Reached, not_there};
use crate::{ErrorKind, InteractionError, Interactions, Result, Returning, WriteOutcome};

/// Which resource a write is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// The one with this id.
    Id(ResourceId),
    /// The one that matches these criteria: the address's query, undecoded.
    Criteria(&'a str),
}

/// `PUT [base]/[type]/[id]` or `PUT [base]/[type]?[criteria]`
#[derive(Debug, Clone)]
pub struct UpdateRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// Which resource.
    pub target: Target<'a>,
    /// The resource's JSON.
    pub body: Vec<u8>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// `If-None-Match`; only `*` has a meaning here: only where there is none yet.
    pub if_none_match: Option<&'a str>,
    /// What to give back.
    pub returning: Returning,
}

/// Where an update goes, and on what that rests.
#[derive(Debug)]
pub(crate) struct Destination {
    pub key: ResourceKey,
    pub method: Method,
    /// What must hold besides the client's own conditions.
    pub precondition: Precondition,
    pub assumptions: Vec<Assumption>,
}

impl Interactions {
    /// Replaces a resource, or makes it under the client's id.
    pub async fn update(&self, access: &WriteAccess, request: UpdateRequest<'_>) -> Result<WriteOutcome> {
        let UpdateRequest { base, resource_type, target, body, if_match, if_none_match, returning } = request;
        check_granted(access, Interaction::Update, resource_type)?;
        let document = self.parse_resource(body, resource_type).await?;
        for _ in 0..self.limits.stale_rounds_max {
            let Destination { key, method, precondition, assumptions } =
                self.destination(access, base, resource_type, &target, &document).await?;
            let (interaction, reached) = self.update_target(access, base, &key, method).await?;
            let precondition = self.precondition(access, &key, reached, precondition, if_match, if_none_match).await?;
            let prepared = self.prepare_document(base, &document, &key).await?;
            self.write_reach(access, interaction, base).check_incoming(&key, &prepared.entries)?;
            let shown = (returning == Returning::Representation).then(|| prepared.body.clone());
            let content = ChangeContent::Put { body: prepared.body, entries: prepared.entries };
            let change = Change { key: key.clone(), method, precondition, content };
            match self.commit_one(access, change, assumptions).await? {
                Attempt::Done(outcome, last_updated) => return Ok(self.written(key, outcome, last_updated, shown, prepared.issues)),
                Attempt::Failed { current } if matches!(precondition, Precondition::Version(_)) => {
                    return Err(precondition_failed(&key, current));
                }
                // Another write came between looking and committing: look again.
                Attempt::Failed { .. } | Attempt::Stale => {}
            }
        }
        Err(overtaken())
    }

    /// What an update does to its target, and what stands there. Under a limit an update makes nothing under an id of the
    /// client's: it would tell by that whether something unreached is there.
    pub(crate) async fn update_target(
        &self,
        access: &WriteAccess,
        base: &ServiceBase,
        key: &ResourceKey,
        method: Method,
    ) -> Result<(Interaction, Reached)> {
        if method == Method::Post {
            return Ok((Interaction::Create, Reached::Everything));
        }
        match self.reached(access, Interaction::Update, base, key).await? {
            Reached::Nothing => Err(not_there(key.resource_type)),
            reached => Ok((Interaction::Update, reached)),
        }
    }

    async fn destination(
        &self,
        access: &WriteAccess,
        base: &ServiceBase,
        resource_type: ResourceType,
        target: &Target<'_>,
        document: &Arc<Document>,
    ) -> Result<Destination> {
        let body_id = id_of(document.root(), resource_type)?;
        let criteria = match target {
            Target::Id(id) => {
                check_same_id(resource_type, id, body_id.as_ref())?;
                let key = ResourceKey::new(resource_type, id.clone());
                return Ok(Destination { key, method: Method::Put, precondition: Precondition::None, assumptions: Vec::new() });
            }
            Target::Criteria(text) => self.criteria(access, base, resource_type, text)?,
        };
        let view = self.store.view(access.as_read()).await?;
        let assumption = self.find(access.as_read(), &view, &criteria).await?;
        self.conditional_destination(access, base, resource_type, assumption, body_id).await
    }

    /// Where a conditional update goes, by R4 http.html#cond-update.
    pub(crate) async fn conditional_destination(
        &self,
        access: &WriteAccess,
        base: &ServiceBase,
        resource_type: ResourceType,
        assumption: Assumption,
        body_id: Option<ResourceId>,
    ) -> Result<Destination> {
        let mut method = Method::Put;
        let (id, precondition) = match (assumption.found.as_slice(), body_id) {
            ([], None) => {
                check_granted(access, Interaction::Create, resource_type)?;
                method = Method::Post;
                (self.ids.next_id(), Precondition::NeverExisted)
            }
            ([], Some(id)) => {
                let key = ResourceKey::new(resource_type, id);
                let current = match self.update_target(access, base, &key, Method::Put).await? {
                    (_, Reached::Stored(current)) => Some(current),
                    _ => self.store.read(access.as_read(), &key).await?,
                };
                if current.as_ref().is_some_and(|current| matches!(current.content, Content::Resource(_))) {
                    let text = "nothing matches the criteria, but the id in the body is that of another resource";
                    return Err(InteractionError::new(ErrorKind::Conflict, Issue::error(IssueCode::Conflict, text)));
                }
                (key.id, Precondition::Unchanged(current.map(|current| current.version)))
            }
            ([found], body_id) => {
                if body_id.is_some_and(|id| id != *found) {
                    return Err(InteractionError::bad_request("the id in the body is not that of the resource that the criteria match"));
                }
                (found.clone(), Precondition::None)
            }
            _ => return Err(multiple_matches()),
        };
        Ok(Destination { key: ResourceKey::new(resource_type, id), method, precondition, assumptions: vec![assumption] })
    }
}

/// The body of an update must carry the id of its address (R4 http.html#update).
pub(crate) fn check_same_id(resource_type: ResourceType, address: &ResourceId, body: Option<&ResourceId>) -> Result<()> {
    let issue = match body {
        Some(id) if id == address => return Ok(()),
        Some(_) => Issue::error(IssueCode::Invalid, "the id in the body is not the one in the address"),
        None => Issue::error(IssueCode::Required, "the body of an update must carry the id of its address"),
    };
    Err(InteractionError::new(ErrorKind::BadRequest, issue.at(format!("{resource_type}.id"))))
}
