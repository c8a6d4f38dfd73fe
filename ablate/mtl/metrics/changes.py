"""How the counts of a recording change as the threshold falls from above all scores to below all.

Detections are judged by intersection (``ablate.mtl.metrics.intersection_based``), and a false one as well by
how much of it lies on annotated events of other classes. Each stretch that some threshold detects
(``ablate.mtl.metrics.stretches``) is judged once, not once for every threshold. The sums of the changes
above a threshold are the counts at it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablate.mtl.metrics.events import Classes, Events, Reference, Seconds, Track
from ablate.mtl.metrics.intersection_based import Criteria, lengths_s, reaches
from ablate.mtl.metrics.stretches import Stretches, stretches

FOUND, FALSE, CROSS = 0, 1, 2  # columns of changes; CROSS + o is of cross triggers with class o

Rates = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Changes:
    """How counts change as the threshold falls: by ``amounts[i]`` when it falls below ``scores[i]``.

    The count is that of ``columns[i]`` of class ``classes[i]``: events found, false detections, or cross
    triggers with one other class. All are (n_changes,), in any order.
    """

    scores: Rates
    classes: Classes
    columns: Classes
    amounts: Classes

    @classmethod
    def of(cls, scores: Rates, classes: ArrayLike, column: int, amounts: Classes) -> "Changes":
        """Of one column. What changes nothing is left out, and what would change below -inf."""
        kept = (amounts != 0) & (scores > -np.inf)
        each = np.broadcast_to(np.asarray(classes, dtype=np.int64), kept.shape)
        return cls(scores[kept], each[kept], np.full(np.count_nonzero(kept), column), amounts[kept])

    @classmethod
    def joined(cls, parts: Sequence["Changes"]) -> "Changes":
        nothing = np.zeros(0, dtype=np.int64)
        return cls(
            np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
            np.concatenate([nothing, *(part.classes for part in parts)]),
            np.concatenate([nothing, *(part.columns for part in parts)]),
            np.concatenate([nothing, *(part.amounts for part in parts)]),
        )

    def take(self, kept: NDArray[np.bool_] | Classes) -> "Changes":
        """Those where ``kept`` is True, or at the places in it."""
        return Changes(self.scores[kept], self.classes[kept], self.columns[kept], self.amounts[kept])


@dataclass(frozen=True, eq=False)
class RecordingChanges:
    """What the PSDS of any choice of recordings is made of, for one of them.

    ``n_events`` and ``seconds``, both (n_classes,), are of the annotated events.
    """

    duration_s: float
    n_events: Classes
    seconds: Seconds
    changes: Changes


def recording_changes(
    track: Track, reference: Reference, criteria: Criteria, cross_trigger: float | None = None
) -> RecordingChanges:
    """Judges every detection that some threshold makes of ``track``.

    A false one of which at least ``cross_trigger`` lies on events of another class is a cross trigger with
    it; with None, these are not counted. Raises ValueError for an event of a class that has no score.
    """
    truth = reference.events.united()
    n_events = truth.per_class(track.n_classes)
    every = np.arange(track.n_classes)
    judged = np.unique(truth.classes) if cross_trigger is None else every
    parts = [
        part
        for found in stretches(track, judged)
        for part in _judged(found, track.boundaries_s, truth, criteria, cross_trigger)
    ]
    seconds = np.zeros(track.n_classes)
    np.add.at(seconds, truth.classes, lengths_s(truth))
    return RecordingChanges(
        reference.duration_s,
        n_events,
        seconds,
        Changes.joined([*parts, _all_false(track, np.setdiff1d(every, judged))]),
    )


def _all_false(track: Track, classes: Classes) -> Changes:
    """The false detections of classes that do not occur: one more at each peak, one less where two meet."""
    nothing = np.full((1, len(classes)), -np.inf)
    scores = np.concatenate((nothing, track.scores[:, classes], nothing))
    rises = (scores[1:] > scores[:-1]).astype(np.int64)
    each = np.broadcast_to(classes, (len(track.scores), len(classes)))
    return Changes.of(scores[1:-1].ravel(), each.ravel(), FALSE, (rises[:-1] - rises[1:]).ravel())


def _judged(
    found: Stretches,
    boundaries_s: Seconds,
    truth: Events,
    criteria: Criteria,
    cross_trigger: float | None,
) -> Iterator[Changes]:
    """The changes of all counts by some stretches."""
    lengths = boundaries_s[found.stop] - boundaries_s[found.first]
    shared = {
        int(label): _between(found, _sounded_s(truth, label, boundaries_s))
        for label in np.unique(truth.classes)
    }
    own = np.zeros(len(found))
    for label, seconds in shared.items():
        own = np.where(found.classes == label, seconds, own)
    relevant = reaches(own, criteria.detection, lengths)
    yield _counted(found, ~relevant, FALSE)
    yield from _coverage(found, relevant, boundaries_s, truth, criteria.reference)
    if cross_trigger is not None:
        for label, seconds in shared.items():
            crossing = reaches(seconds, cross_trigger, lengths) & ~relevant & (found.classes != label)
            yield _counted(found, crossing, CROSS + label)


def _sounded_s(truth: Events, label: int, boundaries_s: Seconds) -> Seconds:
    """How long a class has sounded until each boundary; its events do not overlap."""
    events = truth.take(truth.classes == label)
    moments = np.column_stack((events.onsets_s, events.offsets_s)).ravel()
    sounded = np.zeros(len(moments))
    sounded[1::2] = np.cumsum(lengths_s(events))
    sounded[2::2] = sounded[1:-1:2]
    return np.interp(boundaries_s, moments, sounded)


def _between(found: Stretches, until: Seconds) -> Seconds:
    """What a sum until each boundary grows by within each stretch."""
    grown: Seconds = until[found.stop] - until[found.first]
    return grown


def _counted(found: Stretches, flags: NDArray[np.bool_], column: int) -> Changes:
    """How many stretches with a flag are detected: each where it appears, instead of those it is made of."""
    inner = found.parents[flags & (found.parents >= 0)]
    amounts = flags.astype(np.int64) - np.bincount(inner, minlength=len(found))
    return Changes.of(found.appears, found.classes, column, amounts)


def _coverage(
    found: Stretches, relevant: NDArray[np.bool_], boundaries_s: Seconds, truth: Events, share: float
) -> Iterator[Changes]:
    """Where each annotated event is found, or no longer found."""
    vanishes = found.vanishes()
    for label in np.intersect1d(truth.classes, found.classes):
        own = np.flatnonzero(relevant & (found.classes == label))
        begins, ends = boundaries_s[found.first[own]], boundaries_s[found.stop[own]]
        events = truth.take(truth.classes == label)
        for onset, offset in zip(events.onsets_s, events.offsets_s, strict=True):
            shared = np.minimum(ends, offset) - np.maximum(begins, onset)
            over, seconds = own[shared > 0], shared[shared > 0]
            scores, covered = _sums(found.appears[over], vanishes[over], seconds)
            is_found = reaches(covered, share, offset - onset).astype(np.int64)
            yield Changes.of(scores, label, FOUND, np.diff(is_found, prepend=0))


def _sums(appears: Rates, vanishes: Rates, seconds: Seconds) -> tuple[Rates, Seconds]:
    """The seconds of all stretches that are there below each score, and these scores, from the highest."""
    scores, places = np.unique(np.concatenate((appears, vanishes)), return_inverse=True)
    changes = np.zeros(len(scores))
    np.add.at(changes, places, np.concatenate((seconds, -seconds)))
    return scores[::-1], np.cumsum(changes[::-1])
