//! What is asked: requests over the ids, names and codes that the loaded data holds.

use serde_json::Value;

use super::server::Server;
use crate::Failure;

/// One measured case.
pub(super) struct Case {
    pub name: &'static str,
    pub aim: &'static str,
    pub requests: Vec<String>,
}

/// Values from the loaded data, for requests that differ from one another.
pub(super) struct Workload {
    patients: Vec<String>,
    families: Vec<String>,
    observations: Vec<String>,
}

/// LOINC codes that Synthea uses often and seldom.
const CODES: [&str; 12] =
    ["8302-2", "29463-7", "8867-4", "8462-4", "8480-6", "39156-5", "72514-3", "4548-4", "2339-0", "6298-4", "718-7", "9279-1"];
const CATEGORIES: [&str; 3] = ["vital-signs", "laboratory", "survey"];

pub(super) fn echo() -> Case {
    Case { name: "echo", aim: "", requests: vec!["GET\t/tenant/demo/Patient/1".to_owned()] }
}

impl Workload {
    pub(super) fn collect(server: &Server) -> Result<Self, Failure> {
        let patients = resources(&server.get("Patient?_count=1000")?);
        let families = patients.iter().filter_map(|patient| patient.pointer("/name/0/family")?.as_str().map(str::to_owned)).collect();
        let observations = resources(&server.get("Observation?_count=1000")?);
        Ok(Self { patients: ids(&patients), families, observations: ids(&observations) })
    }

    pub(super) fn cases(&self) -> Vec<Case> {
        let each = |list: &[String], path: &dyn Fn(&str) -> String| list.iter().map(|value| get(&path(value))).collect::<Vec<_>>();
        let codes = |path: &dyn Fn(&str, usize) -> String| {
            (2000..2020)
                .flat_map(|year| CODES.iter().map(move |code| (code, year)))
                .map(|(code, year)| get(&path(code, year)))
                .collect::<Vec<_>>()
        };
        let search = ">= 1500";
        vec![
            Case { name: "read", aim: "", requests: each(&self.observations, &|id| format!("Observation/{id}")) },
            Case { name: "create", aim: ">= 3500", requests: creates() },
            Case { name: "update", aim: ">= 3500", requests: self.updates() },
            Case {
                name: "Observation?patient=",
                aim: search,
                requests: each(&self.patients, &|id| format!("Observation?patient={id}&_count=20")),
            },
            Case {
                name: "?code=&date=ge",
                aim: search,
                requests: codes(&|code, year| format!("Observation?code=http://loinc.org|{code}&date=ge{year}&_count=20")),
            },
            Case {
                name: "?patient=&category=&_sort=-date",
                aim: search,
                requests: self
                    .patients
                    .iter()
                    .zip(CATEGORIES.iter().cycle())
                    .map(|(id, category)| get(&format!("Observation?patient={id}&category={category}&_sort=-date&_count=20")))
                    .collect(),
            },
            Case {
                name: "Patient?family=&birthdate=ge",
                aim: search,
                requests: each(&self.families, &|name| format!("Patient?family={name}&birthdate=ge1950&_count=20")),
            },
            Case {
                name: "chain Observation?patient.family=",
                aim: search,
                requests: each(&self.families, &|name| format!("Observation?patient.family={name}&_count=20")),
            },
            Case {
                name: "_include=Observation:encounter",
                aim: search,
                requests: each(&self.patients, &|id| format!("Observation?patient={id}&_include=Observation:encounter&_count=20")),
            },
            Case {
                name: "?code=&value-quantity=gt",
                aim: search,
                requests: codes(&|code, year| {
                    format!("Observation?code=http://loinc.org|{code}&value-quantity=gt{}&_count=20", year - 1980)
                }),
            },
            Case { name: "Observation?_summary=count", aim: ">= 2000", requests: vec![get("Observation?_summary=count")] },
            Case {
                name: "Observation?code=X&_summary=count",
                aim: ">= 2000",
                requests: CODES.iter().map(|code| get(&format!("Observation?code=http://loinc.org|{code}&_summary=count"))).collect(),
            },
        ]
    }

    /// Reads and creates in turn.
    pub(super) fn mixed(&self) -> Vec<String> {
        let create = creates().swap_remove(0);
        self.observations.iter().flat_map(|id| [get(&format!("Observation/{id}")), create.clone()]).collect()
    }

    fn updates(&self) -> Vec<String> {
        let update = |id: &String| format!("PUT\t/tenant/demo/Observation/{id}\t{}", observation(Some(id)));
        self.observations.iter().map(update).collect()
    }
}

fn creates() -> Vec<String> {
    vec![format!("POST\t/tenant/demo/Observation\t{}", observation(None))]
}

/// About 1 KB.
pub(super) fn observation(id: Option<&str>) -> String {
    let id = id.map(|id| format!("\"id\":\"{id}\",")).unwrap_or_default();
    format!(
        "{{\"resourceType\":\"Observation\",{id}\"meta\":{{\"profile\":[\"http://hl7.org/fhir/StructureDefinition/vitalsigns\"]}},\"status\":\"final\",\"category\":[{{\"coding\":[{{\"system\":\
         \"http://terminology.hl7.org/CodeSystem/observation-category\",\"code\":\"vital-signs\",\"display\":\"vital-signs\"}}]}}],\"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\
         \"code\":\"85354-9\",\"display\":\"Blood Pressure\"}}],\"text\":\"Blood Pressure\"}},\"subject\":{{\"reference\":\"Patient/bench\"}},\"encounter\":{{\"reference\":\"Encounter/bench\"}},\
         \"effectiveDateTime\":\"2019-08-07T15:31:29-04:00\",\"issued\":\"2019-08-07T15:31:29.143-04:00\",\"component\":[{{\"code\":{{\"coding\":[{{\"system\":\"http://loinc.org\",\"code\":\
         \"8462-4\",\"display\":\"Diastolic Blood Pressure\"}}]}},\"valueQuantity\":{{\"value\":81.06,\"unit\":\"mm[Hg]\",\"system\":\"http://unitsofmeasure.org\",\"code\":\"mm[Hg]\"}}}}]}}"
    )
}

fn get(path: &str) -> String {
    format!("GET\t/tenant/demo/{path}")
}

fn resources(bundle: &Value) -> Vec<Value> {
    let entries = bundle.get("entry").and_then(Value::as_array).cloned().unwrap_or_default();
    entries.into_iter().filter_map(|mut entry| entry.get_mut("resource").map(Value::take)).collect()
}

fn ids(resources: &[Value]) -> Vec<String> {
    resources.iter().filter_map(|resource| resource.get("id")?.as_str().map(str::to_owned)).collect()
}
