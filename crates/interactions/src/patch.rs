//! Patch and conditional patch (R4 http.html#patch).

use std::sync::Arc;

use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::json::Document;
use fhirpool_fhir::{Issue, IssueCode, ResourceKey, ResourceType, ServiceBase};
use fhirpool_storage::{Change, ChangeContent, Content, Method, Precondition, StoredVersion};

use crate::access::check_granted;
use crate::binary::{after_patch, is_binary};
use crate::commit::{Attempt, multiple_matches, overtaken, precondition_failed, state};
use crate::conditions::EntityTags;
use crate::json_patch::{self, PatchError, PatchLimits};
use crate::prepare::{check_type, id_of};
use crate::read::json_of;
use crate::{ErrorKind, InteractionError, Interactions, Result, Returning, Target, WriteOutcome};

/// What a patch is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatchFormat {
    /// JSON Patch, RFC 6902 (`application/json-patch+json`).
    Json,
    /// FHIRPath Patch: a Parameters resource (`application/fhir+json`).
    FhirPath,
}

/// `PATCH [base]/[type]/[id]` or `PATCH [base]/[type]?[criteria]`
#[derive(Debug, Clone)]
pub struct PatchRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// The type in the address.
    pub resource_type: ResourceType,
    /// Which resource.
    pub target: Target<'a>,
    /// What the body is.
    pub format: PatchFormat,
    /// The patch.
    pub body: Vec<u8>,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// What to give back.
    pub returning: Returning,
}

impl Interactions {
    /// Changes parts of a resource.
    pub async fn patch(&self, access: &WriteAccess, request: PatchRequest<'_>) -> Result<WriteOutcome> {
        let PatchRequest { base, resource_type, target, format, body, if_match, returning } = request;
        check_granted(access, Interaction::Patch, resource_type)?;
        check_format(format)?;
        let expected = if_match.map(|tags| EntityTags::parse(tags, "If-Match")).transpose()?;
        let criteria = match &target {
            Target::Id(_) => None,
            Target::Criteria(text) => Some(self.criteria(access, base, resource_type, text)?),
        };
        let patch = self.work(body.len(), |this| this.parse(body).map(Arc::new)).await?;
        for _ in 0..self.limits.stale_rounds_max {
            let view = self.store.view(access.as_read()).await?;
            let mut assumptions = Vec::new();
            let id = match (&target, &criteria) {
                (Target::Id(id), _) => id.clone(),
                (Target::Criteria(_), None) => return Err(nothing_to_patch(resource_type)),
                (Target::Criteria(_), Some(criteria)) => {
                    let assumption = self.find(access.as_read(), &view, criteria).await?;
                    let id = match assumption.found.as_slice() {
                        [] => return Err(nothing_to_patch(resource_type)),
                        [id] => id.clone(),
                        _ => return Err(multiple_matches()),
                    };
                    assumptions.push(assumption);
                    id
                }
            };
            let key = ResourceKey::new(resource_type, id);
            let current = self.store.read_many(access.as_read(), &view, std::slice::from_ref(&key)).await?.into_iter().next().flatten();
            let current = self.patchable(access, base, &key, current).await?;
            let current = self.patchable_binary(access, &key, current).await?;
            if let Some(expected) = &expected
                && !current.as_ref().is_some_and(|current| !state(current).1 && expected.contains(current.version))
            {
                return Err(precondition_failed(&key, current.as_ref().map(state)));
            }
            let (version, document) = self.patched(&key, current, &patch).await?;
            let prepared = self.prepare_document(base, &document, &key).await?;
            self.write_reach(access, Interaction::Patch, base).check_incoming(&key, &prepared.entries)?;
            let may_show = returning == Returning::Representation
                && self.reach(&access.reading(Interaction::Read), base).admits_entries(&key, &prepared.entries);
            let shown = may_show.then(|| prepared.body.clone());
            let content = ChangeContent::Put { body: prepared.body, entries: prepared.entries };
            let change = Change { key: key.clone(), method: Method::Patch, precondition: version, content };
            match self.commit_one(access, change, assumptions).await? {
                Attempt::Done(outcome, last_updated) => return Ok(self.written(key, outcome, last_updated, shown, prepared.issues)),
                // Another write came between reading and committing: patch what it left.
                Attempt::Failed { .. } | Attempt::Stale => {}
            }
        }
        Err(overtaken())
    }

