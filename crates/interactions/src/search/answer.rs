//! The searchset Bundle (R4 bundle.html#searchset), written straight from stored bodies.

use fhirpool_fhir::json::write_string;
use fhirpool_fhir::{Issue, IssueCode, OperationOutcome, ResourceBody, ResourceKey, ServiceBase, Timestamp, VersionId};
use fhirpool_search::Query;
use fhirpool_storage::{Content, StoredVersion};

use crate::binary::{is_binary, listed};
use crate::subset::Subset;
use crate::{BundleOutcome, Interactions, Result};

/// One resource of an answer.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: ResourceKey,
    pub version: VersionId,
    pub last_updated: Timestamp,
    pub body: ResourceBody,
}

impl Entry {
    /// The entry of a version; `None` for a delete.
    pub(super) fn new(key: ResourceKey, version: StoredVersion) -> Option<Self> {
        match version.content {
            Content::Resource(body) => Some(Self { key, version: version.version, last_updated: version.last_updated, body }),
            Content::Deleted => None,
        }
    }
}

/// The resources of an answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub matches: Vec<Entry>,
    pub included: Vec<Entry>,
    /// Whether the index was behind what the search had to know of.
    pub behind: bool,
}

/// The links of an answer.
#[derive(Debug)]
pub(super) struct Links {
    pub this: String,
    pub first: Option<String>,
    pub next: Option<String>,
}

impl Interactions {
    pub(super) async fn answer(
        &self,
        base: &ServiceBase,
        query: &Query,
        total: Option<u64>,
        links: Links,
        answer: Answer,
    ) -> Result<BundleOutcome> {
        let mut out = String::from("{\"resourceType\":\"Bundle\",\"type\":\"searchset\"");
        if let Some(total) = total {
            out.push_str(",\"total\":");
            out.push_str(&total.to_string());
        }
        write_links(&links, &mut out);
        let bytes: usize = answer.matches.iter().chain(&answer.included).map(|entry| entry.body.text.len() + 256).sum();
        let subset = Subset::of_query(query);
        let mut issues = query.warnings.clone();
        if answer.behind {
            issues.push(Issue::warning(IssueCode::Incomplete, "the index was behind: the latest changes may be missing; search again"));
        }
        let outcome = (!issues.is_empty()).then(|| OperationOutcome { issues }.to_json());
        let outcome_id = outcome.as_ref().map(|_| self.ids.next_id());
        let base = base.to_owned();
        // Shortening costs as much as parsing; copying whole bodies does not.
        let weight = if subset == Subset::Whole { 0 } else { bytes };
        self.work(weight, move |this| {
            out.reserve(bytes);
            let mut separator = ",\"entry\":[";
            for (entries, mode) in [(&answer.matches, "match"), (&answer.included, "include")] {
                for entry in entries {
                    out.push_str(separator);
                    separator = ",";
                    this.write_entry(&base, entry, &subset, mode, &mut out)?;
                }
            }
            if let (Some(outcome), Some(id)) = (outcome, outcome_id) {
                out.push_str(separator);
                separator = ",";
                out.push_str("{\"fullUrl\":\"urn:uuid:");
                out.push_str(id.as_str());
                out.push_str("\",\"resource\":");
                out.push_str(&outcome);
                out.push_str(",\"search\":{\"mode\":\"outcome\"}}");
            }
            out.push_str(if separator == "," { "]}" } else { "}" });
            Ok(BundleOutcome { json: out })
        })
        .await
    }

    fn write_entry(&self, base: &ServiceBase, entry: &Entry, subset: &Subset, mode: &str, out: &mut String) -> Result<()> {
        out.push_str("{\"fullUrl\":");
        write_string(&format!("{base}/{}", entry.key), out);
        out.push_str(",\"resource\":");
        if *subset == Subset::Whole && !is_binary(&entry.key) {
            entry.body.write(entry.version, entry.last_updated, out);
        } else {
            let mut json = String::new();
            entry.body.write(entry.version, entry.last_updated, &mut json);
            if is_binary(&entry.key) {
                json = listed(json);
            }
            match subset {
                Subset::Whole => out.push_str(&json),
                _ => out.push_str(&subset.apply(&self.definitions, entry.key.resource_type, &self.parse(json.into_bytes())?)),
            }
        }
        out.push_str(",\"search\":{\"mode\":\"");
        out.push_str(mode);
        out.push_str("\"}}");
        Ok(())
    }
}

fn write_links(links: &Links, out: &mut String) {
    let named = [("self", Some(&links.this)), ("first", links.first.as_ref()), ("next", links.next.as_ref())];
    let mut separator = ",\"link\":[";
    for (relation, url) in named {
        let Some(url) = url else { continue };
        out.push_str(separator);
        separator = ",";
        out.push_str("{\"relation\":\"");
        out.push_str(relation);
        out.push_str("\",\"url\":");
        write_string(url, out);
        out.push('}');
    }
    out.push(']');
}
