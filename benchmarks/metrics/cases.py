"""Recordings to compare metrics on: random ones, and such as break a metric that is not careful."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ablate.mtl.detection.bounding_boxes import bounding_boxes
from ablate.mtl.metrics.events import Events, Reference, Track
from ablate.mtl.metrics.intersection_based import Criteria
from ablate.mtl.metrics.psds import PSDS1, PSDS2, PsdsSettings

HOP_S = 0.02
N_CLASSES = 3

# Recordings of a second have no rates as low as those of whole data sets.
HIGH_EFPR = 20_000.0
SETTINGS = {
    "psds1": PSDS1,
    "psds2": PSDS2,
    "psds1 at high rates": replace(PSDS1, max_efpr=HIGH_EFPR),
    "psds2 at high rates": replace(PSDS2, max_efpr=HIGH_EFPR),
    "other": PsdsSettings(Criteria(0.5, 0.3), 0.1, alpha_ct=1.0, alpha_st=0.5, max_efpr=HIGH_EFPR),
}
CRITERIA = {"half": Criteria(0.5, 0.5), "strict": Criteria(0.9, 0.7)}
THRESHOLDS = (0.25, 0.5, 0.73)

Row = dict[str, Any]
Span = tuple[float, float, int]


@dataclass(frozen=True)
class Recording:
    """Scores over time and annotated events of one recording, as they are written to a file.

    ``boundaries_s`` is (n_spans + 1,), ``scores`` (n_spans, n_classes).
    """

    duration_s: float
    boundaries_s: list[float]
    scores: list[list[float]]
    events: list[Span]

    @classmethod
    def of(cls, track: Track, reference: Reference) -> "Recording":
        truth = reference.events
        events = zip(truth.onsets_s.tolist(), truth.offsets_s.tolist(), truth.classes.tolist(), strict=True)
        return cls(reference.duration_s, track.boundaries_s.tolist(), track.scores.tolist(), list(events))

    def track(self) -> Track:
        return Track(np.array(self.boundaries_s), np.array(self.scores).reshape(-1, N_CLASSES))

    def reference(self) -> Reference:
        return Reference(Events.of(self.events), self.duration_s)


Case = list[Recording]


def random_case(seed: int, n_frames: int = 60) -> Case:
    """One to four recordings. Scores are smooth, have ties, or are those of bounding boxes, by turns."""
    rng = np.random.default_rng(seed)
    return [_recording(rng, seed % 4, n_frames) for _ in range(rng.integers(1, 5))]


def _recording(rng: np.random.Generator, kind: int, longest: int) -> Recording:
    n_frames = int(rng.integers(1, longest + 1))
    duration_s = n_frames * HOP_S - (round(rng.random() * 0.019, 6) if rng.random() < 0.3 else 0)
    events = [span for label in range(N_CLASSES) for span in _events(rng, label, duration_s)]
    scores = _scores(rng, n_frames, events)
    if kind == 1:
        scores = scores.round(1)
    track = Track.of_frames(scores.round(4), HOP_S, duration_s)
    if kind == 2:
        track = bounding_boxes(track).track(N_CLASSES, duration_s)
    return Recording.of(track, Reference(Events.of(events), duration_s))


def _events(rng: np.random.Generator, label: int, duration_s: float) -> list[Span]:
    """Up to three events of one class, in the precision of some annotator; they may touch or overlap."""
    decimals = int(rng.integers(1, 7))
    begins = rng.random(rng.integers(0, 4)) * duration_s
    ends = np.minimum(begins + rng.exponential(0.3, size=len(begins)), duration_s)
    return [
        (float(onset), float(max(onset, offset)), label)
        for onset, offset in zip(begins.round(decimals), ends.round(decimals), strict=True)
    ]


def _scores(rng: np.random.Generator, n_frames: int, events: list[Span]) -> np.ndarray:
    """Probabilities (n_frames, n_classes) that are higher where an event is, more or less."""
    log_odds = rng.normal(-1, 2, size=(n_frames, N_CLASSES))
    for onset, offset, label in events:
        log_odds[int(onset / HOP_S) : int(offset / HOP_S) + 1, label] += 2
    width = int(rng.integers(1, 12))
    padded = np.pad(log_odds, ((width // 2, width - 1 - width // 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)
    probabilities: np.ndarray = 1 / (1 + np.exp(-windows.mean(axis=-1)))
    return probabilities


# ------------------------------------------------------------------------------------------------ by hand


def _case(
    scores: list[list[float]], events: list[Span], duration_s: float | None = None, hop_s: float = 0.5
) -> Case:
    table = np.array(scores, dtype=np.float64).reshape(-1, N_CLASSES)
    duration_s = len(table) * hop_s if duration_s is None else duration_s
    track = Track.of_frames(table, hop_s, duration_s)
    return [Recording.of(track, Reference(Events.of(events), duration_s))]


NEVER = -np.inf
RISING = [[0.1, 0.2, 0.0], [0.4, 0.9, 0.3], [0.8, 0.9, 0.3], [0.6, 0.1, 0.7]]
EVENTS = [(0.5, 1.5, 0), (0.25, 1.0, 1), (1.0, 2.0, 2)]

BY_HAND: dict[str, Callable[[], Case]] = {
    "detections on the very criterion": lambda: _case(RISING, [(0.0, 0.7, 0), (0.5, 1.2, 1), (1.3, 2.0, 2)]),
    "nothing is ever detected": lambda: _case([[NEVER] * 3] * 4, EVENTS),
    "every score is the same": lambda: _case([[0.5] * 3] * 4, EVENTS),
    "everything sounds all the time": lambda: _case([[1.0] * 3] * 4, [(0.0, 2.0, k) for k in range(3)]),
    "nothing else than the truth is detected": lambda: _case(
        [[0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]], [(0.5, 1.5, 0), (0.0, 1.0, 1), (1.0, 2.0, 2)]
    ),
    "one class takes the place of another": lambda: _case(
        [[0, 1, 0], [0, 1, 1], [0, 0, 1]], [(0.0, 1.0, 0), (0.5, 1.5, 0), (0.0, 0.5, 2), (1.2, 1.5, 1)]
    ),
    "one class": lambda: _case(RISING, [(0.5, 1.5, 1)]),
    "a class never occurs": lambda: _case(RISING, EVENTS[:2]),
    "events touch": lambda: _case(RISING, [(0.0, 0.5, 0), (0.5, 1.5, 0), (0.25, 1.0, 1)]),
    "events overlap": lambda: _case(RISING, [(0.0, 1.0, 0), (0.5, 1.5, 0), (0.2, 0.3, 0), (0.2, 1.0, 1)]),
    "an event has no length": lambda: _case(RISING, [*EVENTS, (1.75, 1.75, 0)]),
    "an event lasts beyond the end": lambda: _case(RISING, [(0.5, 2.2, 0), (0.25, 1.0, 1)]),
    "frames lie past the end": lambda: _case(RISING, EVENTS[:2], duration_s=1.75),
    "one frame": lambda: _case([[0.3, 0.6, 0.1]], [(0.0, 0.4, 0), (0.1, 0.2, 1)]),
    "a recording has no events": lambda: _case(RISING, EVENTS) + _case(RISING[::-1], []),
    "a recording has no length": lambda: _case(RISING, EVENTS) + _case([], []),
}


def cases(n_random: int) -> dict[str, Case]:
    """All of them by name: those by hand, and random ones."""
    made = {name: make() for name, make in BY_HAND.items()}
    return made | {f"seed {seed}": random_case(seed) for seed in range(n_random)}
