"""Pictures. Colours are never the only cue.

Every function takes plain numbers and returns a figure of its own, without pyplot and its list of all
figures. ``save`` writes one to a file; ``inline_svg`` gives the SVG to put into a page, whose ink and paper
then follow the page's light or dark.
"""

import io
import math
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ablate.analysis.intervals import Difference, Summary
from ablate.ground.colours import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    RULE,
    SHADE,
    SKY,
    VERMILION,
)

LINES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o"},
    {"color": ORANGE, "marker": "s"},
    {"color": GREEN, "marker": "^"},
    {"color": VERMILION, "marker": "D"},
    {"color": PURPLE, "marker": "v"},
    {"color": SKY, "marker": "P"},
)
NEAR_BLACK = "#010101"  # on cells, whatever the page; SVG leaves black itself to the page
WIDTH_INCHES = 7.6  # the text of a printed page
TITLE_CHARACTERS = 22  # of a line above one of four panels
SMALL, NORMAL = 7.0, 8.5  # points; read at the size of the page

# What a page's style sheet decides: each colour of ours, and the name that the page has for it.
PAGE_COLOURS = {
    INK: "--ink",
    GREY: "--muted",
    RULE: "--rule",
    SHADE: "--shade",
    PAPER: "--paper",
    BLUE: "--blue",
    ORANGE: "--orange",
}

Matrix = npt.NDArray[np.float64]


def confusion_matrices(matrices: Mapping[str, Matrix], labels: Sequence[str]) -> Figure:
    """For each condition the share, in %, of a true class's items by predicted class.

    ``matrices`` has (n_classes, n_classes) for each condition, rows true, fractions; NaN where a class never
    occurs.
    """
    return _heat_maps(matrices, labels, "recall in %", "Blues", (0.0, 100.0), "{:.1f}")


def confusion_differences(matrices: Mapping[str, Matrix], labels: Sequence[str], baseline: str) -> Figure:
    """``matrices`` less the one of the baseline, in percentage points; white is no difference."""
    differences = {name: matrix - matrices[baseline] for name, matrix in matrices.items() if name != baseline}
    largest = max((float(np.nanmax(np.abs(matrix))) for matrix in differences.values()), default=0.0)
    limit = 100 * max(largest, 0.01)
    title = f"difference from {_literal(baseline)}, percentage points"
    return _heat_maps(differences, labels, title, "RdBu_r", (-limit, limit), "{:+.1f}")


MAX_LABELLED_CLASSES = 10  # beyond it the numbers in the cells would touch


def _heat_maps(
    matrices: Mapping[str, Matrix],
    labels: Sequence[str],
    title: str,
    colours: str,
    limits: tuple[float, float],
    form: str,
) -> Figure:
    """A panel for each condition, side by side in rows, with one colour bar."""
    columns = _columns(len(matrices))
    rows = max(1, math.ceil(len(matrices) / columns))
    size = min(1.6, (WIDTH_INCHES - 1.4) / columns)
    figure = Figure(
        figsize=(size * columns + 1.9, (size + 0.2 + _title_inches(matrices)) * rows + 0.9),
        layout="constrained",
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    image = None
    for place, axes in enumerate(panels.flat):
        if place >= len(matrices):
            axes.set_visible(False)
            continue
        name = list(matrices)[place]
        image = _heat_map(axes, 100 * matrices[name], colours, limits, form)
        axes.set_title(_title(name), fontsize=NORMAL, color=INK)
        is_lowest = place // columns == rows - 1
        names = [_literal(label.replace("_", " ")) for label in labels]
        axes.set_xticks(range(len(labels)), names if is_lowest else [], fontsize=SMALL)
        axes.tick_params(axis="x", labelrotation=90)
        axes.set_yticks(range(len(labels)), names if place % columns == 0 else [], fontsize=SMALL)
    if image is not None:
        bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=30, pad=0.01)
        bar.set_label(title, fontsize=SMALL, color=INK)
        bar.ax.tick_params(labelsize=SMALL, colors=INK, length=2)
        bar.outline.set_visible(False)
    figure.supxlabel("predicted", fontsize=NORMAL, color=INK)
    figure.supylabel("true", fontsize=NORMAL, color=INK)
    return figure


