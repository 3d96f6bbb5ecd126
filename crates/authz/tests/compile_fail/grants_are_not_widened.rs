//! What a token grants is decided once, when it is verified.

use fhirpool_authz::{Grants, Interaction, InteractionSet, Limit, Principal, TypeSet};

fn widen(principal: Principal) -> Grants {
    let mut grants = principal.grants().clone();
    grants.add([Interaction::Read].into_iter().collect::<InteractionSet>(), TypeSet::all(), Limit::default());
    grants
}

fn main() {}
