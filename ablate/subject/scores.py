"""What came out of a run: numbers, labelled matrices of counts, tables and files."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.subject import items as by_item

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FileSource = Path | bytes | Callable[[Path], None]


def slug(label: str) -> str:
    """A class label as part of a metric's name: ``(object) impact`` -> ``object_impact``.

    Runs of characters other than letters, digits and ``_`` become one ``_``; MLflow accepts what is left.
    """
    return re.sub(r"\W+", "_", label).strip("_")


def shares(counts: Sequence[Sequence[int]]) -> "npt.NDArray[np.float64]":
    """Each row's counts as shares of their sum. The row of a class that never occurs is NaN."""
    import numpy as np

    array = np.array(counts, dtype=np.float64)
    totals = array.sum(axis=1, keepdims=True)
    found = np.full(array.shape, np.nan)
    np.divide(array, totals, out=found, where=totals > 0)
    return found


@dataclass(frozen=True)
class Matrix:
    """Counts with a label for each row, and for each column; such as a confusion matrix, rows true."""

    labels: Sequence[str]
    counts: Any  # (n_rows, n_columns) integers: lists, or an array
    columns: Sequence[str] | None = None  # None: the labels

    def to_json(self) -> dict[str, Any]:
        rows = [str(label) for label in self.labels]
        columns = rows if self.columns is None else [str(label) for label in self.columns]
        counts = [[int(count) for count in row] for row in self.counts]
        return {"rows": rows, "columns": columns, "counts": counts}


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def to_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "rows": [list(row) for row in self.rows]}


class Scores:
    """What a training returns: ``Scores(accuracy=0.9, confusion=Matrix(labels, counts))``.

    Numbers are metrics; None is one that is undefined for this run. Names that are no Python names go into a
    first argument: ``Scores({"f/car": 0.4}, accuracy=0.9)``. ``files`` are kept with the run and shown in
    MLflow, by their names in the run's folder: a file that exists already, bytes, or a function that writes
    to the path it is given; ``kept`` are those that MLflow is not to show, and without which the run is still
    whole. ``facts`` are what is worth knowing beside, such as the number of parameters. ``items`` are the
    counts of each test item, for intervals that speak of other items than these. ``versions`` are of
    packages, ``seconds`` what the scoring took where that is not the time since the last epoch.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        files: Mapping[str, FileSource] | None = None,
        kept: Mapping[str, FileSource] | None = None,
        facts: Mapping[str, Any] | None = None,
        items: by_item.Items | None = None,
        versions: Mapping[str, str] | None = None,
        seconds: float | None = None,
        **named: Any,
    ) -> None:
        given = {**(values or {}), **named}
        self.matrices = {name: value for name, value in given.items() if isinstance(value, Matrix)}
        self.tables = {name: value for name, value in given.items() if isinstance(value, Table)}
        self.metrics: dict[str, float | None] = {
            name: None if value is None else float(value)
            for name, value in given.items()
            if name not in self.matrices and name not in self.tables
        }
        self.files = dict(files or {})
        self.kept = dict(kept or {})
        if items is not None:
            self.kept[by_item.FILE] = items.to_bytes()
        self.facts = dict(facts or {})
        self.versions = dict(versions or {})
        self.seconds = seconds
        # The settings that the training never read, where that is known; whoever calls it fills this in.
        self.unread: tuple[str, ...] | None = None
