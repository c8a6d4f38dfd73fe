"""What a study varies and how: grids of factors and levels, what varies together, and what is left out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ablate.design.conditions import show
from ablate.design.designs import DESIGNS, Axis, Design, Step
from ablate.ground.errors import ConfigError
from ablate.ground.filters import Matches, parse
from ablate.ground.wording import suggest
from ablate.subject.factors import Factor, Factors
from ablate.subject.settings import Config

FILTER_KINDS = "a factor or setting"


@dataclass(frozen=True)
class Exclusion:
    """Combinations that a study leaves out, and why. ``covers`` a configuration as the design asks for it."""

    covers: Callable[[Config], bool]
    why: str


def exclusion_of_levels(
    factors: Sequence[Factor], levels: Mapping[str, Sequence[Any]], why: str
) -> Exclusion:
    """What has one of ``levels`` (by name) of every one of ``factors``."""
    return Exclusion(partial(_has_levels, tuple(factors), levels), why)


def _has_levels(factors: Sequence[Factor], levels: Mapping[str, Sequence[Any]], config: Config) -> bool:
    return all(factor.level(config) in levels[factor.name] for factor in factors)


def exclusion_of_filter(text: str, known: Factors, why: str, option: str) -> Exclusion:
    """What a filter finds, whose names are factors and settings. Raises ConfigError, as ``filters.parse``."""
    names = list(dict.fromkeys([*known, *known.settings]))
    return Exclusion(partial(_matches, parse(text, names, option=option, kinds=FILTER_KINDS), known), why)


def _matches(matches: Matches, known: Factors, config: Config) -> bool:
    return matches({**config.flat(), **{name: factor.level(config) for name, factor in known.items()}})


@dataclass(frozen=True)
class Grid:
    """Factors over their levels (by the factor's name), combined by a design; all else is as in the base."""

    design: Design
    factors: tuple[Factor, ...]
    levels: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Flaw:
    """Something wrong with a layout. ``key`` is the option, and the key of a study file, that says it."""

    key: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.key} {self.value}: {self.why}"


class BadLayout(ConfigError):
    """Factors, levels and designs do not go together. Its problems name what is wrong as options."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = list(dict.fromkeys(flaws))
        super().__init__([f"--{flaw}" for flaw in self.flaws])


@dataclass(frozen=True)
class Layout:
    """Everything that decides which conditions a study has.

    ``zips`` are factors, by name, that vary together in every grid that has them. ``full`` is the level that
    the full system has of a factor, for the designs that ask for one.
    """

    grids: tuple[Grid, ...] = ()
    zips: tuple[tuple[str, ...], ...] = ()
    full: Mapping[str, Any] = field(default_factory=dict)
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Every factor that varies, in the order of the grids."""
        return tuple({factor.name: factor for grid in self.grids for factor in grid.factors}.values())

    @property
    def designs(self) -> tuple[Design, ...]:
        return tuple(grid.design for grid in self.grids)

    def axes(self, base: Config) -> list[list[Axis]]:
        """What varies as one in each grid. Raises BadLayout with all that is wrong."""
        flaws = [*_idle_zips(self), *_idle_full(self)]
        found = [list(_axes(grid, self, base, flaws)) for grid in self.grids]
        if flaws:
            raise BadLayout(flaws)
        return found

    def size(self, base: Config) -> int:
        """How many cells there are at most, without listing them. Raises BadLayout."""
        return sum(
            DESIGNS[grid.design].size(axes) for grid, axes in zip(self.grids, self.axes(base), strict=True)
        )

    def cells(self, base: Config) -> list[Config]:
        """The configurations that the designs ask for, each once, before any are found equivalent."""
        steps = (
            step
            for grid, axes in zip(self.grids, self.axes(base), strict=True)
            for step in DESIGNS[grid.design].cells(axes)
        )
        return list(dict.fromkeys(base.override(step) if step else base for step in steps))

    def remarks(self, base: Config) -> list[str]:
        """What has to be known of the designs to read what comes out, a sentence each."""
        return [
            sentence
            for grid, axes in zip(self.grids, self.axes(base), strict=True)
            for sentence in _remarks(grid, axes)
        ]


# From factors to axes.


def _axes(grid: Grid, layout: Layout, base: Config, flaws: list[Flaw]) -> Iterator[Axis]:
    for factors in _together(grid, layout, flaws):
        numbers = {factor.name: len(grid.levels[factor.name]) for factor in factors}
        if len(set(numbers.values())) > 1:
            counts = ", ".join(f"{name} has {number}" for name, number in numbers.items())
            flaws.append(Flaw("zip", ",".join(numbers), f"they need equally many levels, and {counts}"))
            continue
        steps = tuple(
            {factor.field: level for factor, level in zip(factors, levels, strict=True)}
            for levels in dict.fromkeys(zip(*(grid.levels[factor.name] for factor in factors), strict=True))
        )
        axis = Axis(steps, {factor.field: factor.level(base) for factor in factors})
        if DESIGNS[grid.design].needs_full:
            axis = replace(axis, inside=_inside(grid, factors, axis, layout.full, flaws))
        yield axis


