"""How sure a mean over seeds is: intervals, differences paired by seed, p-values and Holm's adjustment.

Seeds are the replicates. A t interval covers the mean that infinitely many seeds would give in 95 % of
studies, if the scores of seeds are about normal. Seed k starts every condition from the same initial
weights and batch order, so a difference is taken within each seed first: what the seed does to both
conditions cancels (a paired t test).

Bootstrap intervals and exact permutation p-values are here too, for who asks. Neither decides: with the few
seeds of an ablation study the one is too narrow and the other cannot get small (``docs/decisions``).
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

# Who only groups runs needs neither numpy nor scipy, which take longer to import than 10,000 runs to read:
# they are imported where they compute, scipy.special rather than scipy.stats, which takes a second.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95

# Scores are fractions. Differences closer together than this are equal but for rounding.
_ROUNDING = 1e-12

MAX_EXACT_SEEDS = 16  # 2^16 sign patterns take a millisecond
N_RANDOM_PATTERNS = 9_999
N_RESAMPLES = 2_000
MAX_SEEDS = 1_000  # who needs more has found that there is no effect to speak of

# From values, one a seed, to the two ends of an interval; None where the values do not give one.
Interval = Callable[[Sequence[float]], tuple[float, float] | None]


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

    ``p`` is that of the two-sided paired t test. When every seed differs by the same amount, there is no
    interval and ``p`` is ``p_permutation``: two seeds of a coarse score, say accuracy on 20 clips, often do
    so by chance, and a t statistic with a spread of zero would call that certain. One seed has neither.

    ``p_permutation`` is that of ``sign_flip_p``, ``effect`` that of ``effect_size``, and ``improvement`` that
    of ``probability_of_improvement`` over these seeds.
    """

    mean: float
    sd: float | None
    n: int
    ci_low: float | None
    ci_high: float | None
    p: float | None
    p_permutation: float | None = None
    effect: float | None = None
    improvement: float | None = None

    @property
    def direction(self) -> int:
        """1 or -1 when the whole interval lies above or below zero, 0 when it holds zero.

        Without an interval, ``p`` below 0.05 decides.
        """
        if self.ci_low is not None and self.ci_high is not None:
            return int(self.ci_low > 0) - int(self.ci_high < 0)
        certain = self.p is not None and self.p < 1 - CONFIDENCE
        return (int(self.mean > 0) - int(self.mean < 0)) if certain else 0


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """mean +- t((1 + confidence) / 2, n - 1) sd / sqrt(n); None for fewer than two values."""
    mean, sd = moments(values)
    if sd is None:
        return None
    margin = _t_quantile(len(values) - 1, (1 + confidence) / 2) * sd / math.sqrt(len(values))
    return mean - margin, mean + margin


