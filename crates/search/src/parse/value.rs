//! The values of a parameter, by its type.

use std::borrow::Cow;

use fhirpool_fhir::definitions::{SearchParameter, SearchParameterKind};
use fhirpool_fhir::{Canonical, Date, DateInterval, Decimal, IssueCode, Reference, ResourceId, ResourceKey, ResourceType};

use super::escape::{split, split_once, unescape};
use super::{QueryError, Reader};
use crate::ValueTest;
use crate::extract::{component_parameters, implies_system, reference_targets};
use crate::value::number::SoughtUnit;
use crate::value::token::Sought;
use crate::value::{Comparator, composite, date, number, reference, string, token, uri};

/// A parameter of a type with its modifier.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub resource_type: ResourceType,
    pub parameter: &'a SearchParameter,
    pub modifier: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn wrong_modifier(self) -> QueryError {
        let (code, kind) = (&self.parameter.code, self.parameter.kind.code());
        let modifier = self.modifier.unwrap_or("");
        QueryError::not_supported(format!("the modifier :{} is not for {code}, a {kind} parameter", super::short(modifier)))
    }

    fn wrong_value(self, shape: &str) -> QueryError {
        QueryError::value(format!("a value of {} is not {shape}", self.parameter.code))
    }

    fn too_long(self) -> QueryError {
        QueryError::new(IssueCode::TooLong, format!("a value of {} is longer than 512 bytes", self.parameter.code))
    }

    fn needs_terminology(self) -> QueryError {
        let modifier = self.modifier.unwrap_or("");
        QueryError::not_supported(format!("the modifier :{modifier} on {} is not supported", self.parameter.code))
    }
}

impl Reader<'_> {
    /// The test of one alternative, with its escapes.
    pub(super) fn value_test(&self, target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
        if text.is_empty() {
            return Err(target.wrong_value("given"));
        }
        let test = match target.parameter.kind {
            SearchParameterKind::String => string_test(target, text),
            SearchParameterKind::Token => self.token_test(target, text),
            SearchParameterKind::Reference => self.reference_test(target, text),
            SearchParameterKind::Uri => uri_test(target, text),
            SearchParameterKind::Date => self.date_test(target, text),
            SearchParameterKind::Number => number_test(target, text),
            SearchParameterKind::Quantity => quantity_test(target, text),
            SearchParameterKind::Composite => self.composite_test(target, text),
            SearchParameterKind::Special => Err(QueryError::not_supported(format!("{} is not supported", target.parameter.code))),
        }?;
        self.spend_ranges(test.ranges().len())?;
        Ok(test)
    }

    fn token_test(&self, target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
        match target.modifier {
            None | Some("not") => self.coded(target, text, token::test),
            Some("text") => token::text_test(&unescape(text)).ok_or_else(|| target.too_long()),
            Some("of-type") => {
                let parts: Vec<_> = split(text, '|').map(unescape).collect();
                let [system, code, value] = parts.as_slice() else { return Err(target.wrong_value("system|code|value")) };
                if value.is_empty() || code.is_empty() {
                    return Err(target.wrong_value("system|code|value"));
                }
                Ok(token::of_type_test(value, code, system))
            }
            Some("in" | "not-in" | "above" | "below") => Err(target.needs_terminology()),
            Some(_) => Err(target.wrong_modifier()),
        }
    }

    /// `code`, `system|code`, `|code` or `system|`.
    fn coded(&self, target: Target<'_>, text: &str, test: fn(Sought<'_>) -> ValueTest) -> Result<ValueTest, QueryError> {
        let Some((system, code)) = split_once(text, '|') else {
            return Ok(test(Sought { system: None, code: Some(&with_plus(unescape(text))), implied: false }));
        };
        let (system, code) = (unescape(system), with_plus(unescape(code)));
        if system.is_empty() && code.is_empty() {
            return Err(target.wrong_value("a code"));
        }
        // A `code` has no system property, so `|code` finds it, too.
        let is_token = target.parameter.kind == SearchParameterKind::Token;
        let implied = is_token && (system.is_empty() || implies_system(self.definitions, target.resource_type, target.parameter, &system));
        Ok(test(Sought { system: Some(&system), code: Some(&*code).filter(|code| !code.is_empty()), implied }))
    }

    fn reference_test(&self, target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
        let targets = || reference_targets(self.definitions, target.resource_type, target.parameter);
        let resource_type = match target.modifier {
            None => None,
            Some("identifier") => return self.coded(target, text, token::reference_identifier_test),
            Some("above" | "below") => return Err(target.needs_terminology()),
            Some(name) => Some(type_among(&targets(), name).ok_or_else(|| target.wrong_modifier())?),
        };
        let text = unescape(text);
        if let Some(id) = ResourceId::parse(&text) {
            let types = match resource_type {
                Some(resource_type) => vec![resource_type],
                None => targets(),
            };
            let keys: Vec<_> = types.into_iter().map(|resource_type| ResourceKey::new(resource_type, id.clone())).collect();
            return Ok(reference::local_test(&keys));
        }
        let parsed = Reference::parse(&text);
        if let Some((key, version)) = parsed.local(self.options.base) {
            let is_absolute = matches!(parsed, Reference::Resource { base: Some(_), .. });
            return Ok(match version {
                _ if resource_type.is_some_and(|sought| sought != key.resource_type) => reference::local_test([]),
                Some(version) => reference::version_test(key, version),
                None if is_absolute => reference::url_test(&text, Some(key)),
                None => reference::local_test([key]),
            });
        }
        if resource_type.is_some() {
            return Err(target.wrong_value("an id or a resource of this server, as its modifier demands"));
        }
        match parsed {
            Reference::Resource { .. } | Reference::Urn(_) => Ok(reference::url_test(&text, None)),
            Reference::Canonical(Canonical { url, version: Some(version), .. }) => Ok(reference::canonical_test(url, version)),
            Reference::Canonical(_) => Ok(reference::url_test(&text, None)),
            // What else has a scheme is a URL of some kind (`urn:…`, `ldap:…`); canonicals may be any URI.
            Reference::Other(_) if text.contains(':') => {
                let Canonical { url, version, .. } = Canonical::parse(&text);
                Ok(version.map_or_else(|| reference::url_test(&text, None), |version| reference::canonical_test(url, version)))
            }
            Reference::Fragment(_) | Reference::Conditional { .. } | Reference::Other(_) => {
                Err(target.wrong_value("an id, a type with an id, or a URL"))
            }
        }
    }

    fn date_test(&self, target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
        no_modifier(target)?;
        let (comparator, text) = Comparator::split(text);
        let sought = Date::parse_search(text).ok_or_else(|| target.wrong_value("a date"))?.interval;
        let sought = if comparator == Comparator::Approximate { self.widened(sought) } else { sought };
        Ok(date::test(comparator, sought))
    }

    /// By a tenth of what lies between now and the date (R4 search.html#prefix).
    fn widened(&self, sought: DateInterval) -> DateInterval {
        let now = DateInterval::from(self.options.now).low;
        let gap = if now < sought.low { sought.low.saturating_sub(now) } else { now.saturating_sub(sought.high).max(0) };
        DateInterval { low: sought.low.saturating_sub(gap / 10), high: sought.high.saturating_add(gap / 10) }
    }

    fn composite_test(&self, target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
        no_modifier(target)?;
        let unreadable = || QueryError::not_supported(format!("{} is not supported", target.parameter.code));
        let components = component_parameters(self.definitions, target.parameter).ok_or_else(unreadable)?;
        let parts: Vec<_> = split(text, '$').collect();
        if parts.len() != components.len() {
            return Err(target.wrong_value(&format!("{} parts joined by $", components.len())));
        }
        let tests = components.into_iter().zip(parts).map(|(parameter, part)| {
            if parameter.kind == SearchParameterKind::Composite {
                return Err(unreadable());
            }
            self.value_test(Target { parameter, modifier: None, ..target }, part)
        });
        Ok(composite::test(tests.collect::<Result<_, _>>()?))
    }
}

