"""The loss of the events, compiled: its value and its gradient in one pass over the logits."""

import numpy as np
from numpy.typing import NDArray

from ablate.mtl.model.compiling import Floats, compiled, exponential, index, log_of_one_plus

ROWS = 128  # frames at a time, which stay in the cache


@compiled
def cross_entropy(
    logits: Floats, events: NDArray[np.uint8], mask: NDArray[np.uint8], gradient: Floats
) -> float:
    """The sum of the binary cross entropies of sigmoid(logits) over the frames that the mask leaves.

    logits and events (n, n_events), mask (n,). Writes the gradient to the logits.
    """
    n, n_events = logits.shape
    real = logits.dtype.type
    zero, one, total = real(0), real(1), 0.0
    x, slope = logits.reshape(-1), gradient.reshape(-1)
    truth, valid = np.empty(ROWS * n_events, logits.dtype), np.empty(ROWS * n_events, logits.dtype)
    for start in range(0, n, ROWS):
        rows, at = min(ROWS, n - start), index(start * n_events)
        for i in range(rows):
            for j in range(n_events):
                truth[i * n_events + j] = events[start + i, j]
                valid[i * n_events + j] = mask[start + i]
        part = zero
        for q in range(index(rows * n_events)):
            v = x[at + q]
            e = exponential(-abs(v))
            above = v > zero
            part += valid[q] * ((v if above else zero) - v * truth[q] + log_of_one_plus(e))
            slope[at + q] = valid[q] * ((one if above else e) / (one + e) - truth[q])
        total += part
    return total
