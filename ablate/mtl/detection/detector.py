"""From what a network says of the frames of a recording to the events in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.config import Scoring
from ablate.mtl.detection.bounding_boxes import bounding_boxes
from ablate.mtl.detection.smoothing import median_filtered
from ablate.mtl.metrics.events import Candidates, Track, TrackScores

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

    def frame_scores(self, probabilities: TrackScores, hop_s: float) -> TrackScores:
        """What thresholds apply to, at the centre of each frame; -inf where there is no box."""
        if not self.boxes:
            return median_filtered(probabilities, self.median_s, hop_s)
        n_frames = len(probabilities)
        track = self.track(probabilities, hop_s, n_frames * hop_s)
        centres = (np.arange(n_frames) + 0.5) * hop_s
        return track.scores[np.searchsorted(track.boundaries_s[1:-1], centres, side="right")]

    def frames(
        self, probabilities: TrackScores, hop_s: float, threshold: float | NDArray[np.float64]
    ) -> Flags:
        """In which frames which events are detected, (n_frames, n_events).

        ``threshold`` is (n_events,), or one for all.
        """
        return np.asarray(self.frame_scores(probabilities, hop_s) > threshold)
