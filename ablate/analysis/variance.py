"""Of what the variance of a grid's scores consists: functional analysis of variance."""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

REST, NOISE = "higher interactions", "seeds"
TIMES = " x "
_ROUNDING = 1e-24  # a squared difference of equal scores


def variance_shares(scores: Array, factors: Sequence[str]) -> dict[str, float]:
    """The share of each factor, of each pair of them, of what is beyond pairs, and of noise; they sum to 1.

    ``scores`` is (n_levels of each factor ..., n_seeds): a score for each cell of the grid and each seed. The
    mean of the cells is decomposed into a sum of functions of one factor, of two, and so on, each of which
    has mean zero along each of its factors (Hutter et al. 2014, "An Efficient Approach for Assessing
    Hyperparameter Importance"); a share is the sum of squares of one of them. Noise is what seeds differ by
    in a cell beyond what they differ by in all: seeds are paired, so their common level is no part of it.
    Empty where all scores are the same.
    """
    n_factors, n_seeds = scores.ndim - 1, scores.shape[-1]
    means = scores.mean(axis=-1)
    noise = scores - means[..., None] - scores.mean(axis=tuple(range(n_factors))) + scores.mean()
    between = n_seeds * float(np.sum((means - means.mean()) ** 2))
    total = between + float(np.sum(noise**2))
    if total <= _ROUNDING * scores.size:
        return {}
    found = {
        TIMES.join(factors[place] for place in places): n_seeds * _sum_of_squares(means, places)
        for size in (1, 2)
        for places in itertools.combinations(range(n_factors), size)
    }
    if n_factors > 2:
        found[REST] = max(0.0, between - sum(found.values()))
    found[NOISE] = float(np.sum(noise**2))
    return {name: part / total for name, part in found.items()}


def _sum_of_squares(means: Array, places: Sequence[int]) -> float:
    """Over all cells, of the function of the factors at ``places`` alone."""
    part = np.zeros_like(means)
    for size in range(len(places) + 1):
        for kept in itertools.combinations(places, size):
            others = tuple(place for place in range(means.ndim) if place not in kept)
            part = part + (-1) ** (len(places) - size) * means.mean(axis=others, keepdims=True)
    return float(np.sum(part**2))
