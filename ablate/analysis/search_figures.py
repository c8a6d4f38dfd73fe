"""Pictures of a search: how its scores rose, and the front of two objectives."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablate.analysis.figures import NORMAL, SMALL, WIDTH_INCHES, plain_axes
from ablate.analysis.pictures import Picture
from ablate.analysis.searches import Search, Tried, front, hypervolumes, tally
from ablate.ground.colours import BLUE, GREY, INK, ORANGE, PAPER


def pictures(search: Search) -> Iterator[Picture]:
    """What can be drawn of a search; nothing before it has two scores."""
    if len(search.scored) < 2:
        return
    yield Picture(
        "search",
        "Scores by trial",
        f"{tally(search)}. Discs: the score of each condition that was tried; the line: the best so far"
        f"{_dotted(search)}. Strokes on the axis: trials that were given up, or failed. The scores are those "
        "that the search chose by.",
        history(search),
    )
    if len(search.objectives) == 2:
        yield Picture(
            "pareto",
            "Pareto front",
            "Each condition that was tried, by both objectives. Filled: those that none beats in both. "
            "Right: the share of the area between the worst and the best scores that they beat, by trial.",
            pareto(search),
        )


def _dotted(search: Search) -> str:
    return "; dotted: the baseline" if search.baseline is not None else ""


def history(search: Search) -> Figure:
    """A panel for each objective: scores by the number of the trial, and the best so far."""
    n = len(search.objectives)
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + 2.1 * n), layout="constrained")
    for place, axes in enumerate(figure.subplots(n, 1, sharex=True, squeeze=False)[:, 0]):
        _history(axes, search, place)
    return figure


def _history(axes: Axes, search: Search, place: int) -> None:
    factor = _factor(search, place)
    numbers = np.array([tried.number for tried in search.scored])
    values = factor * np.array([tried.values[place] for tried in search.scored if tried.values is not None])
    if search.baseline is not None and search.baseline.values is not None:
        axes.axhline(factor * search.baseline.values[place], color=GREY, linestyle=":", linewidth=1.4)
    accumulate = np.maximum.accumulate if search.signs[place] > 0 else np.minimum.accumulate
    best = accumulate(values)
    until = np.append(numbers, search.tried[-1].number)
    axes.step(until, np.append(best, best[-1]), where="post", color=ORANGE, linewidth=1.6)
    axes.plot(numbers, values, "o", color=BLUE, markersize=4)
    lost = [tried.number for tried in search.tried if tried.state in ("pruned", "failed")]
    axes.plot(lost, [0.02] * len(lost), "|", color=INK, markersize=7, transform=axes.get_xaxis_transform())
    axes.set_ylabel(_label(search, place), fontsize=NORMAL, color=INK)
    axes.set_xlabel("trial", fontsize=NORMAL, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_axes(axes, keep=("bottom", "left"))


def pareto(search: Search) -> Figure:
    """Left both objectives against each other, right the hypervolume by trial."""
    figure = Figure(figsize=(WIDTH_INCHES, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    line = front(search)
    left.plot(*_points(search, search.scored), "o", color=BLUE, markersize=4.5, markerfacecolor=PAPER)
    left.plot(*_points(search, line), "o-", color=BLUE, markersize=5.5, linewidth=1.2)
    if search.baseline is not None:
        left.plot(*_points(search, [search.baseline]), "D", color=ORANGE, markersize=5.5, label="baseline")
        left.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
    left.set_xlabel(_label(search, 0), fontsize=NORMAL, color=INK)
    left.set_ylabel(_label(search, 1), fontsize=NORMAL, color=INK)
    areas = 100 * np.array(hypervolumes(search))
    right.step(np.arange(len(areas)), areas, where="post", color=ORANGE, linewidth=1.6)
    right.set_ylim(-4, 104)
    right.set_xlabel("trial", fontsize=NORMAL, color=INK)
    right.set_ylabel("hypervolume (%)", fontsize=NORMAL, color=INK)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (left, right):
        plain_axes(axes, keep=("bottom", "left"))
    return figure


def _points(search: Search, tried: Sequence[Tried]) -> tuple[list[float], list[float]]:
    """The two objectives as they are drawn."""
    values = [each.values for each in tried if each.values is not None]
    first, second = ([_factor(search, place) * each[place] for each in values] for place in (0, 1))
    return first, second


def _factor(search: Search, place: int) -> int:
    return 100 if search.metrics.of(search.objectives[place]).is_fraction else 1


def _label(search: Search, place: int) -> str:
    name = search.objectives[place]
    unit = search.metrics.of(name).unit
    return search.metrics.label(name) + (f" ({unit})" if unit else "")
