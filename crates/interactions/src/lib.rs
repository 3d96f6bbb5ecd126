//! fhirpool interactions.