/// No code begins with a space: it was the `+` of a telephone number, which URL decoding took.
fn with_plus(code: Cow<'_, str>) -> Cow<'_, str> {
    match code.strip_prefix(' ') {
        Some(rest) if rest.starts_with(|digit: char| digit.is_ascii_digit()) => format!("+{rest}").into(),
        _ => code,
    }
}

fn no_modifier(target: Target<'_>) -> Result<(), QueryError> {
    target.modifier.map_or(Ok(()), |_| Err(target.wrong_modifier()))
}

fn string_test(target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
    let text = unescape(text);
    let text = if target.parameter.code == "phonetic" { string::phonetic(&text).into() } else { text };
    match target.modifier {
        None => string::starts_with(&text).ok_or_else(|| target.too_long()),
        Some("exact") => Ok(string::exact(&text)),
        Some("contains") => string::contains_text(&text).ok_or_else(|| target.too_long()),
        Some(_) => Err(target.wrong_modifier()),
    }
}

fn uri_test(target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
    let text = unescape(text);
    let is_urn = text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
    match target.modifier {
        None => Ok(uri::test(&text)),
        Some("above" | "below") if is_urn => Err(target.wrong_value("a URL, which alone has something above and below it")),
        Some("above") => uri::above(&text).ok_or_else(|| target.too_long()),
        Some("below") => uri::below(&text).ok_or_else(|| target.too_long()),
        Some(_) => Err(target.wrong_modifier()),
    }
}

fn number_test(target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
    no_modifier(target)?;
    let (comparator, text) = Comparator::split(text);
    let sought = sought_number(text).ok_or_else(|| target.wrong_value("a number"))?;
    Ok(number::test(comparator, &sought, None))
}

fn quantity_test(target: Target<'_>, text: &str) -> Result<ValueTest, QueryError> {
    no_modifier(target)?;
    let (comparator, text) = Comparator::split(text);
    let parts: Vec<_> = split(text, '|').map(unescape).collect();
    let (number, unit) = match parts.as_slice() {
        [number] => (number, SoughtUnit::Any),
        [number, system, code] if system.is_empty() && code.is_empty() => (number, SoughtUnit::Any),
        [number, system, code] if system.is_empty() => (number, SoughtUnit::Named(code)),
        [number, system, code] if !code.is_empty() => (number, SoughtUnit::Coded { system, code }),
        _ => return Err(target.wrong_value("a number, number|system|code or number||code")),
    };
    let sought = sought_number(number).ok_or_else(|| target.wrong_value("a number, number|system|code or number||code"))?;
    Ok(number::test(comparator, &sought, Some(unit)))
}

/// More digits than any measurement has would only cost.
fn sought_number(text: &str) -> Option<Decimal> {
    Some(text).filter(|text| text.len() <= 64).and_then(Decimal::parse)
}

/// The type of this name, if it is among these.
pub(super) fn type_among(types: &[ResourceType], name: &str) -> Option<ResourceType> {
    ResourceType::parse(name).filter(|resource_type| types.contains(resource_type))
}
