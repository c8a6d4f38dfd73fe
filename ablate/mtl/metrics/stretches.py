"""The stretches of time that any threshold makes detections of.

A stretch is a run of spans that is as long as it can be for its lowest score: what a threshold just below that score detects.
It is detected at the thresholds t with ``vanishes <= t < appears``: below its lowest score, and not below the higher of the
two scores beside it, where it becomes part of a longer one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.events import Classes, Seconds, Track

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stretches:
    """All stretches of some classes of a track, (n_stretches,) each."""

    onsets_s: Seconds
    offsets_s: Seconds
    classes: Classes
    appears: NDArray[np.float64]
    vanishes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, kept: NDArray[np.bool_] | Places) -> "Stretches":
        """Those where ``kept`` is True, or at the places in it."""
        return Stretches(
            self.onsets_s[kept],
            self.offsets_s[kept],
            self.classes[kept],
            self.appears[kept],
            self.vanishes[kept],
        )


def stretches(track: Track, classes: Classes) -> Stretches:
    """Every stretch of the classes ``classes``. Spans with a score of -inf are in none.

    The classes stand one after the other in one long row, with -inf before, between and after them.
    """
    n_spans = len(track.scores)
    row = np.full((len(classes), n_spans + 1), -np.inf)
    row[:, 1:] = track.scores.T[classes]
    values = np.append(row.ravel(), -np.inf)
    before = _nearest_before(values, np.greater, n_spans)
    places = np.flatnonzero((values > values[before]))
    after = len(values) - 1 - _nearest_before(values[::-1], np.greater_equal, n_spans)[::-1]
    before, after = before[places], after[places]
    first_of_class = places // (n_spans + 1) * (n_spans + 1)
    return Stretches(
        track.boundaries_s[before - first_of_class],
        track.boundaries_s[after - first_of_class - 1],
        classes[places // (n_spans + 1)],
        values[places],
        np.maximum(values[before], values[after]),
    )


def _nearest_before(values: NDArray[np.float64], passes: np.ufunc, longest: int) -> Places:
    """The place of the nearest earlier value that is not ``passes(earlier, value)``; the first is its own.

    ``values`` begin with -inf, and no more than ``longest`` in a row are greater. Each value strides over its
    predecessors while the lowest of them passes, with strides that double and then halve again.
    """
    lowest = [values]
    while 1 << len(lowest) <= longest:
        half = 1 << (len(lowest) - 1)
        lowest.append(np.minimum(lowest[-1][:-half], lowest[-1][half:]))
    ends = np.arange(len(values))  # everything from here to the value passes
    halving: list[Places] = []
    striding = np.arange(1, len(values))
    for level in range(len(lowest)):
        passed = _stride(ends, striding, level, lowest, values, passes)
        halving.append(striding[~passed])
        striding = striding[passed]
    waiting = striding
    for level in reversed(range(len(lowest) - 1)):
        waiting = np.concatenate((waiting, halving[level + 1]))
        _stride(ends, waiting, level, lowest, values, passes)
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
