//! The parameters of an address, where it is no search.

use fhirpool_search::parse::decode_query;

use crate::{InteractionError, Result};

/// Parameters that steer the form of an answer (R4 http.html#parameters), and extras that real clients put on every request:
/// cache busters and another server's switches.
const FORM_PARAMETERS: [&str; 7] = ["_format", "_pretty", "_totalMethod", "_", "_dc", "_cacheBust", "_nocache"];

/// The decoded parameters of a query, without those that only steer its form.
pub(crate) fn decode(query: &str) -> Result<Vec<(String, String)>> {
    let mut parameters = decode_query(query.trim_start_matches('?'))?;
    parameters.retain(|(name, _)| !FORM_PARAMETERS.contains(&name.as_str()));
    Ok(parameters)
}

/// The refusal of a parameter that an interaction does not have.
pub(crate) fn unknown(name: &str) -> InteractionError {
    let name: String = name.chars().take(64).collect();
    InteractionError::bad_request(format!("unknown parameter {name:?}"))
}
