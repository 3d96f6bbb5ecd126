//! The parameters of an address, where it is no search.

use fhirpool_fhir::json::{Document, Value};
use fhirpool_search::parse::{decode_query, encode_query};

use crate::{Handling, InteractionError, Result};

/// Parameters that steer the form of an answer (R4 http.html#parameters), and extras that real clients put on every request:
/// cache busters, another server's switches, and the name of a file that Medplum puts on a Binary, which has no place for one.
const FORM_PARAMETERS: [&str; 8] = ["_format", "_pretty", "_totalMethod", "_", "_dc", "_cacheBust", "_nocache", "_filename"];

/// The decoded parameters of a query, without those that only steer its form.
pub(crate) fn decode(query: &str) -> Result<Vec<(String, String)>> {
    let mut parameters = decode_query(query.trim_start_matches('?'))?;
    parameters.retain(|(name, _)| !FORM_PARAMETERS.contains(&name.as_str()));
    Ok(parameters)
}

/// The name of the first parameter of an address besides those that steer the form of its answer.
pub fn first_parameter(query: &str) -> Result<Option<String>> {
    if query.is_empty() {
        return Ok(None);
    }
    Ok(decode(query)?.into_iter().next().map(|(name, _)| name))
}

/// Refuses the parameters of an address that takes none but those that steer the form of its answer.
pub fn check_no_parameters(query: &str, handling: Handling) -> Result<()> {
    match first_parameter(query)? {
        Some(name) if handling == Handling::Strict => Err(unknown(&name)),
        _ => Ok(()),
    }
}

/// The refusal of a parameter that an interaction does not have.
pub(crate) fn unknown(name: &str) -> InteractionError {
    let name: String = name.chars().take(64).collect();
    InteractionError::bad_request(format!("unknown parameter {name:?}"))
}

/// The query that says the same as the body of an operation: a Parameters resource (R4 operations.html#request) whose parameters
/// have values of primitive types; nothing for no body.
pub fn query_of_parameters(body: Vec<u8>) -> Result<String> {
    let refuse = |text: &str| InteractionError::bad_request(text);
    if body.is_empty() {
        return Ok(String::new());
    }
    let document = Document::parse(body).map_err(|_| refuse("the body is not well-formed JSON"))?;
    let root = document.root();
    if root.get_str("resourceType").as_deref() != Some("Parameters") {
        return Err(refuse("the body is not a Parameters resource"));
    }
    let mut parameters = Vec::new();
    for parameter in root.get("parameter").map(Value::elements).into_iter().flatten() {
        let name = parameter.get_str("name").ok_or_else(|| refuse("a parameter has no name"))?;
        let value = parameter.members().find(|member| member.name().starts_with("value")).and_then(|member| text_of(member.value()));
        let value = value.ok_or_else(|| refuse("a parameter has no value of a primitive type"))?;
        parameters.push((name.into_owned(), value));
    }
    Ok(encode_query(&parameters))
}

/// A primitive value as a query has it.
fn text_of(value: Value<'_>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.into_owned());
    }
    value.as_number().map(str::to_owned).or_else(|| value.as_bool().map(|flag| flag.to_string()))
}
