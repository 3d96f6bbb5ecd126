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

/// The statements made so far, by base.
#[derive(Debug, Clone, Default)]
pub struct CapabilityCache(Arc<Mutex<BTreeMap<String, Arc<str>>>>);

impl Interactions {
    /// The CapabilityStatement's JSON of the server at this base.
    pub fn capabilities(&self, base: &str) -> Arc<str> {
        let lock = || self.capability_cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(base) {
            return known.clone();
        }
        let made: Arc<str> = Statement { definitions: &self.definitions, writer: Writer::with_capacity(1 << 20) }.write(base).into();
        let mut kept = lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(base.to_owned(), made.clone());
        made
    }
}

struct Statement<'a> {
    definitions: &'a Definitions,
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

    fn security(&mut self) {
        // `cors` is a setting of the deployment, which this crate does not know: it is left out.
        let text =
            "Every request but this one and .well-known/smart-configuration needs a bearer token (RFC 6750) for the tenant in the address.";
        self.writer.key("security").begin_object().string_member("description", text).end_object();
    }

    fn resource(&mut self, resource_type: ResourceType, included_by: &BTreeMap<ResourceType, Vec<String>>) {
        let parameters = self.parameters(resource_type);
        let writer = &mut self.writer;
        writer.begin_object().string_member("type", resource_type.name());
        writer.string_member("profile", &format!("http://hl7.org/fhir/StructureDefinition/{resource_type}"));
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
        self.writer.end_array().end_object();
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
