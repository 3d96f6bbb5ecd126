//! The CapabilityStatement (R4 http.html#capabilities): what this server does, from the definitions it goes by.
//!
//! Only R4's own types are named, because clients that know no others fail on a foreign one. Custom operations are absent as
//! long as there are none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use fhirpool_fhir::definitions::{SearchParameter, SearchParameterKind};
use fhirpool_fhir::json::Writer;
use fhirpool_fhir::{Definitions, ResourceType};

use crate::Interactions;

/// When what the server can do last changed. The same for every tenant: it tells nothing of their use.
const DATE: &str = "2026-11-21";

/// Bases whose statements are kept; one server is reached under a few.
const KEPT_MAX: usize = 64;

/// What the server says of itself: where tokens come from, and the statements made so far, by base.
#[derive(Debug, Clone, Default)]
pub struct CapabilityCache {
    security: Arc<Security>,
    statements: Arc<Mutex<BTreeMap<String, Arc<str>>>>,
}

/// Where clients get their tokens, as far as the deployment says; the same for every tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// Whether browsers may call from other origins.
    pub cors: bool,
    /// The authorization server's issuer; empty: none is named.
    pub issuer: String,
    /// Where users authorize applications.
    pub authorization_endpoint: Option<String>,
    /// Where applications get tokens.
    pub token_endpoint: Option<String>,
    /// The issuer's keys.
    pub jwks_uri: Option<String>,
    /// Where tokens are introspected.
    pub introspection_endpoint: Option<String>,
    /// Where tokens are revoked.
    pub revocation_endpoint: Option<String>,
    /// Where applications register themselves.
    pub registration_endpoint: Option<String>,
    /// Where users look after what they have granted.
    pub management_endpoint: Option<String>,
    /// What the authorization server does of SMART App Launch, such as `launch-standalone`.
    pub capabilities: Vec<String>,
}

impl CapabilityCache {
    /// Of a server whose clients get their tokens there.
    pub fn with_security(security: Security) -> Self {
        Self { security: Arc::new(security), statements: Arc::default() }
    }

    /// Where clients get their tokens.
    pub fn security(&self) -> &Security {
        &self.security
    }
}

impl Interactions {
    /// The CapabilityStatement's JSON of the server at this base.
    pub fn capabilities(&self, base: &str) -> Arc<str> {
        let lock = || self.capability_cache.statements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(base) {
            return known.clone();
        }
        let (definitions, security) = (&*self.definitions, self.capability_cache.security());
        let made: Arc<str> = Statement { definitions, security, writer: Writer::with_capacity(1 << 20) }.write(base).into();
        let mut kept = lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(base.to_owned(), made.clone());
        made
    }
}

/// How content goes in and out.
const BINARY: &str = "Content is sent and read as `data` or as it is, by Content-Type and Accept. A Binary that is created or updated with \
    contentType alone is answered with the property presignedPutUrl, to which the client PUTs the content with that Content-Type \
    (and the length of the header Upload-Length, where the request had it); its reads have the property presignedGetUrl, and are \
    404 until the content is there.";

/// Whose AuditEvents are found.
const AUDIT_EVENT: &str = "AuditEvents of clients are stored and found as any other type. For who is granted `audit` (the group audit-admin, or \
    the scope system/AuditEvent.rs), reads by id and searches of this type look into the server's own log of accesses instead, where it keeps \
    one. It is searched by date (required, a range of at most 31 days), agent, entity, patient, action and outcome, and paged by _count.";

struct Statement<'a> {
    definitions: &'a Definitions,
    security: &'a Security,
    writer: Writer,
}

/// The interactions of every type, by their codes.
const TYPE_INTERACTIONS: [&str; 9] =
    ["read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type"];
const SYSTEM_INTERACTIONS: [&str; 4] = ["transaction", "batch", "history-system", "search-system"];

