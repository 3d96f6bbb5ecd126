//! Random searches of all parameter types, modifiers, chains, sorts and pages.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;

use super::samples::Samples;

/// What a parameter's values are like, and so how they are sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Code,
    Coding,
    Identifier,
    Date,
    Quantity,
    Uri,
    /// With the type it leads to.
    Reference(&'static str),
    /// A composite of code and quantity, of the whole resource or a component.
    Component(&'static str),
}

use Kind::*;

/// Parameters of a type: code, kind, where the values are.
type Parameters = &'static [(&'static str, Kind, &'static str)];

pub(super) const PARAMETERS: &[(&str, Parameters)] = &[
    (
        "Patient",
        &[
            ("name", Text, "name.family"),
            ("family", Text, "name.family"),
            ("given", Text, "name.given"),
            ("phonetic", Text, "name.family"),
            ("birthdate", Date, "birthDate"),
            ("death-date", Date, "deceasedDateTime"),
            ("gender", Code, "gender"),
            ("identifier", Identifier, "identifier"),
            ("address-city", Text, "address.city"),
            ("address", Text, "address.line"),
            ("address-postalcode", Text, "address.postalCode"),
            ("language", Coding, "communication.language.coding"),
            ("_profile", Uri, "meta.profile"),
        ],
    ),
    (
        "Observation",
        &[
            ("code", Coding, "code.coding"),
            ("category", Coding, "category.coding"),
            ("status", Code, "status"),
            ("date", Date, "effectiveDateTime"),
            ("subject", Reference("Patient"), "subject.reference"),
            ("patient", Reference("Patient"), "subject.reference"),
            ("encounter", Reference("Encounter"), "encounter.reference"),
            ("value-quantity", Quantity, "valueQuantity"),
            ("value-concept", Coding, "valueCodeableConcept.coding"),
            ("component-code", Coding, "component.code.coding"),
            ("component-value-quantity", Quantity, "component.valueQuantity"),
            ("combo-value-quantity", Quantity, "component.valueQuantity"),
            ("code-value-quantity", Component("valueQuantity"), ""),
            ("component-code-value-quantity", Component("valueQuantity"), "component"),
        ],
    ),
    (
        "Encounter",
        &[
            ("class", Coding, "class"),
            ("type", Coding, "type.coding"),
            ("status", Code, "status"),
            ("date", Date, "period.start"),
            ("subject", Reference("Patient"), "subject.reference"),
            ("reason-code", Coding, "reasonCode.coding"),
            ("identifier", Identifier, "identifier"),
        ],
    ),
    (
        "Condition",
        &[
            ("code", Coding, "code.coding"),
            ("clinical-status", Coding, "clinicalStatus.coding"),
            ("onset-date", Date, "onsetDateTime"),
            ("abatement-date", Date, "abatementDateTime"),
            ("recorded-date", Date, "recordedDate"),
            ("patient", Reference("Patient"), "subject.reference"),
            ("encounter", Reference("Encounter"), "encounter.reference"),
        ],
    ),
    (
        "Procedure",
        &[
            ("code", Coding, "code.coding"),
            ("date", Date, "performedPeriod.start"),
            ("status", Code, "status"),
            ("patient", Reference("Patient"), "subject.reference"),
            ("encounter", Reference("Encounter"), "encounter.reference"),
        ],
    ),
    (
        "MedicationRequest",
        &[
            ("code", Coding, "medicationCodeableConcept.coding"),
            ("authoredon", Date, "authoredOn"),
            ("intent", Code, "intent"),
            ("status", Code, "status"),
            ("patient", Reference("Patient"), "subject.reference"),
            ("encounter", Reference("Encounter"), "encounter.reference"),
        ],
    ),
    (
        "Claim",
        &[
            ("created", Date, "created"),
            ("status", Code, "status"),
            ("use", Code, "use"),
            ("patient", Reference("Patient"), "patient.reference"),
            ("priority", Coding, "priority.coding"),
        ],
    ),
    (
        "ExplanationOfBenefit",
        &[
            ("created", Date, "created"),
            ("status", Code, "status"),
            ("patient", Reference("Patient"), "patient.reference"),
            ("claim", Reference("Claim"), "claim.reference"),
        ],
    ),
    (
        "DiagnosticReport",
        &[
            ("code", Coding, "code.coding"),
            ("category", Coding, "category.coding"),
            ("date", Date, "effectiveDateTime"),
            ("issued", Date, "issued"),
            ("patient", Reference("Patient"), "subject.reference"),
            ("result", Reference("Observation"), "result.reference"),
        ],
    ),
    (
        "Immunization",
        &[
            ("vaccine-code", Coding, "vaccineCode.coding"),
            ("date", Date, "occurrenceDateTime"),
            ("patient", Reference("Patient"), "patient.reference"),
        ],
    ),
    (
        "Organization",
        &[
            ("name", Text, "name"),
            ("identifier", Identifier, "identifier"),
            ("address-city", Text, "address.city"),
            ("type", Coding, "type.coding"),
        ],
    ),
    ("Practitioner", &[("name", Text, "name.family"), ("identifier", Identifier, "identifier"), ("email", Code, "telecom.value")]),
];

fn pick<'l, T>(random: &mut StdRng, choices: &'l [T]) -> &'l T {
    &choices[random.random_range(0..choices.len())]
}

fn parameters(resource_type: &str) -> Option<(&'static str, Parameters)> {
    PARAMETERS.iter().find(|(owner, _)| *owner == resource_type).copied()
}

