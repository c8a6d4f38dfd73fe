"""Scores that are asked for when a run has been trained, from what its network said of the recordings.

Nothing is trained again. What the network said is kept with the run; where it is not, the network says it
again, by its weights, if the data are still there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.data.annotations import Event
from ablate.mtl.data.features import frame_targets
from ablate.mtl.detection.detector import Detector
from ablate.mtl.detection.thresholds import tune_thresholds
from ablate.mtl.keeping import Kept, KeptRecording
from ablate.mtl.metrics.events import Track
from ablate.mtl.metrics.named import GROUPS, Found, Heard
from ablate.subject.items import Items

Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Way:
    """How events are to be detected, and what the scores of that are called beside others.

    ``threshold`` is one for all classes, or those of each. ``of_threshold`` and ``of_detector`` are what the
    names of scores end with: nothing where it is the run's own way.
    """

    detector: Detector
    threshold: float | NDArray[np.float64]
    of_threshold: str = ""
    of_detector: str = ""

    def suffix(self, group: str) -> str:
        """``.tuned.median_0.5s``; without the threshold where none decides."""
        return self.of_detector if GROUPS[group].over_all_thresholds else self.of_threshold + self.of_detector


@dataclass(frozen=True)
class Rescored:
    """Scores by name, and the counts of recordings that some are made of."""

    metrics: dict[str, float | None]
    items: Items


def rescore(kept: Kept, groups: Sequence[str], way: Way) -> Rescored:
    """The scores of the groups. ``kept`` must have events."""
    heard = _heard(kept, way)
    found = Found()
    for group in groups:
        found = found | _named(GROUPS[group].compute(heard), way.suffix(group))
    items = Items(
        [recording.name for recording in kept.recordings], found.ratios, found.overall, kind="recording"
    )
    return Rescored({**{name: items.score(name) for name in items.metrics}, **found.others}, items)


def tuned(development: Kept, detector: Detector) -> NDArray[np.float64]:
    """The threshold of each class that has the best F of frames on development data, (n_events,)."""
    scores = [
        detector.frame_scores(probabilities(recording), development.hop_s)
        for recording in development.recordings
    ]
    true = [targets(recording, development) for recording in development.recordings]
    everywhere = np.ones(sum(map(len, true)), dtype=bool)
    return tune_thresholds(np.concatenate(scores), np.concatenate(true), everywhere)


def probabilities(recording: KeptRecording) -> Probabilities:
    """(n_frames, n_events), of a run that has events."""
    from scipy.special import expit

    assert recording.log_odds is not None
    found: Probabilities = expit(recording.log_odds)
    return found


def targets(recording: KeptRecording, kept: Kept) -> NDArray[np.bool_]:
    """In which frames which events are annotated, (n_frames, n_events)."""
    assert recording.log_odds is not None
    truth = recording.reference.events
    events = [
        Event(onset, offset, kept.events[label])
        for onset, offset, label in zip(truth.onsets_s, truth.offsets_s, truth.classes, strict=True)
    ]
    # A last clip of a few frames is not kept, and an event there must not move to the last one that is.
    n_kept = len(recording.log_odds)
    n_frames = max(n_kept, math.ceil(recording.reference.duration_s / kept.hop_s - 1e-6))
    return frame_targets(events, kept.events, n_frames)[:n_kept] > 0


def _heard(kept: Kept, way: Way) -> Heard:
    detector, hop_s = way.detector, kept.hop_s
    heard = [probabilities(recording) for recording in kept.recordings]
    durations = [recording.reference.duration_s for recording in kept.recordings]
    found = [
        detector.candidates(each, hop_s, duration_s)
        for each, duration_s in zip(heard, durations, strict=True)
    ]
    frame_scores = [detector.frame_scores(each, hop_s) for each in heard]
    return Heard(
        events=kept.events,
        references=[recording.reference for recording in kept.recordings],
        tracks=[
            each if isinstance(each, Track) else each.track(len(kept.events), duration_s)
            for each, duration_s in zip(found, durations, strict=True)
        ],
        frame_scores=frame_scores,
        detected=[each.above(way.threshold) for each in found],
        active=[scores > way.threshold for scores in frame_scores],
        true=[targets(recording, kept) for recording in kept.recordings],
    )


def _named(found: Found, suffix: str) -> Found:
    """With names that end with the suffix, before the class: ``event_f.tuned/car``."""
    if not suffix:
        return found

    def name(text: str) -> str:
        head, slash, part = text.partition("/")
        return f"{head}{suffix}{slash}{part}"

    return Found(
        {name(family): ratios for family, ratios in found.ratios.items()},
        {name(metric): replace(each, family=name(each.family)) for metric, each in found.overall.items()},
        {name(metric): value for metric, value in found.others.items()},
    )
