"""Thresholds that detect each class best on data where the truth is known. For development data only:

thresholds that are tuned on what is scored flatter the score.
"""

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.average_precision import ranked
from ablate.mtl.metrics.events import TrackScores

DEFAULT_PROBABILITY = 0.5

Thresholds = NDArray[np.float64]


def tune_thresholds(
    scores: TrackScores,
    targets: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    default: float = DEFAULT_PROBABILITY,
) -> Thresholds:
    """For each class, the threshold with the highest frame-based F, (n_classes,) in the unit of ``scores``.

    ``scores`` and ``targets`` have shape (..., n_classes), and ``mask``, of shape (...), is False where
    frames lie past the end of a recording. A class is detected where its score is greater than the
    threshold. All thresholds that make a difference are tried; the one returned lies halfway between the
    lowest score that is detected and the highest that is not. Of several equally good ones it is the
    highest. A class that never occurs has no best one and gets ``default``, which is 0 for log odds. Raises
    ValueError for shapes that do not fit.
    """
    if scores.shape != targets.shape or mask.shape != scores.shape[:-1]:
        raise ValueError(
            "scores and targets are (..., n_classes) and mask is (...); "
            f"got {scores.shape}, {targets.shape} and {mask.shape}"
        )
    kept = mask.astype(bool)
    columns = zip(scores[kept].astype(np.float64).T, targets[kept].astype(bool).T, strict=True)
    return np.array([_best(column, truth, default) for column, truth in columns])


def _best(scores: NDArray[np.float64], truth: NDArray[np.bool_], default: float) -> float:
    n_true = int(np.count_nonzero(truth))
    if not n_true:
        return default
    levels, found, n_detected = ranked(scores, truth)
    best = int(np.argmax(2 * found / (n_detected + n_true)))
    below = levels[best + 1] if best + 1 < len(levels) else np.nextafter(levels[best], -np.inf)
    return _halfway(float(below), float(levels[best]))


def _halfway(below: float, above: float) -> float:
    """Between two numbers, or the lower one where no number is between them."""
    middle = below / 2 + above / 2
    return middle if below < middle < above else below
