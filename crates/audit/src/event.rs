//! A record as R4's AuditEvent (auditevent.html), in the manner of IHE's Basic Audit Log Patterns.

use fhirpool_fhir::json::Writer;

use crate::record::{Activity, Record, outcome_of};
use crate::search::RecordId;

const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const OWN_ACTIVITY: &str = "urn:fhirpool:audit-activity";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const BASIC_ENTITY_TYPE: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";

fn coding(writer: &mut Writer, system: &str, code: &str) {
    writer.begin_object().string_member("system", system).string_member("code", code).end_object();
}

/// Writes the resource.
pub fn write_event(record: &Record, id: Option<&RecordId>, writer: &mut Writer) {
    writer.begin_object().string_member("resourceType", "AuditEvent");
    if let Some(id) = id {
        writer.string_member("id", &id.to_string());
    }
    writer.key("type");
    coding(writer, EVENT_TYPE, "rest");
    writer.key("subtype").begin_array();
    write_activity(record.activity, writer);
    writer.end_array();
    writer.string_member("action", record.activity.action().encode_utf8(&mut [0; 4]));
    writer.string_member("recorded", &record.time.to_string());
    writer.string_member("outcome", outcome_of(record.status).encode_utf8(&mut [0; 4]));
    match record.status {
        0 => writer.string_member("outcomeDesc", "the client went away before there was an answer"),
        status => writer.string_member("outcomeDesc", &format!("HTTP {status}")),
    };
    write_agents(record, writer);
    writer.key("source").begin_object().key("observer").begin_object().string_member("display", "fhirpool").end_object();
    writer.key("type").begin_array();
    coding(writer, SOURCE_TYPE, "4");
    writer.end_array().end_object();
    write_entities(record, writer);
    writer.end_object();
}

fn write_activity(activity: Activity, writer: &mut Writer) {
    coding(writer, if activity.is_fhirs() { INTERACTION } else { OWN_ACTIVITY }, activity.code());
}

fn write_agents(record: &Record, writer: &mut Writer) {
    writer.key("agent").begin_array().begin_object();
    writer.key("type").begin_object().key("coding").begin_array();
    coding(writer, DICOM, "110153");
    writer.end_array().end_object();
    writer.key("who").begin_object();
    match &record.agent {
        Some(agent) => {
            writer.key("identifier").begin_object();
            writer.string_member("system", &agent.issuer).string_member("value", &agent.subject).end_object();
        }
        None if matches!(record.activity, Activity::ContentDownload | Activity::ContentUpload) => {
            writer.string_member("display", "whoever has the signed address");
        }
        None => {
            writer.string_member("display", "nobody this tenant knows");
        }
    }
    writer.end_object().raw_member("requestor", "true");
    if let Some(peer) = record.peer {
        writer.key("network").begin_object().string_member("address", &peer.to_string()).string_member("type", "2").end_object();
    }
    writer.end_object();
    if let Some((agent, client)) = record.agent.as_ref().and_then(|agent| Some((agent, agent.client.as_ref()?))) {
        writer.begin_object().key("type").begin_object().key("coding").begin_array();
        coding(writer, DICOM, "110150");
        writer.end_array().end_object().key("who").begin_object().key("identifier").begin_object();
        writer.string_member("system", &agent.issuer).string_member("value", client).end_object().end_object();
        writer.raw_member("requestor", "false").end_object();
    }
    writer.end_array();
}

fn write_entities(record: &Record, writer: &mut Writer) {
    writer.key("entity").begin_array();
    writer.begin_object().key("what").begin_object().key("identifier").begin_object();
    writer.string_member("value", &record.request_id).end_object().end_object().key("type");
    coding(writer, BASIC_ENTITY_TYPE, "XrequestId");
    writer.end_object();
    if let Some(resource_type) = record.resource_type {
        let reference = reference(resource_type.name(), record.id.as_deref(), record.version);
        write_resource(&reference, None, writer);
    }
    if !record.parameters.is_empty() {
        writer.begin_object().key("type");
        coding(writer, ENTITY_TYPE, "2");
        writer.key("role");
        coding(writer, OBJECT_ROLE, "24");
        writer.key("detail").begin_array();
        for name in record.parameters.split(',') {
            writer.begin_object().string_member("type", "parameter").string_member("valueString", name).end_object();
        }
        writer.end_array().end_object();
    }
    for patient in &record.patients {
        writer.begin_object().key("what").begin_object().string_member("reference", &format!("Patient/{patient}")).end_object();
        writer.key("type");
        coding(writer, ENTITY_TYPE, "1");
        writer.key("role");
        coding(writer, OBJECT_ROLE, "1");
        writer.end_object();
    }
    for touched in &record.touched {
        let reference = touched.resource_type.map(|name| reference(name.name(), touched.id.as_deref(), touched.version));
        let said = (touched.activity.code(), touched.status);
        write_resource(reference.as_deref().unwrap_or_default(), Some(said), writer);
    }
    writer.end_array();
}

