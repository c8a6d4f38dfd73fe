"""How often and how long each event sounds in each scene: the numbers behind the paper's Figure 1.

Counted from the annotations alone; no audio is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ablate.mtl.data.annotations import Event, Recording, read_annotations
from ablate.mtl.data.vocabulary import Vocabulary

ALL = "all"  # recordings


@dataclass(frozen=True, eq=False)
class SplitStats:
    """One split. Arrays are (n_scenes, n_events), in the vocabulary's order; one row where are no scenes.

    An event's active time counts moments where it overlaps itself once.
    """

    n_recordings: int
    instances: npt.NDArray[np.int64]
    active_minutes: npt.NDArray[np.float64]

    @property
    def n_events(self) -> int:
        return int(self.instances.sum())

    @property
    def n_labels(self) -> int:
        """How many of the events occur at all."""
        return int((self.instances.sum(axis=0) > 0).sum())


@dataclass(frozen=True, eq=False)
class Stats:
    """Both splits of a data set. ``notes`` say which annotation rows were left out."""

    vocabulary: Vocabulary
    splits: dict[str, SplitStats]
    notes: tuple[str, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """What the rows of arrays are: the scenes, or all recordings together."""
        return self.vocabulary.scenes or (ALL,)


def read_stats(folder: Path) -> Stats:
    """Counts a data set's events. Raises DataError that names every bad annotation row."""
    annotations = read_annotations(folder)
    return Stats(
        annotations.vocabulary,
        {split: count(rows, annotations.vocabulary) for split, rows in annotations.splits.items()},
        annotations.notes,
    )


def count(recordings: Sequence[Recording], vocabulary: Vocabulary) -> SplitStats:
    """Instances and active minutes of every event in every scene; zeros where there are none."""
    shape = len(vocabulary.scenes) or 1, len(vocabulary.events)
    instances, active_s = np.zeros(shape, np.int64), np.zeros(shape)
    for recording in recordings:
        scene = vocabulary.scenes.index(recording.scene) if vocabulary.scenes else 0
        for label in {event.label for event in recording.events}:
            events = [event for event in recording.events if event.label == label]
            instances[scene, vocabulary.events.index(label)] += len(events)
            active_s[scene, vocabulary.events.index(label)] += covered_s(events)
    return SplitStats(len(recordings), instances, active_s / 60)


def covered_s(events: Sequence[Event]) -> float:
    """Seconds in which at least one of the events sounds."""
    total_s, covered_until_s = 0.0, 0.0
    for event in sorted(events):
        total_s += max(0.0, event.offset_s - max(event.onset_s, covered_until_s))
        covered_until_s = max(covered_until_s, event.offset_s)
    return total_s
