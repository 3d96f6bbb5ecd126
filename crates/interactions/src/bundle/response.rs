//! The entries of a batch or transaction response.

use fhirpool_fhir::json::Writer;
use fhirpool_fhir::{ResourceKey, Timestamp, VersionId};

use crate::{Effect, InteractionError, ReadOutcome, Returning, Status, WriteOutcome, entity_tag};

/// One entry of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryResponse {
    pub status: Status,
    /// The one resource that it is about, where there is one.
    pub key: Option<ResourceKey>,
    full_url: Option<String>,
    /// The resource's JSON.
    resource: Option<String>,
    location: Option<String>,
    pub version: Option<VersionId>,
    last_modified: Option<Timestamp>,
    /// The JSON of an OperationOutcome.
    outcome: Option<String>,
}

impl EntryResponse {
    fn of_status(status: Status) -> Self {
        Self { status, key: None, full_url: None, resource: None, location: None, version: None, last_modified: None, outcome: None }
    }

    /// The answer to a write.
    pub(super) fn of_write(base: &str, outcome: WriteOutcome, returning: Returning) -> Self {
        let mut response = Self::of_status(outcome.status());
        response.key = outcome.key.clone();
        response.version = outcome.version;
        response.last_modified = outcome.last_updated;
        if outcome.effect != Effect::Deleted {
            response.location = outcome.location(base);
        }
        if returning == Returning::OperationOutcome {
            response.outcome = Some(outcome.operation_outcome().to_json());
        }
        if returning == Returning::Representation && outcome.json.is_some() {
            response.full_url = outcome.key.as_ref().map(|key| format!("{base}/{key}"));
            response.resource = outcome.json;
        }
        response
    }

    /// The answer to a read.
    pub(super) fn of_read(base: &str, outcome: ReadOutcome, head: bool) -> Self {
        match outcome {
            ReadOutcome::Found(found) => Self {
                full_url: (!head).then(|| format!("{base}/{}", found.key)),
                resource: (!head).then_some(found.json),
                key: Some(found.key),
                version: Some(found.version),
                last_modified: Some(found.last_updated),
                ..Self::of_status(Status::OK)
            },
            ReadOutcome::NotModified { version, last_updated } => {
                Self { version: Some(version), last_modified: Some(last_updated), ..Self::of_status(Status::NOT_MODIFIED) }
            }
        }
    }

    /// The answer that is a Bundle or CapabilityStatement.
    pub(super) fn of_resource(json: String, head: bool) -> Self {
        Self { resource: (!head).then_some(json), ..Self::of_status(Status::OK) }
    }

    /// The answer to an entry that failed.
    pub(super) fn of_error(error: &InteractionError) -> Self {
        Self { outcome: Some(error.outcome.to_json()), ..Self::of_status(error.kind.into()) }
    }

    /// The answer to the entry at this place, which failed where the others did not.
    pub(super) fn of_failed_entry(index: usize, error: InteractionError) -> Self {
        if let Some(internal) = &error.internal {
            tracing::warn!(entry = index, kind = ?error.kind, internal, "an entry of a Bundle failed");
        }
        Self::of_error(&error.within(&format!("Bundle.entry[{index}]")))
    }

    fn write(&self, writer: &mut Writer) {
        writer.begin_object();
        if let Some(full_url) = &self.full_url {
            writer.string_member("fullUrl", full_url);
        }
        if let Some(resource) = &self.resource {
            writer.raw_member("resource", resource);
        }
        writer.key("response").begin_object().string_member("status", &self.status.0.to_string());
        if let Some(location) = &self.location {
            writer.string_member("location", location);
        }
        if let Some(version) = self.version {
            writer.string_member("etag", &entity_tag(version));
        }
        if let Some(last_modified) = self.last_modified {
            writer.string_member("lastModified", &last_modified.to_string());
        }
        if let Some(outcome) = &self.outcome {
            writer.raw_member("outcome", outcome);
        }
        writer.end_object().end_object();
    }
}

/// The JSON of a response Bundle.
pub(super) fn response_bundle(kind: &str, entries: &[EntryResponse]) -> String {
    let bytes: usize = entries.iter().map(|entry| 256 + entry.resource.as_ref().map_or(0, String::len)).sum();
    let mut writer = Writer::with_capacity(bytes + 256);
    writer.begin_object().string_member("resourceType", "Bundle").string_member("type", kind);
    if !entries.is_empty() {
        writer.key("entry").begin_array();
        entries.iter().for_each(|entry| entry.write(&mut writer));
        writer.end_array();
    }
    writer.end_object();
    writer.finish()
}
