"""How sure a mean over seeds is: t intervals, differences paired by seed, and Holm's adjustment.

Seeds are the replicates. A t interval covers the mean that infinitely many seeds would give in 95 % of
studies, if the scores of seeds are about normal. Seed k starts every condition from the same initial
weights and batch order, so a difference is taken within each seed first: what the seed does to both
conditions cancels (a paired t test).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t alone: scipy.stats takes a second to import

CONFIDENCE = 0.95

# Scores are fractions. Differences closer together than this are equal but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Summary:
    """A mean over seeds. One seed has neither spread nor interval: ``sd`` and the interval are None.

    ``sd`` is the sample standard deviation (n - 1). The interval, mean +- t(0.975, n - 1) sd / sqrt(n), is
    not cut at 0 or 1.
    """

    mean: float
    sd: float | None
    n: int
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Difference:
    """A mean difference from the baseline over the ``n`` seeds that both have.

    ``p`` is that of the two-sided paired t test. The interval and ``p`` are None for one seed, and also when
    every seed differs by the same amount: two seeds of a coarse score, say accuracy on 20 clips, often do
    so by chance, and a t statistic with a spread of zero would call that certain.
    """

    mean: float
    sd: float | None
    n: int
    ci_low: float | None
    ci_high: float | None
    p: float | None

    @property
    def direction(self) -> int:
        """1 or -1 when the whole interval lies above or below zero; 0 when it holds zero or is None."""
        if self.ci_low is None or self.ci_high is None:
            return 0
        return int(self.ci_low > 0) - int(self.ci_high < 0)


def summarise(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """Mean, spread and t interval of at least one value, one a seed."""
    if not values:
        raise ValueError("a summary needs at least one value")
    n = len(values)
    mean, sd = _moments(values)
    if sd is None:
        return Summary(mean, None, n, None, None)
    margin = _margin(sd, n, confidence)
    return Summary(mean, sd, n, mean - margin, mean + margin)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], confidence: float = CONFIDENCE
) -> Difference | None:
    """``values`` minus ``baseline``, both by seed, over the seeds that both have; None without any."""
    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    n = len(seeds)
    mean, sd = _moments([values[seed] - baseline[seed] for seed in seeds])
    if not sd:
        return Difference(mean, sd, n, None, None, None)
    margin = _margin(sd, n, confidence)
    t = abs(mean) / (sd / math.sqrt(n))
    return Difference(mean, sd, n, mean - margin, mean + margin, float(2 * stdtr(n - 1, -t)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment of m tests: the i-th smallest p times m - i + 1, never falling, at most 1.

    Calling the adjusted values below 0.05 significant keeps the chance of any false call in the whole table
    below 5 % (Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure"). None stays None and
    does not count as a test.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tests = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    highest = 0.0
    for rank, (p, place) in enumerate(tests):
        highest = max(highest, min(1.0, p * (len(tests) - rank)))
        adjusted[place] = highest
    return adjusted


def _moments(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation, which is None for one value."""
    if len(values) == 1:
        return float(values[0]), None
    mean = math.fsum(values) / len(values)
    if max(values) - min(values) <= _ROUNDING:
        return mean, 0.0
    return mean, float(np.std(values, ddof=1))


def _margin(sd: float, n: int, confidence: float) -> float:
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * sd / math.sqrt(n)
