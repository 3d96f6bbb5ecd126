//! A store's commit asks for a write access; a read access is none.

use fhirpool_authz::{ReadAccess, WriteAccess};

fn commit(_access: &WriteAccess) {}

fn handler(access: &ReadAccess) {
    commit(access);
}

fn main() {}
