//! A resource's stored text: the client's bytes without the three values that are the server's.

use crate::json::{Edit, Value, write_string};
use crate::{ResourceId, Timestamp, VersionId};

#[cfg(test)]
mod tests;

/// Compact JSON of a resource with its `id` in place and without `meta.versionId` and `meta.lastUpdated`, and where those go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceBody {
    /// The JSON.
    pub text: String,
    /// The byte offset in `text` where the two go.
    pub meta_offset: u32,
    /// What stands there.
    pub meta: MetaPlace,
}

/// What stands where version and time go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum MetaPlace {
    /// No `meta`: a whole one is put in, comma first.
    Absent = 0,
    /// `"meta":{` ahead and `}` behind.
    Empty = 1,
    /// `"meta":{` ahead and another property behind.
    Filled = 2,
}

impl ResourceBody {
    /// Takes a parsed resource over under an id: drops white space and the client's `meta.versionId` and `meta.lastUpdated`,
    /// puts the id in place (behind `resourceType` where the client sent none) and applies the edits (sorted by place; each
    /// names a value other than the id and `meta` themselves).
    ///
    /// The value must be an object with a `resourceType`, and its `meta`, if there is one, an object.
    pub fn prepare(resource: Value<'_>, id: &ResourceId, edits: &[Edit]) -> Self {
        let mut text = String::with_capacity(resource.raw().len() + 64);
        let mut place = (0, MetaPlace::Absent);
        let has_id = resource.get("id").is_some();
        let mut open = '{';
        for member in resource.members() {
            text.push(open);
            open = ',';
            text.push_str(member.raw_name());
            text.push(':');
            let (name, value) = (member.name(), member.value());
            match &*name {
                "id" => write_string(id.as_str(), &mut text),
                "meta" if value.is_object() => place = write_meta(value, edits, &mut text),
                _ => value.write_edited(edits, &mut text),
            }
            if name == "resourceType" && !has_id {
                text.push_str(",\"id\":");
                write_string(id.as_str(), &mut text);
            }
            if place.1 == MetaPlace::Absent && matches!(&*name, "id" | "resourceType") {
                place.0 = text.len();
            }
        }
        text.push('}');
        Self { text, meta_offset: place.0 as u32, meta: place.1 }
    }

    /// Appends the resource as clients see it.
    pub fn write(&self, version: VersionId, last_updated: Timestamp, out: &mut String) {
        let (ahead, behind) = self.text.split_at(self.meta_offset as usize);
        out.reserve(self.text.len() + 80);
        out.push_str(ahead);
        if self.meta == MetaPlace::Absent {
            out.push_str(",\"meta\":{");
        }
        out.push_str("\"versionId\":\"");
        out.push_str(&version.to_string());
        out.push_str("\",\"lastUpdated\":\"");
        last_updated.write(out);
        out.push_str(match self.meta {
            MetaPlace::Absent => "\"}",
            MetaPlace::Empty => "\"",
            MetaPlace::Filled => "\",",
        });
        out.push_str(behind);
    }
}

fn write_meta(meta: Value<'_>, edits: &[Edit], text: &mut String) -> (usize, MetaPlace) {
    text.push('{');
    let offset = text.len();
    for member in meta.members() {
        if matches!(&*member.name(), "versionId" | "lastUpdated" | "_versionId" | "_lastUpdated") {
            continue;
        }
        if text.len() > offset {
            text.push(',');
        }
        text.push_str(member.raw_name());
        text.push(':');
        member.value().write_edited(edits, text);
    }
    let place = if text.len() > offset { MetaPlace::Filled } else { MetaPlace::Empty };
    text.push('}');
    (offset, place)
}
