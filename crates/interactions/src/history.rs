//! History of a resource, a type and a tenant (R4 http.html#history).

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::date::Date;
use fhirpool_fhir::json::Writer;
use fhirpool_fhir::{ResourceKey, ResourceType, ServiceBase, Timestamp};
use fhirpool_storage::{Content, HistoryEntry, HistoryPage, HistoryPosition, HistoryRequest, HistoryScope, Method};

use crate::binary::{is_binary, listed};
use crate::page_token::Page;
use crate::reach::Reach;
use crate::read::json_of;
use crate::{BundleOutcome, ErrorKind, Handling, InteractionError, Interactions, Result, entity_tag, parameters};

/// `GET [base]/_history`, `[base]/[type]/_history`, `[base]/[type]/[id]/_history`
#[derive(Debug, Clone)]
pub struct HistoryInteraction<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// Whose history.
    pub scope: HistoryScope,
    /// The address's query, undecoded.
    pub query: &'a str,
    /// What becomes of unknown parameters.
    pub handling: Handling,
}

/// What the parameters of a history say.
#[derive(Debug, Default)]
struct HistoryQuery {
    since: Option<Timestamp>,
    at: Option<(Timestamp, Timestamp)>,
    count: Option<usize>,
    page: Option<String>,
    /// What was understood, the page token aside.
    parameters: Vec<(String, String)>,
}

/// Refuses the query of a history that cannot be understood.
pub(crate) fn check_history_query(query: &str, handling: Handling) -> Result<()> {
    HistoryQuery::parse(query, handling).map(|_| ())
}

/// So many versions are looked at at once for one that may be seen.
const NEXT_LOOK: usize = 100;

impl Interactions {
    /// A page of history, newest first.
    pub async fn history(&self, access: &ReadAccess, request: HistoryInteraction<'_>) -> Result<BundleOutcome> {
        let reach = self.reach(access, request.base);
        let address = match &request.scope {
            HistoryScope::Instance(key) => {
                reach.check(key.resource_type)?;
                format!("{key}/_history")
            }
            HistoryScope::Type(resource_type) => {
                reach.check(*resource_type)?;
                format!("{resource_type}/_history")
            }
            // Narrowed to the types that may be seen, as a search over all types is.
            HistoryScope::Tenant => "_history".to_owned(),
        };
        let mut query = HistoryQuery::parse(request.query, request.handling)?;
        let mut after = None;
        if let Some(token) = query.page.take() {
            if !query.parameters.is_empty() {
                return Err(InteractionError::bad_request("a page link takes no further parameters"));
            }
            let page = self.open_page(access, &address, &token)?;
            query = HistoryQuery::parse(&page.query, request.handling)?;
            after = Some(HistoryPosition(page.position));
        }
        let wanted = query.count.unwrap_or(self.limits.page_size_default).min(self.limits.page_size_max);
        let is_instance = matches!(request.scope, HistoryScope::Instance(_));
        let is_first = after.is_none();
        let asked = HistoryRequest { scope: request.scope, since: query.since, at: query.at, after, limit: wanted.max(1) };
        let mut page = self.reached_page(access, &reach, asked.clone()).await?;
        if page.entries.is_empty() && is_instance && is_first && !self.has_versions(access, &reach, &asked).await? {
            return Err(InteractionError::of(ErrorKind::NotFound, "there is no such resource and never was"));
        }
        if wanted == 0 {
            page.entries.clear();
            page.next = None;
        }
        Ok(self.history_bundle(access, request.base, &address, &query, page))
    }

    /// Whether the resource has any version that may be seen, whatever the times asked for.
    async fn has_versions(&self, access: &ReadAccess, reach: &Reach<'_>, asked: &HistoryRequest) -> Result<bool> {
        let HistoryScope::Instance(key) = &asked.scope else { return Ok(true) };
        if !reach.is_limited(key.resource_type) {
            return Ok(self.store.read(access, key).await?.is_some());
        }
        let any = HistoryRequest { since: None, at: None, after: None, limit: 1, ..asked.clone() };
        Ok(!self.reached_page(access, reach, any).await?.entries.is_empty())
    }

    /// A page of the versions that may be seen. It is filled up from further pages of the store, so that its length tells nothing
    /// of what is left out; where too many of those come first, it is a short one.
    async fn reached_page(&self, access: &ReadAccess, reach: &Reach<'_>, mut asked: HistoryRequest) -> Result<HistoryPage> {
        let is_limited = match &asked.scope {
            HistoryScope::Instance(ResourceKey { resource_type, .. }) | HistoryScope::Type(resource_type) => {
                reach.is_limited(*resource_type)
            }
            HistoryScope::Tenant => {
                ResourceType::all().any(|resource_type| access.allows(resource_type) && reach.is_limited(resource_type))
            }
        };
        if !is_limited {
            return Ok(self.store.history(access, &asked).await?);
        }
        let wanted = asked.limit;
        let mut reached = HistoryPage { entries: Vec::new(), next: None, total: None };
        let (mut left, mut many) = (self.limits.history_looks_max, true);
        loop {
            let missing = wanted - reached.entries.len();
            asked.limit = if many { (missing * 4).max(100) } else { missing };
            let page = self.store.history(access, &asked).await?;
            // Of entries that are not of the scope the store has looked at as many at least.
            let looked_at = asked.limit.max(page.entries.len());
            let mut found = Vec::new();
            for entry in page.entries {
                if reach.admits(&entry.key, &entry.version).await? {
                    found.push(entry);
                }
            }
            if found.len() > missing {
                // A place between entries of the store's page is not to be had: ask for no more than fits.
                many = false;
                continue;
            }
            many = true;
            reached.entries.extend(found);
            left = left.saturating_sub(looked_at);
            reached.next = page.next;
            if reached.next.is_none() || left == 0 {
                return Ok(reached);
            }
            asked.after = reached.next.clone();
            if reached.entries.len() == wanted {
                if !self.goes_on(access, reach, asked, left).await? {
                    reached.next = None;
                }
                return Ok(reached);
            }
        }
    }

