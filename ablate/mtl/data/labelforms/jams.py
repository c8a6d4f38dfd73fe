"""JAMS, a JSON file a recording: https://jams.readthedocs.io.

Events are the observations of these namespaces: ``scaper`` (and its older name ``sound_event``), of which
those in the background are no events, ``segment_open`` and ``tag_open``. Other annotations are ignored, with
a note. Nobody reads JSON by lines, so that problems count the observations of a file from 1.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.ground.errors import brief, shown
from ablate.mtl.data.columns import Fields, Findings
from ablate.mtl.data.labelforms.labelled import DECIMALS, Labelled

SCAPER = ("scaper", "sound_event")
OPEN = ("segment_open", "tag_open")
VERSION = "0.3.5"  # of the library whose schema files are written to
COUNTED = ": observation "


def read(text: str, path: str, findings: Findings) -> list[Fields]:
    """The events of a file, all of the recording ``path``."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        findings.whole(f"not JSON: {brief(str(error))}")
        return []
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        findings.whole("no JAMS: it has no list of annotations")
        return []
    rows: list[Fields] = []
    ignored: set[str] = set()
    for number, (namespace, observation) in enumerate(_observations(content["annotations"]), start=1):
        if namespace in (*SCAPER, *OPEN):
            rows += _row(number, path, namespace, observation, findings)
        else:
            ignored.add(namespace)
    for namespace in sorted(ignored):
        findings.remark(f"annotations of the namespace {brief(namespace)} are not read")
    return rows


def write(recording: Labelled) -> str:
    """A JAMS file with one annotation, of the namespace ``segment_open``."""
    observations = [
        {
            "time": round(event.onset_s, DECIMALS),
            "duration": round(round(event.offset_s, DECIMALS) - round(event.onset_s, DECIMALS), DECIMALS),
            "value": event.label,
            "confidence": None,
        }
        for event in recording.events
    ]
    annotation = {
        "annotation_metadata": {},
        "namespace": OPEN[0],
        "data": observations,
        "sandbox": {},
        "time": 0,
        "duration": recording.duration_s,
    }
    content = {
        "annotations": [annotation],
        "file_metadata": {"duration": recording.duration_s, "identifiers": {}, "jams_version": VERSION},
        "sandbox": {},
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _observations(annotations: list[Any]) -> Iterator[tuple[str, Any]]:
    """Those of all annotations, with their namespaces."""
    for annotation in annotations:
        if isinstance(annotation, dict):
            namespace = str(annotation.get("namespace"))
            yield from ((namespace, observation) for observation in _data(annotation.get("data")))


def _data(data: object) -> Iterator[Any]:
    """The observations of an annotation, which are a list, or a list for each field of theirs."""
    if isinstance(data, dict):
        columns = {name: values for name, values in data.items() if isinstance(values, list)}
        for place in range(max(map(len, columns.values()), default=0)):
            yield {name: values[place] for name, values in columns.items() if place < len(values)}
    elif isinstance(data, list):
        yield from data


def _row(number: int, path: str, namespace: str, observation: object, findings: Findings) -> Iterator[Fields]:
    """The row of an observation; none, and a problem, where it is not one, and none for a background."""
    if not isinstance(observation, Mapping):
        findings.problem(number, f"{shown(observation)} is no observation")
        return
    value = observation.get("value")
    if namespace in SCAPER:
        if not isinstance(value, Mapping):
            findings.problem(number, f"the value {shown(value)} is not as {namespace} has it")
            return
        if value.get("role") == "background":
            return
        value = value.get("label")
    onset, length = (_seconds(observation.get(name)) for name in ("time", "duration"))
    wrong = [
        f"its {name} {shown(observation.get(name))} is not a time in seconds"
        for name, seconds in (("time", onset), ("duration", length))
        if seconds is None
    ]
    if not isinstance(value, str) or not value.strip():
        wrong.append(f"its label {shown(value)} is not text")
    for sentence in wrong:
        findings.problem(number, sentence)
    if onset is not None and length is not None and not wrong:
        yield Fields(number, path, "", repr(onset), repr(round(onset + length, 9)), str(value).strip())


def _seconds(value: object) -> float | None:
    """A number of seconds; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
