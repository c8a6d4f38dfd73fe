"""How well a study replicates a published one: the signs of its effects, and the order of its conditions.

An effect is the difference of two conditions in a metric: each condition and the baseline, and each
comparison of a claim. It has the published sign if ours lies on the same side of zero as the published one.
Published effects smaller than ``TINY`` are taken for noise and not counted, as are those of conditions
without a score; one of ours that is exactly zero, as of event F 0 against 0, has no sign and so not the
published one.

The order of conditions is compared by Kendall's tau-b and Spearman's rho, ties included, over the conditions
that have both scores.

Intervals are percentiles of what other seeds could have made of the means: each seed's scores, less their
mean, get a random normal weight, and a draw is divided as Student's t is, so that the draws of any one
difference have its t interval for their 95 % percentile interval. Over items too, the items' shares in the
means get such weights of their own. What the published scores vary by is not known, and in no interval.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ablate.analysis.byitem import Counts, ItemScores, NotByItem
from ablate.analysis.claims import pairs_of
from ablate.analysis.compare import Group, named, nearest_group
from ablate.analysis.crossed import Array, effective
from ablate.analysis.intervals import CONFIDENCE
from ablate.design.claims import StudyDetails
from ablate.design.conditions import BASELINE
from ablate.subject.metrics import Metrics

TINY = 0.005  # of a fraction: half a percentage point
LEAST_CONDITIONS = 3  # of which an order says something
DRAWS = 2_000
_DECIMALS = 12  # of scores that are equal but for rounding

Limits = tuple[float, float] | None
Statistic = Callable[[Array], Array]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % intervals over seeds, and over seeds and items; None where nothing tells."""

    value: float
    over_seeds: Limits
    over_both: Limits


@dataclass(frozen=True)
class Replication:
    """Of one metric, or of all (``metric`` None). ``same_sign`` is the share of ``n_effects``.

    ``n_tiny`` published effects are too small to count, ``n_open`` lack a score of ours. None: no effect is
    left to count, or too few conditions to order.
    """

    metric: str | None
    n_effects: int
    n_tiny: int
    n_open: int
    n_conditions: int
    n_seeds: int
    same_sign: Estimate | None
    kendall: Estimate | None
    spearman: Estimate | None


@dataclass(frozen=True)
class _Cell:
    """A published score and the condition that is to have it."""

    group: Group
    metric: str
    published: float


Effect = tuple[int, int]  # places of two cells: the first less the second


@dataclass(frozen=True, eq=False)
class _Scores:
    """Our means of some cells, (n_cells,), and draws of them, (n_draws, n_cells); NaN where unknown."""

    means: Array
    over_seeds: Array | None
    over_both: Array | None

    def estimate(self, statistic: Statistic) -> Estimate | None:
        value = float(statistic(self.means[None])[0])
        if math.isnan(value):
            return None
        return Estimate(value, _limits(self.over_seeds, statistic), _limits(self.over_both, statistic))


def _limits(draws: Array | None, statistic: Statistic) -> Limits:
    values = np.array([]) if draws is None else statistic(draws)
    if not values.size or np.isnan(values).all():
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail]).tolist()
    return low, high


def replications(
    groups: Sequence[Group],
    details: StudyDetails,
    metrics: Sequence[str],
    units: Metrics,
    seed: int = 0,
) -> list[Replication]:
    """One for each of these metrics that has published effects and, where there are several, one for all.

    ``seed`` decides what is drawn.
    """
    cells = _cells(groups, details, metrics)
    scored = [cell for cell in cells if cell.group.scores(cell.metric)]
    if not scored:
        return []
    effects = _effects(groups, details, cells)
    seeds = set.intersection(*(set(cell.group.scores(cell.metric)) for cell in scored))
    scores = _draw(cells, scored, sorted(seeds), seed)
    found = [
        _replication(metric, cells, effects, scores, units, len(seeds))
        for metric in dict.fromkeys(cell.metric for cell in cells)
    ]
    found = [each for each in found if each.n_effects or each.n_tiny or each.n_open]
    return (
        found if len(found) < 2 else [*found, _replication(None, cells, effects, scores, units, len(seeds))]
    )


def _cells(groups: Sequence[Group], details: StudyDetails, metrics: Sequence[str]) -> list[_Cell]:
    published = [(group, details.published.get(group.first.name, {})) for group in groups]
    return [
        _Cell(group, metric, scores[metric])
        for metric in metrics
        for group, scores in published
        if metric in scores
    ]


