//! fhirpool validation.
