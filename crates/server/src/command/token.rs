//! `fhirpool token`

use std::path::PathBuf;
use std::process::ExitCode;

use fhirpool_authz::{Launch, TenantId, TokenRequest};
use fhirpool_fhir::{ResourceId, ResourceKey, ResourceType};

use super::Failure;
use crate::issuer;

/// Whose token, and for what.
#[derive(Debug, clap::Args)]
pub(super) struct TokenArguments {
    /// The data folder, whose key signs
    #[arg(long, env = "FHIRPOOL_DATA", default_value = "data")]
    data: PathBuf,
    /// The tenant
    #[arg(long, required_unless_present = "admin")]
    tenant: Option<String>,
    /// A token for the administration of tenants (`/admin/tenants`) instead of one of a tenant
    #[arg(long, conflicts_with_all = ["tenant", "group", "scope", "patient", "fhir_user"])]
    admin: bool,
    /// A group, such as practitioner, non-practitioner or auditor; may be given several times. Without any: practitioner
    #[arg(long)]
    group: Vec<String>,
    /// A scope; may be given several times
    #[arg(long)]
    scope: Vec<String>,
    /// The id of the patient of a SMART launch, for patient/ scopes
    #[arg(long, value_parser = parse_id)]
    patient: Option<ResourceId>,
    /// The user's own resource, such as Practitioner/1, for user/ scopes
    #[arg(long, value_parser = parse_key)]
    fhir_user: Option<ResourceKey>,
    /// The subject
    #[arg(long, default_value = "command-line")]
    subject: String,
    /// How long it is valid: a number with s, m, h or d
    #[arg(long, default_value = "1h", value_parser = parse_ttl)]
    ttl: u32,
    /// The audience that the server demands
    #[arg(long, env = "FHIRPOOL_TOKEN_AUDIENCE", default_value = "fhirpool")]
    audience: String,
}

pub(super) fn run(arguments: TokenArguments) -> Result<ExitCode, Failure> {
    if arguments.admin {
        let issuer = issuer::load(&arguments.data, &arguments.audience)?;
        println!("{}", issuer.issue_admin(&arguments.subject, arguments.ttl, issuer::now())?);
        return Ok(ExitCode::SUCCESS);
    }
    let tenant = arguments.tenant.unwrap_or_default();
    let tenant =
        TenantId::parse(&tenant).ok_or_else(|| format!("tenant: found {tenant}; allowed: 1 to 64 letters, digits, `-` and `_`"))?;
    let groups = if arguments.group.is_empty() && arguments.scope.is_empty() { vec!["practitioner".to_owned()] } else { arguments.group };
    let request = TokenRequest { tenant, subject: arguments.subject, groups, scopes: arguments.scope, ttl_s: arguments.ttl };
    let launch = Launch { patient: arguments.patient, user: arguments.fhir_user, ..Launch::default() };
    println!("{}", issuer::load(&arguments.data, &arguments.audience)?.issue_launched(&request, &launch, issuer::now())?);
    Ok(ExitCode::SUCCESS)
}

fn parse_id(text: &str) -> Result<ResourceId, String> {
    ResourceId::parse(text).ok_or_else(|| format!("found {text}; allowed: 1 to 64 letters, digits, `-` and `.`"))
}

fn parse_key(text: &str) -> Result<ResourceKey, String> {
    let parts = text.split_once('/').and_then(|(name, id)| Some((ResourceType::parse(name)?, ResourceId::parse(id)?)));
    parts
        .map(|(name, id)| ResourceKey::new(name, id))
        .ok_or_else(|| format!("found {text}; allowed: a type and an id, such as Practitioner/1"))
}

/// Longest validity: 365 days.
const TTL_SECONDS_MAX: u32 = 365 * 86_400;

fn parse_ttl(text: &str) -> Result<u32, String> {
    let refused = || format!("found {text}; allowed: a number with s, m, h or d, up to 365d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(refused)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(refused()),
    };
    let ttl = number.parse::<u32>().ok().and_then(|number| number.checked_mul(seconds)).ok_or_else(refused)?;
    if (1..=TTL_SECONDS_MAX).contains(&ttl) { Ok(ttl) } else { Err(refused()) }
}