def _heat_map(axes: Axes, values: Matrix, colours: str, limits: tuple[float, float], form: str) -> Any:
    """One matrix as cells with their numbers; the row of a class that never occurs is shaded."""
    low, high = limits
    axes.set_facecolor(SHADE)
    cells = np.ma.masked_invalid(values)
    # White lines between the cells hide the seams that some viewers draw there.
    image = axes.pcolormesh(
        np.arange(len(values) + 1) - 0.5,
        np.arange(len(values) + 1) - 0.5,
        cells,
        cmap=colours,
        vmin=low,
        vmax=high,
        edgecolors="white",
        linewidth=0.5,
    )
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    if len(values) <= MAX_LABELLED_CLASSES:
        for (row, column), value in np.ndenumerate(values):
            if not np.isfinite(value):
                axes.text(column, row, "-", ha="center", va="center", fontsize=SMALL, color=GREY)
                continue
            red, green, blue, _ = image.to_rgba(np.array([value]))[0]
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            text = form.format(value).replace("-", "−").replace("+0.0", "0").replace("−0.0", "0")
            axes.text(
                column, row, text, ha="center", va="center", fontsize=6.2,
                color="white" if dark else NEAR_BLACK,
            )  # fmt: skip
    return image


def forest(
    effects: Mapping[str, Mapping[str, Difference | None]],
    titles: Sequence[str],
    in_percent: Sequence[bool] = (),
) -> Figure:
    """Differences from the baseline: a row for each condition, a panel for each metric.

    ``effects`` maps a condition to its difference in each metric, in the order of ``titles``. ``in_percent``
    says which are fractions, by default all. A filled mark has a 95 % CI that excludes zero; a bare mark has
    no interval, as with one seed.
    """
    rows = len(effects)
    factors = [100 if fraction else 1 for fraction in in_percent or [True] * len(titles)]
    figure = Figure(figsize=(WIDTH_INCHES, 1.0 + 0.24 * rows), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for column, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        _bands(axes, rows)
        axes.axvline(0, color=GREY, linewidth=0.9, zorder=1)
        for row, differences in enumerate(effects.values()):
            _effect(axes, row, list(differences.values())[column], factors[column])
        axes.set_title(title, fontsize=NORMAL, color=INK)
        axes.margins(x=0.08)
        plain_axes(axes, keep=("bottom",))
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(rows), list(map(_literal, effects)), fontsize=NORMAL)
    panels[0].set_ylim(rows - 0.5, -0.5)
    unit = " in percentage points" if set(factors) == {100} else ""
    figure.supxlabel(f"difference{unit}, with 95 % CI", fontsize=NORMAL, color=INK)
    return figure


def _effect(axes: Axes, row: int, difference: Difference | None, factor: int) -> None:
    if difference is None:
        axes.text(
            0.5, row, "no value", transform=axes.get_yaxis_transform(), ha="center", va="center",
            fontsize=6, color=GREY,
        )  # fmt: skip
        return
    mean = factor * difference.mean
    if difference.ci_low is not None and difference.ci_high is not None:
        low, high = factor * difference.ci_low, factor * difference.ci_high
        axes.hlines(row, low, high, color=BLUE, linewidth=1.6)
    sure = difference.direction != 0
    face = BLUE if sure else PAPER
    axes.plot([mean], [row], "o", markersize=5.5, color=BLUE, markerfacecolor=face, markeredgewidth=1.3)


@dataclass(frozen=True)
class Curve:
    """A metric over a numeric factor under fixed levels of the others. ``levels`` rise; none is negative."""

    label: str
    levels: tuple[float, ...]
    scores: tuple[Summary, ...]


