"""From what a network says of the frames of a recording to the events in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablate.mtl.config import Scoring
from ablate.mtl.detection.bounding_boxes import bounding_boxes
from ablate.mtl.detection.smoothing import median_filtered
from ablate.mtl.metrics.events import Candidates, Events, Track, TrackScores

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Detector:
    """How events are detected: what a threshold is applied to.

    ``median_s`` is the length of a median filter over the frames' probabilities, 0 for none. With ``boxes``
    the threshold decides on whole bounding boxes, else on each frame.
    """

    median_s: float = 0.0
    boxes: bool = False

    @classmethod
    def of(cls, scoring: Scoring) -> "Detector":
        return cls(scoring.median, scoring.boxes)

    @property
    def is_plain(self) -> bool:
        """Whether each frame is judged by its own probability alone."""
        return not (self.median_s or self.boxes)

    def candidates(self, probabilities: TrackScores, hop_s: float, duration_s: float) -> Candidates | Track:
        """What thresholds apply to, from the probabilities of one recording's frames (n_frames, n_events)."""
        track = Track.of_frames(median_filtered(probabilities, self.median_s, hop_s), hop_s, duration_s)
        return bounding_boxes(track) if self.boxes else track

    def track(self, probabilities: TrackScores, hop_s: float, duration_s: float) -> Track:
        """The same as scores over time, for metrics over all thresholds."""
        found = self.candidates(probabilities, hop_s, duration_s)
        return found if isinstance(found, Track) else found.track(probabilities.shape[1], duration_s)

    def frames(self, probabilities: TrackScores, hop_s: float, threshold: ArrayLike) -> Flags:
        """In which frames which events are detected, (n_frames, n_events).

        ``threshold`` is (n_events,), or one for all.
        """
        smooth = median_filtered(probabilities, self.median_s, hop_s)
        if not self.boxes:
            return np.asarray(smooth > np.asarray(threshold, smooth.dtype))
        duration_s = len(smooth) * hop_s
        events = bounding_boxes(Track.of_frames(smooth, hop_s, duration_s)).above(threshold)
        return active_frames(events, smooth.shape, hop_s)


def active_frames(events: Events, shape: tuple[int, ...], hop_s: float) -> Flags:
    """Which frames have their centre in an event, of ``shape`` (n_frames, n_events)."""
    n_frames, n_events = shape
    first = np.ceil(events.onsets_s / hop_s - 0.5).astype(np.int64).clip(0, n_frames)
    stop = np.ceil(events.offsets_s / hop_s - 0.5).astype(np.int64).clip(0, n_frames)
    changes = np.zeros((n_frames + 1, n_events), dtype=np.int64)
    np.add.at(changes, (first, events.classes), 1)
    np.add.at(changes, (stop, events.classes), -1)
    active: Flags = changes.cumsum(axis=0)[:n_frames] > 0
    return active
