//! What is sent for a file: a Bundle as it stands, or a batch of updates.

use fhirpool_fhir::json::{Document, Edit, Value, Writer};

/// A Bundle to POST.
#[derive(Debug)]
pub(super) struct Request {
    /// The number within its file, from 1.
    pub part: u64,
    pub body: String,
}

/// Transactions and batches stay as they are; other Bundles become a batch of their resources, and so does a lone resource.
pub(super) fn of_document(text: Vec<u8>, part: u64, keep_ids: bool) -> Result<Request, String> {
    let document = Document::parse(text).map_err(|cause| cause.to_string())?;
    let root = document.root();
    if root.get_str("resourceType").as_deref() != Some("Bundle") {
        return Ok(Request { part, body: batch([root])? });
    }
    match root.get_str("type").as_deref() {
        Some("transaction" | "batch") if keep_ids => Ok(Request { part, body: with_ids_kept(root) }),
        Some("transaction" | "batch") => Ok(Request { part, body: document.into_source() }),
        _ => {
            let entries = root.get("entry").into_iter().flat_map(Value::elements);
            Ok(Request { part, body: batch(entries.filter_map(|entry| entry.get("resource")))? })
        }
    }
}

/// One resource a line.
pub(super) fn of_lines(lines: &[Vec<u8>], part: u64) -> Result<Request, String> {
    let documents: Vec<Document> =
        lines.iter().map(|line| Document::parse(line.trim_ascii())).collect::<Result<_, _>>().map_err(|cause| cause.to_string())?;
    Ok(Request { part, body: batch(documents.iter().map(Document::root))? })
}

/// A batch of these entries of a Bundle; `None`: there are none, or some are no updates.
pub(super) fn of_updates(bundle: &[u8], positions: impl ExactSizeIterator<Item = usize>) -> Option<String> {
    if positions.len() == 0 {
        return None;
    }
    let document = Document::parse(bundle).ok()?;
    let entries: Vec<Value<'_>> = document.root().get("entry").into_iter().flat_map(Value::elements).collect();
    let mut writer = Writer::new();
    writer.begin_object().string_member("resourceType", "Bundle").string_member("type", "batch").key("entry").begin_array();
    for position in positions {
        let entry = entries.get(position)?;
        if entry.get("request")?.get_str("method")? != "PUT" {
            return None;
        }
        writer.raw(entry.raw());
    }
    writer.end_array().end_object();
    Some(writer.finish())
}

fn batch<'a>(resources: impl IntoIterator<Item = Value<'a>>) -> Result<String, String> {
    let mut writer = Writer::new();
    writer.begin_object().string_member("resourceType", "Bundle").string_member("type", "batch").key("entry").begin_array();
    for resource in resources {
        let resource_type = resource.get_str("resourceType").ok_or("a resource without resourceType")?;
        writer.begin_object().raw_member("resource", resource.raw()).key("request").begin_object();
        match resource.get_str("id") {
            Some(id) => writer.string_member("method", "PUT").string_member("url", &format!("{resource_type}/{id}")),
            None => writer.string_member("method", "POST").string_member("url", &resource_type),
        };
        writer.end_object().end_object();
    }
    writer.end_array().end_object();
    Ok(writer.finish())
}

/// The Bundle with each plain POST of a resource that has an id turned into a PUT under that id.
fn with_ids_kept(bundle: Value<'_>) -> String {
    let entries = bundle.get("entry").into_iter().flat_map(Value::elements);
    let edits: Vec<Edit> = entries.filter_map(put_instead).collect();
    let mut body = String::with_capacity(bundle.raw().len());
    bundle.write_edited(&edits, &mut body);
    body
}

fn put_instead(entry: Value<'_>) -> Option<Edit> {
    let request = entry.get("request")?;
    let resource = entry.get("resource")?;
    if request.get_str("method")? != "POST" || request.get("ifNoneExist").is_some() {
        return None;
    }
    let mut writer = Writer::new();
    let url = format!("{}/{}", resource.get_str("resourceType")?, resource.get_str("id")?);
    writer.begin_object().string_member("method", "PUT").string_member("url", &url).end_object();
    Some(Edit { range: request.range(), text: writer.finish() })
}
