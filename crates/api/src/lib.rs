//! fhirpool api.
