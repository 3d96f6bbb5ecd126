//! What sampled data (R4 datatypes.html#SampledData) ranges over.

use fhirpool_fhir::json::Value;
use fhirpool_fhirpath::Decimal as Exact;

use super::convert::decimal;
use crate::value::number::Interval;

/// From the least to the greatest sample: `origin + sample × factor`. `U` and `L`, above and below what the device can
/// measure, leave that end open; `E`, an error, does not count. Without samples: the device's own limits.
pub(super) fn sampled_interval(sampled: Value<'_>) -> Option<Interval> {
    let (mut least, mut greatest): (Option<Exact>, Option<Exact>) = (None, None);
    let (mut below, mut above) = (false, false);
    let data = sampled.get_str("data").unwrap_or_default();
    for sample in data.split_ascii_whitespace() {
        match sample {
            "E" => {}
            "L" => below = true,
            "U" => above = true,
            number => {
                let Some(number) = Exact::parse(number) else { continue };
                least = Some(least.map_or(number, |least| least.min(number)));
                greatest = Some(greatest.map_or(number, |greatest| greatest.max(number)));
            }
        }
    }
    let measured = |sample: Exact| measured(sampled, sample);
    let (low, high) = (least.and_then(measured), greatest.and_then(measured));
    if low.is_none() && high.is_none() {
        let limit = |name| sampled.get(name).and_then(decimal);
        let (low, high) = (limit("lowerLimit"), limit("upperLimit"));
        return (low.is_some() || high.is_some()).then_some(Interval { low, high });
    }
    let parse = |end: Exact| fhirpool_fhir::Decimal::parse(&end.to_string());
    let mut ends = [low, high].map(|end| end.and_then(parse));
    if let [Some(low), Some(high)] = &ends
        && low.compare(high).is_gt()
    {
        ends.swap(0, 1);
    }
    let [low, high] = ends;
    Some(Interval { low: low.filter(|_| !below), high: high.filter(|_| !above) })
}

fn measured(sampled: Value<'_>, sample: Exact) -> Option<Exact> {
    let number = |value: Option<Value<'_>>| value.and_then(Value::as_number).and_then(Exact::parse);
    let origin = number(sampled.get("origin").and_then(|origin| origin.get("value")))?;
    let factor = number(sampled.get("factor")).unwrap_or(Exact::ONE);
    sample.checked_mul(factor)?.checked_add(origin)
}
