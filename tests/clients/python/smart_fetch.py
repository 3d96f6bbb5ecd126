import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import requests
from checks import BASE, TOKEN, check, finish

session = requests.Session()
session.headers.update({"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"})
PATIENTS = 3


def seed():
    entries = []
    for number in range(PATIENTS):
        patient = {"resourceType": "Patient", "id": f"p{number}", "identifier": [{"system": "urn:mrn", "value": f"m{number}"}]}
        entries.append({"resource": patient, "request": {"method": "PUT", "url": f"Patient/p{number}"}})
        for condition in range(30):
            resource = {"resourceType": "Condition", "id": f"c{number}-{condition}", "subject": {"reference": f"Patient/p{number}"}}
            entries.append({"resource": resource, "request": {"method": "PUT", "url": f"Condition/c{number}-{condition}"}})
    answer = session.post(BASE, json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text[:300]


def fetch(folder, *arguments):
    token = Path(folder) / "token"
    token.write_text(TOKEN)
    program = Path(sys.executable).parent / "smart-fetch"
    output = Path(folder) / "output"
    command = [program, "crawl", "--fhir-url", BASE, "--bearer-token", token, "--no-default-filters", *arguments, output]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, f"{done.stdout[-600:]} {done.stderr[-600:]}"
    resources = []
    for path in sorted(output.rglob("*.ndjson*")):
        lines = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
        resources += [json.loads(line) for line in lines if line.strip() and not path.name.startswith("log.")]
    kinds = [resource["resourceType"] for resource in resources]
    return {kind: kinds.count(kind) for kind in set(kinds)}


@check("a crawl of some patients by id")
def _():
    seed()
    with tempfile.TemporaryDirectory() as folder:
        counts = fetch(folder, "--id-list", "p0,p1", "--type", "Patient,Condition")
        assert counts == {"Patient": 2, "Condition": 60}, counts


@check("a crawl by an identifier's system")
def _():
    with tempfile.TemporaryDirectory() as folder:
        counts = fetch(folder, "--id-list", "m2", "--id-system", "urn:mrn", "--type", "Patient,Condition")
        assert counts == {"Patient": 1, "Condition": 30}, counts


@check("a crawl of what is newer than a time")
def _():
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--id-list", "p0", "--type", "Condition", "--since", "2020-01-01T00:00:00+00:00", "--since-mode", "updated")
        counts = fetch(folder, *arguments)
        assert counts == {"Patient": 1, "Condition": 30}, counts


finish()
