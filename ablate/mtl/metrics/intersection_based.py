"""Intersection-based counts: which detections lie on annotated events, and which of these are covered.

    relevant        a detection of which at least ``detection`` of its length lies on annotated events of its
    class found           an annotated event of which relevant detections of its class cover at least
    ``reference`` false           a detection that is not relevant

Several detections may share an event and several events a detection, so that where an annotator drew a line
does not matter. Found events are true positives, the others false negatives, and false detections false
positives.

Bilen, Ferroni, Tuveri, Azcarreta and Krstulovic, "A Framework for the Robust Evaluation of Sound Event
Detection", 2020. The counts are those of sed_scores_eval's ``intersection_based.fscore``, for which
annotated events of one class must not touch: here, those that touch or overlap are one event, and events
without a length are none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.events import Events, Reference, Seconds

# Both sides of a comparison are rounded to microseconds: half of an event is half, whatever the last bit.
TIME_DECIMALS = 6


@dataclass(frozen=True)
class Criteria:
    """The shares that must intersect, in (0, 1]: of a detection (DTC), and of an annotated event (GTC)."""

    detection: float
    reference: float

    def __post_init__(self) -> None:
        if not (0 < self.detection <= 1 and 0 < self.reference <= 1):
            raise ValueError(
                f"criteria are shares above 0, up to 1; got {self.detection} and {self.reference}"
            )


def intersection_counts(
    detected: Sequence[Events], references: Sequence[Reference], n_classes: int, criteria: Criteria
) -> EventCounts:
    """Annotated events found, false detections, and annotated events missed, of each recording and class.

    Raises ValueError when there are not as many detections as references, or an event is of no class.
    """
    shape = (len(references), n_classes)
    found, false, missed = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    for index, (events, reference) in enumerate(zip(detected, references, strict=True)):
        detections, truth = events.united(), reference.events.united()
        shared = _shared_s(detections, truth)
        relevant = reaches(shared.sum(axis=1), criteria.detection, lengths_s(detections))
        covered = reaches(shared[relevant].sum(axis=0), criteria.reference, lengths_s(truth))
        found[index] = truth.take(covered).per_class(n_classes)
        missed[index] = truth.take(~covered).per_class(n_classes)
        false[index] = detections.take(~relevant).per_class(n_classes)
    return EventCounts(found, false, missed)


def reaches(intersections_s: Seconds, share: float, lengths_s: Seconds | np.float64) -> NDArray[np.bool_]:
    """Whether each intersection is at least ``share`` of its length."""
    needed = np.round(share * lengths_s, TIME_DECIMALS)
    reached: NDArray[np.bool_] = intersections_s.round(TIME_DECIMALS) >= needed
    return reached


def lengths_s(events: Events) -> Seconds:
    return events.offsets_s - events.onsets_s


def _shared_s(detections: Events, truth: Events) -> Seconds:
    """How long each detection and each annotated event of its class sound together: at [detection, event]."""
    end = np.minimum(detections.offsets_s[:, None], truth.offsets_s)
    begin = np.maximum(detections.onsets_s[:, None], truth.onsets_s)
    same = detections.classes[:, None] == truth.classes
    return np.where(same, np.maximum(end - begin, 0.0), 0.0)
