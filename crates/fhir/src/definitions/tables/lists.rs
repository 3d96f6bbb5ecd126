//! Code lists and compartments.

use std::collections::HashMap;

use super::{Line, TableError};
use crate::definitions::{CodeList, CodeListId, CodeListSystem, Compartment};

/// The lists, and their ids by value set.
pub(super) fn code_lists(text: &str) -> Result<(Vec<CodeList>, HashMap<String, CodeListId>), TableError> {
    let mut lists: Vec<CodeList> = Vec::with_capacity(256);
    let mut ids = HashMap::with_capacity(256);
    for line in Line::all("code-lists.txt", text) {
        if line.indent == 0 {
            ids.insert(line.text.to_owned(), CodeListId(lists.len() as u16));
            lists.push(CodeList { url: line.text.to_owned(), codes: Vec::new(), systems: Vec::new() });
            continue;
        }
        let list = lists.last_mut().ok_or_else(|| line.error("codes before the first value set"))?;
        match (line.indent, list.systems.last_mut()) {
            (2, _) => list.systems.push(CodeListSystem { system: line.text.to_owned(), codes: Vec::new() }),
            (_, Some(system)) => system.codes.extend(line.text.split(' ').map(str::to_owned)),
            (_, None) => return Err(line.error("codes before the first system")),
        }
    }
    for list in &mut lists {
        list.systems.iter_mut().for_each(|system| system.codes.sort_unstable());
        list.codes = list.systems.iter().flat_map(|system| &system.codes).cloned().collect();
        list.codes.sort_unstable();
        list.codes.dedup();
    }
    Ok((lists, ids))
}

/// The compartments.
pub(super) fn compartments(text: &str) -> Result<Vec<Compartment>, TableError> {
    let mut compartments: Vec<Compartment> = Vec::new();
    for line in Line::all("compartments.txt", text) {
        if line.indent == 0 {
            compartments.push(Compartment { owner: line.resource_type(line.text)?, members: HashMap::new() });
            continue;
        }
        let compartment = compartments.last_mut().ok_or_else(|| line.error("a member before the first compartment"))?;
        let (member, parameters) = line.text.split_once(": ").ok_or_else(|| line.error("no colon"))?;
        compartment.members.insert(line.resource_type(member)?, parameters.split(' ').map(str::to_owned).collect());
    }
    Ok(compartments)
}
