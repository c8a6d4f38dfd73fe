"""Average precision of each class, and its mean: how well scores rank what sounds above what does not.

Over the thresholds t, from the highest score to the lowest, with precision P and recall R of ``score >= t``:

    average precision = sum over t of (R(t) - R(previous t)) P(t)

as ``sklearn.metrics.average_precision_score``: nothing is interpolated, and equal scores are one threshold.
"""

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.events import TrackScores
from ablate.mtl.metrics.scores import mean_of


def average_precision(scores: TrackScores, targets: NDArray[np.bool_]) -> list[float | None]:
    """The average precision of each class; None for one that never occurs.

    ``scores`` and ``targets`` are (n_items, n_classes). Items are frames (of all recordings, without
    padding) or segments (``segment_scores``). Raises ValueError for shapes that differ.
    """
    if scores.shape != targets.shape or scores.ndim != 2:
        raise ValueError(
            f"scores and targets are (n_items, n_classes); got {scores.shape} and {targets.shape}"
        )
    return [_of_class(column, truth) for column, truth in zip(scores.T, targets.astype(bool).T, strict=True)]


def mean_average_precision(scores: TrackScores, targets: NDArray[np.bool_]) -> float | None:
    """The mean over the classes that occur; None when none does."""
    return mean_of(average_precision(scores, targets))


def _of_class(scores: TrackScores, truth: NDArray[np.bool_]) -> float | None:
    n_true = int(np.count_nonzero(truth))
    if not n_true:
        return None
    _, found, n_detected = ranked(scores, truth)
    gains = np.diff(found, prepend=0)
    return float(np.sum(gains * (found / n_detected)) / n_true)


def ranked(
    scores: TrackScores, truth: NDArray[np.bool_]
) -> tuple[TrackScores, NDArray[np.int64], NDArray[np.int64]]:
    """The distinct scores from the highest on, and at each: how many of that or a higher score there are.

    Returns the scores, how many of those items are true, and how many there are: (n_distinct,) each.
    """
    order = np.argsort(scores)[::-1]
    falling = scores[order]
    last_of_score = np.append(falling[1:] != falling[:-1], True)
    return falling[last_of_score], np.cumsum(truth[order])[last_of_score], np.flatnonzero(last_of_score) + 1


def segment_scores(scores: TrackScores, hop_s: float, segment_s: float, duration_s: float) -> TrackScores:
    """The highest score in each segment of a recording, (n_segments, n_classes), from scores of its frames.

    Frame ``k`` belongs to the segment in which its centre lies; a segment without a frame has -inf. Segments
    are those of ``active_segments``.
    """
    n_segments = int(np.ceil(duration_s / segment_s))
    segments = np.floor((np.arange(len(scores)) + 0.5) * hop_s / segment_s).astype(np.int64)
    inside = segments < n_segments
    best = np.full((n_segments, scores.shape[1]), -np.inf, dtype=scores.dtype)
    np.maximum.at(best, segments[inside], scores[inside])
    return best
