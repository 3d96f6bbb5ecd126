//! Queries of the cluster.

use serde_json::{Value, json};

/// All documents.
pub(crate) fn all() -> Value {
    json!({"match_all": {}})
}

/// No document.
pub(crate) fn none() -> Value {
    json!({"match_none": {}})
}

/// Documents with this term.
pub(crate) fn term(field: &str, term: String) -> Value {
    json!({"term": {field: term}})
}

/// Documents with one of these terms.
pub(crate) fn terms(field: &str, mut terms: Vec<String>) -> Value {
    match terms.len() {
        0 => none(),
        1 => term(field, terms.remove(0)),
        _ => json!({"terms": {field: terms}}),
    }
}

/// Documents for which one of these holds.
pub(crate) fn any_of(mut queries: Vec<Value>) -> Value {
    match queries.len() {
        0 => none(),
        1 => queries.remove(0),
        _ => json!({"bool": {"should": queries, "minimum_should_match": 1}}),
    }
}

/// What must hold and what must not.
#[derive(Default)]
pub(crate) struct AllOf {
    /// All of these hold.
    pub(crate) hold: Vec<Value>,
    /// None of these does.
    pub(crate) fail: Vec<Value>,
}

impl AllOf {
    /// As one query.
    pub(crate) fn finish(mut self) -> Value {
        if self.hold.is_empty() && self.fail.is_empty() {
            return all();
        }
        if self.fail.is_empty() && self.hold.len() == 1 {
            return self.hold.remove(0);
        }
        json!({"bool": {"filter": self.hold, "must_not": self.fail}})
    }
}

/// How many clauses the cluster counts in a query.
pub(crate) fn clauses(query: &Value) -> usize {
    match query.get("bool").and_then(Value::as_object) {
        Some(parts) => parts.values().filter_map(Value::as_array).flatten().map(clauses).sum(),
        None => 1,
    }
}
