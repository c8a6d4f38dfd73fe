"""The files that MLflow shows of an ended run."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import f_score, precision, recall, scene_counts
from ablate.record.rundir import RunFolder, State, Status

CONFUSION_TABLE = "scene_confusion.json"
CONFUSION_PICTURE = "scene_confusion.png"
SCENE_TABLE = "scenes.json"
EVENT_TABLE = "events.json"

# How MLflow knows which of a run's files are tables.
TABLES_TAG = "mlflow.loggedArtifacts"


def write_artifacts(folder: RunFolder, status: Status, title: str, to: Path) -> dict[str, str]:
    """Write the files into the folder ``to``; returns the tags that MLflow needs to show them."""
    shutil.copy(folder.path / "config.json", to)
    if status.state is State.FAILED and folder.log_file.exists():
        shutil.copy(folder.log_file, to)
    if status.state is not State.FINISHED:
        return {}
    if folder.weights_file.exists():
        shutil.copy(folder.weights_file, to)
    return _write_scores(folder.result() or {}, title, to)


def _write_scores(result: dict[str, Any], title: str, to: Path) -> dict[str, str]:
    tables = {}
    if result.get("scene_confusion") is not None:
        # matplotlib takes a while to import, and failed runs need none of it
        from ablate.tracking.pictures import confusion_picture

        confusion = np.array(result["scene_confusion"], dtype=np.int64)
        picture = confusion_picture(confusion, result["scenes"], title)
        picture.save(to / CONFUSION_PICTURE)
        tables[CONFUSION_TABLE] = confusion_table(confusion.tolist(), result["scenes"])
        tables[SCENE_TABLE] = class_table(scene_counts(confusion), result["scenes"])
    if result.get("event_counts") is not None:
        counts = EventCounts(
            *(
                np.array(result["event_counts"][name], dtype=np.int64)
                for name in ("true_positives", "false_positives", "false_negatives")
            )
        )
        tables[EVENT_TABLE] = class_table(counts, result["events"])
    for name, table in tables.items():
        (to / name).write_text(json.dumps(table), encoding="utf-8")
    listed = [{"path": name, "type": "table"} for name in tables]
    return {TABLES_TAG: json.dumps(listed)} if listed else {}


def confusion_table(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, Any]:
    """A row for each true class: its name, and how many clips went to each predicted class."""
    rows = [[label, *counts] for label, counts in zip(labels, confusion, strict=True)]
    return {"columns": ["true \\ predicted", *labels], "data": rows}


def class_table(counts: EventCounts, labels: Sequence[str]) -> dict[str, Any]:
    """A row for each class: its scores in % ("-" where undefined) and the counts that they come from."""
    columns = {
        "class": list(labels),
        "F %": _percent(f_score(counts)),
        "precision %": _percent(precision(counts)),
        "recall %": _percent(recall(counts)),
        "TP": counts.true_positives.tolist(),
        "FP": counts.false_positives.tolist(),
        "FN": counts.false_negatives.tolist(),
    }
    return {"columns": list(columns), "data": [list(row) for row in zip(*columns.values(), strict=True)]}


def _percent(fractions: Sequence[float | None]) -> list[float | str]:
    return ["-" if fraction is None else round(100 * fraction, 1) for fraction in fractions]
