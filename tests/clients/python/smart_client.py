import requests
from checks import BASE, TOKEN, check, finish, refused
from fhirclient import client as smart_client
from fhirclient.models.bundle import Bundle
from fhirclient.models.fhirdate import FHIRDate
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException

smart = smart_client.FHIRClient(settings={"app_id": "clients", "api_base": BASE})
# There is no launch here: the token is there already.
smart.server.session.headers["Authorization"] = f"Bearer {TOKEN}"
server = smart.server
made = {}


@check("capabilities, read strictly")
def _():
    smart.prepare()
    assert server.capabilityStatement.fhirVersion == "4.0.1"
    assert any(resource.type == "Patient" for resource in server.capabilityStatement.rest[0].resource)


@check("create")
def _():
    patient = Patient({"name": [{"family": "Smart", "given": ["Py"]}]})
    patient.birthDate = FHIRDate("1970-01-01")
    answer = patient.create(server)
    assert answer["id"]
    made["id"] = answer["id"]


@check("read")
def _():
    patient = Patient.read(made["id"], server)
    assert patient.name[0].family == "Smart" and patient.birthDate.isostring == "1970-01-01"
    assert patient.meta.versionId == "1"
    made["patient"] = patient


@check("update")
def _():
    patient = made["patient"]
    patient.name.append(HumanName({"family": "Second"}))
    answer = patient.update()
    assert answer["meta"]["versionId"] == "2" and len(answer["name"]) == 2


@check("history and version by path")
def _():
    history = Bundle.read_from(f"Patient/{made['id']}/_history", server)
    assert history.type == "history" and len(history.entry) == 2
    assert len(Patient.read_from(f"Patient/{made['id']}/_history/1", server).name) == 1


@check("search")
def _():
    Observation({"status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{made['id']}"}}).create(server)
    found = Patient.where({"family": "smart", "birthdate": {"$and": ["ge1969", "lt1971"]}}).perform_resources(server)
    assert [patient.id for patient in found] == [made["id"]]
    assert len(Observation.where({"patient": made["id"]}).perform_resources(server)) == 1
    assert Patient.where({"family": "nobody"}).perform(server).entry is None


@check("pages")
def _():
    for number in range(5):
        Observation({"status": "final", "code": {"text": f"x{number}"}}).create(server)
    seen = {observation.id for observation in Observation.where({"_count": "2"}).perform_resources_iter(server)}
    assert len(seen) == 6


@check("includes")
def _():
    search = Observation.where({"patient": made["id"]}).include("subject")
    assert {resource.resource_type for resource in search.perform_resources(server)} == {"Observation", "Patient"}


@check("transaction and batch")
def _():
    for kind in ("transaction", "batch"):
        entry = {"resource": {"resourceType": "Basic", "code": {"text": "x"}}, "request": {"method": "POST", "url": "Basic"}}
        answer = Bundle(Bundle({"type": kind, "entry": [entry]}).create(server))
        assert answer.type == f"{kind}-response" and answer.entry[0].response.status.startswith("201")


@check("delete")
def _():
    made["patient"].delete()
    # 410 is none of the refusals that this client has a name for.
    refusal = refused(requests.HTTPError, lambda: Patient.read(made["id"], server))
    assert refusal.response.status_code == 410
    refused(FHIRNotFoundException, lambda: Patient.read("nobody", server))


finish()
