"""Event-based counts: which annotated events are detected with their onset and offset, within a collar.

A detection fits an annotated event when its onset is within ``collar_s`` of the annotated one, and its
offset within ``collar_s`` or ``length_share`` of the annotated length, whichever is more. Each is paired
with at most one of its own class, so that as many as possible are paired: these are the true positives. What
is left over and fits an event of another class is a substitution.

Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection", 2016, section 3.2. The counts
are those of sed_eval's ``EventBasedMetrics``, which also gives the substitutions, unlike the others, by the
order of events: which of several equally large pairings is taken decides what is left over. The order of
preference here is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.error_rate import RecordingErrors
from ablate.mtl.metrics.events import Events, Reference

Hits = NDArray[np.bool_]
_Pairs = dict[int, int]


@dataclass(frozen=True)
class Collar:
    """How far a detection may lie from the annotated event. DESED takes 20 % of the length, TUT data 50 %."""

    collar_s: float = 0.2
    length_share: float = 0.5


DEFAULT_COLLAR = Collar()


def event_counts(
    detected: Sequence[Events],
    references: Sequence[Reference],
    n_classes: int,
    collar: Collar = DEFAULT_COLLAR,
) -> RecordingErrors:
    """Annotated events found, false detections, and annotated events missed, of each recording and class.

    Raises ValueError when there are not as many detections as references, or an event is of no class.
    """
    shape = (len(references), n_classes)
    found, false, missed = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    substitutions = np.zeros(len(references), dtype=np.int64)
    for index, (events, reference) in enumerate(zip(detected, references, strict=True)):
        truth = reference.events
        fits = _fits(truth, events, collar)
        pairs = largest_pairing(fits & (truth.classes[:, None] == events.classes))
        matched = np.fromiter(pairs, dtype=np.int64)
        found[index] = truth.take(matched).per_class(n_classes)
        false[index] = events.per_class(n_classes) - found[index]
        missed[index] = truth.per_class(n_classes) - found[index]
        substitutions[index] = _substitutions(fits, pairs)
    return RecordingErrors(EventCounts(found, false, missed), substitutions)


def _fits(truth: Events, events: Events, collar: Collar) -> Hits:
    """Whether detection ``d`` has the times of annotated event ``r``, whatever their classes: at [r, d]."""
    lengths = truth.offsets_s - truth.onsets_s
    tolerance = np.maximum(collar.collar_s, collar.length_share * lengths)
    onsets = np.abs(truth.onsets_s[:, None] - events.onsets_s) <= collar.collar_s
    offsets = np.abs(truth.offsets_s[:, None] - events.offsets_s) <= tolerance[:, None]
    fits: Hits = onsets & offsets
    return fits


def _substitutions(fits: Hits, pairs: _Pairs) -> int:
    """Annotated events left over that fit a detection left over, each used once, in their order."""
    free = np.ones(fits.shape[1], dtype=bool)
    free[list(pairs.values())] = False
    count = 0
    for row in np.delete(fits, list(pairs), axis=0):
        fitting = np.flatnonzero(row & free)
        if len(fitting):
            free[fitting[0]] = False
            count += 1
    return count


# ------------------------------------------------------------------------------------------------ pairing


def largest_pairing(hits: Hits) -> _Pairs:
    """As many pairs of a row and a column of ``hits`` as there can be, each in one at most: row -> column.

    Hopcroft and Karp, "An n^5/2 algorithm for maximum matchings in bipartite graphs", 1973: columns first
    take the first free row; then chains of exchanges that each win a pair are searched, the shortest first.
    """
    rows_of: dict[int, list[int]] = {}
    for row, column in np.argwhere(hits).tolist():
        rows_of.setdefault(column, []).append(row)
    pairs: _Pairs = {}
    for column, rows in rows_of.items():
        free = next((row for row in rows if row not in pairs), None)
        if free is not None:
            pairs[free] = column
    while _exchange(rows_of, pairs):
        pass
    return pairs


def _exchange(rows_of: dict[int, list[int]], pairs: _Pairs) -> bool:
    """One round of exchanges; False when none is left."""
    paired = set(pairs.values())
    came_from: dict[int, int | None] = {column: None for column in rows_of if column not in paired}
    reached_by: dict[int, list[int]] = {}
    layer, ends = list(came_from), list[int]()
    while layer and not ends:
        reached: dict[int, list[int]] = {}
        for column in layer:
            for row in rows_of[column]:
                if row not in reached_by:
                    reached.setdefault(row, []).append(column)
        reached_by |= reached
        ends = [row for row in reached if row not in pairs]
        layer = [pairs[row] for row in reached if row in pairs]
        came_from |= {pairs[row]: row for row in reached if row in pairs}
    for end in ends:
        _follow(end, reached_by, came_from, pairs)
    return bool(ends)


def _follow(
    end: int, reached_by: dict[int, list[int]], came_from: dict[int, int | None], pairs: _Pairs
) -> None:
    """Pairs row ``end`` with a column that can be spared, back along its chain; each is used in one chain."""
    chain: list[tuple[int, int]] = []
    trail = [(end, iter(reached_by.pop(end, ())))]
    while trail:
        row, columns = trail[-1]
        column = next((column for column in columns if column in came_from), None)
        if column is None:  # a dead end: back to where it was entered
            trail.pop()
            del chain[-1:]
            continue
        chain.append((row, column))
        former = came_from.pop(column)
        if former is None:
            pairs.update(chain)
            return
        trail.append((former, iter(reached_by.pop(former, ()))))
