"""Scores of event detection by name, from what a network said of recordings: all that can be asked for.

    event_f               frames of 20 ms; F micro, macro and of each class
    event_f_segment       segments of 1 s, and their error rate
    event_f_collar        events with a collar of 200 ms, and their error rate
    event_f_intersection  events of which 50 % intersect
    event_map             average precision over frames: mean and of each class
    psds1, psds2          polyphonic sound detection scores, over all thresholds

A group has the scores ``event_micro_f_collar``, ``event_macro_f_collar``, ``event_f_collar/car`` and so on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.average_precision import average_precision
from ablate.mtl.metrics.by_item import f_overall, f_ratios
from ablate.mtl.metrics.counts import EventCounts, count_events
from ablate.mtl.metrics.error_rate import RecordingErrors
from ablate.mtl.metrics.event_based import event_counts
from ablate.mtl.metrics.events import Events, Reference, Track
from ablate.mtl.metrics.intersection_based import Criteria, intersection_counts
from ablate.mtl.metrics.psds import PSDS1, PSDS2, PsdsSettings, psds
from ablate.mtl.metrics.scores import mean_of, slugs
from ablate.mtl.metrics.segment_based import segment_counts
from ablate.subject.items import Overall, Ratios

INTERSECTION = Criteria(detection=0.5, reference=0.5)  # as in the DCASE baselines

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Heard:
    """All recordings of a run, in one order: what is annotated, and what a network makes of them.

    ``tracks`` are what thresholds apply to, over time; ``detected`` the events above them, and
    ``active`` the frames in which they are, (n_frames, n_events). ``true`` are the frames that are annotated.
    """

    events: Sequence[str]
    references: Sequence[Reference]
    tracks: Sequence[Track]
    frame_scores: Sequence[NDArray[np.floating]]
    detected: Sequence[Events]
    active: Sequence[Flags]
    true: Sequence[Flags]


@dataclass(frozen=True)
class Found:
    """Scores by name: those that are ratios of counts, by what they are made of, and others as numbers."""

    ratios: Mapping[str, Ratios] = field(default_factory=dict)
    overall: Mapping[str, Overall] = field(default_factory=dict)
    others: Mapping[str, float | None] = field(default_factory=dict)

    def __or__(self, more: "Found") -> "Found":
        return Found(
            {**self.ratios, **more.ratios}, {**self.overall, **more.overall}, {**self.others, **more.others}
        )


def _frames(heard: Heard) -> Found:
    parts = [
        count_events(active[None], true[None], np.ones((1, len(true)), bool))
        for active, true in zip(heard.active, heard.true, strict=True)
    ]
    counts = EventCounts(
        *(np.concatenate(each) for each in zip(*(vars(part).values() for part in parts), strict=True))
    )
    return _f(heard, "", counts)


def _segments(heard: Heard) -> Found:
    errors = segment_counts(heard.detected, heard.references, len(heard.events))
    return _f(heard, "_segment", errors.counts) | _error_rate("_segment", errors)


def _collar(heard: Heard) -> Found:
    errors = event_counts(heard.detected, heard.references, len(heard.events))
    return _f(heard, "_collar", errors.counts) | _error_rate("_collar", errors)


def _intersection(heard: Heard) -> Found:
    counts = intersection_counts(heard.detected, heard.references, len(heard.events), INTERSECTION)
    return _f(heard, "_intersection", counts)


def _f(heard: Heard, kind: str, counts: EventCounts) -> Found:
    return Found({f"event_f{kind}": f_ratios(counts, heard.events)}, f_overall("event", kind))


def _error_rate(kind: str, errors: RecordingErrors) -> Found:
    """Substitutions, deletions and insertions per annotated event, of all classes."""
    counts = errors.counts
    wrong = (counts.false_positives + counts.false_negatives).sum(axis=1) - errors.substitutions
    n_annotated = (counts.true_positives + counts.false_negatives).sum(axis=1)
    name = f"event_error{kind}"
    return Found(
        {name: Ratios(("all",), wrong[:, None], n_annotated[:, None])}, {name: Overall(name, "micro")}
    )


def _average_precision(heard: Heard) -> Found:
    of_classes = average_precision(np.concatenate(heard.frame_scores), np.concatenate(heard.true))
    parts = zip(slugs(heard.events), of_classes, strict=True)
    return Found(
        others={"event_map": mean_of(of_classes), **{f"event_ap/{part}": value for part, value in parts}}
    )


def _psds(name: str, settings: PsdsSettings) -> Callable[[Heard], Found]:
    def compute(heard: Heard) -> Found:
        found = psds(heard.tracks, heard.references, settings)
        parts = zip(slugs(heard.events), found.classes, strict=True)
        return Found(others={name: found.score, **{f"{name}/{part}": value for part, value in parts}})

    return compute


@dataclass(frozen=True)
class Group:
    """Scores that are computed together; ``leading`` is the one that tells whether they are there.

    ``over_all_thresholds``: none decides.
    """

    compute: Callable[[Heard], Found]
    leading: str
    over_all_thresholds: bool = False


GROUPS: Mapping[str, Group] = {
    "event_f": Group(_frames, "event_micro_f"),
    "event_f_segment": Group(_segments, "event_micro_f_segment"),
    "event_f_collar": Group(_collar, "event_micro_f_collar"),
    "event_f_intersection": Group(_intersection, "event_micro_f_intersection"),
    "event_map": Group(_average_precision, "event_map", over_all_thresholds=True),
    "psds1": Group(_psds("psds1", PSDS1), "psds1", over_all_thresholds=True),
    "psds2": Group(_psds("psds2", PSDS2), "psds2", over_all_thresholds=True),
}
