//! The fields of a document. Their number is that of R4's parameters, whatever tenants there are.

use fhirpool_fhir::Definitions;
use fhirpool_fhir::definitions::{ParameterNumber, SearchParameterKind};
use serde_json::{Map, Value, json};

/// The tenant: for purging. Searches go by the scope.
pub(crate) const TENANT: &str = "tenant";
/// Tenant and type of a resource that is there.
pub(crate) const SCOPE: &str = "scope";
/// The place: type and id.
pub(crate) const PLACE: &str = "place";
/// The id alone, for sorting by it across types.
pub(crate) const ID: &str = "id";
/// The terms of all values but those of dates.
pub(crate) const TERMS: &str = "v";
/// When the resource of a tombstone was deleted, in milliseconds.
pub(crate) const GONE: &str = "gone";

/// Which parameters have fields of their own.
pub(crate) struct Fields {
    /// By number: whether R4 has it, and whether its values are dates.
    parameters: Vec<Option<bool>>,
}

impl Fields {
    /// Of R4's parameters.
    pub(crate) fn new(definitions: &Definitions) -> Self {
        let mut parameters = Vec::new();
        for parameter in definitions.all_search_parameters().filter(|parameter| parameter.number < ParameterNumber::TENANT_MIN) {
            let number = usize::from(parameter.number.0);
            parameters.resize(parameters.len().max(number + 1), None);
            parameters[number] = Some(parameter.kind == SearchParameterKind::Date);
        }
        Self { parameters }
    }

    /// The field of a parameter's intervals, where its values are dates.
    pub(crate) fn dates(&self, parameter: ParameterNumber) -> Option<String> {
        (self.of(parameter) == Some(true)).then(|| format!("d_{}", parameter.0))
    }

    /// The field of a parameter's sort keys.
    pub(crate) fn sort(&self, parameter: ParameterNumber) -> Option<String> {
        self.of(parameter).map(|_| format!("s_{}", parameter.0))
    }

    fn of(&self, parameter: ParameterNumber) -> Option<bool> {
        self.parameters.get(usize::from(parameter.0)).copied().flatten()
    }

    /// How the cluster is told of them.
    pub(crate) fn mapping(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        for name in [TENANT, SCOPE] {
            fields.insert(name.into(), json!({"type": "keyword", "doc_values": false}));
        }
        fields.insert(PLACE.into(), json!({"type": "keyword"}));
        fields.insert(ID.into(), json!({"type": "keyword", "index": false}));
        fields.insert(TERMS.into(), json!({"type": "keyword", "doc_values": false}));
        fields.insert(GONE.into(), json!({"type": "long", "doc_values": false}));
        for number in 0..self.parameters.len() {
            let parameter = ParameterNumber(number as u16);
            if let Some(name) = self.sort(parameter) {
                fields.insert(name, json!({"type": "keyword", "index": false}));
            }
            if let Some(name) = self.dates(parameter) {
                fields.insert(name, json!({"type": "long_range"}));
            }
        }
        fields
    }
}
