//! A principal comes from a verified token, and keeps its tenant.

use fhirpool_authz::{Principal, TenantId};

fn switch(mut principal: Principal, tenant: TenantId) -> Principal {
    principal.tenant = tenant;
    principal
}

fn main() {}
