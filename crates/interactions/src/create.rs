//! Create and conditional create (R4 http.html#create, #ccreate).

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::{ResourceKey, ResourceType, ServiceBase};
use fhirpool_storage::{Change, ChangeContent, Method, Precondition, View};

use crate::access::check_granted;
use crate::commit::{Attempt, multiple_matches, overtaken, precondition_failed};
use crate::{Effect, Interactions, Result, Returning, WriteOutcome};

/// `POST [base]/[type]`
#[derive(Debug, Clone)]
pub struct CreateRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// The resource's JSON.
    pub body: Vec<u8>,
    /// `If-None-Exist`: a query, perhaps with `Type?` or a whole address ahead.
    pub if_none_exist: Option<&'a str>,
    /// What to give back.
    pub returning: Returning,
}

impl Interactions {
    /// Makes a resource under an id of the server's; with `If-None-Exist` only where nothing matches.
    pub async fn create(&self, access: &WriteAccess, request: CreateRequest<'_>) -> Result<WriteOutcome> {
        let CreateRequest { base, resource_type, body, if_none_exist, returning } = request;
        check_granted(access, Interaction::Create, resource_type)?;
        let criteria = if_none_exist.map(|text| self.criteria(access, base, resource_type, text)).transpose()?;
        let document = self.parse_resource(body, resource_type).await?;
        let key = ResourceKey::new(resource_type, self.ids.next_id());
        for _ in 0..self.limits.stale_rounds_max {
            let mut assumptions = Vec::new();
            if let Some(criteria) = &criteria {
                let view = self.store.view(access.as_read()).await?;
                let assumption = self.find(access.as_read(), &view, criteria).await?;
                match assumption.found.as_slice() {
                    [] => assumptions.push(assumption),
                    [id] => {
                        let key = ResourceKey::new(resource_type, id.clone());
                        return self.matched(access, base, &view, key, returning).await;
                    }
                    _ => return Err(multiple_matches()),
                }
            }
            let prepared = self.prepare_document(base, &document, &key).await?;
            self.write_reach(access, Interaction::Create, base).check_incoming(&key, &prepared.entries)?;
            let shown = (returning == Returning::Representation).then(|| prepared.body.clone());
            let content = ChangeContent::Put { body: prepared.body, entries: prepared.entries };
            let change = Change { key: key.clone(), method: Method::Post, precondition: Precondition::NeverExisted, content };
            match self.commit_one(access, change, assumptions).await? {
                Attempt::Done(outcome, last_updated) => {
                    return Ok(self.written(key, outcome, last_updated, shown, prepared.issues));
                }
                Attempt::Failed { current } => return Err(precondition_failed(&key, current)),
                Attempt::Stale => {}
            }
        }
        Err(overtaken())
    }

    /// The outcome where a conditional create found its resource.
    async fn matched(
        &self,
        access: &WriteAccess,
        base: &ServiceBase,
        view: &View,
        key: ResourceKey,
        returning: Returning,
    ) -> Result<WriteOutcome> {
        let keys = [key];
        let found = self.store.read_many(access.as_read(), view, &keys).await?.into_iter().next().flatten();
        let [key] = keys;
        let (version, last_updated) = (found.as_ref().map(|found| found.version), found.as_ref().map(|found| found.last_updated));
        let shown = match returning {
            Returning::Representation => self.reach(&access.reading(Interaction::Read), base).keep(&key, found).await?,
            _ => None,
        };
        Ok(WriteOutcome {
            effect: Effect::Matched,
            version,
            last_updated,
            json: shown.and_then(|shown| crate::read::json_of(&shown)),
            key: Some(key),
            issues: Vec::new(),
        })
    }
}
