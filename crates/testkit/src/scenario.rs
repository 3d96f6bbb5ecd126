//! HTTP behaviour as data: a TOML file is a list of steps, each a request and what its answer must be.
//!
//! `{{name}}` in a request stands for a value that an earlier step captured; `{{base}}` is the tenant's base URL.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Client, Response};

/// A file of steps.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows.
    pub title: String,
    /// In order.
    pub step: Vec<Step>,
}

/// A request and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it shows, where the request does not say it.
    #[serde(default)]
    pub name: String,
    /// Method and path: `GET Patient/1`.
    pub request: String,
    /// Headers to send; an empty text removes one.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// The status it must have; several where it depends on whom the address leads to.
    pub status: Statuses,
    /// Headers it must have; a value between slashes is a part it must hold, an empty one says it must be absent.
    #[serde(default)]
    pub expect_headers: BTreeMap<String, String>,
    /// JSON pointer (or `link:relation`, or a pointer with `#` behind it for a length) → value; `~` before a text means that it must hold it; the text `absent` that nothing stands there.
    #[serde(default)]
    pub expect: BTreeMap<String, toml::Value>,
    /// Texts the body must hold, byte for byte.
    #[serde(default)]
    pub contains: Vec<String>,
    /// Texts it must not hold.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Name → JSON pointer, `header:Name` or `link:relation`, to remember.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

/// One status, or one of several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Statuses {
    /// This one.
    One(u16),
    /// Any of these.
    Any(Vec<u16>),
}

impl Statuses {
    fn allow(&self, status: u16) -> bool {
        match self {
            Self::One(only) => *only == status,
            Self::Any(all) => all.contains(&status),
        }
    }
}

impl Scenario {
    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        toml::from_str(&text).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
    }
}

/// Runs the steps in order; gives a line for each thing that was not as it must be.
pub async fn run_scenario(scenario: &Scenario, client: &Client) -> Vec<String> {
    let mut captured = BTreeMap::from([("base".to_owned(), client.base.clone())]);
    let mut failures = Vec::new();
    for (position, step) in scenario.step.iter().enumerate() {
        let fill =
            |text: &str| captured.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
        let request = fill(&step.request);
        let (method, path) = request.split_once(' ').unwrap_or((&request, ""));
        let headers: Vec<(String, String)> = step.headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = client.send(method, path, &headers, fill(&step.body)).await;
        let step_failures = check(step, &response, &fill);
        let place = format!("step {} ({request}) {}", position + 1, step.name);
        failures.extend(step_failures.iter().map(|failure| format!("{place}: {failure}")));
        if !step_failures.is_empty() {
            failures.push(format!("    answered {} {}", response.status, response.text().chars().take(600).collect::<String>()));
        }
        for (name, pointer) in &step.capture {
            captured.insert(name.clone(), capture(&response, pointer));
        }
    }
    failures
}

fn capture(response: &Response, pointer: &str) -> String {
    if let Some(header) = pointer.strip_prefix("header:") {
        return response.header(header).to_owned();
    }
    let json = response.json();
    if let Some(relation) = pointer.strip_prefix("link:") {
        return link(&json, relation).unwrap_or("nothing-was-captured").to_owned();
    }
    match json.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::from("nothing-was-captured"),
    }
}

/// The URL of a Bundle's link.
fn link<'a>(bundle: &'a Value, relation: &str) -> Option<&'a str> {
    let links = bundle["link"].as_array()?;
    links.iter().find(|link| link["relation"] == relation)?["url"].as_str()
}

fn check(step: &Step, response: &Response, fill: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut failures = Vec::new();
    if !step.status.allow(response.status) {
        failures.push(format!("status {} instead of {:?}", response.status, step.status));
    }
    for (name, expected) in &step.expect_headers {
        let (found, expected) = (response.header(name), fill(expected));
        let part = expected.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        if part.map_or(found != expected, |part| !found.contains(part)) {
            failures.push(format!("{name}: {found:?} instead of {expected:?}"));
        }
    }
    if !step.expect.is_empty() {
        let json = serde_json::from_slice::<Value>(&response.body).unwrap_or(Value::Null);
        for (pointer, expected) in &step.expect {
            failures.extend(check_pointer(&json, pointer, expected, fill));
        }
    }
    let text = response.text();
    let missing = step.contains.iter().map(|part| fill(part)).filter(|part| !text.contains(part));
    failures.extend(missing.map(|part| format!("the body does not hold {part}")));
    let present = step.lacks.iter().map(|part| fill(part)).filter(|part| text.contains(part));
    failures.extend(present.map(|part| format!("the body holds {part}")));
    failures
}

fn check_pointer(json: &Value, pointer: &str, expected: &toml::Value, fill: &dyn Fn(&str) -> String) -> Option<String> {
    // `/entry#` is the number of elements, `link:next` the URL of a link.
    let (found, shown) = match (pointer.strip_suffix('#'), pointer.strip_prefix("link:")) {
        (Some(pointer), _) => (Some(Value::from(json.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len))), pointer),
        (None, Some(relation)) => (link(json, relation).map(Value::from), pointer),
        (None, None) => (json.pointer(pointer).cloned(), pointer),
    };
    let right = match expected {
        toml::Value::String(text) if text == "absent" => found.is_none(),
        toml::Value::String(text) => {
            let text = fill(text);
            let found = found.as_ref().and_then(Value::as_str).unwrap_or_default();
            text.strip_prefix('~').map_or(found == text, |part| found.contains(part))
        }
        other => found.as_ref() == serde_json::to_value(other).ok().as_ref(),
    };
    (!right).then(|| format!("{shown}: {} instead of {expected}", found.map_or("nothing".to_owned(), |found| found.to_string())))
}
