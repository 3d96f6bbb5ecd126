//! From the values of R4's datatypes to the bytes of index values (R4 search.html, the table of each parameter type).

use fhirpool_fhir::definitions::{SearchParameter, SearchParameterKind, TypeId};
use fhirpool_fhir::json::{Kind, Value};
use fhirpool_fhir::{Canonical, Date, DateInterval, Decimal, Definitions, Reference, ResourceId, ResourceKey, ResourceType, ServiceBase};

use super::sampled::sampled_interval;
use crate::value::number::{Interval, Unit};
use crate::value::{date, number, reference, string, text, token, uri};

/// How a value of one datatype becomes values of one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Convert {
    Text,
    HumanName,
    Address,
    PhoneticText,
    PhoneticName,
    /// A code whose system is implied, or a boolean.
    Code,
    /// A string, uri or id as a token.
    PlainToken,
    Coding,
    CodeableConcept,
    Identifier,
    ContactPoint,
    Reference,
    Canonical,
    /// A whole resource, for itself.
    Resource,
    Uri,
    Date,
    Period,
    Timing,
    Number,
    NumberRange,
    Quantity,
    Money,
    Range,
    SampledData,
}

impl Convert {
    /// For values of this type; `None` where the parameter's type finds nothing in them.
    pub(super) fn of(definitions: &Definitions, parameter: &SearchParameter, type_id: TypeId) -> Option<Self> {
        // What specializes a datatype (`Age`, `code` and the like) is read as that, unless it is listed itself.
        std::iter::successors(Some(type_id), |id| definitions.type_definition(*id).base)
            .find_map(|id| Self::of_name(parameter, &definitions.type_definition(id).name))
    }

    fn of_name(parameter: &SearchParameter, name: &str) -> Option<Self> {
        use SearchParameterKind as Kind;
        let phonetic = parameter.code == "phonetic";
        Some(match (parameter.kind, name) {
            (Kind::String, "HumanName") if phonetic => Self::PhoneticName,
            (Kind::String, "string") if phonetic => Self::PhoneticText,
            (Kind::String, "string" | "uri") => Self::Text,
            (Kind::String, "HumanName") => Self::HumanName,
            (Kind::String, "Address") => Self::Address,
            (Kind::Token, "code" | "boolean") => Self::Code,
            (Kind::Token, "string" | "uri" | "integer") => Self::PlainToken,
            (Kind::Token, "Coding") => Self::Coding,
            (Kind::Token, "CodeableConcept") => Self::CodeableConcept,
            (Kind::Token, "Identifier") => Self::Identifier,
            (Kind::Token, "ContactPoint") => Self::ContactPoint,
            (Kind::Reference, "Reference") => Self::Reference,
            (Kind::Reference, "uri") => Self::Canonical,
            (Kind::Uri, "uri") => Self::Uri,
            (Kind::Date, "date" | "dateTime" | "instant") => Self::Date,
            (Kind::Date, "Period") => Self::Period,
            (Kind::Date, "Timing") => Self::Timing,
            (Kind::Number, "integer" | "decimal") => Self::Number,
            (Kind::Number, "Range") => Self::NumberRange,
            (Kind::Quantity, "Quantity") => Self::Quantity,
            (Kind::Quantity, "Money") => Self::Money,
            (Kind::Quantity, "Range") => Self::Range,
            (Kind::Quantity, "SampledData") => Self::SampledData,
            _ => return None,
        })
    }

    /// Gives the values; `resolves_to`: only of references to that type.
    pub(super) fn convert(self, value: Value<'_>, resolves_to: Option<ResourceType>, base: &ServiceBase, give: &mut dyn FnMut(Vec<u8>)) {
        match self {
            Self::Text => with_text(value, &mut |text| give(string::value(text))),
            Self::HumanName => human_name(value, &mut |text| give(string::value(text))),
            Self::Address => address(value, &mut |text| give(string::value(text))),
            Self::PhoneticText => with_text(value, &mut |text| give(string::value(&string::phonetic(text)))),
            Self::PhoneticName => human_name(value, &mut |text| give(string::value(&string::phonetic(text)))),
            Self::Code if value.kind() == Kind::Bool => give(token::value(value.raw(), token::IMPLIED)),
            Self::Code => with_text(value, &mut |code| give(token::value(code, token::IMPLIED))),
            Self::PlainToken if value.kind() == Kind::Number => give(token::value(value.raw(), "")),
            Self::PlainToken => with_text(value, &mut |code| give(token::value(code, ""))),
            Self::Coding => coding(value, give),
            Self::CodeableConcept => codeable_concept(value, give),
            Self::Identifier => identifier(value, give),
            Self::ContactPoint => pair(value, "value", "system", &mut |code, system| give(token::value(code, system))),
            Self::Reference => reference_values(value, resolves_to, base, give),
            Self::Canonical => with_text(value, &mut |text| canonical_values(text, base, give)),
            Self::Resource => give_all(resource_key(value).as_ref().map(reference::reference_value), give),
            Self::Uri => with_text(value, &mut |text| give(uri::value(text))),
            Self::Date => with_text(value, &mut |text| give_date(Date::parse(text).map(|date| date.interval), give)),
            Self::Period => give_date(period(value), give),
            Self::Timing => give_date(timing(value), give),
            Self::Number => give_number(decimal(value).map(point), None, give),
            Self::NumberRange => give_number(range(value), None, give),
            Self::Quantity => with_unit(Some(value), |unit| give_number(quantity(value), Some(unit), give)),
            Self::Money => money(value, give),
            Self::Range => with_unit(value.get("low").or(value.get("high")), |unit| give_number(range(value), Some(unit), give)),
            Self::SampledData => with_unit(value.get("origin"), |unit| give_number(sampled_interval(value), Some(unit), give)),
        }
    }
}

