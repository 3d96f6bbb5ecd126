//! A dead letter as the JSON of a message.

use fhirpool_authz::TenantId;
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType, VersionId};
use fhirpool_storage::DeadLetter;
use serde::{Deserialize, Serialize};

/// The format written. Messages of a later one are not understood.
const FORMAT: u32 = 1;
/// Longer texts are cut: a message of SQS has at most 256 KiB.
const TEXT_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    record: String,
    cause: String,
}

/// The message of a letter.
pub(crate) fn write(letter: &DeadLetter) -> String {
    let message = Message {
        format: FORMAT,
        tenant: letter.tenant.as_ref().map(TenantId::to_string),
        resource_type: letter.key.as_ref().map(|key| key.resource_type.to_string()),
        id: letter.key.as_ref().map(|key| key.id.to_string()),
        version: letter.version.map(|version| version.0),
        record: cut(&letter.record),
        cause: cut(&letter.cause),
    };
    serde_json::to_string(&message).expect("texts and numbers can be written as JSON")
}

/// The letter of a message; `None` for one that is none.
pub(crate) fn read(message: &str) -> Option<DeadLetter> {
    let message: Message = serde_json::from_str(message).ok().filter(|message: &Message| message.format == FORMAT)?;
    let key = match (message.resource_type, message.id) {
        (None, None) => None,
        (Some(resource_type), Some(id)) => Some(ResourceKey::new(ResourceType::parse(&resource_type)?, ResourceId::parse(&id)?)),
        _ => return None,
    };
    let tenant = match message.tenant {
        None => None,
        Some(tenant) => Some(TenantId::parse(&tenant)?),
    };
    Some(DeadLetter { tenant, key, version: message.version.map(VersionId), record: message.record, cause: message.cause })
}

/// What a message that is no letter is given as, so that it is seen and can be removed.
pub(crate) fn unreadable(message_id: &str) -> DeadLetter {
    let record = format!("message {}", cut(message_id));
    DeadLetter { tenant: None, key: None, version: None, record, cause: "the message is no dead letter of this format".into() }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            tenant: TenantId::parse("acme"),
            key: Some(ResourceKey::new(ResourceType::parse("Patient").unwrap(), ResourceId::parse("a.1").unwrap())),
            version: Some(VersionId(7)),
            record: "T#acme#R#Patient#a.1 V#00000007".into(),
            cause: "the document is too large".into(),
        }
    }

    #[test]
    fn letters_come_back_as_they_went() {
        let bare = DeadLetter { tenant: None, key: None, version: None, ..letter() };
        for letter in [letter(), bare] {
            assert_eq!(read(&write(&letter)), Some(letter));
        }
    }

    #[test]
    fn long_causes_are_cut_between_characters() {
        let long = DeadLetter { cause: "é".repeat(300_000), record: "x".repeat(300_000), ..letter() };
        let message = write(&long);
        assert!(message.len() < 40 << 10);
        assert!(read(&message).unwrap().cause.chars().all(|character| character == 'é'));
    }

    #[test]
    fn what_is_no_letter_is_not_taken_for_one() {
        let whole = write(&letter());
        for damaged in ["", "{}", "[]", &whole.replace("\"format\":1", "\"format\":2"), &whole.replace("Patient\"", "Nothing\"")] {
            assert_eq!(read(damaged), None, "{damaged}");
        }
    }
}