def _effects(groups: Sequence[Group], details: StudyDetails, cells: Sequence[_Cell]) -> list[Effect]:
    """Each condition less the baseline, and each comparison of a claim within a metric; each pair once."""
    places = {(cell.group.name, cell.metric): place for place, cell in enumerate(cells)}
    pairs = [*_from_baseline(groups, details, cells), *_of_claims(groups, details)]
    if not pairs:
        pairs = [
            ((one.group.name, one.metric), (other.group.name, other.metric))
            for one, other in itertools.combinations(cells, 2)
            if one.metric == other.metric
        ]
    effects: dict[frozenset[int], Effect] = {}
    for ours, theirs in pairs:
        if ours in places and theirs in places and ours != theirs:
            effects.setdefault(frozenset((places[ours], places[theirs])), (places[ours], places[theirs]))
    return list(effects.values())


Place = tuple[str, str]  # a condition and a metric


def _from_baseline(
    groups: Sequence[Group], details: StudyDetails, cells: Sequence[_Cell]
) -> Iterator[tuple[Place, Place]]:
    candidates = named(groups, details.baseline or BASELINE)
    for cell in cells:
        base = nearest_group(cell.group, candidates)
        if base is not None:
            yield (cell.group.name, cell.metric), (base.name, cell.metric)


def _of_claims(groups: Sequence[Group], details: StudyDetails) -> Iterator[tuple[Place, Place]]:
    for claim in details.claims:
        for better, worse in pairs_of(claim, groups):
            yield (better.name, better.metric), (worse.name, worse.metric)


def _replication(
    metric: str | None,
    cells: Sequence[_Cell],
    effects: Sequence[Effect],
    scores: _Scores,
    units: Metrics,
    n_seeds: int,
) -> Replication:
    places = [place for place, cell in enumerate(cells) if metric in (None, cell.metric)]
    known = [place for place in places if not math.isnan(scores.means[place])]
    asked = [effect for effect in effects if effect[0] in places]
    large = [effect for effect in asked if not _is_tiny(effect, cells, units)]
    counted = [effect for effect in large if set(effect) <= set(known)]
    published = np.array([cell.published for cell in cells])
    ordered = metric is not None and len(known) >= LEAST_CONDITIONS
    return Replication(
        metric=metric,
        n_effects=len(counted),
        n_tiny=len(asked) - len(large),
        n_open=len(large) - len(counted),
        n_conditions=len({cells[place].group.name for place in known}),
        n_seeds=n_seeds,
        same_sign=scores.estimate(partial(_same_sign, published, counted)) if counted else None,
        kendall=scores.estimate(partial(_kendall, published, known)) if ordered else None,
        spearman=scores.estimate(partial(_spearman, published, known)) if ordered else None,
    )


def _is_tiny(effect: Effect, cells: Sequence[_Cell], units: Metrics) -> bool:
    ours, theirs = (cells[place] for place in effect)
    least = TINY if units.of(ours.metric).is_fraction else 0.0
    difference = abs(round(ours.published - theirs.published, _DECIMALS))
    return difference < least or difference == 0


# The statistics: of means (n_draws, n_cells), one a draw.


def _same_sign(published: Array, effects: Sequence[Effect], means: Array) -> Array:
    """The share of effects on the published side of zero."""
    first, second = np.array(effects).T
    theirs = np.sign(published[first] - published[second])
    ours = np.sign(np.round(means[:, first] - means[:, second], _DECIMALS))
    shares: Array = (ours == theirs).mean(axis=1)
    shares[np.isnan(means[:, first] - means[:, second]).any(axis=1)] = np.nan
    return shares


def _signs(values: Array) -> Array:
    """(n_draws, n, n): the sign of each value less each other."""
    return np.sign(np.round(values[:, :, None] - values[:, None, :], _DECIMALS))


def _kendall(published: Array, places: Sequence[int], means: Array) -> Array:
    """Tau-b: concordant less discordant pairs, over the root of the pairs not tied in either."""
    return _correlation(_signs(published[None, places]), _signs(means[:, places]))


def _spearman(published: Array, places: Sequence[int], means: Array) -> Array:
    """Pearson's correlation of the ranks; a rank is, but for a constant, half the sum of the signs."""
    theirs, ours = _signs(published[None, places]), _signs(means[:, places])
    return _correlation(theirs.sum(axis=2, keepdims=True), ours.sum(axis=2, keepdims=True))


def _correlation(theirs: Array, ours: Array) -> Array:
    """Of entries that sum to zero; NaN where either are all zero."""
    products = (theirs * ours).sum(axis=(1, 2))
    norms = np.sqrt((theirs**2).sum(axis=(1, 2)) * (ours**2).sum(axis=(1, 2)))
    correlations = np.full(products.shape, np.nan)
    np.divide(products, norms, out=correlations, where=norms > 0)
    return correlations


# What other seeds and items could have made of the means.


