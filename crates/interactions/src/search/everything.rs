//! `$everything` on a patient (R4 patient-operation-everything.html): what is in the patient's compartment, and what that refers to.
//!
//! It is a search of the compartment that includes every reference, so it shows what a search shows: types that may not be
//! searched are left out, and pages, views and limits are a search's.
//!
//! Deliberately absent: `start` and `end`. Which date of a resource is the one of care, R4 leaves open.

use fhirpool_authz::ReadAccess;
use fhirpool_fhir::{Definitions, ResourceKey, ServiceBase};
use fhirpool_search::Query;
use fhirpool_search::parse::{self, Options, PAGE_PARAMETER, Scope};
use fhirpool_storage::Freshness;

use super::Asked;
use crate::parameters::{decode, unknown};
use crate::{BundleOutcome, ErrorKind, Handling, InteractionError, Interactions, ReadRequest, Result};

/// `GET [base]/Patient/[id]/$everything?[query]`
#[derive(Debug, Clone)]
pub struct EverythingRequest<'a> {
    /// `http://host/tenant/id`, without a slash at its end.
    pub base: &'a ServiceBase,
    /// Whose.
    pub patient: ResourceKey,
    /// The operation's parameters as a query, undecoded.
    pub query: &'a str,
    /// What becomes of unknown parameters.
    pub handling: Handling,
    /// What the answer must know of.
    pub freshness: Freshness,
}

/// Parameters of a search that mean the same here.
const ALIKE: [&str; 3] = ["_type", "_count", PAGE_PARAMETER];
/// R4's, and not done.
const NOT_DONE: [&str; 2] = ["start", "end"];
/// What `_since` is in a search, and how its value begins there.
const SINCE: (&str, &str) = ("_lastUpdated", "ge");
/// What supports the records: practitioners, locations, medications.
const INCLUDE: (&str, &str) = ("_include", "*");

impl Interactions {
    /// A page of everything about a patient, with the access of a search.
    pub async fn everything(&self, access: &ReadAccess, request: EverythingRequest<'_>) -> Result<BundleOutcome> {
        let EverythingRequest { base, patient, query, handling, freshness } = request;
        // One that is not there, or may not be known to be, is refused as a read is.
        let there = ReadRequest { base, key: patient.clone(), query: "", if_none_match: None, if_modified_since: None };
        self.read(access, there).await?;
        let address = format!("{patient}/$everything");
        let scope = Scope::Compartment { owner: patient, resource_type: None };
        let asked = Asked { base, address, scope, query, handling, freshness };
        let search = self.prepare_with(access, asked, |scope, text, options| read(&self.definitions, scope, text, options))?;
        self.run_search(access, base, &search, None).await
    }
}

/// Reads the operation's parameters as the search that they come to. Its self link has them as they were given.
fn read(definitions: &Definitions, scope: &Scope, text: &str, options: &Options<'_>) -> Result<Query> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut parameters = Vec::new();
    for (name, value) in decode(text)? {
        match name.as_str() {
            "_since" => parameters.push((SINCE.0.to_owned(), SINCE.1.to_owned() + &value)),
            name if NOT_DONE.contains(&name) => {
                return Err(InteractionError::of(ErrorKind::NotSupported, format!("$everything by {name} is not supported")));
            }
            name if ALIKE.contains(&name) => parameters.push(owned((name, &value))),
            _ if options.handling == parse::Handling::Lenient => {}
            name => return Err(unknown(name)),
        }
    }
    parameters.push(owned(INCLUDE));
    let mut query = parse::parse(definitions, scope, &parameters, options)?;
    query.self_parameters.retain(|(name, _)| name != INCLUDE.0);
    for (name, value) in query.self_parameters.iter_mut().filter(|(name, _)| name == SINCE.0) {
        *name = "_since".to_owned();
        *value = value.split_off(SINCE.1.len());
    }
    Ok(query)
}
