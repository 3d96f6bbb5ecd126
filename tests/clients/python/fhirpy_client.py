import asyncio

from checks import BASE, TOKEN, check, finish, refused
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

client = SyncFHIRClient(BASE, authorization=f"Bearer {TOKEN}")
made = {}


@check("create")
def _():
    patient = client.resource("Patient", name=[{"family": "Py", "given": ["Fhir"]}], birthDate="1970-01-01")
    patient.save()
    assert patient.id and patient["meta"]["versionId"] == "1"
    made["patient"] = patient


@check("read")
def _():
    read = client.reference("Patient", made["patient"].id).to_resource()
    assert read.name[0].family == "Py"
    assert client.get("Patient", made["patient"].id)["id"] == made["patient"].id


@check("update")
def _():
    patient = made["patient"]
    patient["active"] = True
    patient.save()
    assert patient["meta"]["versionId"] == "2"


@check("refresh, unchanged and changed")
def _():
    patient = made["patient"]
    patient.refresh()
    assert patient["active"] is True
    other = client.reference("Patient", patient.id).to_resource()
    other["active"] = False
    other.save()
    assert patient.refresh()["active"] is False


@check("search, count and first")
def _():
    patients = client.resources("Patient").search(family="py")
    assert patients.count() == 1
    assert patients.first().id == made["patient"].id
    assert patients.get().id == made["patient"].id
    assert client.resources("Patient").search(birthdate__ge="1980").count() == 0
    assert refused(ResourceNotFound, client.resources("Patient").search(family="nobody").get)


@check("pages, sorted and included")
def _():
    for number in range(5):
        subject = client.reference("Patient", made["patient"].id)
        client.resource("Observation", status="final", code={"text": f"x{number}"}, subject=subject).save()
    observations = client.resources("Observation").search(subject=f"Patient/{made['patient'].id}").sort("-_lastUpdated").limit(2)
    assert len({observation.id for observation in observations}) == 5
    bundle = client.resources("Observation").include("Observation", "subject").limit(2).fetch_raw()
    assert [entry.search.mode for entry in bundle.entry] == ["match", "match", "include"]
    assert len(client.resources("Observation").elements("status").fetch_all()) == 5


@check("conditional create by get_or_create")
def _():
    def once():
        person = client.resource("Person", identifier=[{"system": "urn:py", "value": "1"}])
        return client.resources("Person").search(identifier="urn:py|1").get_or_create(person)

    (first, first_made), (second, second_made) = once(), once()
    assert (first_made, second_made) == (True, False), (first_made, second_made)
    assert first.id == second.id


@check("conditional update")
def _():
    person = client.resource("Person", identifier=[{"system": "urn:py", "value": "2"}], active=True)
    persons = client.resources("Person").search(identifier="urn:py|2")
    first, first_made = persons.update(person)
    person["active"] = False
    second, second_made = persons.update(person)
    assert (first_made, second_made, second["active"]) == (True, False, False) and first.id == second.id


@check("conditional delete")
def _():
    _, status = client.resources("Person").search(identifier="urn:py|2").delete()
    assert status in (200, 204)
    assert client.resources("Person").search(identifier="urn:py|2").count() == 0


@check("several matches are refused as 412")
def _():
    for _ in range(2):
        client.resource("Person", identifier=[{"system": "urn:py", "value": "3"}]).save()
    person = client.resource("Person", identifier=[{"system": "urn:py", "value": "3"}])
    refused(MultipleResourcesFound, lambda: client.resources("Person").search(identifier="urn:py|3").update(person))


@check("patch as a partial resource is refused clearly: it is none of R4's patches")
def _():
    refusal = refused(OperationOutcome, lambda: made["patient"].patch(active=True))
    assert refusal.resource["resourceType"] == "OperationOutcome"


@check("transaction")
def _():
    uuid = "urn:uuid:5a8b0a34-3e5c-46d6-8f3c-6a61d1c5a001"
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": uuid}}
    entries = [
        {"fullUrl": uuid, "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "/Patient"}},
        {"resource": observation, "request": {"method": "POST", "url": "/Observation"}},
    ]
    bundle = client.resource("Bundle", type="transaction", entry=entries)
    answer = client.execute("/", data=bundle.serialize())
    assert [entry.response.status[:3] for entry in answer.entry] == ["201", "201"]


@check("refusals")
def _():
    refusal = refused(OperationOutcome, client.resource("Patient", birthDate="yesterday").save)
    assert refusal.resource["issue"][0]["expression"] == ["Patient.birthDate"]


@check("delete")
def _():
    made["patient"].delete()
    refused(ResourceNotFound, made["patient"].refresh)


@check("asynchronous, several at once")
def _():
    async def several():
        asynchronous = AsyncFHIRClient(BASE, authorization=f"Bearer {TOKEN}")
        await asyncio.gather(*(asynchronous.resource("Basic", code={"text": f"{number}"}).save() for number in range(20)))
        assert await asynchronous.resources("Basic").count() == 20
        seen = [basic.id async for basic in asynchronous.resources("Basic").limit(7)]
        assert len(set(seen)) == 20

    asyncio.run(several())


finish()
