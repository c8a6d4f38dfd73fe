"""Runs of folds as a worker leaves them: each scored on items of its own, whose counts are given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ablate.analysis.query import RunRecord, load_runs
from ablate.design.runs import Run, SubjectRef
from ablate.record.rundir import State
from ablate.record.store import Store
from ablate.subject import items as by_item
from ablate.subject.interface import NO_DATA, Card, Dataset
from ablate.subject.items import Items, Overall, Ratios
from ablate.subject.metrics import Metric
from ablate.subject.settings import Settings
from tests.no_scores import NO_SCORES

FOLDS = ("folds", "fold")
DEFAULT = {"lr": 0.1, "folds": 0, "fold": 0, "seed": 0}
CARD = Card(
    "mine",
    "0123456789abcdef",
    {"kind": "script", "script": "python gone.py"},
    declared=(Metric("f", unit="%", headline=True), Metric("loss", "min", headline=True)),
    settings={"lr": "", "folds": "", "fold": "", "seed": "the replicate"},
    fields={"lr": "lr"},
    default=DEFAULT,
    folds=FOLDS,
)
DATA = Dataset("none", NO_DATA, Path("none"))

# Of an item: true positives, false positives, false negatives.
Counts = tuple[int, int, int]


def fold_run(name: str, seed: int, fold: int, n_folds: int = 2, lr: float = 0.1) -> Run:
    settings = Settings({**DEFAULT, "lr": lr, "folds": n_folds, "fold": fold, "seed": seed})
    return Run(settings, DATA, name, {"lr": lr}, SubjectRef(CARD.name, CARD.version), folds=FOLDS)


def items_of(counts: Mapping[str, Counts]) -> Items:
    """Items whose counts make the metric "f"."""
    tp, fp, fn = (np.array([[count[place]] for count in counts.values()]) for place in range(3))
    ratios = Ratios(("a",), 2 * tp, 2 * tp + fp + fn, tp + fn)
    return Items(tuple(counts), {"of_a": ratios}, {"f": Overall("of_a", "micro")}, "clip")


def finish(store: Store, run: Run, counts: Mapping[str, Counts] | None = None, **result: Any) -> None:
    """A finished run: "f" follows from ``counts`` of its items, where given; ``result`` are other parts."""
    folder = store.folder(run.run_id)
    folder.create(run)
    folder.begin()
    folder.write_history([{"epoch": 1, "loss": float(run.fold or 0), "seconds": 1.0}])
    metrics = dict(result.pop("metrics", {}))
    files = []
    if counts is not None:
        items = items_of(counts)
        (folder.path / by_item.FILE).write_bytes(items.to_bytes())
        files.append(by_item.FILE)
        metrics["f"] = items.score("f")
    folder.write_result({**NO_SCORES, "metrics": metrics, "files": files, **result})
    folder.end(State.FINISHED)


def plan(store: Store, *runs: Run) -> None:
    """Make the runs a part of the study "s"."""
    store.require_writable()
    base = Settings({**DEFAULT, "folds": runs[0].n_folds})
    store.add_to_study("s", runs, "ablate grid --folds 2", card=CARD, base=base)


def records(store: Store) -> list[RunRecord]:
    return load_runs(store, "s")
