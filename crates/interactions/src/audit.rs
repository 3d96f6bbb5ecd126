//! The log of accesses as R4's AuditEvent: search and read, by who holds leave for it.

use fhirpool_audit::{AuditQuery, Found, Reader, RecordId, SearchError, write_event};
use fhirpool_authz::ReadAccess;
use fhirpool_fhir::json::Writer;
use fhirpool_fhir::{Issue, IssueCode, OperationOutcome, ResourceId, ServiceBase};
use fhirpool_search::parse::{PAGE_PARAMETER, encode_query};

use crate::page_token::Page;
use crate::parameters::decode;
use crate::{BundleOutcome, ErrorKind, InteractionError, Interactions, Result};

/// What page tokens of it are bound to, besides its client: no address of stored resources is like it.
const ADDRESS: &str = "$audit/AuditEvent";

/// `GET [base]/AuditEvent?date=…`
#[derive(Debug, Clone, Copy)]
pub struct AuditSearch<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// Undecoded.
    pub query: &'a str,
}

impl Interactions {
    /// A page of the log, the newest first.
    pub async fn search_audit(&self, reader: &Reader, access: &ReadAccess, request: AuditSearch<'_>) -> Result<BundleOutcome> {
        let mut parameters = decode(request.query)?;
        let token = parameters.iter().position(|(name, _)| name == PAGE_PARAMETER).map(|place| parameters.remove(place).1);
        let mut after = None;
        if let Some(token) = &token {
            if parameters.iter().any(|(name, _)| name != "_count") {
                return Err(InteractionError::bad_request("a page link takes no further parameters"));
            }
            let page = self.open_page(access, ADDRESS, token)?;
            let place = RecordId::of_bytes(&page.position);
            after = Some(place.ok_or_else(|| InteractionError::bad_request("the page link is damaged"))?);
            let own_count = std::mem::replace(&mut parameters, decode(&page.query)?);
            if !own_count.is_empty() {
                parameters.retain(|(name, _)| name != "_count");
                parameters.extend(own_count);
            }
        }
        let query = AuditQuery::parse(&parameters).map_err(refused)?;
        let count = query.count.map_or(self.limits.page_size_default, |count| usize::try_from(count).unwrap_or(usize::MAX));
        let found = reader.find(access, &query, after, count.min(self.limits.page_size_max)).await?;
        let at = format!("{}/AuditEvent", request.base);
        let own_query = encode_query(&parameters);
        let this = match &token {
            Some(token) => format!("{at}?{PAGE_PARAMETER}={token}"),
            None => format!("{at}?{own_query}"),
        };
        let next = found.next.map(|place| {
            let page = Page { query: own_query.clone(), total: None, position: place.to_bytes() };
            format!("{at}?{PAGE_PARAMETER}={}", self.seal_page(access, ADDRESS, &page))
        });
        Ok(BundleOutcome { json: searchset(&at, &this, next.as_deref(), &found, &self.ids.next_id()) })
    }

    /// A record by its id; `None`: the id is none of a record, and may be that of a stored AuditEvent.
    pub async fn read_audit(&self, reader: &Reader, access: &ReadAccess, id: &str) -> Result<Option<String>> {
        let Ok(id) = id.parse::<RecordId>() else { return Ok(None) };
        let record = reader.record(access, &id).await?;
        let record = record.ok_or_else(|| InteractionError::of(ErrorKind::NotFound, "there is no such record of an access"))?;
        let mut writer = Writer::new();
        write_event(&record, Some(&id), &mut writer);
        Ok(Some(writer.finish()))
    }
}

fn refused(error: SearchError) -> InteractionError {
    let kind = match error {
        SearchError::TooLong => ErrorKind::TooCostly,
        SearchError::Unsupported(_) | SearchError::Invalid(_) => ErrorKind::BadRequest,
    };
    InteractionError::of(kind, error.to_string())
}

fn searchset(at: &str, this: &str, next: Option<&str>, found: &Found, outcome_id: &ResourceId) -> String {
    let mut writer = Writer::with_capacity(512 + found.records.len() * 1024);
    writer.begin_object().string_member("resourceType", "Bundle").string_member("type", "searchset");
    writer.key("link").begin_array();
    for (relation, url) in [("self", Some(this)), ("next", next)] {
        if let Some(url) = url {
            writer.begin_object().string_member("relation", relation).string_member("url", url).end_object();
        }
    }
    writer.end_array();
    if !found.records.is_empty() || found.unreadable > 0 {
        writer.key("entry").begin_array();
        for (id, record) in &found.records {
            writer.begin_object().string_member("fullUrl", &format!("{at}/{id}")).key("resource");
            write_event(record, Some(id), &mut writer);
            writer.key("search").begin_object().string_member("mode", "match").end_object().end_object();
        }
        if found.unreadable > 0 {
            let text = format!("{} records of this page's span are damaged and are left out", found.unreadable);
            let outcome = OperationOutcome { issues: vec![Issue::warning(IssueCode::Incomplete, text)] }.to_json();
            writer.begin_object().string_member("fullUrl", &format!("urn:uuid:{outcome_id}")).raw_member("resource", &outcome);
            writer.key("search").begin_object().string_member("mode", "outcome").end_object().end_object();
        }
        writer.end_array();
    }
    writer.end_object();
    writer.finish()
}
