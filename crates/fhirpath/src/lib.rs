//! fhirpool fhirpath.
