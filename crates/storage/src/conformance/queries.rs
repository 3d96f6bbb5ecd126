//! Random resources and queries of all parameter types, over few values, so that they meet.

use super::Random;

const TEXTS: [&str; 10] = ["M\u{fc}ller", "muller", "Mull", "Anna Maria", "\u{5c71}\u{7530}", "a.b*c", "O'Neil [x]", "z", "Zo\u{eb}", "mu"];
const SYSTEMS: [&str; 3] = ["urn:s", "http://loinc.org", "urn:s:2"];
const CODES: [&str; 6] = ["a", "b", "ab", "8480-6", "A", "c.d|e"];
const UNITS: [&str; 4] = ["mg", "kg", "mmHg", "g"];
const NUMBERS: [&str; 12] = ["0", "1", "1.0", "5.4", "5.40", "5.44", "99.5", "100", "1e2", "-3", "0.001", "1000000"];
const DATES: [&str; 14] = [
    "2013",
    "2013-01",
    "2013-01-14",
    "2013-01-15",
    "2013-02-28",
    "2012-12-31",
    "1931-05-02",
    "2024",
    "2013-01-14T10:00:00Z",
    "2013-01-14T23:30:00-05:00",
    "2013-01-14T10:00:00.500Z",
    "2013-01-15T00:00:00+02:00",
    "1969-12-31T23:59:59Z",
    "2030-06",
];
const IDS: [&str; 8] = [
    "1",
    "2",
    "12",
    "a",
    "A.b",
    "0b5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99",
    "fb5f1a4e-7d0e-4ad9-9b1a-3f3d2c1b0a99",
    "80ff00fe-0001-4ad9-9b1a-000000000001",
];
const URLS: [&str; 5] = ["http://x.org/a", "http://x.org/a/b", "http://x.org", "urn:uuid:1", "http://x.org/a?b#c"];
/// The types of the resources.
pub const TYPES: [&str; 8] =
    ["Condition", "Encounter", "Observation", "Organization", "Patient", "QuestionnaireResponse", "RiskAssessment", "ValueSet"];

