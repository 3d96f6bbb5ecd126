//! Delete and conditional delete (R4 http.html#delete, #3.1.0.7.1).

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::{ResourceKey, ResourceType, ServiceBase};
use fhirpool_storage::{Change, ChangeContent, Method, Precondition};

use crate::access::check_granted;
use crate::commit::{Attempt, multiple_matches, overtaken, precondition_failed};
use crate::reach::Reached;
use crate::{Effect, Interactions, Result, Target, WriteOutcome};

/// `DELETE [base]/[type]/[id]` or `DELETE [base]/[type]?[criteria]`
#[derive(Debug, Clone)]
pub struct DeleteRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// Which resource.
    pub target: Target<'a>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
}

impl Interactions {
    /// Deletes a resource. Deleting what is not there succeeds and does nothing. Criteria that match several resources delete
    /// none of them (`conditionalDelete` is `single`).
    pub async fn delete(&self, access: &WriteAccess, request: DeleteRequest<'_>) -> Result<WriteOutcome> {
        let DeleteRequest { base, resource_type, target, if_match } = request;
        check_granted(access, Interaction::Delete, resource_type)?;
        for _ in 0..self.limits.stale_rounds_max {
            let mut assumptions = Vec::new();
            let id = match &target {
                Target::Id(id) => id.clone(),
                Target::Criteria(text) => {
                    let criteria = self.criteria(access, base, resource_type, text)?;
                    let view = self.store.view(access.as_read()).await?;
                    let assumption = self.find(access.as_read(), &view, &criteria).await?;
                    match assumption.found.as_slice() {
                        [] => return Ok(deleted(None)),
                        [id] => {
                            let id = id.clone();
                            assumptions.push(assumption);
                            id
                        }
                        _ => return Err(multiple_matches()),
                    }
                }
            };
            let key = ResourceKey::new(resource_type, id);
            let reached = self.reached(access, Interaction::Delete, base, &key).await?;
            let is_nothing = matches!(reached, Reached::Nothing);
            let precondition = self.precondition(access, &key, reached, Precondition::None, if_match, None).await?;
            if is_nothing {
                return Ok(WriteOutcome { last_updated: Some(self.clock.now()), ..deleted(Some(key)) });
            }
            let change = Change { key: key.clone(), method: Method::Delete, precondition, content: ChangeContent::Delete };
            match self.commit_one(access, change, assumptions).await? {
                Attempt::Done(outcome, last_updated) => {
                    return Ok(WriteOutcome { version: outcome.version, last_updated: Some(last_updated), ..deleted(Some(key)) });
                }
                Attempt::Failed { current } if matches!(precondition, Precondition::Version(_)) => {
                    return Err(precondition_failed(&key, current));
                }
                Attempt::Failed { .. } | Attempt::Stale => {}
            }
        }
        Err(overtaken())
    }
}

/// The outcome of a delete; the version is still to be filled in.
pub(crate) fn deleted(key: Option<ResourceKey>) -> WriteOutcome {
    WriteOutcome { effect: Effect::Deleted, key, version: None, last_updated: None, json: None, issues: Vec::new() }
}
