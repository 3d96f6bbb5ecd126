"""Tries one thing after another and says how each went."""

import os
import sys

BASE = os.environ["FHIR_BASE"]
TOKEN = os.environ["FHIR_TOKEN"]

_failed = []


def check(name):
    """Runs what it decorates at once."""

    def run(attempt):
        try:
            attempt()
            print(f"ok {name}", flush=True)
        except Exception as cause:  # whatever a client throws
            _failed.append(name)
            text = f"{type(cause).__name__}: {cause}".replace("\n", " ")[:400]
            print(f"failed {name}: {text}", flush=True)

    return run


def refused(kind, attempt):
    """The exception of this kind, which the attempt must end in."""
    try:
        attempt()
    except kind as refusal:
        return refusal
    raise AssertionError("it was not refused")


def finish():
    sys.exit(1 if _failed else 0)