def factor_curves(
    panels: Mapping[str, Sequence[Curve]],
    factor: str,
    references: Mapping[str, tuple[str, Summary]],
    as_stored: Collection[str] = (),
) -> Figure:
    """Metrics over the levels of a factor: lines of means with the 95 % CI as a band.

    ``panels`` maps a metric's title to its lines; ``references`` may have a condition without the factor,
    such as the baseline of a study of lambda, by its name and score: a dotted line. The axis is logarithmic
    when the levels span more than a decade; 0 then stands to the left of a break. Metrics are fractions and
    drawn in per cent, where intervals of few seeds that go beyond what a score can be are cut off; those
    titled in ``as_stored`` are not.
    """
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH_INCHES, 0.6 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    levels = sorted({level for curves in panels.values() for curve in curves for level in curve.levels})
    labels = list(dict.fromkeys(curve.label for curves in panels.values() for curve in curves))
    styles = {label: LINES[place % len(LINES)] for place, label in enumerate(labels)}
    handles: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        title = list(panels)[place]
        scale = 1 if title in as_stored else 100
        if title in references:
            name, score = references[title]
            handles[name] = axes.axhline(scale * score.mean, color=GREY, linestyle=":", linewidth=1.4)
        positions = _level_axis(axes, levels)
        for curve in panels[title]:
            _draw_curve(axes, curve, scale, positions, styles[curve.label])
            handles[curve.label] = Line2D([], [], linewidth=1.5, markersize=5, **styles[curve.label])
        if title not in as_stored:
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, SCORE_RANGE[0]), min(high, SCORE_RANGE[1]))
        axes.set_title(title if title in as_stored else f"{title} (%)", fontsize=NORMAL, color=INK)
        axes.set_xlabel(factor, fontsize=NORMAL, color=INK)
        plain_axes(axes, keep=("bottom", "left"))
    figure.legend(
        list(handles.values()), list(map(_literal, handles)), loc="outside upper center",
        ncols=min(4, len(handles)), frameon=False, fontsize=NORMAL, labelcolor=INK,
    )  # fmt: skip
    return figure


SCORE_RANGE = (-4.0, 104.0)  # per cent, with room for a mark at either end
MAX_TICK_LABELS = 8
MAX_TICKS = 64  # beyond it they are a bar, and take seconds to draw
MAX_ERROR_BARS = 12  # levels; beyond it the bars hide the lines, and the band alone has to do


def _level_axis(axes: Axes, levels: Sequence[float]) -> dict[float, float]:
    """Prepare the axis; returns where each level stands on it."""
    positive = [level for level in levels if level > 0]
    if len(positive) < 2 or positive[-1] / positive[0] <= 10:
        same = {level: level for level in levels}
        _set_ticks(axes, same)
        return same
    positions = {level: math.log10(level) for level in positive}
    ticks = dict(positions)
    if levels[0] == 0:
        lowest, span = positions[positive[0]], positions[positive[-1]] - positions[positive[0]]
        gap = max(0.6, 0.16 * span)
        ticks[0.0] = positions[0.0] = lowest - gap
        _axis_break(axes, lowest - gap / 2)
    _set_ticks(axes, ticks)
    return positions


def _set_ticks(axes: Axes, ticks: Mapping[float, float]) -> None:
    """A mark for each level, and a label where there is room; of very many levels only marks with labels."""
    labelled = _thinned(ticks)
    marked = (
        ticks if len(ticks) <= MAX_TICKS else {level: ticks[level] for level in ticks if level in labelled}
    )
    axes.set_xticks(list(marked.values()), [f"{level:g}" * (level in labelled) for level in marked])


def _thinned(ticks: Mapping[float, float]) -> set[float]:
    """The levels whose labels fit side by side: of close neighbours, the first."""
    apart = (max(ticks.values()) - min(ticks.values())) / MAX_TICK_LABELS
    kept: dict[float, float] = {}
    for level, place in sorted(ticks.items()):
        if not kept or place - max(kept.values()) >= apart:
            kept[level] = place
    return set(kept)


