//! From a query's text to a typed [`Query`] (R4 search.html).
//!
//! Deliberately absent: paging (the caller's token is handed through), limits of an access, and terminology (`:in`, `:below`
//! on codes and the like are refused as not supported).

use std::cell::Cell;

use fhirpool_fhir::{Definitions, Issue, IssueCode, OperationOutcome, ResourceKey, ResourceType, ServiceBase, Timestamp};

use crate::compartment::compartment_clause;
use crate::value::text::cut;
use crate::{Clause, Include, Query, Summary, TypeSearch};
use control::{Control, Taken};

mod clause;
mod control;
mod decode;
mod escape;
#[cfg(test)]
mod tests;
mod value;

pub use decode::{decode_query, encode_query};

/// The parameter that carries a page token.
pub const PAGE_PARAMETER: &str = "_page";

/// Where a search looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All types, or those in `_type`.
    System,
    /// One type.
    Type(ResourceType),
    /// What belongs to the compartment of the owner: one type, or all that have a part in it.
    Compartment {
        /// The resource that spans it.
        owner: ResourceKey,
        /// The type sought; `None` for `[type]/[id]/*`.
        resource_type: Option<ResourceType>,
    },
}

/// What becomes of parameters that are not understood (R4 search.html#errors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handling {
    /// They are errors.
    #[default]
    Strict,
    /// They are left out, with a warning.
    Lenient,
}

/// How much a query may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Parameters.
    pub parameters_max: usize,
    /// Alternatives (commas) of one parameter.
    pub alternatives_max: usize,
    /// Bytes of one parameter's name or alternative.
    pub value_bytes_max: usize,
    /// Links of a chain, `_has` among them.
    pub chain_depth_max: usize,
    /// Inner searches of one parameter, over all types its chain may lead through.
    pub chain_searches_max: usize,
    /// Ranges of index values to look through, over all parameters and alternatives.
    pub ranges_max: usize,
    /// `_include` and `_revinclude` together.
    pub includes_max: usize,
    /// Sort keys.
    pub sort_keys_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parameters_max: 100,
            alternatives_max: 1000,
            value_bytes_max: 4096,
            chain_depth_max: 8,
            chain_searches_max: 1000,
            ranges_max: 20_000,
            includes_max: 50,
            sort_keys_max: 10,
        }
    }
}

/// What a query is read with.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The tenant's base URL, by which absolute references are known as local.
    pub base: &'a ServiceBase,
    /// What becomes of unknown parameters.
    pub handling: Handling,
    /// How much may be asked.
    pub limits: Limits,
    /// The time that `ap` measures dates from.
    pub now: Timestamp,
}

/// Why a query was refused. The texts are for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", issue.diagnostics)]
pub struct QueryError {
    /// What to tell the client.
    pub issue: Issue,
    /// Whether the parameter is unknown or not supported, so that lenient handling leaves it out.
    pub(crate) unknown_parameter: bool,
}

impl QueryError {
    pub(crate) fn new(code: IssueCode, diagnostics: impl Into<String>) -> Self {
        Self { issue: Issue::error(code, diagnostics), unknown_parameter: false }
    }

    pub(crate) fn value(diagnostics: impl Into<String>) -> Self {
        Self::new(IssueCode::Value, diagnostics)
    }

    pub(crate) fn not_supported(diagnostics: impl Into<String>) -> Self {
        Self::new(IssueCode::NotSupported, diagnostics)
    }

    pub(crate) fn unknown_parameter(resource_type: ResourceType, code: &str) -> Self {
        let text = format!("{resource_type} has no search parameter {}", short(code));
        Self { unknown_parameter: true, ..Self::new(IssueCode::NotSupported, text) }
    }
}

impl From<QueryError> for OperationOutcome {
    fn from(error: QueryError) -> Self {
        error.issue.into()
    }
}

/// A client's text, short enough to be told back.
fn short(text: &str) -> &str {
    cut(text, 64)
}

