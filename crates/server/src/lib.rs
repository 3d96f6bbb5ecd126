//! fhirpool server.
