"""Scores of frames smoothed over time, so that a short dip does not cut an event in two."""

import numpy as np

from ablate.mtl.metrics.events import TrackScores


def window_frames(length_s: float, hop_s: float) -> int:
    """The frames of a window: ``length_s`` to the nearest frame, and one more where that is even."""
    n_frames = round(length_s / hop_s)
    return n_frames + (n_frames % 2 == 0)


def median_filtered(scores: TrackScores, length_s: float, hop_s: float) -> TrackScores:
    """The median of each class over a window of ``length_s`` around each frame; 0 leaves everything as it is.

    ``scores`` is (n_frames, n_classes) of one whole recording without padding: its clips are joined first,
    or each clip would have ends of its own. Past the ends, frames are those before them in reverse
    (``scipy.ndimage.median_filter`` with ``mode="reflect"``, as the DCASE baselines do). Probabilities and
    their log odds have the same order, so filtering either is the same. Raises ValueError for a negative
    length.
    """
    if length_s < 0:
        raise ValueError(f"a median filter lasts 0 s or more; got {length_s}")
    size = window_frames(length_s, hop_s)
    if size == 1 or not scores.size:
        return scores
    from scipy import ndimage  # takes a while to import, and most runs smooth nothing

    exact = scores.astype(np.float32 if scores.dtype == np.float16 else scores.dtype)
    columns = [ndimage.median_filter(column, size, mode="reflect") for column in exact.T]
    return np.stack(columns, axis=1).astype(scores.dtype)
