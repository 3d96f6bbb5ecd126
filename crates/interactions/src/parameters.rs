//! The parameters of an address, where it is no search.

use fhirpool_search::parse::decode_query;

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
