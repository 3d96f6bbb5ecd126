import uuid

import requests
from checks import BASE, TOKEN, check, finish
from fhir.resources import get_fhir_model_class
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.patient import Patient

session = requests.Session()
session.headers.update({"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json", "Accept": "application/fhir+json"})
made = {}


def send(method, path, model=None, expected=200, **more):
    body = model.model_dump_json() if model is not None else None
    answer = session.request(method, f"{BASE}/{path}".rstrip("/"), data=body, **more)
    assert answer.status_code == expected, f"{answer.status_code}: {answer.text[:300]}"
    return answer


@check("capabilities fit the model")
def _():
    statement = CapabilityStatement.model_validate_json(send("GET", "metadata").content)
    assert str(statement.fhirVersion) == "4.0.1"


@check("a patient goes and comes back as the model has it")
def _():
    patient = Patient(active=True, name=[{"family": "Model", "given": ["Fhir", None], "_given": [None, {"extension": [{"url": "urn:x", "valueString": "y"}]}]}], birthDate="1970-01-01")
    made["patient"] = Patient.model_validate_json(send("POST", "Patient", patient, expected=201).content)
    assert made["patient"].name == patient.name and made["patient"].birthDate == patient.birthDate


@check("decimals and times keep their digits and offsets, as the model writes them")
def _():
    observation = Observation(
        status="final",
        code={"text": "x"},
        subject={"reference": f"Patient/{made['patient'].id}"},
        effectiveDateTime="2024-01-01T10:00:00.120+05:30",
        valueQuantity={"value": "129.16", "unit": "mg"},
    )
    answer = send("POST", "Observation", observation, expected=201)
    assert '"value":129.16,' in answer.text, answer.text
    assert "2024-01-01T10:00:00.120000+05:30" in answer.text or "2024-01-01T10:00:00.120+05:30" in answer.text
    assert Observation.model_validate_json(answer.content).effectiveDateTime == observation.effectiveDateTime


@check("searchsets and histories fit the model")
def _():
    for path in ("Patient?_count=1&_total=accurate", "Observation?_include=Observation:subject", "Patient?name=nobody", "_history", f"Patient/{made['patient'].id}/_history"):
        bundle = Bundle.model_validate_json(send("GET", path).content)
        assert bundle.type in ("searchset", "history") and bundle.link


@check("transaction")
def _():
    full_url = f"urn:uuid:{uuid.uuid4()}"
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": full_url}}
    entries = [
        {"fullUrl": full_url, "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": observation, "request": {"method": "POST", "url": "Observation"}},
        {"request": {"method": "GET", "url": "Patient?_summary=count"}},
    ]
    answer = Bundle.model_validate_json(send("POST", "", Bundle(type="transaction", entry=entries)).content)
    assert [str(entry.response.status)[:3] for entry in answer.entry] == ["201", "201", "200"]


@check("a batch of counts of every type")
def _():
    statement = CapabilityStatement.model_validate_json(send("GET", "metadata").content)
    types = [str(resource.type) for resource in statement.rest[0].resource]
    entries = [{"request": {"method": "GET", "url": f"{name}?_summary=count"}} for name in types]
    answer = Bundle.model_validate_json(send("POST", "", Bundle(type="batch", entry=entries)).content)
    assert len(answer.entry) == len(types) > 140
    assert all(entry.resource.total is not None for entry in answer.entry)


@check("refusals fit the model")
def _():
    answer = session.post(f"{BASE}/Patient", data='{"resourceType":"Patient","birthDate":"yesterday"}')
    assert answer.status_code in (400, 422)
    outcome = OperationOutcome.model_validate_json(answer.content)
    assert outcome.issue[0].expression == ["Patient.birthDate"]


@check("every resource comes back as a model of its type")
def _():
    bundle = session.get(f"{BASE}?_count=100").json()
    for entry in bundle["entry"]:
        get_fhir_model_class(entry["resource"]["resourceType"])


finish()
