//! Reads the tables of the build.

mod lists;
mod parameters;
mod types;

use super::{Definitions, Names};
use crate::ResourceType;

/// A line that is not as its table wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}, line {line}: {reason}")]
pub(super) struct TableError {
    table: &'static str,
    /// From 1.
    line: usize,
    reason: &'static str,
}

/// Loads all tables.
pub(super) fn load() -> Result<Definitions, TableError> {
    let (code_lists, code_list_ids) = lists::code_lists(include_str!("../../definitions/code-lists.txt"))?;
    let (types, type_ids) = types::types(include_str!("../../definitions/types.txt"), &code_list_ids)?;
    let mut definitions = Definitions { types, type_ids, code_lists, ..Definitions::default() };
    definitions.resource_type_ids = resource_type_ids(&definitions.type_ids)?;
    parameters::add(&mut definitions, include_str!("../../definitions/search-parameters.txt"))?;
    definitions.compartments = lists::compartments(include_str!("../../definitions/compartments.txt"))?;
    Ok(definitions)
}

fn resource_type_ids(type_ids: &Names<super::TypeId>) -> Result<Vec<super::TypeId>, TableError> {
    let missing = TableError { table: types::TABLE, line: 0, reason: "a resource type is missing" };
    ResourceType::all().map(|resource_type| type_ids.get(resource_type.name()).ok_or_else(|| missing.clone())).collect()
}

/// A line of a table.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    table: &'static str,
    /// From 1.
    number: usize,
    /// How many blanks it starts with.
    indent: usize,
    /// The text behind them.
    text: &'a str,
}

impl<'a> Line<'a> {
    /// The lines of a table without its comments.
    fn all(table: &'static str, text: &'a str) -> impl Iterator<Item = Self> {
        text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')).map(move |(index, line)| {
            let text = line.trim_start_matches(' ');
            Self { table, number: index + 1, indent: line.len() - text.len(), text }
        })
    }

    fn error(self, reason: &'static str) -> TableError {
        TableError { table: self.table, line: self.number, reason }
    }

    /// The next word.
    fn word(self, words: &mut dyn Iterator<Item = &'a str>) -> Result<&'a str, TableError> {
        words.next().ok_or_else(|| self.error("a word is missing"))
    }

    /// The resource type of this name.
    fn resource_type(self, name: &str) -> Result<ResourceType, TableError> {
        ResourceType::parse(name).ok_or_else(|| self.error("no such resource type"))
    }
}
