"""How sure a difference is on other items: such as the recordings that networks were tried on.

An interval over seeds speaks of other seeds on the same items. Here are intervals that speak of other items
with these seeds, and of both. Seeds and items are crossed: every seed is scored on every item. The difference
of two conditions is taken within each seed and on the same items, so that what both share cancels.

The variance of the mean difference is estimated in three parts:

    over_seeds   of other seeds on these items: the variance of the seeds' differences / n_seeds
    over_items   of other items with these seeds: the delete-one jackknife of the mean difference over items
    rest         of what is neither the seed's nor the item's own: the jackknife of each seed's difference
                 less their mean; it is in both of the others, and counts once in their sum

A mean over n values of one kind has the half width t(n - 1) times its standard error. Over both, the half
widths are combined as standard errors are,

    sqrt(t(n_seeds - 1)^2 over_seeds + t(items - 1)^2 (over_items - rest)),

which covers a sum of independent normal means at least as often as it says, whatever their variances are
(Banerjee 1960, "Approximate Confidence Interval for Linear Functions of Means of k Populations when the
Population Variances are not Equal"). Items are counted by what they weigh: with shares e of what the metric
divides by, 1 / sum(e^2) items of equal weight say as much (Kish 1965, "Survey Sampling").

The crossed bootstrap, which redraws seeds and items (Owen 2007, "The Pigeonhole Bootstrap"), is here for who
asks, and decides nothing: of few seeds it is too narrow (``docs/decisions``).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri, stdtrit  # scipy.stats takes a second to import

from ablate.analysis.intervals import CONFIDENCE, N_RESAMPLES

Array = NDArray[np.float64]
Over = Literal["seeds", "items", "both"]

LEVEL = (1 - CONFIDENCE) / 2  # one-sided
_ROUNDING = 1e-24  # a variance of equal scores
_DECIMALS = 12  # of scores that are equal but for rounding
_LEAST_P = 1e-12
_HALVINGS = 60


@dataclass(frozen=True)
class Spread:
    """What a mean difference over ``n_seeds`` and ``n_items`` would vary by; variances of that mean.

    ``effective_items`` of equal weight would say as much as these. With one seed, ``over_seeds`` and ``rest``
    are None.
    """

    n_seeds: int
    n_items: int
    effective_items: float
    over_seeds: float | None
    over_items: float
    rest: float | None

    def half_width(self, over: Over, level: float = LEVEL) -> float | None:
        """Of the interval that leaves out ``level`` on either side; None where one seed or no spread tells.

        Without spread over items, the interval over both is that over seeds; without spread over seeds there
        is none, as two seeds of a coarse score often agree by chance.
        """
        items = self._quantile(self.effective_items - 1, level) ** 2 * self.over_items
        if over == "items":
            return math.sqrt(items) if self.over_items else None
        if not self.over_seeds or self.rest is None:
            return None
        seeds = self._quantile(self.n_seeds - 1, level) ** 2 * self.over_seeds
        if over == "seeds":
            return math.sqrt(seeds)
        own = max(0.0, self.over_items - self.rest) / self.over_items if self.over_items else 0.0
        return math.sqrt(max(seeds + own * items, items))

    def _quantile(self, degrees: float, level: float) -> float:
        return float(stdtrit(max(1.0, degrees), 1 - level))

    def upper_p(self, over: Over, distance: float) -> float | None:
        """One-sided p: how often a mean is this far above, or further, where nothing is; None as above.

        The level at which the interval would begin at 0.
        """
        if self.half_width(over) is None:
            return None
        low, high = math.log(_LEAST_P), math.log(0.5)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            width = self.half_width(over, math.exp(middle))
            if width is not None and width > abs(distance):
                low = middle
            else:
                high = middle
        return math.exp(high) if distance > 0 else 1 - math.exp(high)

    @property
    def shares(self) -> dict[str, float] | None:
        """Of the variance of a difference of one seed on one item: what is the seed's, the item's, the rest.

        The components of a two-way layout with random effects, negative ones taken for 0. None for one seed
        and without any variance.
        """
        if self.over_seeds is None or self.rest is None:
            return None
        parts = {
            "seeds": self.n_seeds * max(0.0, self.over_seeds - self.rest),
            "items": self.n_items * max(0.0, self.over_items - self.rest),
            "rest": self.n_seeds * self.n_items * self.rest,
        }
        total = sum(parts.values())
        return {name: part / total for name, part in parts.items()} if total else None


def spread(differences: Array, without: Array, exposure: Array) -> Spread:
    """The spread of a mean of ``differences``, (n_seeds,).

    ``without`` (n_items, n_seeds) are the differences on all items but one. ``exposure`` (n_items,) are
    shares that sum to 1. Needs two items, and no NaN.
    """
    n_items, n_seeds = without.shape
    means = without.mean(axis=1)
    seeds, rest = None, None
    if n_seeds > 1:
        seeds = _no_less_than_rounding(float(differences.var(ddof=1)) / n_seeds)
        own = _jackknife(without - means[:, None]).sum() / (n_seeds * (n_seeds - 1))
        rest = _no_less_than_rounding(float(own))
    items = _no_less_than_rounding(float(_jackknife(means[:, None])[0]))
    return Spread(n_seeds, n_items, effective(exposure), seeds, items, rest)


def effective(exposure: Array) -> float:
    """How many items of equal weight would say as much as these, whose shares sum to 1."""
    return 1 / float(np.sum(exposure**2))


def _jackknife(without: Array) -> Array:
    """The variance of each column, values on all items but one (Efron 1982, "The Jackknife")."""
    n_items = len(without)
    variances: Array = (n_items - 1) ** 2 / n_items * without.var(axis=0, ddof=1)
    return variances


def _no_less_than_rounding(variance: float) -> float:
    return variance if variance > _ROUNDING else 0.0


# The crossed bootstrap.


def item_draws(n_items: int, seed: int = 0, draws: int = N_RESAMPLES) -> Array:
    """(draws, n_items): how often each item is in a draw of as many, with replacement."""
    counts = np.random.default_rng(seed).multinomial(n_items, np.full(n_items, 1 / n_items), size=draws)
    return counts.astype(np.float64)


def percentile(drawn: Array, over: Over, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % percentile interval of the mean of ``drawn``, (draws, n_seeds) differences on redrawn items.

    Over both, each draw has its own draw of the seeds. Draws in which the metric is undefined, as when its
    class is in no item, are left out; None when they are more than half, and for one seed over both.
    """
    defined = drawn[~np.isnan(drawn).any(axis=1)]
    n_seeds = drawn.shape[1]
    if len(defined) < len(drawn) / 2 or (over == "both" and n_seeds < 2):
        return None
    weights = np.full(defined.shape, 1 / n_seeds)
    if over == "both":
        rng = np.random.default_rng((seed, 1))  # not the draws of the items again
        weights = rng.multinomial(n_seeds, weights[0], size=len(defined)) / n_seeds
    low, high = np.quantile((weights * defined).sum(axis=1), [LEVEL, 1 - LEVEL]).tolist()
    return low, high