def _together(grid: Grid, layout: Layout, flaws: list[Flaw]) -> list[list[Factor]]:
    """The grid's factors; those that vary together are one list, at the place of the first of them."""
    bundles = {factor.name: [factor] for factor in grid.factors}
    for names in layout.zips:
        if not set(names) <= set(grid.levels):
            continue
        if any(len(bundles.get(name, ())) != 1 for name in names):
            flaws.append(Flaw("zip", ",".join(names), "a factor is in another zip too; write one of both"))
            continue
        first, *others = (name for name in list(bundles) if name in names)
        bundles[first] += [factor for name in others for factor in bundles.pop(name)]
    return list(bundles.values())


def _inside(
    grid: Grid, factors: Sequence[Factor], axis: Axis, full: Mapping[str, Any], flaws: list[Flaw]
) -> Step | None:
    """The step of the full system: the only one that changes the baseline, or the one that ``full`` names."""
    name = "+".join(factor.name for factor in factors)
    wanted = {factor.field: full[factor.name] for factor in factors if factor.name in full}
    fitting = [step for step in axis.others if all(step[key] == level for key, level in wanted.items())]
    if len(fitting) == 1:
        return fitting[0]
    others = ", ".join(map(_level, axis.others))
    if not axis.others:
        why = f"factor '{name}' has no level but the baseline's, which adds nothing"
        flaws.append(Flaw("design", grid.design, why))
    elif not fitting:
        why = f"the full system has a level other than the baseline's, one of {others}"
        flaws.append(Flaw("full", f"{name}={_level(wanted)}", why))
    else:
        example = f"{factors[0].name}={show(fitting[0][factors[0].field])}"
        why = (
            f"factor '{name}' has several levels beside the baseline's ({others}); say which one the full "
            f"system has, such as --full {example}, or in a study file a line below [full]"
        )
        flaws.append(Flaw("design", grid.design, why))
    return None


def _level(step: Step) -> str:
    return "+".join(map(show, step.values()))


def _idle_zips(layout: Layout) -> Iterator[Flaw]:
    varied = [factor.name for factor in layout.factors]
    for names in layout.zips:
        if any(set(names) <= set(grid.levels) for grid in layout.grids):
            continue
        missing = [name for name in names if name not in varied]
        why = (
            f"'{missing[0]}' is not varied{suggest(missing[0], varied)}"
            if missing
            else "no grid has them all"
        )
        yield Flaw("zip", ",".join(names), why)


def _idle_full(layout: Layout) -> Iterator[Flaw]:
    varied = [factor.name for factor in layout.factors]
    for name, level in layout.full.items():
        designs = [grid.design for grid in layout.grids if name in grid.levels]
        if not designs:
            yield Flaw("full", f"{name}={show(level)}", f"'{name}' is not varied{suggest(name, varied)}")
        elif not any(DESIGNS[design].needs_full for design in designs):
            known = ", ".join(design for design, rule in DESIGNS.items() if rule.needs_full)
            why = f"design {designs[0]} has no full system; leave this out, or choose a design of {known}"
            yield Flaw("full", f"{name}={show(level)}", why)


def _remarks(grid: Grid, axes: Sequence[Axis]) -> Iterator[str]:
    names = {factor.field: factor.name for factor in grid.factors}
    added = [
        " ".join(f"{names[key]}={show(level)}" for key, level in axis.inside.items())
        for axis in axes
        if axis.inside is not None
    ]
    if grid.design == "ladder":
        yield f"the ladder adds {', then '.join(added)}; what a step shows depends on this order"
    elif added:
        yield f"the full system has {' '.join(added)}"


# What is left out.


@dataclass(frozen=True)
class Split:
    """Cells that are trained, and those left out with the reason of the first exclusion that covers them.

    ``idle`` are the places of the exclusions that cover none.
    """

    kept: list[Config]
    excluded: list[tuple[Config, str]]
    idle: list[int]


def split(cells: Sequence[Config], exclusions: Sequence[Exclusion]) -> Split:
    covers = [[exclusion.covers(cell) for exclusion in exclusions] for cell in cells]
    return Split(
        [cell for cell, covered in zip(cells, covers, strict=True) if not any(covered)],
        [
            (cell, exclusions[covered.index(True)].why)
            for cell, covered in zip(cells, covers, strict=True)
            if any(covered)
        ],
        [place for place in range(len(exclusions)) if not any(covered[place] for covered in covers)],
    )
