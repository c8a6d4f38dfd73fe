"""Error rates of event detection: how many errors there are for each annotated event."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.metrics.counts import Counts, EventCounts


@dataclass(frozen=True, eq=False)
class RecordingErrors:
    """Counts, and how many of their errors are substitutions: one class detected in place of another.

    ``substitutions`` is (n_recordings,): each is one false positive and one false negative at the same time.
    """

    counts: EventCounts
    substitutions: Counts


@dataclass(frozen=True)
class ErrorRate:
    """Errors per reference event (or active segment): ``total`` is the sum of the other three; 0 is best."""

    total: float
    substitutions: float
    deletions: float
    insertions: float


def error_rate(errors: RecordingErrors, recordings: NDArray[np.int64] | None = None) -> ErrorRate | None:
    """The error rate over all classes, or None when nothing occurs (Mesaros et al. 2016, equation 8).

    With false positives FP, false negatives FN, substitutions S and N = TP + FN:

        deletions D = FN - S      insertions I = FP - S      error rate = (S + D + I) / N
    """
    counts = errors.counts.total(recordings)
    chosen = slice(None) if recordings is None else recordings
    substitutions = int(errors.substitutions[chosen].sum())
    missed, false = int(counts.false_negatives.sum()), int(counts.false_positives.sum())
    n_reference = int(counts.true_positives.sum()) + missed
    if not n_reference:
        return None
    return ErrorRate(
        total=(missed + false - substitutions) / n_reference,
        substitutions=substitutions / n_reference,
        deletions=(missed - substitutions) / n_reference,
        insertions=(false - substitutions) / n_reference,
    )


def class_error_rates(counts: EventCounts) -> list[float | None]:
    """(FN + FP) / N of each class alone, without substitutions; None for a class that never occurs."""
    n_reference = counts.true_positives + counts.false_negatives
    wrong = counts.false_negatives + counts.false_positives
    pairs = zip(wrong.tolist(), n_reference.tolist(), strict=True)
    return [errors / occurrences if occurrences else None for errors, occurrences in pairs]