def _draw(cells: Sequence[_Cell], scored: Sequence[_Cell], seeds: Sequence[int], seed: int) -> _Scores:
    """Means over the seeds that all have or, where there is no such seed, over those of each."""
    places = [cells.index(cell) for cell in scored]
    by_cell = [cell.group.scores(cell.metric) for cell in scored]
    means = np.full(len(cells), np.nan)
    if len(seeds) < 2:
        means[places] = [math.fsum(scores.values()) / len(scores) for scores in by_cell]
        return _Scores(means, None, None)
    rng = np.random.default_rng(seed)
    by_seed = np.array([[scores[each] for each in seeds] for scores in by_cell])
    means[places] = by_seed.mean(axis=1)
    own = (by_seed - by_seed.mean(axis=1, keepdims=True)).T / math.sqrt(len(seeds) * (len(seeds) - 1))
    over_seeds = np.tile(means, (DRAWS, 1))
    over_seeds[:, places] += _weighted(own, len(seeds) - 1, rng)
    by_item = _by_item(scored, seeds)
    if by_item is None:
        return _Scores(means, over_seeds, None)
    over_both = over_seeds.copy()
    over_both[:, places] += _weighted(*by_item, rng)
    return _Scores(means, over_seeds, over_both)


def _weighted(own: Array, degrees: float, rng: np.random.Generator) -> Array:
    """(DRAWS, n_cells): sums of ``own`` (n, n_cells) with normal weights, spread as Student's t is."""
    normal = rng.standard_normal((DRAWS, len(own)))
    scale = np.sqrt(rng.chisquare(degrees, (DRAWS, 1)) / degrees)
    return (normal / scale) @ own


def _by_item(scored: Sequence[_Cell], seeds: Sequence[int]) -> tuple[Array, float] | None:
    """What each item has in the means, (n_items, n_cells), and degrees of freedom; NaN where no counts say.

    None where no cell has any, or the runs were scored on different items.
    """
    counts = Counts()
    told = [_items_of(cell, seeds, counts) for cell in scored]
    found = [runs for runs in told if runs]
    if not found or len({run.names for runs in found for run in runs}) > 1:
        return None
    n_items = len(found[0][0].names)
    without = np.full((n_items, len(scored)), np.nan)
    for place, runs in enumerate(told):
        if runs:
            without[:, place] = np.mean([run.without for run in runs], axis=0)
    exposure = np.mean([run.exposure for runs in found for run in runs], axis=0)
    own = (without - without.mean(axis=0)) * math.sqrt((n_items - 1) / n_items)
    return own, max(1.0, effective(exposure) - 1)


def _items_of(cell: _Cell, seeds: Sequence[int], counts: Counts) -> list[ItemScores]:
    """One a seed; none where a run does not say."""
    try:
        return [counts.of(run, cell.metric) for run in cell.group.of_seeds(seeds).values()]
    except NotByItem:
        return []


# As people read it.


def sentences(found: Sequence[Replication], units: Metrics) -> list[str]:
    """A sentence a metric, and how to read them."""
    if not found:
        return []
    return [*(_sentence(each, units) for each in found), _legend(found)]


def _sentence(found: Replication, units: Metrics) -> str:
    what = "all of these metrics" if found.metric is None else units.label(found.metric)
    parts = []
    if found.same_sign is not None:
        n_same = round(found.same_sign.value * found.n_effects)
        parts.append(
            f"{n_same} of {found.n_effects} effects have the published sign, "
            f"{_number(found.same_sign, 100, 0)} %"
        )
    if found.kendall is not None and found.spearman is not None:
        order = (
            f"Kendall's tau {_number(found.kendall, 1, 2)}, Spearman's rho {_number(found.spearman, 1, 2)}"
        )
        parts.append(f"the order of {found.n_conditions} conditions has {order}")
    left = [f"{found.n_tiny} too small"] * bool(found.n_tiny)
    left += [f"{found.n_open} without a score"] * bool(found.n_open)
    note = f" (effects not counted: {', '.join(left)})" if left else ""
    return f"Replication, {what}: {'; '.join(parts) or 'nothing to count'}{note}."


def _number(estimate: Estimate, factor: float, decimals: int) -> str:
    """A value with its intervals: ``88 [75, 100; 63, 100]``, over both last."""
    limits = [each for each in (estimate.over_seeds, estimate.over_both) if each is not None]
    shown = "; ".join(", ".join(f"{factor * end + 0.0:.{decimals}f}" for end in each) for each in limits)
    return f"{factor * estimate.value + 0.0:.{decimals}f}" + (f" [{shown}]" if shown else "")


def _legend(found: Sequence[Replication]) -> str:
    estimates = [each.same_sign or each.kendall for each in found]
    both = any(estimate is not None and estimate.over_both for estimate in estimates)
    seeds = any(estimate is not None and estimate.over_seeds for estimate in estimates)
    over = ""
    if seeds:
        over = f" In brackets: the 95 % CI over seeds{', then over seeds and items' * both}."
    return (
        "Effects: each condition less the baseline, and what the claims compare; published ones under "
        f"{100 * TINY:g} points are too small to count.{over}"
    )
