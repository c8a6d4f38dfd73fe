"""The polyphonic sound detection score: how many events are found at each rate of false alarms.

At each threshold, detections are judged by intersection (``ablate.mtl.metrics.intersection_based``). With T
the seconds of all recordings, and for class c: N events of which TP are found, FP false detections, and X(o)
cross triggers, false detections of which at least ``cross_trigger`` (CTTC) lies on annotated events of
another class o, which last T(o):

    TPR(c) = TP / N      eFPR(c) = 3600 (FP / T + alpha_ct mean over o of X(o) / T(o))       per hour

The curve of a class is the best TPR with an eFPR of at most x. The score is the area under
``max(0, mean - alpha_st deviation)`` over the classes' curves, from 0 to ``max_efpr``, divided by
``max_efpr``.

Bilen et al. 2020, as in ``intersection_based``; computed at all thresholds rather than at some, as Ebbers,
Serizel and Haeb-Umbach, "Threshold-Independent Evaluation of Sound Event Detection Scores", 2022. The score
is that of sed_scores_eval's ``intersection_based.psds``, which refuses classes that never occur: here they
are left out of the mean and the deviation, and of the mean over o.

Which thresholds there are: as the threshold falls, a stretch of a track appears as a detection when it
reaches the lowest score in it, and is gone, being part of a longer one, when it reaches the higher of the
scores beside it. There are at most as many such stretches as spans, so each is judged once, not once for
every threshold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.events import Classes, Events, Reference, Seconds, Track
from ablate.mtl.metrics.intersection_based import Criteria, lengths_s, reaches
from ablate.mtl.metrics.stretches import Stretches, stretches

HOUR_S = 3600.0

Rates = NDArray[np.float64]


@dataclass(frozen=True)
class PsdsSettings:
    """What a PSDS asks for. ``cross_trigger`` None: cross triggers do not count, and ``alpha_ct`` is 0."""

    criteria: Criteria
    cross_trigger: float | None = None
    alpha_ct: float = 0.0
    alpha_st: float = 1.0
    max_efpr: float = 100.0  # per hour

    def __post_init__(self) -> None:
        if (self.cross_trigger is None) != (self.alpha_ct == 0):
            raise ValueError("a weight of cross triggers (alpha_ct) and a criterion for them go together")


# DCASE 2021 to 2024, task 4: PSDS 1 asks for exact times, PSDS 2 for not mistaking one class for another.
PSDS1 = PsdsSettings(Criteria(detection=0.7, reference=0.7))
PSDS2 = PsdsSettings(Criteria(detection=0.1, reference=0.1), cross_trigger=0.3, alpha_ct=0.5)


@dataclass(frozen=True)
class Psds:
    """The score in 0..1, and the area under each class's own curve; None where no event occurs."""

    score: float | None
    classes: tuple[float | None, ...]


def psds(tracks: Sequence[Track], references: Sequence[Reference], settings: PsdsSettings) -> Psds:
    """The PSDS of scores over time. Raises ValueError for tracks of different classes or none."""
    changes = [
        recording_changes(track, reference, settings)
        for track, reference in zip(tracks, references, strict=True)
    ]
    return psds_of(changes, settings)


FOUND, FALSE, CROSS = 0, 1, 2  # columns of changes; CROSS + o is of cross triggers with class o


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
    def joined(cls, parts: Sequence["Changes"]) -> "Changes":
        nothing = np.zeros(0, dtype=np.int64)
        return cls(
            np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
            np.concatenate([nothing, *(part.classes for part in parts)]),
            np.concatenate([nothing, *(part.columns for part in parts)]),
            np.concatenate([nothing, *(part.amounts for part in parts)]),
        )

    def take(self, kept: NDArray[np.bool_] | Classes) -> "Changes":
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


def recording_changes(track: Track, reference: Reference, settings: PsdsSettings) -> RecordingChanges:
    """Judges every detection that some threshold makes of ``track``."""
    truth = reference.events.united()
    parts = [
        part for found in stretches(track) for part in _judged(found, track.boundaries_s, truth, settings)
    ]
    return RecordingChanges(
        reference.duration_s,
        np.bincount(truth.classes, minlength=track.n_classes),
        _seconds(truth, track.n_classes),
        Changes.joined(parts),
    )


def _seconds(truth: Events, n_classes: int) -> Seconds:
    """How long each class sounds, (n_classes,)."""
    seconds = np.zeros(n_classes)
    np.add.at(seconds, truth.classes, lengths_s(truth))
    return seconds


def _judged(
    found: Stretches, boundaries_s: Seconds, truth: Events, settings: PsdsSettings
) -> Iterator[Changes]:
    """The changes of all counts by some stretches."""
    lengths = boundaries_s[found.stop] - boundaries_s[found.first]
    sounded = {int(label): _sounded_s(truth, label, boundaries_s) for label in np.unique(truth.classes)}
    shared = np.zeros(len(found))
    for label, until in sounded.items():
        own = found.classes == label
        shared[own] = (until[found.stop] - until[found.first])[own]
    relevant = reaches(shared, settings.criteria.detection, lengths)
    yield _counted(found, ~relevant, FALSE)
    for event in np.flatnonzero(np.isin(truth.classes, found.classes)):
        yield _coverage(found, relevant, boundaries_s, truth.take(np.array([event])), settings)
    if settings.cross_trigger is not None:
        for label, until in sounded.items():
            crossing = reaches(until[found.stop] - until[found.first], settings.cross_trigger, lengths)
            yield _counted(found, crossing & ~relevant & (found.classes != label), CROSS + label)


