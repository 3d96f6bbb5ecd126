//! The header `Prefer` (RFC 7240; R4 http.html#ops).

use fhirpool_interactions::{Handling, Returning};
use http::HeaderMap;

use crate::negotiation::split_list;

/// What a request prefers; other preferences are none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Prefer {
    /// `return=…`
    pub returning: Option<Returning>,
    /// `handling=…`
    pub handling: Handling,
}

impl Prefer {
    /// Reads the header. The first of two preferences of the same name counts (RFC 7240, section 2).
    pub fn parse(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let (mut seen_return, mut seen_handling) = (false, false);
        let texts = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        for preference in texts.flat_map(split_list).flat_map(|element| element.split(';')) {
            let Some((name, value)) = preference.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("return") && !seen_return {
                seen_return = true;
                prefer.returning = match value {
                    "minimal" => Some(Returning::Minimal),
                    // SMART's JavaScript client misspells it on PATCH.
                    "representation" | "presentation" => Some(Returning::Representation),
                    "OperationOutcome" => Some(Returning::OperationOutcome),
                    _ => None,
                };
            } else if name.trim().eq_ignore_ascii_case("handling") && !seen_handling {
                seen_handling = true;
                prefer.handling = if value.eq_ignore_ascii_case("lenient") { Handling::Lenient } else { Handling::Strict };
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;
    use http::header::HeaderName;

    use super::*;

    fn prefer(texts: &[&str]) -> Prefer {
        let name = HeaderName::from_static("prefer");
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(&name, HeaderValue::from_str(text).unwrap());
        }
        Prefer::parse(&headers)
    }

    #[test]
    fn every_way_clients_write_it() {
        assert_eq!(prefer(&[]), Prefer { returning: None, handling: Handling::Strict });
        assert_eq!(
            prefer(&["return=minimal; handling=lenient"]),
            Prefer { returning: Some(Returning::Minimal), handling: Handling::Lenient }
        );
        let two = prefer(&["respond-async, return=\"representation\"", "handling=lenient"]);
        assert_eq!(two, Prefer { returning: Some(Returning::Representation), handling: Handling::Lenient });
        assert_eq!(prefer(&["return=presentation"]).returning, Some(Returning::Representation));
        assert_eq!(prefer(&["Return=OperationOutcome, return=minimal"]).returning, Some(Returning::OperationOutcome));
        assert_eq!(prefer(&["return=everything, handling=odd"]), Prefer::default());
    }
}
