"""Scores by name, from the matrices of a run: whatever a table or a claim asks for and no run has stored.

Besides the metrics that a run stores itself, these names have a value for a matrix called ``confusion``:

    confusion/<a>/<b>      the share of row a's counts that are in column b
    confusion/<a>+<b>      how often the two are taken for each other: the mean of a/b and b/a
    confusion_recall/<a>   the share of row a's counts that are in its own column

Classes go by their slugs. The names are worked out when asked for, so that lists of a run's scores stay
short.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import permutations
from typing import Any, Protocol

from ablate.record.reading import Shape, shapes
from ablate.subject.scores import slug

RECALL = "_recall"
Cells = Mapping[str, tuple[tuple[int, int], ...]]


class Counted(Protocol):
    """What has matrices: name -> ``rows``, ``columns`` and ``counts``."""

    @property
    def matrices(self) -> Mapping[str, Mapping[str, Any]]: ...


class Scored(Counted, Protocol):
    """What has matrices and stored scores."""

    @property
    def metrics(self) -> Mapping[str, float | None]: ...


def score(record: Scored, metric: str) -> float | None:
    """The stored score or, when none is stored under that name, the one that a matrix gives."""
    return record.metrics[metric] if metric in record.metrics else derived(record, metric)


def means(records: Sequence[Scored], metrics: Iterable[str]) -> dict[str, float | None]:
    """The mean of each metric over all records; None where one of them lacks it."""
    scores = {metric: [score(record, metric) for record in records] for metric in metrics}
    known = {metric: [value for value in each if value is not None] for metric, each in scores.items()}
    return {
        metric: sum(each) / len(each) if each and len(each) == len(records) else None
        for metric, each in known.items()
    }


def derived(record: Counted, metric: str) -> float | None:
    """A score from the matrices alone; None where it is undefined or unknown."""
    name = metric.partition("/")[0]
    matrix = record.matrices.get(name) or record.matrices.get(name.removesuffix(RECALL))
    if matrix is None or "/" not in metric:
        return None
    cells = _cells(name.removesuffix(RECALL), tuple(matrix["rows"]), tuple(matrix["columns"])).get(metric)
    if cells is None:
        return None
    shares: list[float] = []
    for row, column in cells:
        total = sum(matrix["counts"][row])
        if total == 0:
            return None
        shares.append(matrix["counts"][row][column] / total)
    return sum(shares) / len(shares)


def derived_names(records: Iterable[Counted]) -> list[str]:
    """The names that ``derived`` knows, for the matrices of these runs."""
    return list(dict.fromkeys(name for shape in _shapes(records) for name in _cells(*shape)))


class Derived:
    """The names that are worked out for some of these runs, and that none has stored: ``name in derived``."""

    def __init__(self, records: Iterable[Scored]) -> None:
        self._records = tuple(records)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or "/" not in name:
            return False
        return any(name in _cells(*shape) for shape in self._shapes) and not any(
            name in record.metrics for record in self._records
        )

    @cached_property
    def _shapes(self) -> list[Shape]:
        return _shapes(self._records)


def _shapes(records: Iterable[Counted]) -> list[Shape]:
    return list(dict.fromkeys(shape for record in records for shape in shapes(record.matrices)))


@lru_cache(maxsize=64)
def _cells(matrix: str, rows: tuple[str, ...], columns: tuple[str, ...]) -> Cells:
    """Name -> cells (row, column). A pair goes by either order of its classes.

    Classes whose slugs are alike cannot be told apart by name, and have none.
    """
    ours, theirs = _unique(rows), _unique(columns)
    cells: dict[str, tuple[tuple[int, int], ...]] = {}
    for (a, row), (b, column) in ((x, y) for x in ours.items() for y in theirs.items() if x[0] != y[0]):
        cells[f"{matrix}/{a}/{b}"] = ((row, column),)
    both = [name for name in ours if name in theirs]
    for a, b in permutations(both, 2):
        cells[f"{matrix}/{a}+{b}"] = ((ours[a], theirs[b]), (ours[b], theirs[a]))
    for name in both:
        cells[f"{matrix}{RECALL}/{name}"] = ((ours[name], theirs[name]),)
    return cells


def _unique(labels: Sequence[str]) -> dict[str, int]:
    names = [slug(label) for label in labels]
    return {name: place for place, name in enumerate(names) if name and names.count(name) == 1}
