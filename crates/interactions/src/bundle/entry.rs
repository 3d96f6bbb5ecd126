//! One entry of a batch or transaction, read and checked as far as that takes no store.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fhirpool_authz::{Interaction, WriteAccess};
use fhirpool_fhir::date::Date;
use fhirpool_fhir::json::Value;
use fhirpool_fhir::{Issue, IssueCode, ResourceId, ResourceType, ServiceBase, Timestamp};

use super::address::{Address, WriteAddress};
use crate::access::check_granted;
use crate::prepare::{check_type, id_of, resource_type_of};
use crate::update::check_same_id;
use crate::{ErrorKind, InteractionError, Result};

/// An entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub full_url: Option<String>,
    /// Where `entry.resource` stands in the Bundle's text.
    pub resource: Option<Range<usize>>,
    pub action: Action,
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<Timestamp>,
}

/// What an entry asks for.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Create {
        resource_type: ResourceType,
        if_none_exist: Option<String>,
    },
    Update {
        resource_type: ResourceType,
        target: OwnedTarget,
        body_id: Option<ResourceId>,
    },
    /// With the bytes of a JSON Patch.
    Patch {
        resource_type: ResourceType,
        target: OwnedTarget,
        patch: Vec<u8>,
    },
    Delete {
        resource_type: ResourceType,
        target: OwnedTarget,
    },
    /// `GET` or `HEAD`, which shows no body.
    Look {
        address: Address,
        head: bool,
    },
}

/// Which resource a write is for; see [`crate::Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OwnedTarget {
    Id(ResourceId),
    Criteria(String),
}

impl OwnedTarget {
    pub(super) fn borrowed(&self) -> crate::Target<'_> {
        match self {
            Self::Id(id) => crate::Target::Id(id.clone()),
            Self::Criteria(query) => crate::Target::Criteria(query),
        }
    }
}

/// The order in which a transaction's entries take effect (R4 http.html#trules).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Delete,
    Create,
    Update,
    Look,
}

impl Action {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Delete { .. } => Phase::Delete,
            Self::Create { .. } => Phase::Create,
            Self::Update { .. } | Self::Patch { .. } => Phase::Update,
            Self::Look { .. } => Phase::Look,
        }
    }

    /// The criteria of an entry that puts a resource on a condition.
    pub(super) fn creating_criteria(&self) -> Option<(ResourceType, &str)> {
        match self {
            Self::Create { resource_type, if_none_exist: Some(query) } => Some((*resource_type, query)),
            Self::Update { resource_type, target: OwnedTarget::Criteria(query), .. }
            | Self::Patch { resource_type, target: OwnedTarget::Criteria(query), .. } => Some((*resource_type, query)),
            _ => None,
        }
    }
}

impl Entry {
    /// What the entry costs of a quota.
    pub(super) fn points(&self) -> u64 {
        let interaction = match &self.action {
            Action::Create { .. } => Interaction::Create,
            Action::Update { .. } => Interaction::Update,
            Action::Patch { .. } => Interaction::Patch,
            Action::Delete { .. } => Interaction::Delete,
            Action::Look { address, .. } => address.interaction().unwrap_or(Interaction::Read),
        };
        u64::from(fhirpool_authz::points(interaction))
    }

    /// Reads an entry and checks that the access allows it. Errors name elements relative to the entry.
    pub(super) fn read(access: &WriteAccess, base: &ServiceBase, entry: Value<'_>) -> Result<Self> {
        let request = entry.get("request").filter(|request| request.is_object());
        let request = request.ok_or_else(|| refusal(IssueCode::Required, "the entry has no request", "request"))?;
        let method =
            request.get_str("method").ok_or_else(|| refusal(IssueCode::Required, "the entry has no request.method", "request.method"))?;
        let url = request.get_str("url").ok_or_else(|| refusal(IssueCode::Required, "the entry has no request.url", "request.url"))?;
        let resource = entry.get("resource");
        let text = |name: &str| request.get_str(name).map(|text| text.into_owned());
        let if_modified_since = match request.get_str("ifModifiedSince") {
            None => None,
            Some(text) => match Date::parse(&text).filter(|date| date.is_instant()) {
                Some(date) => Some(date.begin()),
                None => return Err(refusal(IssueCode::Value, "ifModifiedSince is no instant", "request.ifModifiedSince")),
            },
        };
        let path = strip_base(base, &url)?;
        let action = match &*method {
            "GET" | "HEAD" => {
                let address = Address::parse(path).map_err(|error| error.or_at("Entry.request.url"))?;
                authorize_look(access, &address)?;
                Action::Look { address, head: method == "HEAD" }
            }
            "POST" | "PUT" | "PATCH" | "DELETE" => {
                let address = WriteAddress::parse(&method, path).map_err(|error| error.or_at("Entry.request.url"))?;
                write_action(access, &method, address, resource, text("ifNoneExist"))?
            }
            _ => {
                return Err(refusal(
                    IssueCode::CodeInvalid,
                    "request.method must be GET, HEAD, POST, PUT, PATCH or DELETE",
                    "request.method",
                ));
            }
        };
        Ok(Self {
            full_url: entry.get_str("fullUrl").map(|url| url.into_owned()),
            resource: resource.map(Value::range),
            action,
            if_match: text("ifMatch"),
            if_none_match: text("ifNoneMatch"),
            if_modified_since,
        })
    }
}

