"""What a search may choose from: levels or a range of each factor; and the conditions of what is drawn."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ablate.design.conditions import Condition, canonical, condition_name, show
from ablate.ground.errors import ConfigError, shown
from ablate.subject.factors import Factor, Factors, never_inert
from ablate.subject.settings import SEED, Config

DIGITS = 4  # significant ones of a number that is drawn: more say nothing, and no name is short with them
FORM = "write FACTOR=LOW:HIGH, and :log or :int after it, such as lambda=0.01:10:log"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; with ``log``, equally likely in each decade."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def level(self, draw: float) -> float | int:
        """A drawn number as it is tried: an integer, or with ``DIGITS`` significant digits."""
        if self.integer:
            return round(draw)
        return min(self.high, max(self.low, float(f"{draw:.{DIGITS}g}")))

    def contains(self, level: Any) -> bool:
        is_number = isinstance(level, int | float) and not isinstance(level, bool)
        return is_number and self.low <= level <= self.high

    def middle(self) -> float | int:
        """Halfway, on the scale that it has."""
        return self.level(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)

    def __str__(self) -> str:
        parts = [show(self.low), show(self.high), *["log"] * self.log, *["int"] * self.integer]
        return ":".join(parts)


def parse_ranges(items: Sequence[str]) -> dict[str, Range]:
    """``["lambda=0.01:10:log"]`` -> ``{"lambda": Range(0.01, 10.0, log=True)}``. Raises ConfigError."""
    problems: list[str] = []
    found: dict[str, Range] = {}
    for item in items:
        name, _, text = item.partition("=")
        try:
            found[name.strip()] = _range(text) if name.strip() else _refuse(FORM)
        except ConfigError as error:
            problems += [f"--range {shown(item)}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return found


def _range(text: str) -> Range:
    low, _, rest = text.partition(":")
    high, *words = rest.split(":")
    if set(words) - {"log", "int"} or len(set(words)) < len(words):
        return _refuse(FORM)
    ends = [_number(low), _number(high)]
    if None in ends:
        return _refuse(FORM)
    found = Range(float(ends[0] or 0), float(ends[1] or 0), "log" in words, "int" in words)
    if found.low >= found.high:
        return _refuse(f"{show(found.low)} should be less than {show(found.high)}")
    if found.log and found.low <= 0:
        return _refuse(f"on a log scale there is no {show(found.low)}; begin above 0, such as 0.001")
    if found.integer and not (found.low.is_integer() and found.high.is_integer()):
        return _refuse("with :int both ends are whole numbers")
    return found


def _refuse(problem: str) -> Range:
    raise ConfigError(problem)


def _number(text: str) -> float | None:
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Dimension:
    """A factor that is searched over: its ``levels``, or a ``range`` of numbers."""

    factor: Factor
    levels: tuple[Any, ...] = ()
    range: Range | None = None

    @property
    def name(self) -> str:
        return self.factor.name

    def level(self, draw: Any) -> Any:
        return draw if self.range is None else self.range.level(draw)

    def contains(self, level: Any) -> bool:
        return level in self.levels if self.range is None else self.range.contains(level)

    @property
    def samples(self) -> tuple[Any, ...]:
        """Some of its levels: enough to see whether they can differ at all."""
        if self.range is None:
            return self.levels
        return self.range.level(self.range.low), self.range.middle(), self.range.level(self.range.high)

    def to_json(self) -> dict[str, Any]:
        content: dict[str, Any] = {"factor": self.name, "setting": self.factor.field}
        if self.range is None:
            return {**content, "levels": list(self.levels)}
        return {**content, "range": vars(self.range)}

    def __str__(self) -> str:
        return ", ".join(map(show, self.levels)) if self.range is None else str(self.range)


Draws = Mapping[str, Any]  # factor -> what was drawn for it; without those that did not matter


@dataclass(frozen=True)
class Space:
    """All conditions that a search may try: ``base`` with levels of the dimensions.

    Dimensions are in the order in which inertness is resolved, so that one is only drawn where it matters:
    lambda where something is reversed.
    """

    base: Config
    dimensions: tuple[Dimension, ...]
    known: Factors

    def draw(self, choose: Callable[[Dimension], Any]) -> dict[str, Any]:
        """What ``choose`` says for each dimension that matters beside what it has said before."""
        draws: dict[str, Any] = {}
        levels: dict[str, Any] = {}
        for dimension in self.dimensions:
            if not self._is_idle(dimension, levels):
                draws[dimension.name] = choose(dimension)
                levels[dimension.factor.field] = dimension.level(draws[dimension.name])
        return draws

    def condition(self, draws: Draws) -> Condition:
        """The condition of what was drawn. Raises ConfigError when the subject refuses the combination."""
        levels = {
            dimension.factor.field: dimension.level(draws[dimension.name])
            for dimension in self.dimensions
            if dimension.name in draws
        }
        config, _ = canonical(self.base.override(levels), self._rules)
        return self._named(config)

    def baseline(self) -> tuple[Condition, Draws | None]:
        """The base as it is, and the draws that give it; None where it lies outside of the space."""
        draws: dict[str, Any] = {}
        for dimension in self.dimensions:
            level = dimension.factor.level(self.base)
            if self._is_idle(dimension, {}):
                continue
            if not dimension.contains(level):
                return self._named(self._canonical_base), None
            draws[dimension.name] = level
        return self._named(self._canonical_base), draws

    @cached_property
    def _described(self) -> list[Factor]:
        return self.known.described([dimension.factor for dimension in self.dimensions])

    @cached_property
    def _rules(self) -> list[Factor]:
        return self.known.rules_beside(self._described)

    @cached_property
    def _canonical_base(self) -> Config:
        return canonical(self.base, self._rules)[0]

    def _named(self, config: Config) -> Condition:
        name = condition_name(config, self._canonical_base, self._described)
        return Condition(name, config, {factor.name: factor.level(config) for factor in self._described})

    @cached_property
    def _ruled(self) -> frozenset[str]:
        """The settings that can be inert; asking about another one would cost a millisecond a trial."""
        return frozenset(rule.field for rule in self._rules if rule.inert is not never_inert)

    def _is_idle(self, dimension: Dimension, levels: Mapping[str, Any]) -> bool:
        """Whether all levels of a dimension are the same condition beside ``levels`` (setting -> level).

        It is not where the subject refuses one of them: only the whole condition tells whether it does.
        """
        factor = dimension.factor
        if factor.field not in self._ruled:
            return False
        try:
            configs = [self.base.override({**levels, factor.field: level}) for level in dimension.samples]
            found = {factor.level(canonical(config, self._rules)[0]) for config in configs}
        except ConfigError:
            return False
        return len(found) == 1 and len(configs) > 1


def make_space(
    base: Config,
    known: Factors,
    factors: Sequence[str],
    levels: Mapping[str, Sequence[str]],
    ranges: Mapping[str, Range],
) -> Space:
    """The space of what a user typed: factors by name, with the levels or the range of each.

    Raises ConfigError with everything that is wrong with them.
    """
    known.check_settled(base)
    problems: list[str] = []
    found: dict[str, Dimension] = {}
    for name in dict.fromkeys([*factors, *levels, *ranges]):
        try:
            dimension = _dimension(base, known, known.find(name), levels.get(name), ranges.get(name))
        except ConfigError as error:
            problems += error.problems
            continue
        if dimension.name in found:
            problems.append(f"factor '{dimension.name}' is given twice")
        found[dimension.name] = dimension
    if not problems and not found:
        problems.append(
            "name what to search over, such as --factors grl_pos,lambda --range lambda=0.01:10:log"
        )
    if problems:
        raise ConfigError(problems)
    order = [name for name in known if name in found] + [name for name in found if name not in known]
    return Space(base, tuple(found[name] for name in order), known)


def _dimension(
    base: Config, known: Factors, factor: Factor, texts: Sequence[str] | None, within: Range | None
) -> Dimension:
    if factor.field == SEED:
        raise ConfigError("seed is the replicate and no level to choose; --seeds says how many a trial has")
    if within is not None and texts is not None:
        raise ConfigError(f"factor '{factor.name}' has both --levels and --range; give one")
    if within is not None:
        return Dimension(factor, range=_fitting(base, known, factor, within))
    levels = list(factor.levels) if texts is None else [known.parse(factor, text) for text in texts]
    if not levels:
        raise ConfigError(
            f"factor '{factor.name}' has no default levels; add --range {factor.name}=LOW:HIGH or --levels "
            f"{factor.name}=A,B"
        )
    return Dimension(factor, tuple(dict.fromkeys(levels)))


def _fitting(base: Config, known: Factors, factor: Factor, within: Range) -> Range:
    """The range, of whole numbers where the setting takes only these. Raises ConfigError."""
    level = factor.level(base)
    if isinstance(level, bool) or not isinstance(level, int | float):
        words = ", ".join(show(each) for each in factor.levels) or show(level)
        raise ConfigError(
            f"factor '{factor.name}': a range is for numbers, and its levels are words ({words}); name those "
            f"to choose from with --levels {factor.name}=A,B"
        )
    whole = within.integer or isinstance(level, int)
    if whole and not (within.low.is_integer() and within.high.is_integer()):
        raise ConfigError(f"factor '{factor.name}' takes whole numbers, and {within} has others at its ends")
    fitting = Range(within.low, within.high, within.log, whole)
    for end in _problems_at_the_ends(known, factor, fitting):
        raise ConfigError(end)
    return fitting


def _problems_at_the_ends(known: Factors, factor: Factor, within: Range) -> Iterator[str]:
    for end in (within.low, within.high):
        try:
            known.parse(factor, show(within.level(end)))
        except ConfigError as error:
            yield from error.problems