fn give_all(values: impl IntoIterator<Item = Vec<u8>>, give: &mut dyn FnMut(Vec<u8>)) {
    values.into_iter().for_each(give);
}

fn with_text(value: Value<'_>, then: &mut dyn FnMut(&str)) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        then(&text);
    }
}

/// Each of the parts, the name's own text, and given and family name together.
fn human_name(name: Value<'_>, give: &mut dyn FnMut(&str)) {
    give_parts(name, &["text", "family", "given", "prefix", "suffix"], &["given", "family"], give);
}

/// Each of the parts, the address's own text, and the parts together.
fn address(address: Value<'_>, give: &mut dyn FnMut(&str)) {
    let parts = ["text", "line", "city", "district", "state", "postalCode", "country"];
    give_parts(address, &parts, &["line", "city", "state", "postalCode", "country"], give);
}

fn give_parts(value: Value<'_>, parts: &[&str], joined: &[&str], give: &mut dyn FnMut(&str)) {
    let texts = |name: &str| value.get(name).into_iter().flat_map(Value::each).filter_map(Value::as_str);
    if let Some(text) = value.as_str() {
        give(&text);
    }
    parts.iter().flat_map(|name| texts(name)).filter(|text| !text.is_empty()).for_each(|text| give(&text));
    let mut whole = String::new();
    let mut count = 0;
    for text in joined.iter().flat_map(|name| texts(name)) {
        if whole.len() > text::FOLDED_BYTES_MAX {
            break;
        }
        if !whole.is_empty() {
            whole.push(' ');
        }
        whole.push_str(&text);
        count += 1;
    }
    if count > 1 {
        give(&whole);
    }
}

fn pair(value: Value<'_>, code: &str, system: &str, then: &mut dyn FnMut(&str, &str)) {
    let (code, system) = (value.get_str(code), value.get_str(system));
    if code.is_some() || system.is_some() {
        then(code.as_deref().unwrap_or(""), system.as_deref().unwrap_or(""));
    }
}

fn coding(coding: Value<'_>, give: &mut dyn FnMut(Vec<u8>)) {
    pair(coding, "code", "system", &mut |code, system| give(token::value(code, system)));
    give_all(coding.get_str("display").and_then(|display| token::text_value(&display)), give);
}

fn codeable_concept(concept: Value<'_>, give: &mut dyn FnMut(Vec<u8>)) {
    concept.get("coding").into_iter().flat_map(Value::elements).for_each(|each| coding(each, give));
    give_all(concept.get_str("text").and_then(|text| token::text_value(&text)), give);
}

fn identifier(identifier: Value<'_>, give: &mut dyn FnMut(Vec<u8>)) {
    pair(identifier, "value", "system", &mut |value, system| give(token::value(value, system)));
    let Some(kind) = identifier.get("type") else { return };
    give_all(kind.get_str("text").and_then(|text| token::text_value(&text)), give);
    if let Some(value) = identifier.get_str("value") {
        for coding in kind.get("coding").into_iter().flat_map(Value::elements) {
            pair(coding, "code", "system", &mut |code, system| give(token::of_type_value(&value, code, system)));
        }
    }
}

fn reference_values(reference: Value<'_>, resolves_to: Option<ResourceType>, base: &ServiceBase, give: &mut dyn FnMut(Vec<u8>)) {
    let type_name = reference.get_str("type");
    let type_fits = |name: &str| resolves_to.is_none_or(|sought| sought.name() == name);
    if let Some(text) = reference.get_str("reference").filter(|text| !text.is_empty()) {
        let parsed = Reference::parse(&text);
        let fits = match &parsed {
            Reference::Resource { key, .. } => type_fits(key.resource_type.name()),
            _ => resolves_to.is_none() || type_name.as_deref().is_some_and(type_fits),
        };
        if fits {
            literal_reference(&parsed, &text, base, give);
        }
    }
    // What a logical reference leads to is known by its `type` alone; without one it may be the type sought.
    if let Some(identifier) = reference.get("identifier").filter(|_| type_name.as_deref().is_none_or(type_fits)) {
        pair(identifier, "value", "system", &mut |value, system| give(token::reference_identifier(value, system)));
    }
}

