//! fhirpool testkit.
