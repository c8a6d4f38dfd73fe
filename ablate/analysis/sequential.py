"""When to stop: paired t tests that may look at growing seeds, and still err as seldom as was asked.

Who tests after every few seeds and stops at the first p < 0.05 decides far more than 5 % of effects that are
not there. Two ways out are here. Both take as given which looks there are, or how many at most, before the
first one is taken.

    group sequential   looks at planned numbers of seeds, each at one and the same level, which is so small
                       that without an effect all looks together err in a share ``error`` of studies (Pocock
                       1977, "Group sequential methods in the design and analysis of clinical trials")
    anytime-valid      a look whenever one likes, at an e-value (Wang and Ramdas 2025, "Anytime-valid t-tests
                       and confidence sequences for Gaussian means with unknown variance"): more seeds,
                       no plan

Several claims share the error by Holm: while k are undecided, each is held against the level for
``error / k`` (Ye, Li, Liu and Yao 2013, "A group sequential Holm procedure with multiple primary endpoints").
That holds however the claims depend on each other. Levels never fall while claims are decided.

Levels are simulated: of the differences of a study a t test needs only the mean and the sum of squares, so a
block of d further seeds without an effect is two draws, a normal mean and a chi-squared of d - 1 degrees.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from ablate.analysis.intervals import moments, upper_p
from ablate.record.decision import Method, Ruling

LARGEST_ERROR = 0.5
N_STUDIES = 1_000_000
N_STUDIES_IN_PASSING = 100_000  # where a reader waits, and a level may be off by 2 %
SEED = 0
PRIOR_VARIANCE = 1.0  # of an effect in standard deviations, before any seed is seen
MIN_SEEDS_OF_SKEWNESS = 5
STRONG_SKEWNESS = 2.0  # standard errors


# ------------------------------------------------------------------------------------------------- levels


@lru_cache(maxsize=4)
def _repeated_p(looks: tuple[int, ...], n_studies: int) -> NDArray[np.float64]:
    """The two-sided p of all looks but the smallest of each study without an effect, in rising order.

    Those up to ``LARGEST_ERROR``.
    """
    rng = np.random.default_rng(SEED)
    mean, squares = np.zeros(n_studies), np.zeros(n_studies)
    p = np.empty((len(looks), n_studies))
    seen = 0
    for place, n in enumerate(looks):
        d = n - seen
        block = rng.standard_normal(n_studies) / math.sqrt(d)
        squares += (block - mean) ** 2 * (seen * d / n)
        squares += rng.chisquare(d - 1, n_studies) if d > 1 else 0.0
        mean = (seen * mean + d * block) / n
        p[place] = 2 * stdtr(n - 1, -np.abs(mean) * np.sqrt(n * (n - 1) / squares))
        seen = n
    p.sort(axis=0)
    rest = p[1:].ravel()
    return np.sort(rest[rest < LARGEST_ERROR])


def chance_of_any(looks: Sequence[int], level: float, n_studies: int = N_STUDIES) -> float:
    """How often a study without an effect has a two-sided p below ``level`` at any of the looks.

    Each look alone has one in a share ``level``, exactly; what studies have more than once is simulated, and
    taken off.
    """
    repeated = _repeated_p(tuple(looks), n_studies)
    return len(looks) * level - float(np.searchsorted(repeated, level)) / n_studies


def level_of_each_look(looks: Sequence[int], error: float, n_studies: int = N_STUDIES) -> float:
    """The two-sided level at which ``chance_of_any`` is ``error``, which is at most ``LARGEST_ERROR``."""
    repeated = _repeated_p(tuple(looks), n_studies)
    levels = (error + np.arange(len(repeated) + 1) / n_studies) / len(looks)
    beyond = np.append(repeated, np.inf) > levels
    return float(levels[np.argmax(beyond)])


# -------------------------------------------------------------------------------------------- two methods


def e_value(mean: float, sd: float, n: int) -> float:
    """The logarithm of the evidence against no effect, whenever one looks; large where there is one.

    log E = -log(1 + n g) / 2 + n / 2 (log(1 + t^2 / v) - log(1 + t^2 / (v (1 + n g)))), v = n - 1 and g the
    prior variance. Without an effect, E is ever as large as 1 / a in at most a share a of studies.
    """
    spread, v = 1 + n * PRIOR_VARIANCE, n - 1
    x = n * (mean / sd) ** 2 / v
    return (n * (math.log1p(x) - math.log1p(x / spread)) - math.log(spread)) / 2


def _one_sided_e(mean: float, sd: float, n: int) -> float:
    """As ``upper_p``: half of 1 / E where the mean is positive, else what is left."""
    half = math.exp(-max(0.0, e_value(mean, sd, n))) / 2
    return half if mean > 0 else 1 - half


def _half_width_t(sd: float, n: int, level: float) -> float:
    return float(stdtrit(n - 1, 1 - level / 2)) * sd / math.sqrt(n)


def _half_width_e(sd: float, n: int, level: float) -> float:
    """Where ``e_value`` is 1 / level; infinite while so few seeds bound nothing."""
    spread, v = 1 + n * PRIOR_VARIANCE, n - 1
    ratio = math.exp((2 * -math.log(level) + math.log(spread)) / n)
    if ratio >= spread:
        return math.inf
    return math.sqrt(v * (ratio - 1) / (1 - ratio / spread)) * sd / math.sqrt(n)


@dataclass(frozen=True)
class Rule:
    """How claims are tested. ``levels`` is the two-sided level of a look for ``error / k``, by k.

    The k that are needed are those of ``shares_of``. ``n_claims`` is their number at the beginning.
    """

    method: Method
    error: float
    n_claims: int
    levels: Mapping[int, float]

    def p(self, mean: float, sd: float, n: int) -> float:
        """One-sided p of a mean of paired differences, at one look; without spread, of a sign-flip test."""
        if sd == 0 or self.method == "group sequential":
            return upper_p(mean, sd, n)
        return _one_sided_e(mean, sd, n)

    def half_width(self, sd: float, n: int) -> float:
        """Of the repeated interval: over all looks and claims together, each covers in all but ``error``."""
        width = _half_width_t if self.method == "group sequential" else _half_width_e
        return width(sd, n, self.levels[self.n_claims])


def shares_of(n_comparisons: Sequence[int]) -> list[int]:
    """Among how many tests the error is ever shared: k claims, each refuted by any of its m comparisons."""
    claims = range(1, len(n_comparisons) + 1)
    return sorted({k * m for k in claims for m in {1, *n_comparisons}})


def make_rule(
    method: Method,
    looks: Sequence[int],
    error: float,
    n_comparisons: Sequence[int],
    n_studies: int = N_STUDIES,
) -> Rule:
    """The rule for claims that stand for ``n_comparisons`` each."""
    levels = {
        k: error / k
        if method == "anytime-valid" or len(looks) == 1
        else level_of_each_look(looks, error / k, n_studies)
        for k in shares_of(n_comparisons)
    }
    return Rule(method, error, len(n_comparisons), levels)


# ------------------------------------------------------------------------------------------------ one look


@dataclass(frozen=True)
class Sample:
    """The paired differences of one comparison, positive where they favour the claim; at least two."""

    differences: Sequence[float]
    mean: float
    sd: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Sample":
        mean, sd = moments(differences)
        return cls(differences, mean, sd or 0.0)

    @property
    def n(self) -> int:
        return len(self.differences)


@dataclass(frozen=True)
class Question:
    """A claim as numbers: every sample is to exceed ``margin``, and to matter must reach ``interest``."""

    samples: tuple[Sample, ...]
    margin: float = 0.0
    interest: float | None = None


@dataclass(frozen=True)
class Answer:
    """What a look says of a claim. ``p`` is two-sided and below ``level`` where the claim is decided.

    ``intervals`` are the repeated ones, one a sample; infinite where nothing is bounded, and None without
    spread.
    """

    ruling: Ruling
    p: float
    level: float
    intervals: tuple[tuple[float, float] | None, ...]


def look(rule: Rule, questions: Mapping[str, Question], n_unrejected: int) -> dict[str, Answer]:
    """One look at the claims that are still open, each with at least two seeds.

    ``n_unrejected`` of all claims have been neither supported nor refuted: those that were stopped since they
    are too small to matter, or wait for a seed, still share the error (so that stopping needs no rule).
    """
    tested = {name: _Tested.of(rule, question) for name, question in questions.items()}
    answers: dict[str, Answer] = {}
    while passed := [name for name in tested if name not in answers and tested[name].passes(n_unrejected)]:
        answers |= {name: tested[name].answer(n_unrejected, questions[name]) for name in passed}
        n_unrejected -= len(passed)
    rest = (name for name in tested if name not in answers)
    answers |= {name: tested[name].answer(n_unrejected, questions[name]) for name in rest}
    return {name: answers[name] for name in questions}


@dataclass(frozen=True)
class _Tested:
    """A claim's one-sided p: the largest of its comparisons for it, the smallest against it."""

    rule: Rule
    n_comparisons: int
    p_for: float
    p_against: float

    @classmethod
    def of(cls, rule: Rule, question: Question) -> "_Tested":
        above = [(sample.mean - question.margin, sample.sd, sample.n) for sample in question.samples]
        p_for = max(rule.p(mean, sd, n) for mean, sd, n in above)
        p_against = min(rule.p(-mean, sd, n) for mean, sd, n in above)
        return cls(rule, len(above), p_for, p_against)

    def p(self, k: int) -> float:
        """Two-sided, to hold against the level for k.

        Any one of m comparisons refutes, so each is held against the level for k m (Bonferroni over all
        looks). That is less than a share 1 / m of the level for k, so ``p`` grows by what it is less.
        """
        levels = self.rule.levels
        p_against = self.p_against * levels[k] / levels[k * self.n_comparisons]
        return min(1.0, 2 * min(self.p_for, p_against))

    def passes(self, k: int) -> bool:
        return self.p(k) < self.rule.levels[k]

    def answer(self, k: int, question: Question) -> Answer:
        intervals = tuple(_interval(self.rule, sample) for sample in question.samples)
        return Answer(self._ruling(k, question, intervals), self.p(k), self.rule.levels[k], intervals)

    def _ruling(self, k: int, question: Question, intervals: Sequence[tuple[float, float] | None]) -> Ruling:
        if self.passes(k):
            return "supported" if 2 * self.p_for < self.rule.levels[k] else "refuted"
        highest = min((interval[1] for interval in intervals if interval), default=math.inf)
        is_small = question.interest is not None and highest < question.interest
        return "too small to matter" if is_small else "undecided"


