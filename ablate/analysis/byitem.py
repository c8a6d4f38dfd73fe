"""Differences of conditions by seed and item, from the counts that runs keep of each item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ablate.analysis.cells import score
from ablate.analysis.crossed import Array, Chance, Over, Spread, chance, item_draws, percentile, spread
from ablate.analysis.intervals import Difference, upper_p
from ablate.analysis.query import RunRecord
from ablate.ground.errors import StoreError
from ablate.subject.items import Items, Terms

RESCORE = "`ablate rescore STUDY` counts them from the kept weights"
_TOLERANCE = 1e-6  # between a stored score and that of the counts


class NotByItem(ValueError):
    """Why nothing can be said of other items, as it stands behind "since"."""


@dataclass(frozen=True, eq=False)
class ItemScores:
    """A metric of one run by item, items in the order of their names; ``kind`` is what one is called."""

    kind: str
    names: tuple[str, ...]
    terms: Terms
    score: float
    without: Array
    alone: Array
    exposure: Array


class Counts:
    """The counts by item of a study's runs, each read once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], ItemScores] = {}

    def of(self, run: RunRecord, metric: str) -> ItemScores:
        """A metric of a run by item. Raises NotByItem where the run does not say."""
        key = (run.run_id, metric)
        if key not in self._found:
            self._found[key] = _item_scores(run, metric)
        return self._found[key]


def kept(run: RunRecord) -> Items | None:
    """The counts of a run; None where it keeps none. Raises NotByItem for damaged ones."""
    try:
        return run.items
    except StoreError as error:
        raise NotByItem(str(error)) from error


def _item_scores(run: RunRecord, metric: str) -> ItemScores:
    items = kept(run)
    if items is None:
        raise NotByItem(f"runs keep no counts by item; {RESCORE}")
    terms = items.terms(metric)
    if terms is None:
        raise NotByItem(f"the score is not made of counts by {items.kind}")
    if len(items) < 2:
        raise NotByItem(f"there is one {items.kind} only")
    stored, counted = score(run, metric), items.score(metric)
    if stored is None or counted is None or abs(stored - counted) > _TOLERANCE * max(1.0, abs(stored)):
        raise NotByItem(f"the counts by {items.kind} give another score than the stored one")
    rows = sorted(range(len(items)), key=lambda row: items.names[row])
    terms = Terms(terms.above[rows], terms.below[rows], terms.occurs[rows])
    without = terms.without_each()
    if np.isnan(without).any():
        raise NotByItem(f"one {items.kind} has all that there is to score")
    names = tuple(items.names[row] for row in rows)
    return ItemScores(items.kind, names, terms, counted, without, terms.alone(), terms.exposure())


@dataclass(frozen=True, eq=False)
class Crossed:
    """Two sides scored with the same seeds on the same items, the first of which is to be the better.

    ``sign`` is -1 where less is better.
    """

    ours: tuple[ItemScores, ...]
    theirs: tuple[ItemScores, ...]
    sign: int

    @property
    def kind(self) -> str:
        return self.ours[0].kind

    @cached_property
    def spread(self) -> Spread:
        exposures = [side.exposure for side in (*self.ours, *self.theirs)]
        differences = _columns([side.score for side in self.ours]) - [side.score for side in self.theirs]
        without = _columns([side.without for side in self.ours])
        without = without - _columns([side.without for side in self.theirs])
        return spread(differences, without, np.mean(exposures, axis=0))

    @cached_property
    def chance(self) -> Chance | None:
        """That our side is better on another item with another seed; None where no item has the metric."""
        ours, theirs = (_columns([side.alone for side in sides]) for sides in (self.ours, self.theirs))
        return chance(self.sign * ours, self.sign * theirs)

    def percentile(self, over: Over, seed: int) -> tuple[float, float] | None:
        """The interval of the crossed bootstrap."""
        weights = item_draws(len(self.ours[0].names), seed)
        ours, theirs = (
            _columns([side.terms.score(weights) for side in sides]) for sides in (self.ours, self.theirs)
        )
        return percentile(ours - theirs, over, seed)


def _columns(values: Sequence[Array] | Sequence[float]) -> Array:
    """A column, or a number, for each seed."""
    return np.stack([np.asarray(value, np.float64) for value in values], axis=-1)


def cross(
    ours: Mapping[int, RunRecord],
    theirs: Mapping[int, RunRecord],
    metrics: tuple[str, str],
    sign: int,
    counts: Counts,
) -> Crossed:
    """Runs of the same seeds by item, at least one, with the metric of either side.

    Raises NotByItem where the counts do not say, or the runs were scored on other items.
    """
    ours_scores = tuple(counts.of(run, metrics[0]) for _, run in sorted(ours.items()))
    theirs_scores = tuple(counts.of(run, metrics[1]) for _, run in sorted(theirs.items()))
    if len({side.names for side in (*ours_scores, *theirs_scores)}) > 1:
        raise NotByItem(f"runs were scored on different {ours_scores[0].kind}s")
    return Crossed(ours_scores, theirs_scores, sign)


def over_items(found: Difference, crossed: Crossed, over: Over) -> Difference:
    """A difference with the interval and the p over items, or over both, in place of those over seeds.

    Where there is no spread to tell, there is no interval.
    """
    width = crossed.spread.half_width(over)
    p = upper_p_over(found, crossed, over, abs(found.mean))
    return replace(
        found,
        ci_low=None if width is None else found.mean - width,
        ci_high=None if width is None else found.mean + width,
        p=None if p is None else min(1.0, 2 * p),
    )


def upper_p_over(found: Difference, crossed: Crossed, over: Over, distance: float) -> float | None:
    """One-sided p: how often a mean is ``distance`` above a bound, or further, where it lies at the bound.

    Over both, where seeds agree exactly: that of the items or of the sign-flip test, the larger. None where
    nothing tells.
    """
    if over != "both" or found.sd != 0:
        return crossed.spread.upper_p(over, distance)
    items = crossed.spread.upper_p("items", distance)
    return max(upper_p(distance, 0.0, found.n), items or 0.0)