fn literal_reference(parsed: &Reference<'_>, text: &str, base: &ServiceBase, give: &mut dyn FnMut(Vec<u8>)) {
    if let Some((key, version)) = parsed.local(base) {
        give(reference::reference_value(key));
        give_all(version.map(|version| reference::version_value(key, version)), give);
    } else if let Reference::Resource { version: Some(version), .. } = parsed {
        let versionless = text.len() - "/_history/".len() - version.len();
        give(reference::url_value(&text[..versionless]));
        give(reference::url_value(text));
    } else {
        give(reference::url_value(text));
    }
}

fn canonical_values(text: &str, base: &ServiceBase, give: &mut dyn FnMut(Vec<u8>)) {
    let canonical = Canonical::parse(text);
    if canonical.url.is_empty() {
        return give(reference::url_value(text));
    }
    give(reference::canonical_value(canonical.url, canonical.version.unwrap_or("")));
    if let Some((key, _)) = Reference::parse(canonical.url).local(base) {
        give(reference::reference_value(key));
    }
}

/// The key of a resource that has an id.
pub(super) fn resource_key(resource: Value<'_>) -> Option<ResourceKey> {
    let resource_type = ResourceType::parse(&resource.get_str("resourceType")?)?;
    Some(ResourceKey::new(resource_type, ResourceId::parse(&resource.get_str("id")?)?))
}

fn give_date(interval: Option<DateInterval>, give: &mut dyn FnMut(Vec<u8>)) {
    if let Some(interval) = interval {
        date::write(interval, give);
    }
}

fn property_interval(value: Value<'_>, name: &str) -> Option<DateInterval> {
    value.get_str(name).and_then(|text| Date::parse(&text)).map(|date| date.interval)
}

/// An end that is not given is open.
fn period(period: Value<'_>) -> Option<DateInterval> {
    let (start, end) = (property_interval(period, "start"), property_interval(period, "end"));
    if start.is_none() && end.is_none() {
        return None;
    }
    let low = start.map_or(DateInterval::MIN, |start| start.low);
    Some(DateInterval { low, high: end.map_or(DateInterval::MAX, |end| end.high).max(low) })
}

/// The outer limits alone: from the first event or the beginning of the bounds to the last or the end.
fn timing(timing: Value<'_>) -> Option<DateInterval> {
    let events = timing.get("event").into_iter().flat_map(Value::each).filter_map(Value::as_str);
    let intervals = events.filter_map(|text| Date::parse(&text)).map(|date| date.interval);
    let bounds = timing.get("repeat").and_then(|repeat| repeat.get("boundsPeriod")).and_then(period);
    intervals.chain(bounds).reduce(|one, other| DateInterval { low: one.low.min(other.low), high: one.high.max(other.high) })
}

pub(super) fn decimal(value: Value<'_>) -> Option<Decimal> {
    value.as_number().and_then(Decimal::parse)
}

fn point(decimal: Decimal) -> Interval {
    Interval { low: Some(decimal.clone()), high: Some(decimal) }
}

fn give_number(interval: Option<Interval>, unit: Option<Unit<'_>>, give: &mut dyn FnMut(Vec<u8>)) {
    if let Some(interval) = interval {
        number::write(&interval, unit, give);
    }
}

/// What a quantity's comparator says it lies in.
fn quantity(quantity: Value<'_>) -> Option<Interval> {
    let value = quantity.get("value").and_then(decimal)?;
    Some(match quantity.get_str("comparator").as_deref() {
        Some("<" | "<=") => Interval { low: None, high: Some(value) },
        Some(">" | ">=") => Interval { low: Some(value), high: None },
        _ => point(value),
    })
}

fn range(range: Value<'_>) -> Option<Interval> {
    let end = |name| range.get(name).and_then(|quantity| quantity.get("value")).and_then(decimal);
    let (low, high) = (end("low"), end("high"));
    (low.is_some() || high.is_some()).then_some(Interval { low, high })
}

fn with_unit(quantity: Option<Value<'_>>, then: impl FnOnce(Unit<'_>)) {
    let part = |name| quantity.and_then(|quantity| quantity.get_str(name));
    let (system, code, text) = (part("system"), part("code"), part("unit"));
    let known = |part: &Option<std::borrow::Cow<'_, str>>| part.as_deref().unwrap_or("").to_owned();
    let (system, code, text) = (known(&system), known(&code), known(&text));
    then(Unit { system: &system, code: &code, text: &text });
}

fn money(money: Value<'_>, give: &mut dyn FnMut(Vec<u8>)) {
    let currency = money.get_str("currency");
    let system = if currency.is_some() { "urn:iso:std:iso:4217" } else { "" };
    let unit = Unit { system, code: currency.as_deref().unwrap_or(""), text: "" };
    give_number(money.get("value").and_then(decimal).map(point), Some(unit), give);
}
