"""The polyphonic sound detection score: how many events are found at each rate of false alarms, over all thresholds.

At each threshold, detections are judged by intersection (``ablate.mtl.metrics.intersection_based``). With T the seconds of all
recordings, and for class c: N events of which TP are found, FP false detections, and X(o) cross triggers, false detections
of which at least ``cross_trigger`` (CTTC) lies on annotated events of another class o, which last T(o):

    TPR(c) = TP / N      eFPR(c) = 3600 (FP / T + alpha_ct mean over o of X(o) / T(o))       per hour

The curve of a class is the best TPR with an eFPR of at most x. The score is the area under
``max(0, mean - alpha_st deviation)`` over the classes' curves, from 0 to ``max_efpr``, divided by ``max_efpr``.

Bilen et al. 2020, as in ``intersection_based``; computed at all thresholds rather than at some, as Ebbers, Serizel and
Haeb-Umbach, "Threshold-Independent Evaluation of Sound Event Detection Scores", 2022. The score is that of sed_scores_eval's
``intersection_based.psds``, which refuses classes that never occur: here they are left out of the mean and the deviation, and
of the mean over o.

Which thresholds there are: as the threshold falls, a stretch of a track appears as a detection when it reaches the lowest score
in it, and is gone, being part of a longer one, when it reaches the higher of the scores beside it. There are at most as
many such stretches as spans, so each is judged once, not once for every threshold.
"""

from collections.abc import Sequence
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


@dataclass(frozen=True, eq=False)
class RecordingChanges:
    """How the counts of one recording change as the threshold falls; what a PSDS of any recordings is made of.

    At ``scores[i]`` the ``columns[i]`` of class ``classes[i]`` changes by ``amounts[i]``; column 0 counts events
    found, 1 false detections, and 2 + o cross triggers with class o. ``n_events`` and ``seconds``, both
    (n_classes,), are of the annotated events.
    """

    duration_s: float
    n_events: Classes
    seconds: Seconds
    scores: Rates
    classes: Classes
    columns: Classes
    amounts: Classes


FOUND, FALSE, CROSS = 0, 1, 2
