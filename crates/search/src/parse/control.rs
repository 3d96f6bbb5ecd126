//! Parameters that say what to return and how, not what to seek (R4 search.html#return).

use fhirpool_fhir::definitions::SearchParameterKind;
use fhirpool_fhir::{Definitions, IssueCode, ResourceType};

use super::value::type_among;
use super::{Limits, QueryError, short};
use crate::extract::reference_targets;
use crate::{Include, SortBy, SortTarget, Summary, Total};

/// What the parameters said so far.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub count: Option<u64>,
    pub total: Option<Total>,
    pub summary: Option<Summary>,
    pub elements: Vec<String>,
    /// Codes of the sort keys and whether descending.
    pub sort: Vec<(String, bool)>,
    pub includes: Vec<Include>,
    pub revincludes: Vec<Include>,
    pub page: Option<String>,
}

/// What became of a parameter.
pub(super) enum Taken {
    /// It said something, and stays in the self link.
    Yes,
    /// It does not count and leaves the self link.
    Dropped,
    /// It is none of these.
    No,
}

/// What clients add of their own: cache busters and a count method.
const EXTRAS: [&str; 3] = ["_", "_dc", "_totalMethod"];

impl Control {
    /// Takes a parameter if it is one of these.
    pub(super) fn take(&mut self, definitions: &Definitions, limits: &Limits, name: &str, value: &str) -> Result<Taken, QueryError> {
        match name {
            "_format" | "_pretty" => return Ok(Taken::Dropped),
            _ if EXTRAS.contains(&name) => return Ok(Taken::Dropped),
            super::PAGE_PARAMETER => {
                self.page = Some(value.to_owned());
                return Ok(Taken::Dropped);
            }
            "_count" => once(name, &mut self.count, count(value)?)?,
            "_total" => once(name, &mut self.total, total(value)?)?,
            "_summary" => once(name, &mut self.summary, summary(value)?)?,
            "_elements" => self.elements.extend(elements(value)?),
            "_sort" => self.add_sort(limits, value)?,
            "_contained" if value == "false" => {}
            "_contained" | "_containedType" => {
                return Err(QueryError::not_supported("searching contained resources (_contained) is not supported"));
            }
            _ => return self.take_include(definitions, limits, name, value),
        }
        Ok(Taken::Yes)
    }

    fn add_sort(&mut self, limits: &Limits, value: &str) -> Result<(), QueryError> {
        for key in value.split(',') {
            let (code, descending) = key.strip_prefix('-').map_or((key, false), |code| (code, true));
            if code.is_empty() {
                return Err(QueryError::value("_sort has an empty key"));
            }
            self.sort.push((code.to_owned(), descending));
        }
        if self.sort.len() > limits.sort_keys_max {
            return Err(QueryError::new(IssueCode::TooCostly, format!("_sort has more than {} keys", limits.sort_keys_max)));
        }
        Ok(())
    }

    fn take_include(&mut self, definitions: &Definitions, limits: &Limits, name: &str, value: &str) -> Result<Taken, QueryError> {
        let (code, modifier) = name.split_once(':').map_or((name, None), |(code, modifier)| (code, Some(modifier)));
        let includes = match code {
            "_include" => &mut self.includes,
            "_revinclude" => &mut self.revincludes,
            _ => return Ok(Taken::No),
        };
        let iterate = match modifier {
            None => false,
            // `recurse` is its name in STU3, which clients still send.
            Some("iterate" | "recurse") => true,
            Some(other) => return Err(QueryError::not_supported(format!("the modifier :{} is not for {code}", short(other)))),
        };
        includes.push(include(definitions, value, iterate)?);
        if self.includes.len() + self.revincludes.len() > limits.includes_max {
            let text = format!("there are more than {} of _include and _revinclude", limits.includes_max);
            return Err(QueryError::new(IssueCode::TooCostly, text));
        }
        Ok(Taken::Yes)
    }
}

