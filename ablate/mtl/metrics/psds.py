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
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.mtl.metrics.changes import (
    CROSS,
    FALSE,
    FOUND,
    Changes,
    Rates,
    RecordingChanges,
    recording_changes,
)
from ablate.mtl.metrics.events import Reference, Track
from ablate.mtl.metrics.intersection_based import Criteria

HOUR_S = 3600.0


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
    """The PSDS of scores over time. Raises ValueError without a recording, or for a class without a score."""
    changes = [
        recording_changes(track, reference, settings.criteria, settings.cross_trigger)
        for track, reference in zip(tracks, references, strict=True)
    ]
    return psds_of(changes, settings)


# ------------------------------------------------------------------------------------------------- curves


@dataclass(frozen=True, eq=False)
class Curve:
    """The best rate of events found with at most each rate of false alarms: both rise, (n_points,)."""

    efpr: Rates  # per hour
    tpr: Rates

    def at(self, efpr: Rates) -> Rates:
        """The TPR at each of ``efpr``; the first point is at 0."""
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
    """The curve of one class up to the highest rate; None when it never occurs, or no recording lasts."""
    n_events = np.sum([recording.n_events for recording in recordings], axis=0)
    hours = sum(recording.duration_s for recording in recordings) / HOUR_S
    if not n_events[label] or not hours:
        return None
    parts = [part.changes.take(part.changes.classes == label) for part in recordings]
    joined = Changes.joined(parts)
    changes = joined.take(np.argsort(joined.scores, kind="stable")[::-1])
    last_of_score = np.append(changes.scores[1:] != changes.scores[:-1], True)[: len(changes.scores)]
    found = np.cumsum(np.where(changes.columns == FOUND, changes.amounts, 0))[last_of_score]
    rates = _rates(recordings, label, hours, settings)
    alarms = np.cumsum(rates[changes.columns] * changes.amounts)[last_of_score]
    return _best(np.append(0.0, alarms), np.append(0.0, found / n_events[label]), settings.max_efpr)


def _rates(recordings: Sequence[RecordingChanges], label: int, hours: float, settings: PsdsSettings) -> Rates:
    """What one more in each column adds to the eFPR of a class."""
    seconds = np.sum([recording.seconds for recording in recordings], axis=0)
    others = np.flatnonzero((seconds > 0) & (np.arange(len(seconds)) != label))
    rates = np.zeros(CROSS + len(seconds))
    rates[FALSE] = 1 / hours
    rates[CROSS + others] = settings.alpha_ct * HOUR_S / seconds[others] / max(1, len(others))
    return rates


def _best(efpr: Rates, tpr: Rates, end: float) -> Curve:
    """The points from which no other with as few false alarms finds more."""
    efpr = np.maximum(efpr, 0.0)  # a sum that comes back to nothing may end a rounding error below it
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
