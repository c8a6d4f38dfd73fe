"""Scores by name, from the raw counts of a run: whatever a table or a claim asks for and no run has stored.

The stored counts are the source of every number: the frames of each event that were hit, falsely detected
and missed, and the confusion matrix of the clips' scenes. Besides the scores that a run stores itself
(``ablate.mtl.metrics.scores``), these names have a value:

    scene_confusion/<a>/<b>   the share of scene a's clips taken for b, a cell of the paper's Figure 3
    scene_confusion/<a>+<b>   how often the two scenes are taken for each other: the mean of a/b and b/a

They are worked out when asked for, so that lists of a run's scores stay short.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import permutations
from typing import Protocol

import numpy as np

from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.scores import event_scores, scene_scores, slugs

CONFUSION = "scene_confusion/"


class Counted(Protocol):
    """What has counts: a run that has finished. Without counts, ``None`` and no labels."""

    @property
    def scenes(self) -> tuple[str, ...]: ...
    @property
    def events(self) -> tuple[str, ...]: ...
    @property
    def scene_confusion(self) -> Sequence[Sequence[int]] | None: ...
    @property
    def event_counts(self) -> Mapping[str, Sequence[int]] | None: ...


class Scored(Counted, Protocol):
    """What has counts and stored scores."""

    @property
    def metrics(self) -> Mapping[str, float | None]: ...


def score(record: Scored, metric: str) -> float | None:
    """The stored score or, when none is stored under that name, the one that the counts give."""
    return record.metrics[metric] if metric in record.metrics else derived(record, metric)


def derived(record: Counted, metric: str) -> float | None:
    """A score from the raw counts alone; None where it is undefined, unknown, or the counts are absent."""
    if metric.startswith(CONFUSION):
        return _confusion(record, metric)
    if metric.startswith("scene_") and record.scene_confusion is not None:
        return scene_scores(np.array(record.scene_confusion, dtype=np.int64), record.scenes).get(metric)
    if metric.startswith("event_") and record.event_counts is not None:
        return event_scores(_event_counts(record.event_counts), record.events).get(metric)
    return None


def derived_names(records: Iterable[Counted]) -> list[str]:
    """The names that ``derived`` knows and no run stores, for the scenes of these runs."""
    names: dict[str, None] = {}
    for scenes in dict.fromkeys(record.scenes for record in records if record.scene_confusion is not None):
        names.update(dict.fromkeys(_cells(scenes)))
    return list(names)


def _event_counts(counts: Mapping[str, Sequence[int]]) -> EventCounts:
    return EventCounts(**{kind: np.array(frames, dtype=np.int64) for kind, frames in counts.items()})


def _confusion(record: Counted, metric: str) -> float | None:
    """The mean of the cells that a name stands for; None when either scene never occurs."""
    cells = _cells(record.scenes).get(metric)
    if cells is None or record.scene_confusion is None:
        return None
    shares = []
    for row, column in cells:
        clips = sum(record.scene_confusion[row])
        if clips == 0:
            return None
        shares.append(record.scene_confusion[row][column] / clips)
    return sum(shares) / len(shares)


@lru_cache(maxsize=64)
def _cells(scenes: tuple[str, ...]) -> dict[str, tuple[tuple[int, int], ...]]:
    """Name -> cells (row, column) of the confusion matrix. A pair goes by either order of its scenes."""
    names = slugs(scenes)
    cells: dict[str, tuple[tuple[int, int], ...]] = {}
    for row, column in permutations(range(len(names)), 2):
        cells[f"{CONFUSION}{names[row]}+{names[column]}"] = ((row, column), (column, row))
        cells[f"{CONFUSION}{names[row]}/{names[column]}"] = ((row, column),)
    return cells
