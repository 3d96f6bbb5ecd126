//! The headers of draft-ietf-httpapi-ratelimit-headers: every answer has them, so they are written with little work.

use std::sync::{PoisonError, RwLock};

use axum::body::Bytes;
use fhirpool_authz::{QuotaOf, Rate, Standing};
use http::HeaderValue;
use http::header::HeaderName;

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Writes the headers, and keeps those that say what the quotas are: there are few.
#[derive(Default)]
pub(super) struct Headers {
    policies: RwLock<Vec<(Vec<Quota>, HeaderValue)>>,
}

type Quota = (QuotaOf, Rate);

/// Policies that are kept; others are written each time.
const POLICIES_MAX: usize = 16;
/// What a quota takes in either header, about.
const BYTES_OF_ONE: usize = 48;

impl Headers {
    /// What there is and what is left of it; `None` where there are no quotas.
    pub fn of(&self, standings: &[Standing]) -> Option<[(HeaderName, HeaderValue); 2]> {
        if standings.is_empty() {
            return None;
        }
        let mut left = Vec::with_capacity(BYTES_OF_ONE * standings.len());
        for Standing { of, left_points, full_in_ms, .. } in standings {
            item(&mut left, *of, [("r", u64::from(*left_points)), ("t", full_in_ms.div_ceil(1000))]);
        }
        Some([(RATE_LIMIT_POLICY.clone(), self.policy(standings)), (RATE_LIMIT.clone(), value(left))])
    }

    fn policy(&self, standings: &[Standing]) -> HeaderValue {
        let quotas = || standings.iter().map(|standing| (standing.of, standing.rate));
        let kept = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, policy)) = kept.iter().find(|(of, _)| of.iter().copied().eq(quotas())) {
            return policy.clone();
        }
        let has_room = kept.len() < POLICIES_MAX;
        drop(kept);
        let mut text = Vec::with_capacity(BYTES_OF_ONE * standings.len());
        for (of, rate) in quotas() {
            // The window is the time in which an empty quota fills up.
            let window_s = rate.burst_points.div_ceil(rate.points_per_s.max(1));
            item(&mut text, of, [("q", rate.burst_points.into()), ("w", window_s.into())]);
        }
        let policy = value(text);
        if has_room {
            // Two may do so at once: the second is never found.
            self.policies.write().unwrap_or_else(PoisonError::into_inner).push((quotas().collect(), policy.clone()));
        }
        policy
    }
}

/// Adds `"name";key=number;key=number` to a list (RFC 9651).
fn item(list: &mut Vec<u8>, of: QuotaOf, parameters: [(&str, u64); 2]) {
    let mut digits = itoa::Buffer::new();
    list.extend_from_slice(if list.is_empty() { b"\"" } else { b", \"" });
    list.extend_from_slice(match of {
        QuotaOf::Tenant => b"tenant\"",
        QuotaOf::Application => b"application\"",
        QuotaOf::ApiKey => b"api-key\"",
    });
    for (key, number) in parameters {
        list.push(b';');
        list.extend_from_slice(key.as_bytes());
        list.push(b'=');
        list.extend_from_slice(digits.format(number).as_bytes());
    }
}

fn value(text: Vec<u8>) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("names and numbers are plain ASCII")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn standing(of: QuotaOf, points_per_s: u32) -> Standing {
        Standing { of, rate: Rate { points_per_s, burst_points: 100 }, left_points: 7, full_in_ms: 1001 }
    }

    #[test]
    fn what_there_is_and_what_is_left_is_told_of_each_quota() {
        let headers = Headers::default();
        assert!(headers.of(&[]).is_none());
        for _ in 0..2 {
            let told = headers.of(&[standing(QuotaOf::Tenant, 10), standing(QuotaOf::ApiKey, 30)]).unwrap();
            let texts = told.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            assert_eq!(
                texts,
                ["ratelimit-policy: \"tenant\";q=100;w=10, \"api-key\";q=100;w=4", "ratelimit: \"tenant\";r=7;t=2, \"api-key\";r=7;t=2",]
            );
        }
    }

    #[test]
    fn few_policies_are_kept_and_each_is_told_right() {
        let headers = Headers::default();
        for round in 0..2 {
            for points_per_s in 1..=100 {
                let [(_, policy), _] = headers.of(&[standing(QuotaOf::Tenant, points_per_s)]).unwrap();
                assert_eq!(policy, format!("\"tenant\";q=100;w={}", 100_u32.div_ceil(points_per_s)), "{round}");
            }
        }
        assert_eq!(headers.policies.read().unwrap().len(), POLICIES_MAX);
    }
}
