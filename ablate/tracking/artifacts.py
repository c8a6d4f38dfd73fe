"""The files that MLflow shows of an ended run."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablate.record.rundir import RunFolder, State, Status

# How MLflow knows which of a run's files are tables.
TABLES_TAG = "mlflow.loggedArtifacts"


def write_artifacts(folder: RunFolder, status: Status, title: str, to: Path) -> dict[str, str]:
    """Write the files into the folder ``to``; returns the tags that MLflow needs to show them."""
    shutil.copy(folder.path / "config.json", to)
    if status.state is State.FAILED and folder.log_file.exists():
        shutil.copy(folder.log_file, to)
    result = folder.result() if status.state is State.FINISHED else None
    if result is None:
        return {}
    for name in result["files"]:
        if (folder.path / name).exists():
            shutil.copy(folder.path / name, to)
    return _write_scores(result, title, to)


def picture_name(matrix: str) -> str:
    return f"{matrix}.png"


def _write_scores(result: Mapping[str, Any], title: str, to: Path) -> dict[str, str]:
    """A table for each matrix and each table, and a picture for each matrix."""
    tables = {}
    for name, matrix in result["matrices"].items():
        # matplotlib takes a while to import, and failed runs need none of it
        from ablate.tracking.pictures import matrix_picture

        # The smallest file takes ten milliseconds more to write, of each run, than one a tenth larger.
        matrix_picture(matrix, title).save(to / picture_name(name), compress_level=1)
        tables[f"{name}.json"] = matrix_table(matrix)
    for name, table in result["tables"].items():
        tables[f"{name}.json"] = {"columns": table["columns"], "data": table["rows"]}
    for name, table in tables.items():
        (to / name).write_text(json.dumps(table), encoding="utf-8")
    listed = [{"path": name, "type": "table"} for name in tables]
    return {TABLES_TAG: json.dumps(listed)} if listed else {}


def matrix_table(matrix: Mapping[str, Any]) -> dict[str, Any]:
    """A row for each label: its name, and its count in each column."""
    rows = [[label, *counts] for label, counts in zip(matrix["rows"], matrix["counts"], strict=True)]
    corner = "true \\ predicted" if matrix["rows"] == matrix["columns"] else ""
    return {"columns": [corner, *matrix["columns"]], "data": rows}