def _sounded_s(truth: Events, label: int, boundaries_s: Seconds) -> Seconds:
    """How long a class has sounded until each boundary; its events do not overlap."""
    events = truth.take(truth.classes == label)
    moments = np.column_stack((events.onsets_s, events.offsets_s)).ravel()
    sounded = np.zeros(len(moments))
    sounded[1::2] = np.cumsum(lengths_s(events))
    sounded[2::2] = sounded[1:-1:2]
    return np.interp(boundaries_s, moments, sounded)


def _counted(found: Stretches, flags: NDArray[np.bool_], column: int) -> Changes:
    """How many stretches with a flag are detected: each where it appears, instead of those it is made of."""
    inner = found.parents[flags & (found.parents >= 0)]
    amounts = flags.astype(np.int64) - np.bincount(inner, minlength=len(found))
    changed = amounts != 0
    return Changes(
        found.appears[changed],
        found.classes[changed],
        np.full(np.count_nonzero(changed), column),
        amounts[changed],
    )


def _coverage(
    found: Stretches,
    relevant: NDArray[np.bool_],
    boundaries_s: Seconds,
    event: Events,
    settings: PsdsSettings,
) -> Changes:
    """Where an event is found, or no longer found, as the threshold falls."""
    begins = np.maximum(boundaries_s[found.first], event.onsets_s)
    shared = np.minimum(boundaries_s[found.stop], event.offsets_s) - begins
    over = relevant & (found.classes == event.classes) & (shared > 0)
    steps = np.concatenate((found.appears[over], found.vanishes()[over]))
    gains = np.concatenate((shared[over], -shared[over]))
    scores, places = np.unique(steps, return_inverse=True)
    changes = np.zeros(len(scores))
    np.add.at(changes, places, gains)
    covered = np.cumsum(changes[::-1])
    is_found = reaches(covered, settings.criteria.reference, lengths_s(event))
    amounts = np.diff(is_found.astype(np.int64), prepend=0)
    changed = (amounts != 0) & (scores[::-1] > -np.inf)  # below -inf there is no threshold
    n_changes = np.count_nonzero(changed)
    return Changes(
        scores[::-1][changed],
        np.full(n_changes, event.classes[0]),
        np.full(n_changes, FOUND),
        amounts[changed],
    )


# ------------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True, eq=False)
class Curve:
    """The best rate of events found with at most each rate of false alarms: both rise, (n_points,)."""

    efpr: Rates  # per hour
    tpr: Rates

    def at(self, efpr: Rates) -> Rates:
        """The TPR at each of ``efpr``, which are none below the first point's."""
        tpr: Rates = self.tpr[np.searchsorted(self.efpr, efpr, side="right") - 1]
        return tpr

    def area(self, end: float) -> float:
        """Under the steps up to ``end``."""
        return float(np.sum(self.tpr * np.diff(self.efpr, append=end)))


def psds_of(recordings: Sequence[RecordingChanges], settings: PsdsSettings) -> Psds:
    """The PSDS over recordings, which may repeat. Raises ValueError when there is none."""
    if not recordings:
        raise ValueError("a PSDS needs at least one recording")
    n_classes = len(recordings[0].n_events)
    curves = [class_curve(recordings, label, settings) for label in range(n_classes)]
    defined = [curve for curve in curves if curve is not None]
    end = settings.max_efpr
    return Psds(
        _overall(defined, settings).area(end) / end if defined else None,
        tuple(None if curve is None else curve.area(end) / end for curve in curves),
    )


def class_curve(recordings: Sequence[RecordingChanges], label: int, settings: PsdsSettings) -> Curve | None:
    """The curve of one class up to the highest rate; None when it never occurs."""
    n_events = np.sum([recording.n_events for recording in recordings], axis=0)
    if not n_events[label]:
        return None
    parts = [part.changes.take(part.changes.classes == label) for part in recordings]
    joined = Changes.joined(parts)
    changes = joined.take(np.argsort(joined.scores, kind="stable")[::-1])
    last_of_score = np.append(changes.scores[1:] != changes.scores[:-1], True)[: len(changes.scores)]
    found = np.cumsum(np.where(changes.columns == FOUND, changes.amounts, 0))[last_of_score]
    rates = _rates(recordings, label, n_events, settings)
    alarms = np.cumsum(rates[changes.columns] * changes.amounts)[last_of_score]
    return _best(np.append(0.0, alarms), np.append(0.0, found / n_events[label]), settings.max_efpr)


def _rates(
    recordings: Sequence[RecordingChanges], label: int, n_events: Classes, settings: PsdsSettings
) -> Rates:
    """What one more in each column adds to the eFPR of a class."""
    hours = sum(recording.duration_s for recording in recordings) / HOUR_S
    seconds = np.sum([recording.seconds for recording in recordings], axis=0)
    others = np.flatnonzero((n_events > 0) & (np.arange(len(n_events)) != label))
    rates = np.zeros(CROSS + len(n_events))
    rates[FALSE] = 1 / hours
    rates[CROSS + others] = settings.alpha_ct * HOUR_S / seconds[others] / max(1, len(others))
    return rates


def _best(efpr: Rates, tpr: Rates, end: float) -> Curve:
    """The points from which no other with as few false alarms finds more."""
    order = np.lexsort((tpr, efpr))
    efpr, tpr = efpr[order], np.maximum.accumulate(tpr[order])
    kept = np.append(np.diff(efpr) > 0, True) & (efpr <= end)
    return Curve(efpr[kept], tpr[kept])


def _overall(curves: Sequence[Curve], settings: PsdsSettings) -> Curve:
    """The mean of the classes' curves less their weighted deviation."""
    efpr = np.unique(np.concatenate([curve.efpr for curve in curves]))
    tpr = np.array([curve.at(efpr) for curve in curves])
    effective = tpr.mean(axis=0) - settings.alpha_st * tpr.std(axis=0)
    return Curve(efpr, np.maximum(effective, 0.0))
