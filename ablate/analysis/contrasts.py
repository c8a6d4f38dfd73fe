"""Which contrasts the conditions of a study allow: those of a grid, of effects in company, of a ladder."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ablate.analysis.compare import Group
from ablate.analysis.grids import Axis, Cells, Level
from ablate.analysis.variance import TIMES

Kind = Literal["grid", "both", "ladder"]
Column = Literal["effect", "alone", "in company", "interaction"]


@dataclass(frozen=True)
class Contrast:
    """A sum of conditions with weights, which sum to zero: what ``label`` changes, in one column of a table.

    ``factors`` are those whose levels are contrasted.
    """

    label: str
    factors: tuple[str, ...]
    column: Column
    weights: tuple[tuple[Group, float], ...]


@dataclass(frozen=True)
class Trace:
    """What is drawn of an interaction: for each line, the conditions of each of ``ticks``, to be averaged."""

    factor: str
    other: str
    ticks: tuple[str, ...]
    lines: Mapping[str, tuple[tuple[Group, ...], ...]]


@dataclass(frozen=True)
class Plan:
    """What can be said of a study. ``traces`` are by the factors of an interaction.

    ``grid`` is the condition of each cell, the last axis varying fastest; empty where there is no grid.
    ``stand_ins`` maps cells of it to the condition that is the same training.
    """

    kind: Kind
    columns: tuple[Column, ...]
    contrasts: tuple[Contrast, ...]
    traces: Mapping[tuple[str, ...], Trace]
    grid: tuple[Group, ...] = ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> list[Group]:
        """The conditions that are contrasted, each once."""
        used = [group for contrast in self.contrasts for group, _ in contrast.weights]
        return list({group.first.condition_id: group for group in used}.values())


def plan_contrasts(cells: Cells) -> list[Plan]:
    """The contrasts of the first design that the conditions complete; none where they complete none.

    Two or three factors of two levels are both a grid and of the design "both", and then told as either.
    """
    plans = [plan for make in _PLANS if (plan := make(cells)) is not None]
    return plans[:1] + [
        plan for plan in plans[1:] if plan.kind == "both" and len(plan.groups) == len(cells.groups)
    ]


# A grid: every combination of the levels.


def _grid(cells: Cells) -> Plan | None:
    if not cells.is_full():
        return None
    found = {levels: group for levels, group in cells.grid() if group is not None}
    pairs = list(itertools.combinations(range(len(cells.axes)), 2))
    return Plan(
        "grid",
        ("effect",),
        (
            *(each for place in range(len(cells.axes)) for each in _main_effects(cells.axes, place, found)),
            *(each for one, other in pairs for each in _interactions(cells.axes, one, other, found)),
        ),
        {
            (cells.axes[one].name, cells.axes[other].name): _trace(cells, one, other, found)
            for one, other in pairs
        },
        tuple(found.values()),
        {
            cells.label(levels): group.name
            for levels, group in found.items()
            if not _has_levels(group, cells.axes, levels)
        },
    )


def _has_levels(group: Group, axes: Sequence[Axis], levels: Sequence[Level]) -> bool:
    return all(axis.level(group.first.config) == level for axis, level in zip(axes, levels, strict=True))


def _main_effects(
    axes: Sequence[Axis], place: int, found: Mapping[tuple[Level, ...], Group]
) -> Iterator[Contrast]:
    """Each level less the first, averaged over all levels of the other axes."""
    axis = axes[place]
    share = 1 / (len(found) // len(axis.levels))
    for level in axis.levels[1:]:
        signs = {level: share, axis.levels[0]: -share}
        weights = [(group, signs[cell[place]]) for cell, group in found.items() if cell[place] in signs]
        yield Contrast(axis.label(level), (axis.name,), "effect", tuple(weights))


def _interactions(
    axes: Sequence[Axis], one: int, other: int, found: Mapping[tuple[Level, ...], Group]
) -> Iterator[Contrast]:
    """For each pair of levels, how much the effect of one differs between the other and its first level."""
    first, second = axes[one], axes[other]
    share = 1 / (len(found) // (len(first.levels) * len(second.levels)))
    for level, partner in itertools.product(first.levels[1:], second.levels[1:]):
        signs = {level: 1, first.levels[0]: -1}
        partners = {partner: share, second.levels[0]: -share}
        weights = [
            (group, signs[cell[one]] * partners[cell[other]])
            for cell, group in found.items()
            if cell[one] in signs and cell[other] in partners
        ]
        label = f"{first.label(level)}{TIMES}{second.label(partner)}"
        yield Contrast(label, (first.name, second.name), "effect", tuple(weights))


def _trace(cells: Cells, one: int, other: int, found: Mapping[tuple[Level, ...], Group]) -> Trace:
    """Along the factor with more levels, a line for each level of the other one."""
    if len(cells.axes[other].levels) > len(cells.axes[one].levels):
        one, other = other, one
    along, across = cells.axes[one], cells.axes[other]
    levels = _rising(along.levels)
    return Trace(
        along.name,
        across.name,
        tuple(map(along.tick, levels)),
        {
            across.label(partner): tuple(
                tuple(group for cell, group in found.items() if (cell[one], cell[other]) == (level, partner))
                for level in levels
            )
            for partner in across.levels
        },
    )


def _rising(levels: Sequence[Level]) -> list[Level]:
    """Numbers in their order, words in the study's."""
    return sorted(levels) if all(map(_is_number, itertools.chain(*levels))) else list(levels)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# Alone and in company: one factor at a time, and one factor left out of all.


