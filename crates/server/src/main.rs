//! The `fhirpool` program.

fn main() {}