def _axis_break(axes: Axes, place: float) -> None:
    """Two strokes across the axis: what lies left of it, zero, is infinitely far away on a log scale."""
    for shift in (-2, 2):
        axes.annotate(
            "/", (place, 0), xycoords=axes.get_xaxis_transform(), xytext=(shift, 0),
            textcoords="offset points", ha="center", va="center", fontsize=NORMAL, color=INK,
        )  # fmt: skip


def _draw_curve(
    axes: Axes, curve: Curve, scale: int, positions: Mapping[float, float], style: Mapping[str, Any]
) -> None:
    x = np.array([positions[level] for level in curve.levels])
    mean = scale * np.array([score.mean for score in curve.scores])
    low = scale * np.array([np.nan if score.ci_low is None else score.ci_low for score in curve.scores])
    high = scale * np.array([np.nan if score.ci_high is None else score.ci_high for score in curve.scores])
    is_broken = len(x) > 1 and curve.levels[0] == 0 and positions[0.0] != 0
    start = 1 if is_broken else 0
    color = style["color"]
    axes.fill_between(x[start:], low[start:], high[start:], color=color, alpha=0.16, linewidth=0)
    if len(x) <= MAX_ERROR_BARS:
        margins = np.abs([mean - low, high - mean])
        axes.errorbar(x, mean, yerr=margins, fmt="none", ecolor=color, elinewidth=0.9, capsize=2)
    if is_broken:
        axes.plot(x[:2], mean[:2], color=color, linewidth=1.0, linestyle=(0, (2, 2)))
    axes.plot(x[start:], mean[start:], color=color, linewidth=1.5)
    size = 5 if len(x) <= MAX_ERROR_BARS else 2.5
    axes.plot(x, mean, linestyle="none", markersize=size, **style)


@dataclass(frozen=True)
class Panel:
    """Lines of means over the levels of a factor, to be read side by side: label -> a mean for each tick."""

    title: str
    factor: str
    ticks: tuple[str, ...]
    lines: Mapping[str, Sequence[Summary]]
    is_fraction: bool = True


def interactions(panels: Sequence[Panel]) -> Figure:
    """Pairs of factors that depend on each other: were they independent, the lines would be parallel.

    Means with their 95 % CIs, which stand beside each other at each level. Fractions are drawn in per cent.
    """
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(
        figsize=(WIDTH_INCHES * (1 if columns > 1 else 0.6), 0.3 + 2.9 * rows), layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        _panel(axes, panels[place])
    return figure


TICK_CHARACTERS = 40  # of all labels below a panel; more are written aslant
APART = 0.07  # of the distance between two levels, so that intervals do not hide each other


def _panel(axes: Axes, panel: Panel) -> None:
    scale = 100 if panel.is_fraction else 1
    middle = (len(panel.lines) - 1) / 2
    for place, (label, scores) in enumerate(panel.lines.items()):
        style = LINES[place % len(LINES)]
        x = np.arange(len(scores)) + APART * (place - middle)
        mean = scale * np.array([score.mean for score in scores])
        low = scale * np.array([np.nan if score.ci_low is None else score.ci_low for score in scores])
        high = scale * np.array([np.nan if score.ci_high is None else score.ci_high for score in scores])
        axes.errorbar(
            x,
            mean,
            yerr=[mean - low, high - mean],
            fmt="none",
            ecolor=style["color"],
            elinewidth=0.9,
            capsize=2,
        )
        axes.plot(x, mean, linewidth=1.5, markersize=5, label=_literal(label), **style)
    is_crowded = sum(map(len, panel.ticks)) > TICK_CHARACTERS
    axes.set_xticks(
        range(len(panel.ticks)), list(map(_literal, panel.ticks)), rotation=30 if is_crowded else 0
    )
    axes.set_xlim(-0.4, len(panel.ticks) - 0.6)
    axes.set_title(_literal(panel.title), fontsize=NORMAL, color=INK)
    axes.set_xlabel(_literal(panel.factor), fontsize=NORMAL, color=INK)
    plain_axes(axes, keep=("bottom", "left"))
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2 if len(panel.lines) > 2 else 1, frameon=False,
        fontsize=SMALL, labelcolor=INK,
    )  # fmt: skip