    /// The version that a patch may change. It must be one that may be read, too: a patch tells by its own tests what is there.
    pub(crate) async fn patchable(
        &self,
        access: &WriteAccess,
        base: &ServiceBase,
        key: &ResourceKey,
        current: Option<StoredVersion>,
    ) -> Result<Option<StoredVersion>> {
        let Some(current) = self.reach(&access.reading(Interaction::Read), base).keep(key, current).await? else { return Ok(None) };
        if self.write_reach(access, Interaction::Patch, base).admits(key, &current).await? {
            return Ok(Some(current));
        }
        Err(InteractionError::of(ErrorKind::Forbidden, format!("the access does not allow this on this {}", key.resource_type)))
    }

    /// A version with a patch applied, and the demand that it still be the newest.
    pub(crate) async fn patched(
        &self,
        key: &ResourceKey,
        current: Option<StoredVersion>,
        patch: &Arc<Document>,
    ) -> Result<(Precondition, Arc<Document>)> {
        let Some(current) = current else { return Err(nothing_to_patch(key.resource_type)) };
        if matches!(current.content, Content::Deleted) {
            return Err(InteractionError::of(ErrorKind::Gone, format!("the {} was deleted", key.resource_type)));
        }
        let json = json_of(&current).unwrap_or_default();
        let (key, patch) = (key.clone(), patch.clone());
        let document = self.work(json.len() + patch.source().len(), move |this| this.apply_patch(&key, json, &patch)).await?;
        Ok((Precondition::Unchanged(Some(current.version)), Arc::new(document)))
    }

    fn apply_patch(&self, key: &ResourceKey, json: String, patch: &Document) -> Result<Document> {
        let limits = PatchLimits {
            operations_max: self.limits.patch_operations_max,
            work_max: self.limits.patched_bytes_max,
            depth_max: self.limits.depth_max,
        };
        let before = self.parse(json.into_bytes())?;
        let json = json_patch::apply(&before, patch, limits).map_err(|error| {
            let (kind, code) = match error {
                PatchError::Malformed { .. } => (ErrorKind::BadRequest, IssueCode::Invalid),
                PatchError::Inapplicable { .. } => (ErrorKind::Unprocessable, IssueCode::Processing),
                PatchError::TooLarge => (ErrorKind::TooLarge, IssueCode::TooCostly),
            };
            InteractionError::new(kind, Issue::error(code, error.to_string()))
        })?;
        let json = if is_binary(key) { after_patch(&before, json)? } else { json };
        let document = self.parse(json.into_bytes())?;
        let refuse = |text: &str| InteractionError::new(ErrorKind::Unprocessable, Issue::error(IssueCode::BusinessRule, text));
        check_type(document.root(), key.resource_type).map_err(|_| refuse("a patch cannot change the resource's type"))?;
        if id_of(document.root(), key.resource_type)?.as_ref() != Some(&key.id) {
            return Err(refuse("a patch cannot change the resource's id"));
        }
        Ok(document)
    }
}

/// Refuses formats that are not done.
pub(crate) fn check_format(format: PatchFormat) -> Result<()> {
    match format {
        PatchFormat::Json => Ok(()),
        PatchFormat::FhirPath => {
            let text = "FHIRPath Patch is not supported; send a JSON Patch as application/json-patch+json";
            Err(InteractionError::new(ErrorKind::UnsupportedMediaType, Issue::error(IssueCode::NotSupported, text)))
        }
    }
}

fn nothing_to_patch(resource_type: ResourceType) -> InteractionError {
    InteractionError::of(ErrorKind::NotFound, format!("there is no such {resource_type} to patch"))
}