    /// Whether a version that may be seen follows, as far as it is looked for: a link to a page without one would tell of those that
    /// may not.
    async fn goes_on(&self, access: &ReadAccess, reach: &Reach<'_>, mut asked: HistoryRequest, mut left: usize) -> Result<bool> {
        asked.limit = NEXT_LOOK;
        while left > 0 {
            let page = self.store.history(access, &asked).await?;
            for entry in &page.entries {
                if reach.admits(&entry.key, &entry.version).await? {
                    return Ok(true);
                }
            }
            if page.next.is_none() {
                return Ok(false);
            }
            asked.after = page.next;
            left = left.saturating_sub(asked.limit);
        }
        Ok(true)
    }

    fn history_bundle(
        &self,
        access: &ReadAccess,
        base: &ServiceBase,
        address: &str,
        query: &HistoryQuery,
        page: HistoryPage,
    ) -> BundleOutcome {
        let own_query = fhirpool_search::parse::encode_query(&query.parameters);
        let mut writer = Writer::with_capacity(page.entries.len() * 2048 + 512);
        writer.begin_object().string_member("resourceType", "Bundle").string_member("type", "history");
        if let Some(total) = page.total {
            writer.raw_member("total", &total.to_string());
        }
        writer.key("link").begin_array();
        let separator = if own_query.is_empty() { "" } else { "?" };
        write_link(&mut writer, "self", &format!("{base}/{address}{separator}{own_query}"));
        if let Some(next) = page.next {
            let token = self.seal_page(access, address, &Page { query: own_query, total: page.total, position: next.0 });
            write_link(&mut writer, "next", &format!("{base}/{address}?{}={token}", fhirpool_search::parse::PAGE_PARAMETER));
        }
        writer.end_array();
        if !page.entries.is_empty() {
            writer.key("entry").begin_array();
            page.entries.iter().for_each(|entry| write_entry(&mut writer, base, entry));
            writer.end_array();
        }
        writer.end_object();
        BundleOutcome { json: writer.finish() }
    }
}

impl HistoryQuery {
    fn parse(text: &str, handling: Handling) -> Result<Self> {
        let mut query = Self::default();
        for (name, value) in parameters::decode(text)? {
            match name.as_str() {
                "_since" => {
                    let date = Date::parse_search(&value).filter(|date| date.is_instant());
                    let date =
                        date.ok_or_else(|| InteractionError::bad_request("_since must be an instant, such as 2026-11-21T08:42:52Z"))?;
                    // A span that begins within a millisecond begins with it: what was committed then counts.
                    query.since = Some(date.begin());
                }
                "_at" => {
                    let date = Date::parse_search(&value);
                    let date = date.ok_or_else(|| InteractionError::bad_request("_at must be a date, such as 2026-11-21"))?;
                    query.at = Some((date.begin(), date.end()));
                }
                "_count" => {
                    let count = value.parse::<u32>();
                    query.count =
                        Some(count.map_err(|_| InteractionError::bad_request("_count must be a whole number, 0 or more"))? as usize);
                }
                fhirpool_search::parse::PAGE_PARAMETER => {
                    query.page = Some(value);
                    continue;
                }
                _ if handling == Handling::Lenient => continue,
                _ => return Err(parameters::unknown(&name)),
            }
            query.parameters.push((name, value));
        }
        Ok(query)
    }
}

/// Writes one link of a Bundle.
pub(crate) fn write_link(writer: &mut Writer, relation: &str, url: &str) {
    writer.begin_object().string_member("relation", relation).string_member("url", url).end_object();
}

fn write_entry(writer: &mut Writer, base: &ServiceBase, entry: &HistoryEntry) {
    let HistoryEntry { key, version } = entry;
    let is_delete = matches!(version.content, Content::Deleted);
    writer.begin_object().string_member("fullUrl", &format!("{base}/{key}"));
    if let Some(json) = json_of(version) {
        let json = if is_binary(key) { listed(json) } else { json };
        writer.raw_member("resource", &json);
    }
    let (method, url, status) = match version.method {
        Method::Post => ("POST", key.resource_type.to_string(), "201"),
        Method::Put if version.version.0 == 1 => ("PUT", key.to_string(), "201"),
        Method::Put => ("PUT", key.to_string(), "200"),
        Method::Patch => ("PATCH", key.to_string(), "200"),
        Method::Delete => ("DELETE", key.to_string(), "204"),
    };
    let method = if is_delete { "DELETE" } else { method };
    writer.key("request").begin_object().string_member("method", method).string_member("url", &url).end_object();
    writer.key("response").begin_object().string_member("status", status);
    writer.string_member("etag", &entity_tag(version.version)).string_member("lastModified", &version.last_updated.to_string());
    writer.end_object().end_object();
}
