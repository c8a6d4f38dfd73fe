"""The stretches of time that any threshold makes detections of.

A stretch is a run of spans that is as long as it can be for its lowest score: what a threshold just below
that score detects. It appears when the threshold falls below its lowest score, and becomes part of a longer
stretch, its parent, when the threshold falls below the higher of the two scores beside it. So stretches are
a forest, with at most as many as spans.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.events import Classes, Track

Places = NDArray[np.int64]

CACHED_VALUES = 1 << 16  # scores that are worked on at once: twice as fast as millions of them


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of some classes of a track, (n_stretches,) each.

    They last from boundary ``first`` to boundary ``stop``, and appear below the score ``appears``.
    ``parents`` are their places in these arrays; -1 for a stretch that is part of no other.
    """

    first: Places
    stop: Places
    classes: Classes
    appears: NDArray[np.float64]
    parents: Places

    def __len__(self) -> int:
        return len(self.classes)

    def vanishes(self) -> NDArray[np.float64]:
        """The score below which each becomes part of its parent; -inf without one."""
        return np.where(self.parents < 0, -np.inf, self.appears[self.parents])


def stretches(track: Track, classes: Classes) -> Iterator[Stretches]:
    """Every stretch of ``classes``, some of them at a time and in their order. Scores of -inf are in none."""
    at_once = max(1, CACHED_VALUES // (len(track.scores) + 1))
    for begin in range(0, len(classes), at_once):
        yield _stretches(track, classes[begin : begin + at_once])


def _stretches(track: Track, classes: Classes) -> Stretches:
    """The classes stand one after the other in one long row, with -inf before, between and after them."""
    n_spans = len(track.scores)
    row = np.full((len(classes), n_spans + 1), -np.inf)
    row[:, 1:] = track.scores.T[classes]
    values = np.append(row.ravel(), -np.inf)
    before = _nearest_before(values, np.greater, n_spans)
    after = len(values) - 1 - _nearest_before(values[::-1], np.greater_equal, n_spans)[::-1]
    places = np.flatnonzero(values > values[before])  # of equal scores in one stretch, the first
    column, begin = places // (n_spans + 1), places // (n_spans + 1) * (n_spans + 1)
    return Stretches(
        before[places] - begin,
        after[places] - begin - 1,
        classes[column],
        values[places],
        _parents(values, before, after, places),
    )


def _parents(values: NDArray[np.float64], before: Places, after: Places, places: Places) -> Places:
    """The parent of the stretches with their first lowest scores at ``places``, as places in that array."""
    numbers = np.full(len(values), -1)
    numbers[places] = np.arange(len(places))
    firsts = np.where(values[before] == values, before, np.arange(len(values)))
    while not np.array_equal(firsts, further := firsts[firsts]):  # of equal scores in one stretch
        firsts = further
    earlier, later = before[places], after[places]
    beside = np.where(values[earlier] >= values[later], earlier, later)
    return numbers[firsts[beside]]


def _nearest_before(values: NDArray[np.float64], passes: np.ufunc, longest: int) -> Places:
    """The place of the nearest earlier value that is not ``passes(earlier, value)``; the first is its own.

    ``values`` begin with -inf, and no more than ``longest`` in a row are greater. Each value strides over its
    predecessors while the lowest of them passes, with strides that double and then halve again.
    """
    lowest = [values]  # at level n, of 2 ** n values
    while 1 << len(lowest) <= longest:
        half = 1 << (len(lowest) - 1)
        lowest.append(np.minimum(lowest[-1][:-half], lowest[-1][half:]))
    ends = np.arange(len(values))  # all from here to the value pass
    striding, halving = np.arange(1, len(values)), list[Places]()
    for level in range(len(lowest)):
        passed = _stride(ends, striding, level, lowest, values, passes)
        halving.append(striding[~passed])
        striding = striding[passed]
    for level in reversed(range(len(lowest) - 1)):
        striding = np.concatenate((striding, halving[level + 1]))
        _stride(ends, striding, level, lowest, values, passes)
    return np.maximum(ends - 1, 0)


def _stride(
    ends: Places,
    places: Places,
    level: int,
    lowest: list[NDArray[np.float64]],
    values: NDArray[np.float64],
    passes: np.ufunc,
) -> NDArray[np.bool_]:
    """Moves the ends of ``places`` back by 2 ** level values where all of these pass; says where."""
    targets = ends[places] - (1 << level)
    passed: NDArray[np.bool_] = passes(lowest[level][np.maximum(targets, 0)], values[places])
    ends[places[passed]] = targets[passed]
    return passed
