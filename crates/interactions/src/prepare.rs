//! From a client's bytes to what a commit holds: parsed, under its id, valid, with its index entries.

use std::sync::Arc;

use fhirpool_fhir::json::{self, Document, Edit, ParseErrorKind, Value};
use fhirpool_fhir::resource::MetaPlace;
use fhirpool_fhir::{Issue, IssueCode, OperationOutcome, ResourceBody, ResourceId, ResourceKey, ResourceType, ServiceBase, Severity};
use fhirpool_search::IndexEntry;

use crate::binary::{is_binary, without_urls};
use crate::{ErrorKind, InteractionError, Interactions, Result};

/// A resource that is ready to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub body: ResourceBody,
    pub entries: Vec<IndexEntry>,
    /// Warnings of the validation.
    pub issues: Vec<Issue>,
}

impl Interactions {
    /// Runs work that looks at so many bytes: at once if they are few, else on a thread that may take its time.
    pub(crate) async fn work<T, F>(&self, bytes: usize, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T> + Send + 'static,
    {
        if bytes < self.limits.blocking_bytes_min {
            return work(self);
        }
        let this = self.clone();
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(result) => result,
            Err(error) => Err(InteractionError {
                internal: Some(error.to_string()),
                ..InteractionError::of(ErrorKind::Internal, "the request could not be worked on")
            }),
        }
    }

    /// Parses a body that must be a resource of this type.
    pub(crate) async fn parse_resource(&self, body: Vec<u8>, resource_type: ResourceType) -> Result<Arc<Document>> {
        self.work(body.len(), move |this| {
            let document = this.parse(body)?;
            check_type(document.root(), resource_type)?;
            Ok(Arc::new(document))
        })
        .await
    }

    /// [`Interactions::prepare`] of a whole document.
    pub(crate) async fn prepare_document(&self, base: &ServiceBase, document: &Arc<Document>, key: &ResourceKey) -> Result<Prepared> {
        if document.source().len() < self.limits.blocking_bytes_min {
            return self.prepare(base, document.root(), key, &[]);
        }
        let (base, document, key) = (base.to_owned(), document.clone(), key.clone());
        self.work(document.source().len(), move |this| this.prepare(&base, document.root(), &key, &[])).await
    }

    /// Parses a body.
    pub(crate) fn parse(&self, body: Vec<u8>) -> Result<Document> {
        Document::parse_with(body, &json::Limits { depth_max: self.limits.depth_max }).map_err(|error| {
            let kind = if error.kind == ParseErrorKind::Size { ErrorKind::TooLarge } else { ErrorKind::BadRequest };
            let issue = Issue::error(
                IssueCode::Structure,
                format!("the body is not the JSON of a resource: {} at line {}, column {}", error.kind, error.line, error.column),
            );
            InteractionError::new(kind, if error.path.is_empty() { issue } else { issue.at(error.path) })
        })
    }

    /// Puts a resource under an id and applies the edits, validates what comes out and takes its index entries.
    pub(crate) fn prepare(&self, base: &ServiceBase, resource: Value<'_>, key: &ResourceKey, edits: &[Edit]) -> Result<Prepared> {
        refuse_subsetted(resource)?;
        let mut body = ResourceBody::prepare(resource, &key.id, edits);
        if is_binary(key) {
            without_urls(&mut body);
        }
        // What is stored is what is examined, not what the client sent: ids and links are in place, values of the server's gone.
        let stored = self.parse(std::mem::take(&mut body.text).into_bytes())?;
        let (entries, issues) = self.examine(base, stored.root(), key.resource_type, body.meta)?;
        body.text = stored.into_source();
        Ok(Prepared { body, entries, issues })
    }

    fn examine(
        &self,
        base: &ServiceBase,
        resource: Value<'_>,
        resource_type: ResourceType,
        meta: MetaPlace,
    ) -> Result<(Vec<IndexEntry>, Vec<Issue>)> {
        let mut issues = fhirpool_validation::validate(&self.definitions, resource);
        if meta == MetaPlace::Empty && !issues.is_empty() {
            // It held the server's two values alone, which come back when it is read.
            let meta = format!("{resource_type}.meta");
            issues.retain(|issue| issue.code != IssueCode::Invariant || issue.expression.as_ref() != Some(&meta));
        }
        if issues.iter().any(|issue| matches!(issue.severity, Severity::Error | Severity::Fatal)) {
            return Err(InteractionError { kind: ErrorKind::Unprocessable, outcome: OperationOutcome { issues }, internal: None });
        }
        Ok((self.extractors.entries(resource_type, resource, base), issues))
    }
}

/// Checks that a value is a resource, and of this type.
pub(crate) fn check_type(resource: Value<'_>, expected: ResourceType) -> Result<()> {
    let found = resource_type_of(resource)?;
    if found != expected {
        let issue = Issue::error(IssueCode::Invalid, format!("the body is a {found} where the address says {expected}"));
        return Err(InteractionError::new(ErrorKind::BadRequest, issue.at(format!("{found}.resourceType"))));
    }
    Ok(())
}

/// The type of a resource.
pub(crate) fn resource_type_of(resource: Value<'_>) -> Result<ResourceType> {
    let refuse = |code, text: &str| Err(InteractionError::new(ErrorKind::BadRequest, Issue::error(code, text)));
    if !resource.is_object() {
        return refuse(IssueCode::Structure, "a resource must be a JSON object");
    }
    match resource.get("resourceType").map(Value::as_str) {
        None => refuse(IssueCode::Required, "the resource has no resourceType"),
        Some(None) => refuse(IssueCode::Value, "resourceType must be a string"),
        Some(Some(name)) => match ResourceType::parse(&name) {
            Some(resource_type) => Ok(resource_type),
            None => refuse(IssueCode::Value, "resourceType is no resource type of FHIR R4"),
        },
    }
}

/// The id that a resource brings along, where it brings one.
pub(crate) fn id_of(resource: Value<'_>, resource_type: ResourceType) -> Result<Option<ResourceId>> {
    let Some(value) = resource.get("id") else { return Ok(None) };
    match value.as_str().and_then(|text| ResourceId::parse(&text)) {
        Some(id) => Ok(Some(id)),
        None => {
            let issue = Issue::error(IssueCode::Value, "the id must be 1 to 64 letters, digits, hyphens and full stops");
            Err(InteractionError::new(ErrorKind::BadRequest, issue.at(format!("{resource_type}.id"))))
        }
    }
}

/// A resource that a search has shortened may lack what its update would then delete (R4 search.html#elements).
fn refuse_subsetted(resource: Value<'_>) -> Result<()> {
    let Some(tags) = resource.get("meta").and_then(|meta| meta.get("tag")) else { return Ok(()) };
    let subsetted = tags.elements().any(|tag| {
        tag.get_str("code").as_deref() == Some("SUBSETTED")
            && tag.get_str("system").is_none_or(|system| system == crate::subset::SUBSETTED_SYSTEM)
    });
    if subsetted {
        let text = "the resource is tagged SUBSETTED: it was shortened by a search, so storing it would lose the rest";
        return Err(InteractionError::new(ErrorKind::Unprocessable, Issue::error(IssueCode::BusinessRule, text)));
    }
    Ok(())
}