def _interval(rule: Rule, sample: Sample) -> tuple[float, float] | None:
    if not sample.sd:
        return None
    half = rule.half_width(sample.sd, sample.n)
    return sample.mean - half, sample.mean + half


# ------------------------------------------------------------------------------------------------- doubts


def skewness(sample: Sample) -> tuple[float, float] | None:
    """The adjusted Fisher-Pearson skewness and its standard error; None below five seeds or without spread.

    G = n / ((n - 1) (n - 2)) sum ((x - mean) / SD)^3, with a standard error of
    sqrt(6 n (n - 1) / ((n - 2) (n + 1) (n + 3))) where differences are normal.
    """
    n = sample.n
    if n < MIN_SEEDS_OF_SKEWNESS or not sample.sd:
        return None
    cubes = math.fsum(((value - sample.mean) / sample.sd) ** 3 for value in sample.differences)
    error = math.sqrt(6 * n * (n - 1) / ((n - 2) * (n + 1) * (n + 3)))
    return n / ((n - 1) * (n - 2)) * cubes, error


def is_strongly_skewed(sample: Sample) -> bool:
    """Beyond what about 1 in 20 samples of normal differences show."""
    found = skewness(sample)
    return found is not None and abs(found[0]) > STRONG_SKEWNESS * found[1]
