//! Hostile expressions and data cost a bounded time and fail with an error, never with a panic.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use fhirpool_fhir::Definitions;
use fhirpool_fhir::json::Document;
use fhirpool_fhirpath::{Context, EvaluationError, Expression, Item};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/fhirpath");

fn evaluate(resource: &str, expression: &str) -> Result<usize, EvaluationError> {
    let definitions = Definitions::r4();
    let document = Document::parse(resource).unwrap();
    let context = Context::new(&definitions, document.root());
    let root = Item::resource(&definitions, document.root());
    Expression::parse(expression).unwrap().evaluate(&context, root).map(|items| items.len())
}

#[test]
fn nesting_is_limited_where_it_is_parsed() {
    for deep in [
        "(".repeat(10_000),
        "-".repeat(10_000),
        format!("{}1{}", "iif(true,".repeat(1000), ")".repeat(1000)),
        vec!["1"; 5000].join("+"),
        "a[".repeat(1000),
        "1 is ".repeat(2000),
        "x".repeat(Expression::LENGTH_MAX + 1),
    ] {
        assert!(Expression::parse(&deep).is_err());
    }
}

#[test]
fn what_the_limits_allow_does_not_overflow_the_stack() {
    let nested = format!("{}1{}", "(1 + ".repeat(30), ")".repeat(30));
    assert_eq!(evaluate(r#"{"resourceType":"Patient"}"#, &nested), Ok(1));
    let conditional = format!("{}1{}", "iif(true, ".repeat(45), ")".repeat(45));
    assert_eq!(evaluate(r#"{"resourceType":"Patient"}"#, &conditional), Ok(1));
    let long = format!("1{}", ".first()".repeat(1500));
    assert_eq!(evaluate(r#"{"resourceType":"Patient"}"#, &long), Ok(1));
}

#[test]
fn work_is_limited_where_it_is_evaluated() {
    let given: Vec<String> = (0..3000).map(|number| format!("\"n{number}\"")).collect();
    let patient = format!(r#"{{"resourceType":"Patient","name":[{{"given":[{}]}}]}}"#, given.join(","));
    let start = Instant::now();
    for costly in [
        "name.given.select($this | %context.name.given)",
        "name.given.where(%context.name.given.where(%context.name.given.exists()).exists())",
        "name.given.repeat($this & 'x')",
        "name.given.aggregate($total & $total & $this)",
        "name.given.aggregate($total.combine($total).combine($this))",
        "name.given.select(%context.name.given.select(%context.name.given))",
        "name.given.aggregate(iif($total.empty(), 'ab', $total.replace('', 'abcdefgh')))",
        "name.given.aggregate(iif($total.empty(), 'ab', $total.replaceMatches('.', '$0$0$0')))",
        "name.given.select('a'.matches($this & '(a{1000}){100}'))",
        "1.repeat($this + 1)",
    ] {
        assert!(evaluate(&patient, costly).is_err(), "{costly}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn regular_expressions_do_not_explode() {
    let patient = format!(r#"{{"resourceType":"Patient","id":"{}"}}"#, "a".repeat(50_000));
    let start = Instant::now();
    assert_eq!(evaluate(&patient, "id.matches('^(a+)+$')"), Ok(1));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(Expression::parse("id.matches('(((a{100}){100}){100}){100}')").is_err());
}

#[test]
fn dates_without_a_consistent_order_can_be_sorted() {
    let dates: Vec<String> = (0..200).map(|n| format!("@20{:02}", n % 7) + ["", "-01", "-02", "-03-04"][n % 4]).collect();
    assert!(evaluate(r#"{"resourceType":"Patient"}"#, &format!("{}.sort().count()", combined(&dates))).is_ok());
}

fn combined(dates: &[String]) -> String {
    let mut out = dates[0].clone();
    for date in &dates[1..] {
        out.push_str(&format!(".combine({date})"));
    }
    out
}

#[test]
fn elements_of_the_wrong_shape_do_no_harm() {
    for patient in [
        r#"{"resourceType":"Patient","name":"x","_name":[1,{"id":3}],"birthDate":{"a":1},"_birthDate":[null,{}]}"#,
        r#"{"resourceType":"Patient","name":[[{"given":1}],null,3],"active":[true,false],"deceasedBoolean":{},"_deceasedDateTime":7}"#,
        r#"{"resourceType":7,"name":[{}]}"#,
        r#"[]"#,
        r#""text""#,
    ] {
        for expression in [
            "descendants()",
            "Patient.name.given",
            "birthDate.extension('x')",
            "deceased",
            "name = name",
            "birthDate + 1 day",
            "active.not()",
            "id",
        ] {
            let _ = evaluate(patient, expression);
        }
    }
}

/// Deterministic, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn mutated_expressions_never_panic() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let path = std::path::Path::new(DATA).join("tests-fhir-r4.xml");
    let text = std::fs::read_to_string(path).expect("the FHIRPath test data is missing beside the repository (shared/data/fhirpath)");
    let document = roxmltree::Document::parse(&text).unwrap();
    let expressions: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("expression")).filter_map(|node| node.text()).collect();
    let definitions = Definitions::r4();
    let resource = r#"{"resourceType":"Patient","id":"é1","birthDate":"1974-12","name":[{"given":["A","B"],"family":"C"},{"use":"usual"}],
        "active":true,"telecom":[{"rank":2147483647,"value":"x"}],"extension":[{"url":"u","valueQuantity":{"value":1e20,"code":"mg","system":"http://unitsofmeasure.org"}}]}"#;
    let input = Document::parse(resource).unwrap();
    let mut context = Context::new(&definitions, input.root());
    context.limits.steps_max = 20_000;
    for _ in 0..30_000 {
        let mut mutated = expressions[random.below(expressions.len())].to_owned();
        for _ in 0..=random.below(3) {
            let other = expressions[random.below(expressions.len())];
            let boundary = |text: &str, at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let from = boundary(other, random.below(other.len() + 1));
            let to = boundary(other, (from + random.below(12)).min(other.len()));
            let at = boundary(&mutated, random.below(mutated.len() + 1));
            let until = boundary(&mutated, (at + random.below(6)).min(mutated.len())).max(at);
            mutated.replace_range(at..until, &other[from.min(to)..to]);
        }
        if let Ok(expression) = Expression::parse(&mutated) {
            let root = Item::resource(&definitions, input.root());
            let _ = expression.check(&definitions, "Patient");
            let _ = expression.relaxed().evaluate_boolean(&context, root.clone());
            let _ = expression.for_type(&definitions, "Patient").map(|planned| planned.evaluate(&context, root.clone()));
            let _ = expression.evaluate(&context, root);
        }
    }
}

#[test]
fn expressions_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
}
