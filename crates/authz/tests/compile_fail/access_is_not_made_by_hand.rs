//! An access comes from `authorize` alone.

use fhirpool_authz::{Interaction, ReadAccess, TypeSet};

fn widen(access: ReadAccess) -> ReadAccess {
    ReadAccess { interaction: Interaction::Search, types: TypeSet::all(), ..access }
}

fn main() {}