/// Reads a query whose parameters are percent-decoded already ([`decode_query`]).
pub fn parse(
    definitions: &Definitions,
    scope: &Scope,
    parameters: &[(String, String)],
    options: &Options<'_>,
) -> Result<Query, QueryError> {
    let reader = Reader::new(definitions, options);
    if parameters.len() > options.limits.parameters_max {
        let text = format!("there are more than {} search parameters", options.limits.parameters_max);
        return Err(QueryError::new(IssueCode::TooCostly, text));
    }
    let types = reader.types(scope, parameters)?;
    let mut parts: Vec<_> = types.iter().map(|(resource_type, filter)| part(*resource_type, filter.clone())).collect();
    let mut control = Control::default();
    let mut kept = Kept { handling: options.handling, parameters: Vec::new(), warnings: Vec::new() };
    for (name, value) in parameters {
        if name == "_type" && !matches!(scope, Scope::Type(_)) {
            kept.parameters.push((name.clone(), value.clone()));
            continue;
        }
        if name.len() > options.limits.value_bytes_max {
            let text = format!("a parameter's name is longer than {} bytes", options.limits.value_bytes_max);
            return Err(QueryError::new(IssueCode::TooLong, text));
        }
        let taken = match control.take(definitions, &options.limits, name, value)? {
            Taken::Dropped => continue,
            Taken::Yes => Ok(()),
            Taken::No => reader.add_clauses(&mut parts, name, value),
        };
        kept.keep(name, value, taken)?;
    }
    for index in 0..parts.len() {
        match control::sort_of(definitions, parts[index].resource_type, &control.sort) {
            Ok(sort) => parts[index].sort = sort,
            Err(error) if options.handling == Handling::Lenient => {
                parts.iter_mut().for_each(|part| part.sort.clear());
                kept.parameters.retain(|(name, _)| name != "_sort");
                kept.warnings.push(Issue::warning(error.issue.code, error.issue.diagnostics));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    // R4 search.html#summary: a text summary holds no references that could be followed.
    if control.summary == Some(Summary::Text) && !(control.includes.is_empty() && control.revincludes.is_empty()) {
        return Err(QueryError::value("_include and _revinclude cannot stand beside _summary=text"));
    }
    Ok(Query {
        parts: parts.into(),
        count: control.count,
        total: control.total.unwrap_or_default(),
        summary: control.summary.unwrap_or_default(),
        elements: control.elements,
        includes: control.includes,
        revincludes: control.revincludes,
        page: control.page,
        self_parameters: kept.parameters,
        warnings: kept.warnings,
    })
}

/// Reads criteria that stand alone, such as those of a conditional interaction or of an access's limit: what says how to
/// return is refused, and so is nothing at all.
pub fn parse_criteria(
    definitions: &Definitions,
    resource_type: ResourceType,
    parameters: &[(String, String)],
    options: &Options<'_>,
) -> Result<TypeSearch, QueryError> {
    let query = parse(definitions, &Scope::Type(resource_type), parameters, options)?;
    let returns = |(name, _): &(String, String)| {
        let code = name.split(':').next().unwrap_or(name);
        ["_count", "_total", "_summary", "_elements", "_sort", "_include", "_revinclude"].contains(&code)
    };
    if let Some((name, _)) = query.self_parameters.iter().find(|parameter| returns(parameter)) {
        return Err(QueryError::value(format!("{} is no criterion", short(name))));
    }
    match &*query.parts {
        [part] if !part.filter.is_empty() => Ok(part.clone()),
        _ => Err(QueryError::value("there are no criteria")),
    }
}

/// Reads the value of one `_include` or `_revinclude`.
pub fn parse_include(definitions: &Definitions, value: &str, iterate: bool) -> Result<Include, QueryError> {
    control::include(definitions, value, iterate)
}

fn part(resource_type: ResourceType, filter: Vec<Clause>) -> TypeSearch {
    TypeSearch { resource_type, filter, sort: Vec::new() }
}

/// What is kept for the self link and what is told.
struct Kept {
    handling: Handling,
    parameters: Vec<(String, String)>,
    warnings: Vec<Issue>,
}

impl Kept {
    fn keep(&mut self, name: &str, value: &str, taken: Result<(), QueryError>) -> Result<(), QueryError> {
        match taken {
            Ok(()) => self.parameters.push((name.to_owned(), value.to_owned())),
            Err(error) if error.unknown_parameter && self.handling == Handling::Lenient => {
                self.warnings.push(Issue::warning(error.issue.code, format!("ignored: {}", error.issue.diagnostics)));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// A query being read, with what it may still spend.
struct Reader<'a> {
    definitions: &'a Definitions,
    options: &'a Options<'a>,
    searches_left: Cell<usize>,
    ranges_left: Cell<usize>,
}

impl<'a> Reader<'a> {
    fn new(definitions: &'a Definitions, options: &'a Options<'a>) -> Self {
        Self { definitions, options, searches_left: Cell::new(0), ranges_left: Cell::new(options.limits.ranges_max) }
    }

    /// The types sought, ascending, each with what the scope demands of it.
    fn types(&self, scope: &Scope, parameters: &[(String, String)]) -> Result<Vec<(ResourceType, Vec<Clause>)>, QueryError> {
        let named = parameters.iter().filter(|(name, _)| name == "_type");
        let named: Vec<Vec<ResourceType>> = named.map(|(_, value)| type_list(value)).collect::<Result<_, _>>()?;
        let is_named = |resource_type: &ResourceType| named.iter().all(|list| list.contains(resource_type));
        match scope {
            Scope::Type(resource_type) => Ok(vec![(*resource_type, Vec::new())]),
            Scope::System => Ok(ResourceType::all().filter(is_named).map(|resource_type| (resource_type, Vec::new())).collect()),
            Scope::Compartment { owner, resource_type: Some(resource_type) } => {
                let clause = compartment_clause(self.definitions, owner, *resource_type).ok_or_else(|| {
                    QueryError::not_supported(format!("{resource_type} has no part in the compartment of a {}", owner.resource_type))
                })?;
                Ok(vec![(*resource_type, vec![clause])].into_iter().filter(|(resource_type, _)| is_named(resource_type)).collect())
            }
            Scope::Compartment { owner, resource_type: None } => {
                let clause = |resource_type| Some((resource_type, vec![compartment_clause(self.definitions, owner, resource_type)?]));
                let types: Vec<_> = ResourceType::all().filter(is_named).filter_map(clause).collect();
                match self.definitions.compartment(owner.resource_type) {
                    Some(_) => Ok(types),
                    None => Err(QueryError::not_supported(format!("a {} spans no compartment", owner.resource_type))),
                }
            }
        }
    }

    /// Adds what a parameter demands to all parts, or to none.
    fn add_clauses(&self, parts: &mut [TypeSearch], name: &str, value: &str) -> Result<(), QueryError> {
        let several = parts.len() > 1;
        let mut clauses = Vec::with_capacity(parts.len());
        for part in parts.iter() {
            self.searches_left.set(self.options.limits.chain_searches_max);
            clauses.push(self.clause(part.resource_type, name, value, 0).map_err(|mut error| {
                if several && error.unknown_parameter {
                    error.issue.diagnostics.push_str("; a search over several types takes what all of them have (see _type)");
                }
                error
            })?);
        }
        parts.iter_mut().zip(clauses).for_each(|(part, clause)| part.filter.push(clause));
        Ok(())
    }

    /// Counts an inner search.
    fn spend_search(&self) -> Result<(), QueryError> {
        let too_many = "a chain leads through too many types; name them, as in subject:Patient.name";
        spend(&self.searches_left, 1).ok_or_else(|| QueryError::new(IssueCode::TooCostly, too_many))
    }

    /// Counts ranges to look through.
    fn spend_ranges(&self, count: usize) -> Result<(), QueryError> {
        let too_many = "the query has too many alternatives; name the types of references, as in subject:Patient";
        spend(&self.ranges_left, count).ok_or_else(|| QueryError::new(IssueCode::TooCostly, too_many))
    }
}

fn spend(left: &Cell<usize>, count: usize) -> Option<()> {
    left.set(left.get().checked_sub(count)?);
    Some(())
}

fn type_list(value: &str) -> Result<Vec<ResourceType>, QueryError> {
    let names = value.split(',').take(2 * ResourceType::COUNT);
    let parse =
        |name: &str| ResourceType::parse(name).ok_or_else(|| QueryError::value(format!("{} in _type is no resource type", short(name))));
    names.map(parse).collect()
}
