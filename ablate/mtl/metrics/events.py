"""Events and scores of a recording, as all metrics with real times take them.

    Events       who sounds from when to when: annotated ones, or detected ones
    Reference    the annotated events of a recording and how long it is
    Track        the score of each class over time, from which events are detected at any threshold

Times are seconds from the beginning of the recording, and classes are indices. Metrics take a sequence of
each, one entry a recording, in the same order: a recording is what is heard as a whole, not a clip that a
network was fed with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Seconds = NDArray[np.float64]
Classes = NDArray[np.int64]
TrackScores = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Events:
    """Events of one recording: three arrays of shape (n_events,), in any order.

    Those of one class may touch, overlap or have no length. Raises ValueError for shapes that differ, times
    that are no numbers, ends before their beginning, and negative times or classes.
    """

    onsets_s: Seconds
    offsets_s: Seconds
    classes: Classes

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.onsets_s, self.offsets_s, self.classes)}
        if len(shapes) > 1 or self.classes.ndim != 1:
            raise ValueError(f"onsets, offsets and classes are (n_events,); got {sorted(shapes)}")
        if not (np.isfinite(self.onsets_s).all() and np.isfinite(self.offsets_s).all()):
            raise ValueError("onsets and offsets are numbers of seconds; some are infinite or not numbers")
        if (self.offsets_s < self.onsets_s).any():
            raise ValueError("an event ends before it begins")
        if (self.onsets_s < 0).any() or (self.classes < 0).any():
            raise ValueError("an event has a negative onset or class")

    @classmethod
    def of(cls, events: Sequence[tuple[float, float, int]]) -> "Events":
        """From (onset_s, offset_s, class), one an event."""
        onsets, offsets, classes = zip(*events, strict=True) if events else ((), (), ())
        return cls(np.array(onsets, np.float64), np.array(offsets, np.float64), np.array(classes, np.int64))

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> "Events":
        """Those where ``kept`` is True, or at the places in it."""
        return Events(self.onsets_s[kept], self.offsets_s[kept], self.classes[kept])

    def per_class(self, n_classes: int) -> Classes:
        """How many there are of each class, (n_classes,). Raises ValueError for a class beyond these."""
        if len(self) and self.classes.max() >= n_classes:
            raise ValueError(f"classes are 0..{n_classes - 1}; an event has class {self.classes.max()}")
        return np.bincount(self.classes, minlength=n_classes)

    def in_order(self) -> "Events":
        """By onset, then offset, then class."""
        return self.take(np.lexsort((self.classes, self.offsets_s, self.onsets_s)))

    def united(self) -> "Events":
        """What overlaps or touches within a class as one event, and without events of no length; by class."""
        sounding = self.take(self.offsets_s > self.onsets_s)
        events = sounding.take(np.lexsort((sounding.onsets_s, sounding.classes)))
        if not len(events):
            return events
        latest = _latest_offsets(events)
        begins = np.ones(len(events), dtype=bool)
        begins[1:] = (events.classes[1:] != events.classes[:-1]) | (events.onsets_s[1:] > latest[:-1])
        ends = np.append(begins[1:], True)
        return Events(events.onsets_s[begins], latest[ends], events.classes[begins])


def _latest_offsets(events: Events) -> Seconds:
    """The latest offset so far within the class of each event, for events that are sorted by class."""
    latest = np.empty_like(events.offsets_s)
    for found in np.unique(events.classes):
        same = events.classes == found
        latest[same] = np.maximum.accumulate(events.offsets_s[same])
    return latest


@dataclass(frozen=True, eq=False)
class Reference:
    """The annotated events of a recording, and its duration. The metric judges what is past its end."""

    events: Events
    duration_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.duration_s < np.inf:
            raise ValueError(f"a recording lasts 0 s or more; got {self.duration_s}")


@dataclass(frozen=True, eq=False)
class Track:
    """The score of each class over the time of a recording, which changes at ``boundaries_s`` alone.

    ``scores``, (n_spans, n_classes), are probabilities, log odds or anything else that is higher the surer
    an event is; -inf where there can be none. Span ``k`` lasts from ``boundaries_s[k]`` to ``boundaries_s[k
    + 1]``; ``boundaries_s`` is (n_spans + 1,) and increases.
    """

    boundaries_s: Seconds
    scores: TrackScores

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.boundaries_s.shape != (len(self.scores) + 1,):
            raise ValueError(
                "scores are (n_spans, n_classes) and boundaries (n_spans + 1,); "
                f"got {self.scores.shape} and {self.boundaries_s.shape}"
            )
        if (np.diff(self.boundaries_s) <= 0).any():
            raise ValueError("boundaries do not increase")
        if np.isnan(self.scores).any():
            raise ValueError("some scores are not numbers")

    @classmethod
    def of_frames(cls, scores: TrackScores, hop_s: float, duration_s: float) -> "Track":
        """Scores of frames, (n_frames, n_classes), of which frame ``k`` lasts from ``k`` to ``k + 1`` hops.

        What lies past ``duration_s`` is cut off, be it frames of padding or the rest of the last frame.
        """
        starts: Seconds = np.arange(len(scores) + 1, dtype=np.float64) * hop_s
        n_frames = int(np.count_nonzero(starts[:-1] < duration_s))
        boundaries = starts[: n_frames + 1].copy()
        boundaries[-1] = min(boundaries[-1], duration_s)
        return cls(boundaries, scores[:n_frames])

    @property
    def n_classes(self) -> int:
        n_classes: int = self.scores.shape[1]
        return n_classes

    def above(self, thresholds: ArrayLike) -> Events:
        """The events detected: for each class, where its score is greater than its threshold.

        ``thresholds`` is (n_classes,), or one for all. In order of onset, then offset, then class.
        """
        limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), (self.n_classes,))
        onsets, offsets, classes = runs(self.scores > limits)
        return Events(self.boundaries_s[onsets], self.boundaries_s[offsets], classes).in_order()


def runs(active: NDArray[np.bool_]) -> tuple[Classes, Classes, Classes]:
    """Where columns of (n_spans, n_classes) are True without a break: first, one past the last, column."""
    padded = np.zeros((len(active) + 2, active.shape[1]), dtype=np.int8)
    padded[1:-1] = active
    changes = np.diff(padded, axis=0).T
    classes, begins = np.nonzero(changes == 1)
    _, ends = np.nonzero(changes == -1)
    return begins, ends, classes


@dataclass(frozen=True, eq=False)
class Candidates:
    """Events that may be, each with how sure they are: ``confidences`` is (n_events,)."""

    events: Events
    confidences: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.confidences.shape != (len(self.events),):
            raise ValueError(
                f"each of {len(self.events)} events has a confidence; got {self.confidences.shape}"
            )

    def above(self, thresholds: ArrayLike) -> Events:
        """The events of a confidence greater than the threshold of their class, in order.

        ``thresholds`` is (n_classes,), or one for all.
        """
        limits = np.asarray(thresholds, dtype=np.float64)
        if limits.ndim:
            limits = limits[self.events.classes]
        return self.events.take(self.confidences > limits).in_order()

    def track(self, n_classes: int, duration_s: float) -> Track:
        """The confidence over time: of what overlaps the highest, and -inf where nothing is.

        What lies past ``duration_s`` is cut off. Touching events of one class are one where both are.
        """
        moments = np.concatenate((self.events.onsets_s, self.events.offsets_s, [0.0, duration_s]))
        boundaries = np.unique(moments[moments <= duration_s])
        scores = np.full((len(boundaries) - 1, n_classes), -np.inf)
        first = np.searchsorted(boundaries, self.events.onsets_s)
        stop = np.searchsorted(boundaries, np.minimum(self.events.offsets_s, duration_s))
        order = np.argsort(self.confidences, kind="stable")  # the surest is written last
        for index in order.tolist():
            scores[first[index] : stop[index], self.events.classes[index]] = self.confidences[index]
        return Track(boundaries, scores)