/// A resource of one of [`TYPES`] as JSON; often of an id that was there before.
pub fn random_resource(random: &mut Random) -> String {
    let resource_type = random.pick(&TYPES);
    let mut elements = vec![format!(r#""resourceType":"{resource_type}","id":"{}""#, random.pick(&IDS))];
    for _ in 0..random.below(6) {
        elements.push(element(random, resource_type));
    }
    // Of elements named twice the last is meant.
    let name = |element: &str| element.split(':').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = Vec::new();
    for element in elements {
        kept.retain(|other| name(other) != name(&element));
        let is_choice = |text: &str| ["\"effective", "\"value", "\"onset"].into_iter().find(|prefix| text.starts_with(prefix));
        if is_choice(&element).is_some() {
            kept.retain(|other| is_choice(other) != is_choice(&element));
        }
        kept.push(element);
    }
    format!("{{{}}}", kept.join(","))
}

fn element(random: &mut Random, resource_type: &str) -> String {
    let common = [format!(r#""meta":{{"tag":[{}],"profile":["{}"]}}"#, coding(random), random.pick(&URLS)), identifiers(random)];
    let subject = format!(r#""subject":{}"#, reference(random, "Patient"));
    let code = format!(r#""code":{}"#, concept(random));
    let own = match resource_type {
        "Patient" => vec![
            format!(r#""name":[{{"family":{},"given":[{},{}]}}]"#, text(random), text(random), text(random)),
            format!(r#""birthDate":"{}""#, day(random)),
            format!(r#""gender":"{}""#, random.pick(&["male", "female", "other"])),
            format!(r#""active":{}"#, random.pick(&["true", "false"])),
            format!(r#""managingOrganization":{}"#, reference(random, "Organization")),
            format!(r#""address":[{{"city":{},"postalCode":"{}"}}]"#, text(random), random.pick(&NUMBERS)),
        ],
        "Observation" => vec![
            code,
            subject,
            format!(r#""status":"{}""#, random.pick(&["final", "amended"])),
            format!(r#""encounter":{}"#, reference(random, "Encounter")),
            format!(r#""effectiveDateTime":"{}""#, random.pick(&DATES)),
            format!(r#""effectivePeriod":{}"#, period(random)),
            format!(r#""valueQuantity":{}"#, quantity(random)),
            format!(r#""valueQuantity":{}"#, quantity(random)),
            format!(r#""valueString":{}"#, text(random)),
            format!(r#""valueDateTime":"{}""#, random.pick(&DATES)),
            format!(r#""valueCodeableConcept":{}"#, concept(random)),
            format!(
                r#""component":[{{"code":{},"valueQuantity":{}}},{{"code":{},"valueQuantity":{}}}]"#,
                concept(random),
                quantity(random),
                concept(random),
                quantity(random)
            ),
        ],
        "Encounter" => vec![
            subject,
            format!(r#""status":"{}""#, random.pick(&["planned", "finished"])),
            format!(r#""class":{}"#, coding(random)),
            format!(r#""period":{}"#, period(random)),
            format!(r#""length":{}"#, quantity(random)),
            format!(r#""serviceProvider":{}"#, reference(random, "Organization")),
        ],
        "Organization" => vec![
            format!(r#""name":{}"#, text(random)),
            format!(r#""alias":[{},{}]"#, text(random), text(random)),
            format!(r#""partOf":{}"#, reference(random, "Organization")),
        ],
        "Condition" => vec![
            code,
            subject,
            format!(r#""onsetDateTime":"{}""#, random.pick(&DATES)),
            format!(r#""onsetAge":{}"#, quantity(random)),
            format!(r#""recordedDate":"{}""#, random.pick(&DATES)),
            format!(r#""encounter":{}"#, reference(random, "Encounter")),
        ],
        "QuestionnaireResponse" => vec![
            subject,
            format!(r#""questionnaire":"{}{}""#, random.pick(&URLS), random.pick(&["", "|1.0", "|2"])),
            format!(r#""authored":"{}""#, random.pick(&DATES)),
        ],
        "RiskAssessment" => vec![
            subject,
            format!(
                r#""prediction":[{{"probabilityDecimal":{}}},{{"probabilityDecimal":{}}}]"#,
                random.pick(&NUMBERS),
                random.pick(&NUMBERS)
            ),
            format!(
                r#""prediction":[{{"probabilityRange":{{"low":{{"value":{}}},"high":{{"value":{}}}}}}}]"#,
                random.pick(&NUMBERS),
                random.pick(&NUMBERS)
            ),
            format!(r#""occurrencePeriod":{}"#, period(random)),
        ],
        _ => vec![
            format!(r#""url":"{}""#, random.pick(&URLS)),
            format!(r#""version":"{}""#, random.pick(&["1.0", "2"])),
            format!(r#""date":"{}""#, random.pick(&DATES)),
            format!(r#""title":{}"#, text(random)),
            format!(r#""useContext":[{{"code":{},"valueQuantity":{}}}]"#, coding(random), quantity(random)),
        ],
    };
    let choice = random.below(common.len() + 3 * own.len());
    common.get(choice).unwrap_or_else(|| &own[choice % own.len()]).clone()
}

fn text(random: &mut Random) -> String {
    format!("\"{}\"", random.pick(&TEXTS))
}

fn day(random: &mut Random) -> &'static str {
    random.pick(&DATES[..8])
}

fn coding(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!(r#"{{"code":"{}"}}"#, random.pick(&CODES)),
        1 => format!(r#"{{"system":"{}"}}"#, random.pick(&SYSTEMS)),
        _ => format!(r#"{{"system":"{}","code":"{}","display":{}}}"#, random.pick(&SYSTEMS), random.pick(&CODES), text(random)),
    }
}

fn concept(random: &mut Random) -> String {
    format!(r#"{{"text":{},"coding":[{},{}]}}"#, text(random), coding(random), coding(random))
}

fn identifiers(random: &mut Random) -> String {
    let identifier = |random: &mut Random| {
        let kind = if random.below(2) == 0 { format!(r#","type":{}"#, concept(random)) } else { String::new() };
        format!(r#"{{"system":"{}","value":"{}"{kind}}}"#, random.pick(&SYSTEMS), random.pick(&CODES))
    };
    format!(r#""identifier":[{},{}]"#, identifier(random), identifier(random))
}

fn reference(random: &mut Random, target: &str) -> String {
    match random.below(8) {
        0 => format!(r#"{{"reference":"http://elsewhere.org/{target}/{}"}}"#, random.pick(&IDS)),
        1 => format!(r#"{{"reference":"{target}/{}/_history/2"}}"#, random.pick(&IDS)),
        2 => format!(r#"{{"identifier":{{"system":"{}","value":"{}"}}}}"#, random.pick(&SYSTEMS), random.pick(&CODES)),
        _ => format!(r#"{{"reference":"{target}/{}"}}"#, random.pick(&IDS)),
    }
}

fn period(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!(r#"{{"start":"{}"}}"#, random.pick(&DATES)),
        1 => format!(r#"{{"end":"{}"}}"#, random.pick(&DATES)),
        _ => format!(r#"{{"start":"{}","end":"{}"}}"#, random.pick(&DATES), random.pick(&DATES)),
    }
}

fn quantity(random: &mut Random) -> String {
    let comparator = match random.below(6) {
        0 => format!(r#","comparator":"{}""#, random.pick(&["<", "<=", ">", ">="])),
        _ => String::new(),
    };
    let unit = match random.below(4) {
        0 => String::new(),
        1 => format!(r#","unit":"{}""#, random.pick(&UNITS)),
        _ => {
            format!(r#","system":"http://unitsofmeasure.org","code":"{}","unit":"{}""#, random.pick(&UNITS), random.pick(&UNITS))
        }
    };
    format!(r#"{{"value":{}{comparator}{unit}}}"#, random.pick(&NUMBERS))
}

/// A query over resources of [`TYPES`], as a client writes it but for the encoding. A few cannot be understood.
pub fn random_query(random: &mut Random) -> String {
    if random.below(12) == 0 {
        let types = [random.pick(&TYPES), random.pick(&TYPES), random.pick(&TYPES)].join(",");
        let filter = match random.below(3) {
            0 => String::new(),
            1 => format!("&identifier={}", sought_token(random)),
            _ => format!("&_tag={}", sought_token(random)),
        };
        return format!("?_type={types}{filter}{}", random.pick(&["", "&_sort=_id", "&_sort=-_id", "&_sort=-_lastUpdated", "&_sort=_tag"]));
    }
    let resource_type = random.pick(&TYPES);
    let mut parts = Vec::new();
    for _ in 0..random.pick(&[0, 1, 1, 1, 2, 2, 3]) {
        parts.push(criterion(random, resource_type, 2));
    }
    if random.below(2) == 0 {
        let own = parameters(resource_type);
        let mut key = || format!("{}{}", random.pick(&["", "-"]), random.pick(own).0);
        let keys = [key(), key()];
        parts.push(format!("_sort={}", keys[..1 + random.below(2)].join(",")));
    }
    format!("{resource_type}?{}", parts.join("&"))
}

/// What a parameter's values are like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Token,
    Text,
    Reference(&'static str),
    Date,
    Quantity,
    Number,
    Uri,
    CodeAndQuantity,
    CodeAndText,
    CodeAndDate,
    CodeAndCode,
    Id,
}

fn parameters(resource_type: &str) -> &'static [(&'static str, Kind)] {
    use Kind::*;
    match resource_type {
        "Patient" => &[
            ("name", Text),
            ("family", Text),
            ("birthdate", Date),
            ("gender", Token),
            ("active", Token),
            ("identifier", Token),
            ("organization", Reference("Organization")),
            ("address-city", Text),
            ("address", Text),
            ("phonetic", Text),
            ("_id", Id),
            ("_lastUpdated", Date),
        ],
        "Observation" => &[
            ("code", Token),
            ("status", Token),
            ("date", Date),
            ("subject", Reference("Patient")),
            ("patient", Reference("Patient")),
            ("encounter", Reference("Encounter")),
            ("value-quantity", Quantity),
            ("value-string", Text),
            ("value-date", Date),
            ("value-concept", Token),
            ("component-code", Token),
            ("component-value-quantity", Quantity),
            ("combo-value-quantity", Quantity),
            ("code-value-quantity", CodeAndQuantity),
            ("combo-code-value-quantity", CodeAndQuantity),
            ("code-value-string", CodeAndText),
            ("code-value-date", CodeAndDate),
            ("code-value-concept", CodeAndCode),
            ("_profile", Uri),
            ("_tag", Token),
        ],
        "Encounter" => &[
            ("status", Token),
            ("class", Token),
            ("date", Date),
            ("length", Quantity),
            ("subject", Reference("Patient")),
            ("service-provider", Reference("Organization")),
            ("identifier", Token),
        ],
        "Organization" => &[("name", Text), ("partof", Reference("Organization")), ("identifier", Token), ("_id", Id)],
        "Condition" => &[
            ("code", Token),
            ("subject", Reference("Patient")),
            ("onset-date", Date),
            ("onset-age", Quantity),
            ("recorded-date", Date),
            ("encounter", Reference("Encounter")),
        ],
        "QuestionnaireResponse" => &[("subject", Reference("Patient")), ("questionnaire", Uri), ("authored", Date), ("identifier", Token)],
        "RiskAssessment" => &[("probability", Number), ("date", Date), ("subject", Reference("Patient")), ("identifier", Token)],
        _ => &[
            ("url", Uri),
            ("version", Token),
            ("date", Date),
            ("title", Text),
            ("context-quantity", Quantity),
            ("context-type-quantity", CodeAndQuantity),
            ("identifier", Token),
        ],
    }
}

/// Chains of at most so many links.
fn criterion(random: &mut Random, resource_type: &str, links: usize) -> String {
    if links > 0 && random.below(8) == 0 {
        let (source, reference) = match resource_type {
            "Patient" => random.pick(&[("Observation", "subject"), ("Encounter", "subject"), ("Condition", "subject")]),
            "Organization" => random.pick(&[("Patient", "organization"), ("Encounter", "service-provider"), ("Organization", "partof")]),
            "Encounter" => random.pick(&[("Observation", "encounter"), ("Condition", "encounter")]),
            _ => ("", ""),
        };
        if !source.is_empty() {
            return format!("_has:{source}:{reference}:{}", criterion(random, source, links - 1));
        }
    }
    let (code, kind) = random.pick(parameters(resource_type));
    if random.below(12) == 0 && kind != Kind::Id {
        return format!("{code}:missing={}", random.pick(&["true", "false"]));
    }
    let mut values = Vec::new();
    for _ in 0..random.pick(&[1, 1, 1, 2, 3]) {
        values.push(());
    }
    let list = |random: &mut Random, one: fn(&mut Random) -> String| values.iter().map(|()| one(random)).collect::<Vec<_>>().join(",");
    match kind {
        Kind::Token => match random.below(8) {
            0 | 1 => format!("{code}:not={}", list(random, sought_token)),
            2 => format!("{code}:text={}", list(random, sought_text)),
            3 if code == "identifier" => {
                format!("{code}:of-type={}|{}|{}", random.pick(&SYSTEMS), escaped(random.pick(&CODES)), escaped(random.pick(&CODES)))
            }
            _ => format!("{code}={}", list(random, sought_token)),
        },
        Kind::Text => format!("{code}{}={}", random.pick(&["", "", ":exact", ":contains"]), list(random, sought_text)),
        Kind::Reference(target) if links > 0 && random.below(2) == 0 => {
            format!("{code}:{target}.{}", criterion(random, target, links - 1))
        }
        Kind::Reference(target) => match random.below(4) {
            0 => format!("{code}:identifier={}", sought_token(random)),
            1 => format!("{code}={}", random.pick(&IDS)),
            2 => format!("{code}=http://elsewhere.org/{target}/{}", random.pick(&IDS)),
            _ => format!("{code}={target}/{},{target}/{}", random.pick(&IDS), random.pick(&IDS)),
        },
        Kind::Date => format!("{code}={}", list(random, sought_date)),
        Kind::Number => format!("{code}={}", list(random, sought_number)),
        Kind::Quantity => format!("{code}={}", list(random, sought_quantity)),
        Kind::Uri => format!("{code}{}={}", random.pick(&["", "", ":above", ":below"]), random.pick(&URLS)),
        Kind::CodeAndQuantity => format!("{code}={}${}", sought_token(random), sought_quantity(random)),
        Kind::CodeAndText => format!("{code}={}${}", sought_token(random), sought_text(random)),
        Kind::CodeAndDate => format!("{code}={}${}", sought_token(random), sought_date(random)),
        Kind::CodeAndCode => format!("{code}={}${}", sought_token(random), sought_token(random)),
        Kind::Id => format!("{code}={},{}", random.pick(&IDS), random.pick(&IDS)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn sought_token(random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("{}|", random.pick(&SYSTEMS)),
        1 => format!("|{}", escaped(random.pick(&CODES))),
        2 => random.pick(&["final", "male", "true", "planned", "http://hl7.org/fhir/observation-status|final", "1.0"]).to_owned(),
        3 => format!("{}|{}", random.pick(&SYSTEMS), escaped(random.pick(&CODES))),
        _ => escaped(random.pick(&CODES)),
    }
}

fn sought_text(random: &mut Random) -> String {
    random.pick(&TEXTS).to_owned()
}

fn prefix(random: &mut Random) -> &'static str {
    random.pick(&["", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
}

fn sought_date(random: &mut Random) -> String {
    format!("{}{}", prefix(random), random.pick(&DATES).replace('+', "%2B"))
}

fn sought_number(random: &mut Random) -> String {
    format!("{}{}", prefix(random), random.pick(&NUMBERS))
}

fn sought_quantity(random: &mut Random) -> String {
    let unit = match random.below(4) {
        0 => format!("|http://unitsofmeasure.org|{}", random.pick(&UNITS)),
        1 => format!("||{}", random.pick(&UNITS)),
        _ => String::new(),
    };
    format!("{}{unit}", sought_number(random))
}