@cache
def _t_quantile(freedom: int, level: float) -> float:
    """Asked for as often as there are means, of few sizes."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))


def summarise(values: Sequence[float], interval: Interval = t_interval) -> Summary:
    """Mean, spread and interval of at least one value, one a seed."""
    if not values:
        raise ValueError("a summary needs at least one value")
    mean, sd = moments(values)
    low, high = interval(values) or (None, None)
    return Summary(mean, sd, len(values), low, high)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], interval: Interval = t_interval
) -> Difference | None:
    """``values`` minus ``baseline``, both by seed, over the seeds that both have; None without any."""
    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    n = len(seeds)
    differences = [values[seed] - baseline[seed] for seed in seeds]
    mean, sd = moments(differences)
    low, high = (interval(differences) or (None, None)) if sd else (None, None)
    p_permutation = sign_flip_p(differences)
    return Difference(
        mean=mean,
        sd=sd,
        n=n,
        ci_low=low,
        ci_high=high,
        p=2 * upper_p(abs(mean), sd, n) if sd else p_permutation,
        p_permutation=p_permutation,
        effect=effect_size(mean, sd, n),
        improvement=probability_of_improvement(
            [values[seed] for seed in seeds], [baseline[seed] for seed in seeds]
        ),
    )


def upper_p(mean: float, sd: float, n: int) -> float:
    """One-sided p: how often n paired differences without effect have a mean this high, or higher.

    The paired t test; without spread, the permutation test, in which one of 2^n patterns of signs is as high.
    """
    if abs(mean) <= _ROUNDING:
        return 1.0 if sd == 0 else 0.5
    if sd == 0:
        return 0.5**n if mean > 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(n - 1, -mean / (sd / math.sqrt(n))))


def power(effect: float, n: int, level: float) -> float:
    """How often n seeds find an effect of ``effect`` standard deviations with a one-sided p below ``level``.

    The noncentral t distribution with noncentrality effect * sqrt(n); an infinite effect, one without spread,
    is found by the permutation test once 2^-n is below the level.
    """
    if math.isinf(effect):
        return float(effect > 0 and 0.5**n < level)
    from scipy.special import nctdtr

    return 1 - float(nctdtr(n - 1, effect * math.sqrt(n), _t_quantile(n - 1, 1 - level)))


def seeds_needed(
    effects: Sequence[float], level: float = (1 - CONFIDENCE) / 2, wanted_power: float = 0.8
) -> int | None:
    """The fewest seeds that find all ``effects`` together with at least the wanted power.

    ``effects`` are in standard deviations of the paired differences, ``level`` is one-sided. The chance to
    miss any of them is at most the sum of the chances to miss each (Bonferroni), which is what is kept below
    1 - ``wanted_power``.
    None when an effect is not positive or ``MAX_SEEDS`` do not suffice.
    """
    if not effects or min(effects) <= 0:
        return None

    def suffices(n: int) -> bool:
        return sum(1 - power(effect, n, level) for effect in effects) <= 1 - wanted_power

    if not suffices(MAX_SEEDS):
        return None
    return bisect_left(range(2, MAX_SEEDS), True, key=suffices) + 2


def sign_flip_p(differences: Sequence[float], seed: int = 0) -> float | None:
    """Two-sided p of the paired permutation test; None for fewer than two differences.

    If a condition changes nothing, each difference is as likely with the other sign. p is the share of all
    2^n sign patterns whose mean is at least as far from zero: exact without any assumption on the scores'
    distribution (Fisher 1935, "The Design of Experiments", section 21), and never below 2 / 2^n. Beyond
    ``MAX_EXACT_SEEDS``, random patterns drawn with ``seed`` and the observed one stand for all of them.
    """
    import numpy as np

    n = len(differences)
    if n < 2:
        return None
    exact = n <= MAX_EXACT_SEEDS
    sums = _signed_sums(differences) if exact else _random_signed_sums(differences, seed)
    extreme = np.count_nonzero(np.abs(sums) >= abs(math.fsum(differences)) - n * _ROUNDING)
    return float(extreme / len(sums) if exact else (extreme + 1) / (len(sums) + 1))


def _signed_sums(differences: Sequence[float]) -> "NDArray[np.float64]":
    """The 2^(n-1) sums with every pattern of signs but the first, which symmetry spares."""
    import numpy as np

    sums: NDArray[np.float64] = np.asarray(differences) @ _signs(len(differences))
    return sums


@cache
def _signs(n: int) -> "NDArray[np.float64]":
    """The patterns of n signs of which the first is +, (n, 2^(n-1)): 4 MiB at most."""
    import numpy as np

    bits = np.arange(2 ** (n - 1)) >> np.arange(n)[::-1, None] & 1
    return np.where(bits == 1, -1.0, 1.0)


def _random_signed_sums(differences: Sequence[float], seed: int) -> "NDArray[np.float64]":
    import numpy as np

    shape = (N_RANDOM_PATTERNS, len(differences))
    signs = np.random.default_rng(seed).integers(0, 2, shape, dtype=np.int8) * 2 - 1
    sums: NDArray[np.float64] = signs @ np.asarray(differences)
    return sums


def effect_size(mean: float, sd: float | None, n: int) -> float | None:
    """Cohen's d_z, mean / sd of the paired differences, with Hedges' correction for few seeds.

    d_z is too large by the factor 1 / J on average, J = gamma(m / 2) / (sqrt(m / 2) gamma((m - 1) / 2)) with
    m = n - 1 (Hedges 1981, "Distribution Theory for Glass's Estimator of Effect Size"). None for fewer than
    three seeds, where J is 0, and without spread.
    """
    if n < 3 or not sd:
        return None
    m = n - 1
    return math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2)) / math.sqrt(m / 2) * mean / sd


def probability_of_improvement(values: Sequence[float], baseline: Sequence[float]) -> float:
    """How often a run of one condition beats a run of the other: over all pairs of runs, ties count half.

    The Mann-Whitney U divided by the number of pairs (Agarwal et al. 2021, "Deep Reinforcement Learning at
    the Edge of the Statistical Precipice"). Seeds are not paired here: it is what who trains once meets.
    """
    pairs = [(ours > theirs) + (ours == theirs) / 2 for ours in values for theirs in baseline]
    return sum(pairs) / len(pairs)


def percentile_interval(
    values: Sequence[float], seed: int = 0, confidence: float = CONFIDENCE, resamples: int = N_RESAMPLES
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean; None for fewer than two values.

    Too narrow for few seeds: of five normal values it covers the mean in 84 % of studies, of ten in 90 %.
    """
    return stratified_interval([values], seed, confidence, resamples)


def stratified_interval(
    strata: Sequence[Sequence[float]],
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = N_RESAMPLES,
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean over strata of their means.

    A stratum holds the seeds of one condition, class or data set, and is resampled on its own, so that each
    keeps its weight. None when a stratum has fewer than two values.
    """
    if not strata or min(map(len, strata)) < 2:
        return None
    import numpy as np

    rng = np.random.default_rng(seed)
    means = np.mean([_resampled_means(stratum, rng, resamples) for stratum in strata], axis=0)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return low, high


def _resampled_means(
    values: Sequence[float], rng: "np.random.Generator", resamples: int
) -> "NDArray[np.float64]":
    import numpy as np

    means: NDArray[np.float64] = np.asarray(values)[
        rng.integers(0, len(values), (resamples, len(values)))
    ].mean(axis=1)
    return means


def bca_interval(
    values: Sequence[float], seed: int = 0, confidence: float = CONFIDENCE, resamples: int = N_RESAMPLES
) -> tuple[float, float] | None:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), as scipy has it.

    None for fewer than three values or without spread.
    """
    mean, sd = moments(values)
    if len(values) < 3 or not sd:
        return None
    import numpy as np
    from scipy.stats import bootstrap

    interval = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return (float(interval.low), float(interval.high)) if interval.low <= mean <= interval.high else None


INTERVALS: dict[str, Callable[..., tuple[float, float] | None]] = {
    "t": t_interval,
    "percentile": percentile_interval,
    "bca": bca_interval,
}


def interval_method(name: str, seed: int = 0) -> Interval:
    """An interval of ``INTERVALS`` by name; ``seed`` decides what the bootstrap draws."""
    return t_interval if name == "t" else partial(INTERVALS[name], seed=seed)


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


def moments(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation, which is None for one value."""
    if len(values) == 1:
        return float(values[0]), None
    mean = math.fsum(values) / len(values)
    if max(values) - min(values) <= _ROUNDING:
        return mean, 0.0
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