impl Statement<'_> {
    fn write(mut self, base: &str) -> String {
        let writer = &mut self.writer;
        writer.begin_object().string_member("resourceType", "CapabilityStatement");
        writer.string_member("status", "active").string_member("date", DATE);
        writer.string_member("kind", "instance");
        writer.key("software").begin_object().string_member("name", "fhirpool");
        writer.string_member("version", env!("CARGO_PKG_VERSION")).end_object();
        writer.key("implementation").begin_object().string_member("description", "fhirpool");
        writer.string_member("url", base).end_object();
        writer.string_member("fhirVersion", "4.0.1");
        self.strings("format", ["application/fhir+json", "application/json", "text/json", "json"]);
        self.strings("patchFormat", ["application/json-patch+json"]);
        self.writer.key("rest").begin_array().begin_object().string_member("mode", "server");
        self.security();
        self.writer.key("resource").begin_array();
        let included_by = self.included_by();
        for resource_type in ResourceType::all() {
            self.resource(resource_type, &included_by);
        }
        self.writer.end_array();
        self.interactions(&SYSTEM_INTERACTIONS);
        self.compartments();
        self.writer.end_object().end_array().end_object();
        self.writer.finish()
    }

    /// R4 security, and the endpoints as SMART App Launch has them in an extension.
    fn security(&mut self) {
        let Security { cors, authorization_endpoint, token_endpoint, .. } = self.security;
        let writer = &mut self.writer;
        writer.key("security").begin_object();
        let optional = [
            ("register", &self.security.registration_endpoint),
            ("manage", &self.security.management_endpoint),
            ("introspect", &self.security.introspection_endpoint),
            ("revoke", &self.security.revocation_endpoint),
        ];
        if let Some(token_endpoint) = token_endpoint {
            writer.key("extension").begin_array().begin_object();
            writer.string_member("url", "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris");
            writer.key("extension").begin_array();
            let endpoints = [("authorize", authorization_endpoint.as_ref()), ("token", Some(token_endpoint))];
            for (name, uri) in endpoints.into_iter().chain(optional.map(|(name, uri)| (name, uri.as_ref()))) {
                if let Some(uri) = uri {
                    writer.begin_object().string_member("url", name).string_member("valueUri", uri).end_object();
                }
            }
            writer.end_array().end_object().end_array();
        }
        writer.raw_member("cors", if *cors { "true" } else { "false" });
        let codes: &[&str] = if token_endpoint.is_some() { &["OAuth", "SMART-on-FHIR"] } else { &["OAuth"] };
        writer.key("service").begin_array();
        for code in codes {
            writer.begin_object().key("coding").begin_array().begin_object();
            writer.string_member("system", "http://terminology.hl7.org/CodeSystem/restful-security-service");
            writer.string_member("code", code).end_object().end_array().end_object();
        }
        writer.end_array();
        let text = "Every request but this one and .well-known/smart-configuration needs a bearer token (RFC 6750) for the tenant in \
            the address. What it may do follows from its groups and its SMART scopes (versions 1 and 2).";
        writer.string_member("description", text).end_object();
    }

    fn resource(&mut self, resource_type: ResourceType, included_by: &BTreeMap<ResourceType, Vec<String>>) {
        let parameters = self.parameters(resource_type);
        let writer = &mut self.writer;
        writer.begin_object().string_member("type", resource_type.name());
        writer.string_member("profile", &format!("http://hl7.org/fhir/StructureDefinition/{resource_type}"));
        if resource_type.name() == "Binary" {
            writer.string_member("documentation", BINARY);
        }
        if resource_type.name() == "AuditEvent" {
            writer.string_member("documentation", AUDIT_EVENT);
        }
        self.interactions(&TYPE_INTERACTIONS);
        let writer = &mut self.writer;
        writer.string_member("versioning", "versioned").raw_member("readHistory", "true").raw_member("updateCreate", "true");
        writer.raw_member("conditionalCreate", "true").string_member("conditionalRead", "full-support");
        writer.raw_member("conditionalUpdate", "true").string_member("conditionalDelete", "single");
        self.strings("referencePolicy", ["literal", "logical", "local"]);
        let references = parameters.iter().filter(|parameter| parameter.kind == SearchParameterKind::Reference);
        let includes: Vec<String> = references.map(|parameter| format!("{resource_type}:{}", parameter.code)).collect();
        self.strings("searchInclude", std::iter::once("*").chain(includes.iter().map(String::as_str)));
        if let Some(including) = included_by.get(&resource_type) {
            self.strings("searchRevInclude", including.iter().map(String::as_str));
        }
        self.writer.key("searchParam").begin_array();
        for parameter in parameters {
            self.writer.begin_object().string_member("name", &parameter.code);
            self.writer.string_member("definition", &parameter.url).string_member("type", parameter.kind.code()).end_object();
        }
        self.writer.end_array();
        if resource_type.name() == "Patient" {
            self.writer.key("operation").begin_array().begin_object().string_member("name", "everything");
            self.writer.string_member("definition", "http://hl7.org/fhir/OperationDefinition/Patient-everything").end_object().end_array();
        }
        self.writer.end_object();
    }

    fn interactions(&mut self, codes: &[&str]) {
        self.writer.key("interaction").begin_array();
        for code in codes {
            self.writer.begin_object().string_member("code", code).end_object();
        }
        self.writer.end_array();
    }

    fn compartments(&mut self) {
        let owners: Vec<String> = ResourceType::all()
            .filter(|owner| self.definitions.compartment(*owner).is_some())
            .map(|owner| format!("http://hl7.org/fhir/CompartmentDefinition/{}", owner.name().to_ascii_lowercase()))
            .collect();
        self.strings("compartment", owners.iter().map(String::as_str));
    }

    fn strings<'s>(&mut self, name: &str, texts: impl IntoIterator<Item = &'s str>) {
        self.writer.key(name).begin_array();
        for text in texts {
            self.writer.string(text);
        }
        self.writer.end_array();
    }

    /// The parameters that a search takes, by their codes.
    fn parameters(&self, resource_type: ResourceType) -> Vec<SearchParameter> {
        let is_searched = |parameter: &&SearchParameter| parameter.kind != SearchParameterKind::Special && !parameter.expression.is_empty();
        let mut parameters: Vec<SearchParameter> = self.definitions.search_parameters(resource_type).filter(is_searched).cloned().collect();
        parameters.sort_unstable_by(|one, other| one.code.cmp(&other.code));
        parameters
    }

    /// By type: the parameters by which others refer to it. Those that may refer to any type are named for none.
    fn included_by(&self) -> BTreeMap<ResourceType, Vec<String>> {
        let mut included_by: BTreeMap<ResourceType, Vec<String>> = BTreeMap::new();
        for source in ResourceType::all() {
            for parameter in self.parameters(source) {
                let is_bounded = parameter.kind == SearchParameterKind::Reference && parameter.targets.len() < ResourceType::COUNT;
                for target in parameter.targets.iter().filter(|_| is_bounded) {
                    included_by.entry(*target).or_default().push(format!("{source}:{}", parameter.code));
                }
            }
        }
        included_by
    }
}