/// What is known of it, as a reference: `Patient`, `Patient/1` or `Patient/1/_history/2`.
pub(crate) fn reference(type_name: &str, id: Option<&str>, version: Option<u64>) -> String {
    match (id, version) {
        (Some(id), Some(version)) => format!("{type_name}/{id}/_history/{version}"),
        (Some(id), None) => format!("{type_name}/{id}"),
        (None, _) => type_name.to_owned(),
    }
}

fn write_resource(reference: &str, said: Option<(&str, u16)>, writer: &mut Writer) {
    writer.begin_object();
    if reference.contains('/') {
        writer.key("what").begin_object().string_member("reference", reference).end_object();
    } else if !reference.is_empty() {
        writer.key("what").begin_object().string_member("type", reference).string_member("display", reference).end_object();
    }
    writer.key("type");
    coding(writer, ENTITY_TYPE, "2");
    writer.key("role");
    coding(writer, OBJECT_ROLE, "4");
    if let Some((activity, status)) = said {
        let status = if status == 0 { "unknown".to_owned() } else { status.to_string() };
        writer.key("detail").begin_array();
        for (name, value) in [("interaction", activity), ("status", &status)] {
            writer.begin_object().string_member("type", name).string_member("valueString", value).end_object();
        }
        writer.end_array();
    }
    writer.end_object();
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use fhirpool_authz::{Principal, TenantId};
    use fhirpool_fhir::ResourceType;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::tests::access;
    use crate::record::{Access, split};
    use crate::{Activity, Touched};

    fn event(access: Access<'_>) -> Value {
        let mut bytes = Vec::new();
        access.write(&mut bytes);
        let record = Record::read(split(&bytes).unwrap()[0]).unwrap();
        let mut writer = Writer::new();
        write_event(&record, None, &mut writer);
        serde_json::from_str(&writer.finish()).unwrap()
    }

    #[test]
    fn a_denied_read_is_told() {
        let operator = Principal::operator(TenantId::parse("acme").unwrap());
        let read = Access {
            status: 403,
            principal: Some(&operator),
            peer: Some("192.0.2.7".parse().unwrap()),
            resource_type: ResourceType::parse("Observation"),
            id: Some("o"),
            patients: &["p"],
            ..access()
        };
        let event = event(read);
        assert_eq!(
            (&event["action"], &event["outcome"], &event["recorded"]),
            (&json!("R"), &json!("4"), &json!("2023-11-14T22:13:20.123Z"))
        );
        assert_eq!(event["subtype"][0]["code"], "read");
        assert_eq!(event["agent"][0]["who"]["identifier"], json!({"system": "urn:fhirpool:operator", "value": "operator"}));
        assert_eq!(event["agent"][0]["network"], json!({"address": "192.0.2.7", "type": "2"}));
        assert_eq!(event["entity"][0]["what"]["identifier"]["value"], "r-1");
        assert_eq!(event["entity"][1]["what"]["reference"], "Observation/o");
        assert_eq!(event["entity"][2]["what"]["reference"], "Patient/p");
    }

    #[test]
    fn entries_and_names_of_parameters_are_told() {
        let touched = [
            Touched {
                activity: Activity::Create,
                status: 201,
                resource_type: ResourceType::parse("Patient"),
                id: Some("n".into()),
                version: Some(1),
            },
            Touched { activity: Activity::Other, status: 400, resource_type: None, id: None, version: None },
        ];
        let event = event(Access { activity: Activity::Batch, parameters: "_id,?", touched: &touched, ..access() });
        assert_eq!((&event["action"], &event["agent"][0]["who"]["display"]), (&json!("E"), &json!("nobody this tenant knows")));
        assert_eq!(event["entity"][1]["detail"][1]["valueString"], "?");
        assert_eq!(event["entity"][2]["what"]["reference"], "Patient/n/_history/1");
        assert_eq!(event["entity"][2]["detail"][1], json!({"type": "status", "valueString": "201"}));
        assert_eq!(event["entity"][3]["what"], Value::Null);
    }
}