def _both(cells: Cells) -> Plan | None:
    if len(cells.axes) < 2:
        return None
    for group in cells.groups:
        inside = cells.changes(group)
        if len(inside) == len(cells.axes):
            plan = _company(cells, group, inside)
            if plan is not None:
                return plan
    return None


def _company(cells: Cells, full: Group, inside: Mapping[str, Level]) -> Plan | None:
    """What each axis does to the baseline, and to the full system, whose levels are ``inside``."""
    base = cells.find({})
    contrasts: list[Contrast] = []
    traces: dict[tuple[str, ...], Trace] = {}
    for axis in cells.axes:
        level = inside[axis.name]
        alone = cells.find({axis.name: level})
        without = cells.find({name: other for name, other in inside.items() if name != axis.name})
        if base is None or alone is None or without is None:
            return None
        label, factors = axis.label(level), (axis.name,)
        contrasts += [
            Contrast(label, factors, "alone", ((alone, 1), (base, -1))),
            Contrast(label, factors, "in company", ((full, 1), (without, -1))),
            Contrast(label, factors, "interaction", ((full, 1), (without, -1), (alone, -1), (base, 1))),
        ]
        lines = {
            "others as in the baseline": ((base,), (alone,)),
            "others as in the full system": ((without,), (full,)),
        }
        ticks = (axis.tick(axis.levels[0]), axis.tick(level))
        traces[factors] = Trace(axis.name, "the others", ticks, lines)
    return Plan("both", ("alone", "in company", "interaction"), tuple(contrasts), traces)


# A ladder: each condition has one change more than the one before.


def _ladder(cells: Cells) -> Plan | None:
    rungs = sorted(cells.groups, key=lambda group: len(cells.changes(group)))
    contrasts = []
    for height, (lower, upper) in enumerate(itertools.pairwise(rungs)):
        before, after = cells.changes(lower), cells.changes(upper)
        new = {name: level for name, level in after.items() if name not in before}
        if len(before) != height or len(new) != 1 or before.items() - after.items():
            return None
        axis = next(axis for axis in cells.axes if axis.name in new)
        contrasts.append(
            Contrast(f"+ {axis.label(new[axis.name])}", (axis.name,), "effect", ((upper, 1), (lower, -1)))
        )
    return Plan("ladder", ("effect",), tuple(contrasts), {}) if contrasts else None


_PLANS = (_grid, _both, _ladder)
