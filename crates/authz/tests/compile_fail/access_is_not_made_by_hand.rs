//! An access comes from `authorize` alone.

use fhirpool_authz::{ReadAccess, TenantId, TypeSet};

fn forge(tenant: TenantId) -> ReadAccess {
    ReadAccess { tenant, subject: "anyone".into(), types: TypeSet::all(), limit: None }
}

fn main() {}