def class_changes(
    scores: Mapping[str, Sequence[float | None]], labels: Sequence[str], baseline: str, what: str = "F"
) -> Figure:
    """A score of each class: from the baseline's (bar) to each condition's (mark), a panel each.

    ``scores`` maps a condition to its mean for each label, fractions; None where undefined. ``what`` it is
    stands below.
    """
    names = [name for name in scores if name != baseline]
    columns = _columns(len(names))
    rows = max(1, math.ceil(len(names) / columns))
    height = rows * (0.25 + _title_inches(names) + 0.135 * len(labels)) + 0.7
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(panels.flat):
        if place >= len(names):
            axes.set_visible(False)
            continue
        _changes(axes, scores[baseline], scores[names[place]])
        axes.set_title(_title(names[place]), fontsize=NORMAL, color=INK)
        if place + columns >= len(names):
            axes.tick_params(axis="x", labelbottom=True)
    for row in panels:
        row[0].set_yticks(
            range(len(labels)), [_literal(label.replace("_", " ")) for label in labels], fontsize=6.5
        )
    panels[0][0].set_ylim(len(labels) - 0.4, -0.6)
    panels[0][0].set_xlim(-4, 104)
    figure.supxlabel(
        f"{what} in %: from {_literal(baseline)} (bar) up (disc) or down (open square)",
        fontsize=NORMAL,
        color=INK,
    )
    return figure


def _changes(axes: Axes, before: Sequence[float | None], after: Sequence[float | None]) -> None:
    _bands(axes, len(before))
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if old is None or new is None:
            continue
        rises = new >= old
        color = BLUE if rises else ORANGE
        axes.hlines(row, 100 * old, 100 * new, color=color, linewidth=1.5, zorder=2)
        axes.plot([100 * old], [row], "|", color=INK, markersize=5, markeredgewidth=1.1, zorder=3)
        axes.plot(
            [100 * new], [row], "o" if rises else "s", color=color, markersize=3.4, zorder=3,
            markerfacecolor=color if rises else PAPER,
        )  # fmt: skip
    plain_axes(axes, keep=("bottom",))
    axes.tick_params(axis="y", length=0)


@dataclass(frozen=True)
class Learning:
    """A condition's curves, (n_seeds, n_epochs) each; a seed that is shorter ends in NaN."""

    curves: Mapping[str, Matrix]


CURVE_STYLES: Sequence[Mapping[str, Any]] = [
    {"color": color, "linestyle": dash} for dash in ("-", (0, (4, 1.5)), ":") for color in (BLUE, ORANGE, INK)
]
# The first two are told apart without colours too.
CURVE_STYLES = [CURVE_STYLES[0], CURVE_STYLES[4], *CURVE_STYLES[1:4], *CURVE_STYLES[5:]]