/// `[type]:[parameter]`, `[type]:[parameter]:[target type]`, `[type]:*` or `*`.
pub(super) fn include(definitions: &Definitions, value: &str, iterate: bool) -> Result<Include, QueryError> {
    if value == "*" {
        return Ok(Include { source: None, parameter: None, target: None, iterate });
    }
    let mut parts = value.splitn(3, ':');
    let (source_name, code, target_name) = (parts.next().unwrap_or(""), parts.next(), parts.next().filter(|name| !name.is_empty()));
    let source = ResourceType::parse(source_name)
        .ok_or_else(|| QueryError::value(format!("an include begins with {}, which is no resource type", short(source_name))))?;
    let code = code.ok_or_else(|| QueryError::value("an include is not of the form [type]:[parameter]"))?;
    let no_type = |name: &str| QueryError::value(format!("an include is for {}, to which the reference does not lead", short(name)));
    if code == "*" {
        let target = target_name.map(|name| ResourceType::parse(name).ok_or_else(|| no_type(name))).transpose()?;
        return Ok(Include { source: Some(source), parameter: None, target, iterate });
    }
    let parameter = definitions
        .search_parameter(source, code)
        .filter(|parameter| parameter.kind == SearchParameterKind::Reference)
        .ok_or_else(|| QueryError::value(format!("{source} has no reference parameter {} to include by", short(code))))?;
    let target = target_name
        .map(|name| type_among(&reference_targets(definitions, source, parameter), name).ok_or_else(|| no_type(name)))
        .transpose()?;
    Ok(Include { source: Some(source), parameter: Some(parameter.number), target, iterate })
}

/// The sort keys of a type.
pub(super) fn sort_of(definitions: &Definitions, resource_type: ResourceType, sort: &[(String, bool)]) -> Result<Vec<SortBy>, QueryError> {
    let keys = sort.iter().map(|(code, descending)| {
        let target = if code == "_id" {
            SortTarget::Id
        } else {
            let parameter = definitions
                .search_parameter(resource_type, code)
                .filter(|parameter| parameter.kind != SearchParameterKind::Special && !parameter.expression.is_empty());
            let unknown = || QueryError::value(format!("{resource_type} cannot be sorted by {}", short(code)));
            SortTarget::Parameter(parameter.ok_or_else(unknown)?.number)
        };
        Ok(SortBy { target, descending: *descending })
    });
    keys.collect()
}

fn once<T: PartialEq>(name: &str, place: &mut Option<T>, value: T) -> Result<(), QueryError> {
    if place.as_ref().is_some_and(|before| *before != value) {
        return Err(QueryError::value(format!("{name} is given twice and differs")));
    }
    *place = Some(value);
    Ok(())
}

fn count(value: &str) -> Result<u64, QueryError> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // What does not fit is more than any page holds.
    is_number.then(|| value.parse().unwrap_or(u64::MAX)).ok_or_else(|| QueryError::value("_count is no number of 0 or more"))
}

fn total(value: &str) -> Result<Total, QueryError> {
    match value {
        "none" => Ok(Total::None),
        "estimate" => Ok(Total::Estimate),
        "accurate" => Ok(Total::Accurate),
        _ => Err(QueryError::value("_total is none of none, estimate and accurate")),
    }
}

fn summary(value: &str) -> Result<Summary, QueryError> {
    match value {
        "true" => Ok(Summary::True),
        "false" => Ok(Summary::False),
        "text" => Ok(Summary::Text),
        "data" => Ok(Summary::Data),
        "count" => Ok(Summary::Count),
        _ => Err(QueryError::value("_summary is none of true, false, text, data and count")),
    }
}

fn elements(value: &str) -> Result<Vec<String>, QueryError> {
    // `Patient.name` names the element of one type; R4 has bare names only, and clients send both.
    let names: Vec<_> = value.split(',').map(|name| name.rsplit_once('.').map_or(name, |(_, name)| name).to_owned()).collect();
    let valid = |name: &String| !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if names.len() > 200 || !names.iter().all(valid) {
        return Err(QueryError::value("_elements is no list of element names"));
    }
    Ok(names)
}