fn write_action(
    access: &WriteAccess,
    method: &str,
    address: WriteAddress,
    resource: Option<Value<'_>>,
    if_none_exist: Option<String>,
) -> Result<Action> {
    let WriteAddress { resource_type, target } = address;
    let needed = || resource.ok_or_else(|| refusal(IssueCode::Required, "the entry has no resource", "resource"));
    let in_resource = |error: InteractionError| error.within("Entry.resource");
    match (method, target) {
        ("POST", None) => {
            check_granted(access, Interaction::Create, resource_type)?;
            check_type(needed()?, resource_type).map_err(in_resource)?;
            Ok(Action::Create { resource_type, if_none_exist })
        }
        ("PUT", Some(target)) => {
            check_granted(access, Interaction::Update, resource_type)?;
            let resource = needed()?;
            check_type(resource, resource_type).map_err(in_resource)?;
            let body_id = id_of(resource, resource_type).map_err(in_resource)?;
            if let OwnedTarget::Id(id) = &target {
                check_same_id(resource_type, id, body_id.as_ref()).map_err(in_resource)?;
            }
            Ok(Action::Update { resource_type, target, body_id })
        }
        ("PATCH", Some(target)) => {
            check_granted(access, Interaction::Patch, resource_type)?;
            Ok(Action::Patch { resource_type, target, patch: patch_of(needed()?)? })
        }
        ("DELETE", Some(target)) => {
            check_granted(access, Interaction::Delete, resource_type)?;
            Ok(Action::Delete { resource_type, target })
        }
        _ => Err(InteractionError::of(ErrorKind::MethodNotAllowed, "the address does not take this method").or_at("Entry.request.url")),
    }
}

/// The JSON Patch that a Binary carries (R4 http.html#patch).
fn patch_of(resource: Value<'_>) -> Result<Vec<u8>> {
    let resource_type = resource_type_of(resource).map_err(|error| error.within("Entry.resource"))?;
    match resource_type.name() {
        "Binary" => {}
        "Parameters" => return crate::patch::check_format(crate::PatchFormat::FhirPath).map(|()| Vec::new()),
        _ => return Err(refusal(IssueCode::Value, "the resource of a PATCH must be a Binary with a JSON Patch", "resource")),
    }
    let content_type = resource.get_str("contentType").unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/json-patch+json") {
        return Err(refusal(IssueCode::NotSupported, "the Binary of a PATCH must be application/json-patch+json", "resource.contentType"));
    }
    let data = resource.get_str("data").unwrap_or_default();
    let data: String = data.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(data).map_err(|_| refusal(IssueCode::Value, "the Binary's data is not base64", "resource.data"))
}

/// Checks that something of what the address names may be looked at; the interaction itself keeps to what.
fn authorize_look(access: &WriteAccess, address: &Address) -> Result<()> {
    let Some(interaction) = address.interaction() else { return Ok(()) };
    match address.resource_type() {
        Some(resource_type) => check_granted(access, interaction, resource_type),
        None if ResourceType::all().any(|resource_type| access.permits(interaction, resource_type)) => Ok(()),
        None => Err(InteractionError::of(ErrorKind::Forbidden, "the access does not allow this")),
    }
}

/// The address below the base, with or without one of its URLs ahead.
fn strip_base<'a>(base: &ServiceBase, url: &'a str) -> Result<&'a str> {
    let path = match base.below(url) {
        Some(rest) => rest,
        _ if url.starts_with("http://") || url.starts_with("https://") => {
            return Err(refusal(IssueCode::Value, "request.url is not an address of this server", "request.url"));
        }
        _ => url,
    };
    Ok(path.trim_start_matches('/'))
}

/// A refusal at an element of the entry.
fn refusal(code: IssueCode, text: &str, element: &str) -> InteractionError {
    InteractionError::new(ErrorKind::BadRequest, Issue::error(code, text).at(format!("Entry.{element}")))
}
