"""What a network got right and wrong, as counts from which every score is derived.

Counts add up over clips, batches and seeds, and scores do not; so counts are what is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EventCounts:
    """Frames per event, three arrays of shape (n_events,), or (n_items, n_events) for each of some items.

    True positives: the event sounds and is detected. False positives: it is detected but does not sound.
    False negatives: it sounds but is missed.
    """

    true_positives: Counts
    false_positives: Counts
    false_negatives: Counts

    def __add__(self, other: "EventCounts") -> "EventCounts":
        return EventCounts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    def total(self, items: NDArray[np.integer] | None = None) -> "EventCounts":
        """Those of all items, or of those at the places ``items``, which may repeat: arrays (n_events,)."""
        return self._each(lambda counts: (counts if items is None else counts[items]).sum(axis=0))

    def of_groups(self, group: NDArray[np.integer], n_groups: int) -> "EventCounts":
        """Those of groups of items, (n_groups, n_events); ``group`` (n_items,) says to which each belongs."""
        return self._each(lambda counts: _summed(counts, group, n_groups))

    def _each(self, change: Callable[[Counts], Counts]) -> "EventCounts":
        return EventCounts(
            change(self.true_positives), change(self.false_positives), change(self.false_negatives)
        )

    def select(self, kept: Flags) -> "EventCounts":
        """The counts of the events where ``kept``, of shape (n_events,), is True."""
        return self._each(lambda counts: counts[..., kept])


def _summed(counts: Counts, group: NDArray[np.integer], n_groups: int) -> Counts:
    sums = np.zeros((n_groups, *counts.shape[1:]), dtype=np.int64)
    np.add.at(sums, group, counts)
    return sums


def count_events(predicted: Flags, reference: Flags, mask: Flags) -> EventCounts:
    """Compare detected with annotated events, frame by frame: the counts of each clip.

    ``predicted`` and ``reference`` have shape (n_clips, n_frames, n_events). ``mask``, of shape
    (n_clips, n_frames), is False where a frame lies past the end of its recording; such frames count
    nowhere.
    """
    if predicted.shape != reference.shape or mask.shape != predicted.shape[:2]:
        raise ValueError(
            "predicted and reference are (n_clips, n_frames, n_events) and mask is (n_clips, n_frames); "
            f"got {predicted.shape}, {reference.shape} and {mask.shape}"
        )
    detected = predicted.astype(bool) & mask.astype(bool)[..., None]
    sounding = reference.astype(bool) & mask.astype(bool)[..., None]
    true_positives = _frames(detected & sounding)
    return EventCounts(
        true_positives=true_positives,
        false_positives=_frames(detected) - true_positives,
        false_negatives=_frames(sounding) - true_positives,
    )


def _frames(flags: Flags) -> Counts:
    frames: Counts = np.count_nonzero(flags, axis=1)
    return frames


def count_scenes(predicted: NDArray[np.integer], reference: NDArray[np.integer], n_scenes: int) -> Counts:
    """The confusion matrix of clips, (n_scenes, n_scenes): rows the true scene, columns the predicted one.

    ``predicted`` and ``reference`` are scene indices of shape (n_clips,). Without a clip, all zero.
    """
    if predicted.shape != reference.shape or predicted.ndim != 1:
        raise ValueError(f"predicted and reference are (n_clips,); got {predicted.shape}, {reference.shape}")
    for role, scenes in (("predicted", predicted), ("reference", reference)):
        if scenes.size and not 0 <= scenes.min() <= scenes.max() < n_scenes:
            raise ValueError(f"{role} scenes lie in 0..{n_scenes - 1}; got {scenes.min()}..{scenes.max()}")
    confusion = np.zeros((n_scenes, n_scenes), dtype=np.int64)
    np.add.at(confusion, (reference, predicted), 1)
    return confusion