/// A search, encoded, with its page size and a total.
pub(super) fn random_query(random: &mut StdRng, samples: &Samples) -> String {
    let size = *pick(random, &[1, 3, 10, 25, 50, 100]);
    let rest = format!("_count={size}&_total=accurate&_elements=id");
    if random.random_bool(0.06) {
        let types: Vec<&str> = (0..3).map(|_| pick(random, PARAMETERS).0).collect();
        let sort = pick(random, &["", "&_sort=_id", "&_sort=-_id"]);
        return format!("?_type={}{sort}&{rest}", types.join(","));
    }
    let (resource_type, own) = *pick(random, PARAMETERS);
    let mut parts = Vec::new();
    for _ in 0..*pick(random, &[0, 1, 1, 1, 1, 2, 2, 3]) {
        parts.extend(criterion(random, samples, resource_type, 2));
    }
    if random.random_bool(0.5) {
        let mut keys = Vec::new();
        for _ in 0..*pick(random, &[1, 1, 2]) {
            let code = if random.random_bool(0.1) { "_id" } else { pick(random, own).0 };
            keys.push(format!("{}{code}", pick(random, &["", "-"])));
        }
        parts.push(format!("_sort={}", keys.join(",")));
    }
    parts.push(rest);
    format!("{resource_type}?{}", parts.join("&"))
}

/// One criterion with a chain of at most so many links; `None` where no value is at hand.
fn criterion(random: &mut StdRng, samples: &Samples, resource_type: &str, links: usize) -> Option<String> {
    let (resource_type, own) = parameters(resource_type)?;
    if links > 0 && resource_type == "Patient" && random.random_bool(0.3) {
        let (source, code) =
            pick(random, &[("Observation", "patient"), ("Condition", "patient"), ("Encounter", "subject"), ("Claim", "patient")]);
        return Some(format!("_has:{source}:{code}:{}", criterion(random, samples, source, links - 1)?));
    }
    if random.random_bool(0.05) {
        let ids: Vec<&str> = (0..3).filter_map(|_| samples.id(random, resource_type)).collect();
        return Some(format!("_id={}", ids.join(",")));
    }
    let (code, kind, _) = *pick(random, own);
    if random.random_bool(0.08) {
        return Some(format!("{code}:missing={}", pick(random, &["true", "false"])));
    }
    if let Reference(target) = kind
        && links > 0
        && random.random_bool(0.5)
    {
        return Some(format!("{code}:{target}.{}", criterion(random, samples, target, links - 1)?));
    }
    let modifier = match kind {
        Text => *pick(random, &["", "", ":exact", ":contains"]),
        Coding => *pick(random, &["", "", "", ":not", ":text"]),
        Code => *pick(random, &["", "", ":not"]),
        Uri => *pick(random, &["", ":below", ":above"]),
        _ => "",
    };
    let mut alternatives = Vec::new();
    for _ in 0..*pick(random, &[1, 1, 1, 2, 4]) {
        let value = samples.value(random, resource_type, code)?;
        alternatives.extend(sought(random, samples, kind, modifier, value));
    }
    (!alternatives.is_empty()).then(|| format!("{code}{modifier}={}", alternatives.join(",")))
}

fn sought(random: &mut StdRng, samples: &Samples, kind: Kind, modifier: &str, value: &Value) -> Option<String> {
    Some(match kind {
        Text => {
            let text = value.as_str()?;
            let letters: Vec<char> = text.chars().collect();
            match modifier {
                ":exact" => escaped(text),
                ":contains" => escaped(&letters[letters.len() / 3..(letters.len() / 3 + 3).min(letters.len())].iter().collect::<String>()),
                _ => escaped(&letters[..random.random_range(1..=letters.len())].iter().collect::<String>().to_uppercase()),
            }
        }
        Code | Uri => escaped(value.as_str()?),
        Coding if modifier == ":text" => {
            let display = value["display"].as_str()?;
            escaped(&display.chars().take(random.random_range(1..10)).collect::<String>())
        }
        Coding | Identifier => {
            let (system, code) = (escaped(value["system"].as_str()?), escaped(value["code"].as_str().or(value["value"].as_str())?));
            match random.random_range(0..8) {
                0 => format!("{system}%7C"),
                1 => format!("%7C{code}"),
                2 | 3 => code,
                _ => format!("{system}%7C{code}"),
            }
        }
        Date => {
            let text = value.as_str()?;
            let cut = *pick(random, &[4, 7, 10, 10, text.len()]);
            format!("{}{}", prefix(random), escaped(text.get(..cut).unwrap_or(text)))
        }
        Quantity => {
            let unit = match random.random_range(0..3) {
                0 => String::new(),
                1 => format!("%7C%7C{}", escaped(value["unit"].as_str()?)),
                _ => format!("%7C{}%7C{}", escaped(value["system"].as_str()?), escaped(value["code"].as_str()?)),
            };
            format!("{}{}{unit}", prefix(random), value["value"])
        }
        Reference(target) => match random.random_range(0..3) {
            0 => samples.id(random, target)?.to_owned(),
            _ => format!("{target}/{}", value.as_str()?.strip_prefix("urn:uuid:")?),
        },
        Component(member) => {
            let (coding, quantity) = (&value["code"]["coding"][0], &value[member]);
            let code = escaped(coding["code"].as_str()?);
            let code = if random.random_bool(0.5) { code } else { format!("{}%7C{code}", escaped(coding["system"].as_str()?)) };
            format!("{code}${}", sought(random, samples, Quantity, "", quantity.get("value").map(|_| quantity)?)?)
        }
    })
}

fn prefix(random: &mut StdRng) -> &'static str {
    const PREFIXES: [&str; 11] = ["", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"];
    PREFIXES[random.random_range(0..PREFIXES.len())]
}

/// With FHIR's escapes and those of URLs.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if matches!(letter, ',' | '$' | '|' | '\\') {
            out.push_str("%5C");
        }
        let mut bytes = [0; 4];
        for byte in letter.encode_utf8(&mut bytes).bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}
