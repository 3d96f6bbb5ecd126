//! The name of a parameter: chains, `_has`, modifiers; and so from name and value to a clause.

use fhirpool_fhir::definitions::{SearchParameter, SearchParameterKind};
use fhirpool_fhir::{IssueCode, ResourceId, ResourceType};

use super::escape::{split, unescape};
use super::value::{Target, type_among};
use super::{QueryError, Reader, short};
use crate::extract::{leads_to_urls, reference_targets};
use crate::{Clause, TypeSearch, ValueTest};

/// Parameters of R4 that need what this server does not have: a text index, stored lists and queries, a filter language.
const NOT_SUPPORTED: [&str; 5] = ["_content", "_filter", "_list", "_query", "_text"];

impl Reader<'_> {
    /// What a parameter demands of a type. `depth`: the links of the chain so far.
    pub(super) fn clause(&self, resource_type: ResourceType, name: &str, value: &str, depth: usize) -> Result<Clause, QueryError> {
        if depth > self.options.limits.chain_depth_max {
            let limit = self.options.limits.chain_depth_max;
            return Err(QueryError::new(IssueCode::TooCostly, format!("a chain has more than {limit} links")));
        }
        if let Some(rest) = name.strip_prefix("_has:") {
            return self.has(resource_type, rest, value, depth);
        }
        match name.split_once('.') {
            Some((link, rest)) => self.chain(resource_type, link, rest, value, depth),
            None => self.plain(resource_type, name, value),
        }
    }

    /// `[type]:[reference]:[parameter]`, the last of which may be a chain again.
    fn has(&self, resource_type: ResourceType, name: &str, value: &str, depth: usize) -> Result<Clause, QueryError> {
        let mut parts = name.splitn(3, ':');
        let (Some(source_name), Some(code), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(QueryError::value("_has is not of the form _has:[type]:[reference]:[parameter]"));
        };
        let source = ResourceType::parse(source_name)
            .ok_or_else(|| QueryError::value(format!("{} in _has is no resource type", short(source_name))))?;
        let parameter = self.reference_parameter(source, code)?;
        if !reference_targets(self.definitions, source, parameter).contains(&resource_type) {
            return Err(QueryError::value(format!("{source}.{} does not refer to {resource_type}", parameter.code)));
        }
        self.spend_search()?;
        let filter = vec![self.clause(source, rest, value, depth + 1)?];
        let source = Box::new(TypeSearch { resource_type: source, filter, sort: Vec::new() });
        Ok(Clause::Has { parameter: parameter.number, source })
    }

    /// `[reference]` or `[reference]:[type]`, then what is sought there.
    fn chain(&self, resource_type: ResourceType, link: &str, rest: &str, value: &str, depth: usize) -> Result<Clause, QueryError> {
        let (code, type_name) = link.split_once(':').map_or((link, None), |(code, name)| (code, Some(name)));
        let parameter = self.reference_parameter(resource_type, code)?;
        let possible = reference_targets(self.definitions, resource_type, parameter);
        let types = match type_name {
            None => possible,
            Some(name) => {
                let target = type_among(&possible, name);
                vec![target.ok_or_else(|| QueryError::value(format!("{code} does not refer to {}", short(name))))?]
            }
        };
        let mut targets = Vec::new();
        let mut refused: Option<QueryError> = None;
        for target in types {
            self.spend_search()?;
            match self.clause(target, rest, value, depth + 1) {
                Ok(clause) => targets.push(TypeSearch { resource_type: target, filter: vec![clause], sort: Vec::new() }),
                Err(error) if error.issue.code == IssueCode::TooCostly => return Err(error),
                // That one type has no such parameter tells less than that another refuses the value.
                Err(error) if refused.as_ref().is_none_or(|kept| kept.unknown_parameter && !error.unknown_parameter) => {
                    refused = Some(error)
                }
                Err(_) => {}
            }
        }
        match refused {
            Some(error) if targets.is_empty() => Err(error),
            _ => Ok(Clause::Chain { parameter: parameter.number, targets }),
        }
    }

    fn parameter(&self, resource_type: ResourceType, code: &str) -> Result<&SearchParameter, QueryError> {
        self.definitions.search_parameter(resource_type, code).ok_or_else(|| QueryError::unknown_parameter(resource_type, code))
    }

    fn reference_parameter(&self, resource_type: ResourceType, code: &str) -> Result<&SearchParameter, QueryError> {
        let parameter = self.parameter(resource_type, code)?;
        if parameter.kind != SearchParameterKind::Reference {
            return Err(QueryError::value(format!(
                "{resource_type}.{} is no reference, so nothing can be sought behind it",
                parameter.code
            )));
        }
        if leads_to_urls(self.definitions, resource_type, parameter) {
            let text = format!("chains and _has through {resource_type}.{} are not supported: it holds canonical URLs", parameter.code);
            return Err(QueryError::not_supported(text));
        }
        Ok(parameter)
    }

    fn plain(&self, resource_type: ResourceType, name: &str, value: &str) -> Result<Clause, QueryError> {
        let (code, modifier) = name.split_once(':').map_or((name, None), |(code, modifier)| (code, Some(modifier)));
        if NOT_SUPPORTED.contains(&code) {
            return Err(QueryError { unknown_parameter: true, ..QueryError::not_supported(format!("{code} is not supported")) });
        }
        let parameter = self.parameter(resource_type, code)?;
        if parameter.kind == SearchParameterKind::Special {
            return Err(QueryError { unknown_parameter: true, ..QueryError::not_supported(format!("{code} is not supported")) });
        }
        if value.is_empty() {
            return Err(QueryError::value(format!("{code} has no value")));
        }
        if modifier == Some("missing") {
            return missing(parameter, value);
        }
        let alternatives: Vec<&str> = split(value, ',').take(self.options.limits.alternatives_max + 1).collect();
        self.check_alternatives(code, &alternatives)?;
        if code == "_id" {
            return ids(modifier, &alternatives);
        }
        let target = Target { resource_type, parameter, modifier };
        let tests = alternatives.into_iter().map(|text| self.value_test(target, text)).collect::<Result<Vec<_>, _>>()?;
        let (parameter, tests) = (parameter.number, ValueTest::merge(tests));
        Ok(if modifier == Some("not") { Clause::NotMatches { parameter, tests } } else { Clause::Matches { parameter, tests } })
    }

    fn check_alternatives(&self, code: &str, alternatives: &[&str]) -> Result<(), QueryError> {
        let limits = &self.options.limits;
        if alternatives.len() > limits.alternatives_max {
            let text = format!("{code} has more than {} alternatives", limits.alternatives_max);
            return Err(QueryError::new(IssueCode::TooCostly, text));
        }
        if alternatives.iter().any(|text| text.len() > limits.value_bytes_max) {
            let text = format!("a value of {code} is longer than {} bytes", limits.value_bytes_max);
            return Err(QueryError::new(IssueCode::TooLong, text));
        }
        Ok(())
    }
}

fn missing(parameter: &SearchParameter, value: &str) -> Result<Clause, QueryError> {
    let missing = match value {
        "true" => true,
        "false" => false,
        _ => return Err(QueryError::value(format!("{}:missing is neither true nor false", parameter.code))),
    };
    Ok(match (parameter.code.as_str(), missing) {
        // Every resource has an id.
        ("_id", true) => Clause::AnyOf(Vec::new()),
        ("_id", false) => Clause::AnyOf(vec![Vec::new()]),
        _ => Clause::Missing { parameter: parameter.number, missing },
    })
}

/// What is no id by the grammar is the id of nothing.
fn ids(modifier: Option<&str>, alternatives: &[&str]) -> Result<Clause, QueryError> {
    if let Some(modifier) = modifier {
        return Err(QueryError::not_supported(format!("the modifier :{} is not for _id", short(modifier))));
    }
    let mut ids: Vec<_> = alternatives.iter().filter_map(|text| ResourceId::parse(&unescape(text))).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(Clause::Id(ids))
}
