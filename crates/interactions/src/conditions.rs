//! `If-Match`, `If-None-Match` and `If-Modified-Since`, as headers and as the elements of a bundle entry.

use fhirpool_fhir::{Timestamp, VersionId};

use crate::{InteractionError, Result};

/// What an `If-Match` or `If-None-Match` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntityTags {
    /// `*`
    Any,
    /// One or more versions; tags that are no version of ours are left out.
    Versions(Vec<VersionId>),
}

impl EntityTags {
    /// Reads `W/"3"`, `"3"`, bare `3` (as some clients send), lists of them by comma, or `*`.
    pub(crate) fn parse(text: &str, header: &str) -> Result<Self> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut versions = Vec::new();
        for tag in text.split(',').map(str::trim) {
            let value = tag.strip_prefix("W/").unwrap_or(tag);
            let value = match value.strip_prefix('"') {
                Some(rest) => rest.strip_suffix('"'),
                None => Some(value),
            };
            match value {
                Some(value) if !value.is_empty() && !value.contains(['"', ' ']) => versions.extend(VersionId::parse(value)),
                _ => return Err(InteractionError::bad_request(format!("{header} is no entity tag such as W/\"3\""))),
            }
        }
        Ok(Self::Versions(versions))
    }

    pub(crate) fn contains(&self, version: VersionId) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// What a read's `If-None-Match` and `If-Modified-Since` say of a version. By RFC 9110, 13.2.2 the latter counts only where the
/// former is absent, and to the second.
pub(crate) fn is_not_modified(
    if_none_match: Option<&str>,
    if_modified_since: Option<Timestamp>,
    version: VersionId,
    last_updated: Timestamp,
) -> Result<bool> {
    match (if_none_match, if_modified_since) {
        (Some(tags), _) => Ok(EntityTags::parse(tags, "If-None-Match")?.contains(version)),
        (None, Some(since)) => Ok(last_updated.0.div_euclid(1000) <= since.0.div_euclid(1000)),
        (None, None) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_every_form_of_a_tag_that_clients_send() {
        for text in ["W/\"3\"", "\"3\"", "3", " W/\"3\" ", "W/\"2\", W/\"3\"", "*"] {
            assert!(EntityTags::parse(text, "If-Match").unwrap().contains(VersionId(3)), "{text}");
        }
        for text in ["W/\"33\"", "\"abc\"", "0", "03"] {
            assert!(!EntityTags::parse(text, "If-Match").unwrap().contains(VersionId(3)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_tag() {
        for text in ["", "\"3", "W/\"", "3 4", "\"\""] {
            assert!(EntityTags::parse(text, "If-Match").is_err(), "{text:?}");
        }
    }

    #[test]
    fn compares_modification_times_to_the_second() {
        let at = |since: i64| is_not_modified(None, Some(Timestamp(since)), VersionId(1), Timestamp(5_999)).unwrap();
        assert!(at(5_000));
        assert!(!at(4_999));
    }
}