def learning_curves(conditions: Mapping[str, Learning], baseline: str | None = None) -> Figure:
    """Curves over epochs, a panel for each condition: the mean over seeds, and a band from least to greatest.

    The baseline's means stand behind every panel as thin grey lines.
    """
    columns = _columns(len(conditions))
    rows = max(1, math.ceil(len(conditions) / columns))
    figure = Figure(
        figsize=(WIDTH_INCHES, 0.8 + (1.35 + _title_inches(conditions)) * rows), layout="constrained"
    )
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    handles: dict[str, Any] = {}
    titles = list(dict.fromkeys(title for each in conditions.values() for title in each.curves))
    styles = {title: CURVE_STYLES[place % len(CURVE_STYLES)] for place, title in enumerate(titles)}
    is_logarithmic = all(
        np.nanmin(values) > 0 for each in conditions.values() for values in each.curves.values()
    )
    for place, axes in enumerate(panels.flat):
        if place >= len(conditions):
            axes.set_visible(False)
            continue
        name = list(conditions)[place]
        if baseline in conditions and name != baseline:
            for values in conditions[str(baseline)].curves.values():
                line = axes.plot(_epochs(values), _mean(values), color=GREY, linewidth=0.8, zorder=1)
                handles[f"{baseline}"] = line[0]
        for title, values in conditions[name].curves.items():
            epochs, style = _epochs(values), styles[title]
            low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
            axes.fill_between(epochs, low, high, color=style["color"], alpha=0.25, linewidth=0)
            handles[title] = axes.plot(epochs, _mean(values), linewidth=1.5, **style)[0]
        axes.set_title(_title(name), fontsize=NORMAL, color=INK)
        if is_logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        plain_axes(axes, keep=("bottom", "left"))
        if place + columns >= len(conditions):
            axes.tick_params(axis="x", labelbottom=True)
    figure.supxlabel("epoch", fontsize=NORMAL, color=INK)
    what = "training loss" if all(title.endswith("loss") for title in titles) else "value"
    figure.supylabel(f"{what}{' (logarithmic)' * is_logarithmic}", fontsize=NORMAL, color=INK)
    figure.legend(
        list(handles.values()), list(map(_literal, handles)), loc="outside upper center", ncols=3,
        frameon=False, fontsize=NORMAL, labelcolor=INK,
    )  # fmt: skip
    return figure


def _epochs(values: Matrix) -> npt.NDArray[np.int64]:
    return np.arange(1, values.shape[1] + 1)


def _mean(values: Matrix) -> Matrix:
    means: Matrix = np.nanmean(values, axis=0)
    return means


def _columns(panels: int) -> int:
    """How many panels stand side by side: at most four, and three where that fills the last row better."""
    if panels <= 4:
        return max(1, panels)
    return min((4, 3), key=lambda columns: -panels % columns)


def _literal(name: str) -> str:
    """A user's name as it stands: to matplotlib, what is between two dollars is a formula."""
    return name.replace("$", r"\$")


def _title(name: str) -> str:
    """A condition's name in lines that fit above its panel: ``grl_pos=S1`` above ``lambda=0.1``."""
    lines = textwrap.wrap(name, TITLE_CHARACTERS, break_on_hyphens=False, break_long_words=False)
    return _literal("\n".join(lines))


def _title_inches(names: Iterable[str]) -> float:
    """The height of the tallest title."""
    return 0.15 * max((_title(name).count("\n") + 1 for name in names), default=1)


def _bands(axes: Axes, rows: int) -> None:
    """Every second row on a shade, to be followed by the eye."""
    for row in range(0, rows, 2):
        axes.axhspan(row - 0.5, row + 0.5, color=SHADE, linewidth=0, zorder=0)


def plain_axes(axes: Axes, keep: Sequence[str]) -> None:
    """No frame but the sides in ``keep``, and small ticks in our ink."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep)
        spine.set_color(RULE)
    axes.tick_params(labelsize=SMALL, length=2, colors=INK, which="both")
    axes.patch.set_alpha(0)


def save(figure: Figure, file: Path | BinaryIO, dots_per_inch: int = 200) -> None:
    """Writes the figure in the format of the path's suffix (``.png``, ``.pdf``, ``.svg``), else as PNG."""
    FigureCanvasAgg(figure)
    figure.savefig(file, dpi=dots_per_inch)


def inline_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element: text as text, no background, colours that the page can set.

    The same figure gives the same bytes. ``PAGE_COLOURS`` become ``var(--ink)`` and the like.
    """
    text = io.StringIO()
    FigureCanvasAgg(figure)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ablate"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # a page with several figures has every id once
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    for colour, name in PAGE_COLOURS.items():
        svg = svg.replace(colour.lower(), f"var({name}, {colour.lower()})")
    size = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', svg)
    assert size is not None, "matplotlib states the size of its figures"
    # On a screen a quarter larger than on paper, and nowhere wider than the page.
    style = f'style="width: {1.25 * float(size[1]):.0f}pt; max-width: 100%; height: auto"'
    return svg.replace(size[0], style, 1)
