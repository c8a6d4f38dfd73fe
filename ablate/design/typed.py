"""What a user types of a study's layout, read: factors and their levels, designs, what varies together."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.design.designs import DESIGNS, Design
from ablate.design.layout import Exclusion, Grid, Layout, exclusion_of_filter
from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.wording import suggest
from ablate.subject.factors import Factor, Factors
from ablate.subject.settings import SEED

DESIGN_KEY = "design"


@dataclass(frozen=True)
class TypedGrid:
    """A grid in words. A factor given levels need not be named in ``factors`` as well."""

    design: Design = "full"
    factors: Sequence[str] = ()
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    option: str = ""  # such as ``--also 'lr=1,2'``, for messages

    def __str__(self) -> str:
        return self.option


@dataclass(frozen=True)
class Typed:
    """A layout in words: grids, factors that vary together, the full system's levels, and exclusions."""

    grids: Sequence[TypedGrid]
    zips: Sequence[tuple[str, ...]] = ()
    full: Mapping[str, str] = field(default_factory=dict)
    exclude: Sequence[str] = ()


def read_layout(typed: Typed, known: Factors) -> tuple[Layout, list[int] | None]:
    """The layout, and the seeds that are named as levels of the first grid's factor ``seed``.

    Raises ConfigError with every unknown factor and bad level at once.
    """
    problems: list[str] = []
    grids = [_grid(each, known, problems) for each in typed.grids]
    seeds = list(dict.fromkeys(grids[0].levels.get(SEED, ()))) or None
    problems += [
        f"{each}: the seed is not varied here; give --seeds, or --levels seed=0,1"
        for each, grid in zip(typed.grids[1:], grids[1:], strict=True)
        if SEED in grid.levels
    ]
    layout = Layout(
        tuple(_without_seed(grid) for grid in grids),
        tuple(_names(names, known, problems) for names in typed.zips),
        _full(typed.full, known, problems),
        tuple(_exclusions(typed.exclude, known, problems)),
    )
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return layout, seeds


def _grid(typed: TypedGrid, known: Factors, problems: list[str]) -> Grid:
    varied: list[Factor] = []
    parsed: dict[str, list[Any]] = {}
    for name in dict.fromkeys([*typed.factors, *typed.levels]):
        factor = _find(name, known, problems)
        if factor is None:
            continue
        texts = typed.levels.get(name)
        if factor.name in parsed:
            problems.append(f"factor '{factor.name}' is given twice")
        elif texts is None and not factor.levels:
            problems.append(f"factor '{factor.name}' has no default levels; add --levels {factor.name}=A,B")
        else:
            varied.append(factor)
            parsed[factor.name] = _levels(known, factor, texts, problems)
    return Grid(typed.design, tuple(varied), parsed)


def _find(name: str, known: Factors, problems: list[str]) -> Factor | None:
    try:
        return known.find(name)
    except ConfigError as error:
        problems += error.problems
        return None


def _levels(known: Factors, factor: Factor, texts: Sequence[str] | None, problems: list[str]) -> list[Any]:
    """The levels in the order given; what is none becomes a problem."""
    if texts is None:
        return list(factor.levels)
    values: list[Any] = []
    for text in texts:
        try:
            values.append(known.parse(factor, text))
        except ConfigError as error:
            problems += error.problems
    return values


def _without_seed(grid: Grid) -> Grid:
    levels = {name: values for name, values in grid.levels.items() if name != SEED}
    return Grid(grid.design, tuple(factor for factor in grid.factors if factor.name != SEED), levels)


def _names(names: Iterable[str], known: Factors, problems: list[str]) -> tuple[str, ...]:
    found = (_find(name, known, problems) for name in names)
    return tuple(factor.name for factor in found if factor is not None)


def _full(typed: Mapping[str, str], known: Factors, problems: list[str]) -> dict[str, Any]:
    levels: dict[str, Any] = {}
    for name, text in typed.items():
        factor = _find(name, known, problems)
        if factor is not None:
            for level in _levels(known, factor, [text], problems):
                levels[factor.name] = level
    return levels


def _exclusions(typed: Sequence[str], known: Factors, problems: list[str]) -> list[Exclusion]:
    found = []
    for text in typed:
        try:
            found.append(exclusion_of_filter(text, known, text, "--exclude"))
        except ConfigError as error:
            problems += error.problems
    return found


# Options.


def parse_zips(items: Sequence[str]) -> list[tuple[str, ...]]:
    """``["a,b"]`` -> ``[("a", "b")]``. Raises ConfigError."""
    found = [tuple(name.strip() for name in item.split(",") if name.strip()) for item in items]
    problems = [
        f"--zip {shown(item)}: write two factors or more that vary together, such as width,depth"
        for item, names in zip(items, found, strict=True)
        if len(set(names)) < 2
    ]
    if problems:
        raise ConfigError(problems)
    return [tuple(dict.fromkeys(names)) for names in found]


def parse_full(items: Sequence[str]) -> dict[str, str]:
    """``["lr=0.1"]`` -> ``{"lr": "0.1"}``; the last one wins. Raises ConfigError."""
    pairs = [item.partition("=") for item in items]
    problems = [
        f"--full {shown(item)}: write FACTOR=LEVEL, the level that the full system has, such as lambda=1"
        for item, (name, _, level) in zip(items, pairs, strict=True)
        if not (name.strip() and level.strip())
    ]
    if problems:
        raise ConfigError(problems)
    return {name.strip(): level.strip() for name, _, level in pairs}


def parse_also(item: str) -> TypedGrid:
    """``"lr=0.1,0.2 width=8 design=ofat"``: one grid more. Raises ConfigError."""
    option = f"--also {shown(item)}"
    form = f"{option}: write FACTOR=X,Y FACTOR=Z and perhaps design=ofat, such as 'lambda=0,1 grl_pos=S1'"
    try:
        words = shlex.split(item)
    except ValueError:
        raise ConfigError(f"{option}: a quote that is not closed") from None
    levels: dict[str, list[str]] = {}
    design = "full"
    for word in words:
        name, _, text = word.partition("=")
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not (name and values):
            raise ConfigError(form)
        if name == DESIGN_KEY:
            design = text.strip()
        else:
            levels.setdefault(name, []).extend(values)
    if not levels:
        raise ConfigError(form)
    return TypedGrid(design_of(design, option), (), levels, option)


def design_of(text: str, origin: str) -> Design:
    """A design by its name. Raises ConfigError."""
    for design in DESIGNS:
        if design == text:
            return design
    raise ConfigError(f"{origin}: unknown design '{brief(text)}'{suggest(text, DESIGNS)}")
