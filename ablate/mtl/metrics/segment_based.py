"""Segment-based counts: which classes are active in each second, in truth and as detected.

A recording is cut into segments of ``segment_s``, the last of which may be incomplete. A class is active in
every segment that one of its events reaches into, however little. Errors within a segment that can be paired
are substitutions: with FP and FN counted over the classes of one segment, S = min(FP, FN).

Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection", 2016, section 3.1. The counts
are those of sed_eval's ``SegmentBasedMetrics`` with the recording's duration as its
``evaluated_length_seconds``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.counts import EventCounts
from ablate.mtl.metrics.error_rate import RecordingErrors
from ablate.mtl.metrics.events import Events, Reference

SEGMENT_S = 1.0


def segment_counts(
    detected: Sequence[Events],
    references: Sequence[Reference],
    n_classes: int,
    segment_s: float = SEGMENT_S,
) -> RecordingErrors:
    """Active segments found, falsely detected and missed, of each recording and class.

    Events past the end of a recording are cut off. Raises ValueError for a segment of no length, and when
    there are not as many detections as references.
    """
    if segment_s <= 0:
        raise ValueError(f"a segment lasts longer than 0 s; got {segment_s}")
    shape = (len(references), n_classes)
    found, false, missed = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    substitutions = np.zeros(len(references), dtype=np.int64)
    for index, (events, reference) in enumerate(zip(detected, references, strict=True)):
        n_segments = int(np.ceil(reference.duration_s / segment_s))
        system = active_segments(events, n_segments, n_classes, segment_s)
        truth = active_segments(reference.events, n_segments, n_classes, segment_s)
        found[index] = np.count_nonzero(system & truth, axis=0)
        false[index] = np.count_nonzero(system & ~truth, axis=0)
        missed[index] = np.count_nonzero(truth & ~system, axis=0)
        substitutions[index] = _substitutions(system, truth)
    return RecordingErrors(EventCounts(found, false, missed), substitutions)


def active_segments(
    events: Events, n_segments: int, n_classes: int, segment_s: float = SEGMENT_S
) -> NDArray[np.bool_]:
    """Which classes are active in each segment, (n_segments, n_classes)."""
    first = np.floor(events.onsets_s / segment_s).astype(np.int64).clip(max=n_segments)
    stop = np.ceil(events.offsets_s / segment_s).astype(np.int64).clip(max=n_segments)
    changes = np.zeros((n_segments + 1, n_classes), dtype=np.int64)
    np.add.at(changes, (first, events.classes), 1)
    np.add.at(changes, (stop, events.classes), -1)
    active: NDArray[np.bool_] = changes.cumsum(axis=0)[:n_segments] > 0
    return active


def _substitutions(system: NDArray[np.bool_], truth: NDArray[np.bool_]) -> int:
    false = np.count_nonzero(system & ~truth, axis=1)
    missed = np.count_nonzero(truth & ~system, axis=1)
    return int(np.minimum(false, missed).sum())
