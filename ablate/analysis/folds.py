"""Folds put together: what the runs of one condition and seed say of all training data.

Each run of a fold is scored on the part of the data that it was not trained on. Where the scores follow from
counts of items, the counts of all folds are added up and the score is that of the sums: the mean of scores
over folds is another number, since a ratio of sums is no mean of ratios (Forman & Scholz 2010, "Apples-to-
apples in cross-validation studies", for F). All else can only be averaged. Folds share most of their
training data, so that they are no replicates: whatever counts n, counts seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablate.analysis.query import RunRecord, units_of
from ablate.ground.errors import StoreError
from ablate.ground.wording import enumerate_names
from ablate.record.rundir import State
from ablate.subject.items import Items
from ablate.subject.metrics import ENERGY, Metrics

# What a seed is in whose folds are in several states: what is to be known of first, first.
WORST_FIRST = (State.FAILED, State.DAMAGED, State.RUNNING, State.INTERRUPTED, State.PRUNED, State.PENDING)


def pooled(records: Sequence[RunRecord]) -> list[RunRecord]:
    """One record for each seed of a condition, in the order of planning; those without folds as they are.

    A seed has finished when all of its folds have; until then it has no scores, and its state is that of the
    fold that is worst off. A fold that nothing is known of is a damaged one.
    """
    seeds: dict[tuple[object, ...], list[RunRecord]] = {}
    for place, record in enumerate(records):
        key = (place,) if record.fold is None else (record.condition_id, record.seed)
        seeds.setdefault(key, []).append(record)
    return [folds[0] if folds[0].fold is None else _together(folds) for folds in seeds.values()]


@dataclass(frozen=True)
class Folding:
    """That the scores of a seed are those of ``n`` folds together; ``averaged`` metrics are means over them.

    ``is_all`` says that all are.
    """

    n: int
    averaged: tuple[str, ...]
    is_all: bool
    units: Metrics

    @property
    def note(self) -> str:
        """How to read the scores."""
        names = enumerate_names([self.units.label(name) for name in self.averaged])
        if self.is_all:
            how = "A score is the mean over the folds"
        elif self.averaged:
            how = f"A score is that of the counts of all folds, but for {names}: the mean over the folds"
        else:
            how = "A score is that of the counts of all folds"
        return (
            f"Each seed is {self.n} trainings, each without one of {self.n} folds of the training data and "
            f"scored on it. {how}."
        )

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n, "averaged": list(self.averaged)}


def folding(records: Sequence[RunRecord], metrics: Sequence[str]) -> Folding | None:
    """What is to be said of these metrics of ``pooled`` records; None where there are no folds."""
    folded = [record for record in records if record.folds]
    if not folded:
        return None
    means = {name for record in folded for name in record.averaged}
    averaged = tuple(name for name in metrics if name in means)
    n = max(record.n_folds for record in folded)
    return Folding(n, averaged, len(averaged) == len(metrics), units_of(records))


def _together(records: Sequence[RunRecord]) -> RunRecord:
    folds = tuple(sorted(records, key=lambda record: record.fold or 0))
    first = folds[0]
    seed = replace(
        first,
        run_id="+".join(record.run_id for record in folds),
        fold=None,
        folds=folds,
        config=_config(first),
        duration_s=_sum([record.duration_s for record in folds]),
        has_log=False,
        mlflow_run_id=None,
        folder=None,
        tables={},
        matrices=_matrices(folds),
        facts={name: value for name, value in first.facts.items() if _is_alike(name, value, folds)},
        unread=tuple(name for name in first.unread if all(name in record.unread for record in folds)),
    )
    state, cause = _state(folds)
    if state is not State.FINISHED:
        return _without_scores(seed, state, cause)
    try:
        items = seed.items
    except StoreError as error:
        return _without_scores(seed, State.DAMAGED, str(error))
    metrics, averaged = _metrics(folds, items)
    return replace(seed, state=state, cause=None, metrics=metrics, averaged=averaged)


def _config(record: RunRecord) -> dict[str, Any]:
    """The settings of all folds: which one is held out is as where there are none."""
    which = record.subject.folds[1] if record.subject.folds else None
    return {
        name: record.subject.default.get(name) if name == which else value
        for name, value in record.config.items()
    }


def _sum(values: Sequence[float | None]) -> float | None:
    """None where one of them is not known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def _is_alike(name: str, value: Any, folds: Sequence[RunRecord]) -> bool:
    return all(record.facts.get(name) == value for record in folds)


def _state(folds: Sequence[RunRecord]) -> tuple[State, str | None]:
    """The state of a seed, and why it has not finished."""
    n_lacking = folds[0].n_folds - len(folds)
    states = {record.state for record in folds} | ({State.DAMAGED} if n_lacking > 0 else set())
    worst = next((state for state in WORST_FIRST if state in states), State.FINISHED)
    if worst is State.FINISHED:
        return worst, None
    causes = [
        f"fold {record.fold} {record.state}" + (f": {record.cause}" if record.cause else "")
        for record in folds
        if record.state is worst
    ]
    known = {record.fold for record in folds}
    gone = [str(fold) for fold in range(1, folds[0].n_folds + 1) if fold not in known]
    return worst, "; ".join([*causes, *([f"fold {', '.join(gone)}: nothing is known of it"] if gone else [])])


def _without_scores(seed: RunRecord, state: State, cause: str | None) -> RunRecord:
    return replace(
        seed,
        state=state,
        cause=cause,
        metrics={},
        duration_s=None,
        matrices={},
        facts={},
        unread=(),
        added=(),
    )


def _metrics(
    folds: Sequence[RunRecord], items: Items | None
) -> tuple[dict[str, float | None], tuple[str, ...]]:
    """Each metric over all folds, and the names of those that are means over them."""
    metrics: dict[str, float | None] = {}
    averaged = []
    for name in dict.fromkeys(name for record in folds for name in record.metrics):
        if items is not None and items.terms(name) is not None:
            metrics[name] = items.score(name)
        elif name == ENERGY.name:
            metrics[name] = _sum([record.metrics.get(name) for record in folds])
        else:
            metrics[name] = _mean([record.metrics.get(name) for record in folds])
            averaged.append(name)
    return metrics, tuple(averaged)


def _mean(values: Sequence[float | None]) -> float | None:
    """None where a fold has none."""
    total = _sum(values)
    return None if total is None else total / len(values)


def _matrices(folds: Sequence[RunRecord]) -> dict[str, Mapping[str, Any]]:
    """The sum of those that have the same rows and columns in all folds."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, first in folds[0].matrices.items():
        each = [record.matrices.get(name) for record in folds]
        alike = [
            matrix
            for matrix in each
            if matrix and (matrix["rows"], matrix["columns"]) == (first["rows"], first["columns"])
        ]
        if len(alike) == len(folds):
            found[name] = {**first, "counts": _added([matrix["counts"] for matrix in alike])}
    return found


def _added(matrices: Sequence[Sequence[Sequence[int]]]) -> list[list[int]]:
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]
