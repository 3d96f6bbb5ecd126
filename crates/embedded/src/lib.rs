//! fhirpool embedded.
