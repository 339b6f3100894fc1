"""Asks for weights and prints what came of it; run by the tests in programs of their own (see conftest.py)."""

import json
import sys
import time
from pathlib import Path

from articulate.models_hub import cards, finding
from articulate.models_hub.errors import ArticulateError

question = json.loads(sys.argv[1])
told = []


def progress(done: int, in_all: int) -> None:
    told.append((done, in_all))
    if question.get("cancel") and len(told) > 3:
        raise KeyboardInterrupt


if question.get("full_disk"):
    from huggingface_hub import file_download

    fetch = file_download.http_get

    def http_get(url, temp_file, **options):
        with open("/dev/full", "wb", buffering=0) as full:
            fetch(url, full, **options)

    file_download.http_get = http_get
if "cards" in question:
    table = question["cards"]
    cards.cards = lambda: table
if "embedded" in question:
    cards.WEIGHTS_FOLDER = Path(question["embedded"])

start, result = time.perf_counter(), {}
try:
    watch = progress if question.get("watch", True) else None
    path = finding.find(question["stage"], question["choice"], progress=watch, refresh=question.get("refresh", False))
    result["path"] = str(path)
except ArticulateError as error:
    result |= {"error": str(error), "kind": type(error).__name__}
except KeyboardInterrupt:
    result |= {"error": "cancelled", "kind": "KeyboardInterrupt"}
result |= {"seconds": time.perf_counter() - start, "told": told, "modules": [m for m in ("torch",) if m in sys.modules]}
print(json.dumps(result))