# The chance to be better.


@dataclass(frozen=True)
class Chance:
    """How often one condition beats the other on a new item with a new seed; ties count half.

    ``n_items`` are those that say so: where the metric of the item alone is defined. The interval speaks of
    other seeds and items; one seed has none.
    """

    value: float
    ci_low: float | None
    ci_high: float | None
    n_items: int


def chance(ours: Array, theirs: Array) -> Chance | None:
    """From scores of which more is better, (n_items, n_seeds), NaN where undefined; None without any.

    The interval is Clopper and Pearson's for as many independent items as would give the half width over both
    (Korn and Graubard 1998, "Confidence Intervals for Proportions with Small Expected Number of Positive
    Counts Estimated from Survey Data"). Where all agree, there are as many as seeds or items, the fewer.
    """
    differences = ours - theirs
    differences = differences[~np.isnan(differences).any(axis=1)]
    if not differences.size:
        return None
    wins = (np.sign(np.round(differences, _DECIMALS)) + 1) / 2
    n_items, n_seeds = wins.shape
    value = float(wins.mean())
    if n_seeds < 2 or n_items < 2:
        return Chance(value, None, None, n_items)
    without = (wins.sum(axis=0) - wins) / (n_items - 1)
    width = spread(wins.mean(axis=0), without, np.full(n_items, 1 / n_items)).half_width("both")
    independent = float(min(n_seeds, n_items))
    if width:
        independent = min(value * (1 - value) * (float(ndtri(LEVEL)) / width) ** 2, float(wins.size))
    return Chance(value, *_clopper_pearson(value, independent), n_items)


def _clopper_pearson(share: float, n: float) -> tuple[float, float]:
    successes = share * n
    low = float(betaincinv(successes, n - successes + 1, LEVEL)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - LEVEL)) if successes < n else 1.0
    return low, high
