//! What of a request and its answer a record may name: patients by id, parameters by name.

use std::sync::LazyLock;

use fhirpool_fhir::ResourceId;
use memchr::memmem::Finder;

/// No record names more patients.
const PATIENTS_MAX: usize = 16;
/// No record names more parameters.
const PARAMETERS_MAX: usize = 32;
/// A longer name is none of FHIR's.
const NAME_LENGTH_MAX: usize = 64;
/// What stands for a name that is none.
const NO_NAME: &str = "?";

/// How stored references to patients begin in JSON that the server wrote. A text of a client's cannot hold it: its quotes would be
/// escaped.
const REFERENCE: &[u8] = b"\"reference\":\"Patient/";
/// The same of an entry of a Bundle: the base is in between.
const FULL_URL: &[u8] = b"\"fullUrl\":\"";
/// How Bundles begin, which alone have such entries.
const BUNDLE: &str = "{\"resourceType\":\"Bundle\"";

static REFERENCES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(REFERENCE));
static FULL_URLS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(FULL_URL));

/// Ids of the patients that an answer, in compact JSON, refers to or holds by their addresses; each once, up to a limit.
pub fn patients_in(json: &str) -> Vec<&str> {
    let mut patients = Vec::new();
    let bytes = json.as_bytes();
    for place in REFERENCES.find_iter(bytes) {
        add(&json[place + REFERENCE.len()..], &mut patients);
        if patients.len() == PATIENTS_MAX {
            return patients;
        }
    }
    if !json.starts_with(BUNDLE) {
        return patients;
    }
    for place in FULL_URLS.find_iter(bytes) {
        let url = &json[place + FULL_URL.len()..];
        let url = &url[..url.find('"').unwrap_or(0)];
        if let Some((_, id)) = url.rsplit_once("/Patient/") {
            add_id(id, &mut patients);
        }
        if patients.len() == PATIENTS_MAX {
            break;
        }
    }
    patients
}

/// Adds the id that ends with the text, or with its version.
fn add<'a>(text: &'a str, patients: &mut Vec<&'a str>) {
    let end = text.find(['"', '/', '#', '?']).unwrap_or(text.len());
    add_id(&text[..end], patients);
}

fn add_id<'a>(id: &'a str, patients: &mut Vec<&'a str>) {
    if ResourceId::parse(id).is_some() && !patients.contains(&id) {
        patients.push(id);
    }
}

/// The names of a query's parameters, each once, separated by commas. Names stay what they are only where `is_known` says of
/// each part (`subject:Patient.name` has three) that it is a word of FHIR's: a client may put anything there.
pub fn parameter_names(query: &str, is_known: impl Fn(&str) -> bool) -> String {
    let mut names: Vec<&str> = Vec::new();
    for parameter in query.trim_start_matches('?').split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        let is_name = name.len() <= NAME_LENGTH_MAX && name.split([':', '.']).all(&is_known);
        let name = if is_name { name } else { NO_NAME };
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() == PARAMETERS_MAX {
            break;
        }
    }
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patients_are_found_by_reference_and_address() {
        let json = r#"{"subject":{"reference":"Patient/p1"},"performer":[{"reference":"Practitioner/d"},{"reference":"Patient/p2/_history/3"}],"note":[{"text":"\"reference\":\"Patient/secret"}],"other":{"reference":"Patient/p1"},"bad":{"reference":"Patient/Jane Doe"}}"#;
        assert_eq!(patients_in(json), ["p1", "p2"]);
        let bundle = r#"{"resourceType":"Bundle","entry":[{"fullUrl":"http://h/tenant/t/Patient/p3","resource":{}},{"fullUrl":"http://h/tenant/t/Account/x"}]}"#;
        assert_eq!(patients_in(bundle), ["p3"]);
        let many: String = (0..100).map(|number| format!("\"reference\":\"Patient/{number}\"")).collect();
        assert_eq!(patients_in(&many).len(), PATIENTS_MAX);
        assert_eq!(patients_in(r#"{"resourceType":"Bundle","fullUrl":""#), Vec::<&str>::new());
    }

    #[test]
    fn names_are_kept_and_anything_else_is_not() {
        let is_known = |part: &str| ["name", "subject", "Patient", "exact", "_id"].contains(&part);
        assert_eq!(
            parameter_names("?name:exact=Jane&subject:Patient.name=Doe&name:exact=x&_id", is_known),
            "name:exact,subject:Patient.name,_id"
        );
        assert_eq!(parameter_names("Jane%20Doe=1&born.1970=x&name=y", is_known), "?,name");
        assert_eq!(parameter_names("", is_known), "");
    }
}
