"""What a study varies, read from its runs: axes, and which condition stands in each cell of their product.

Settings are looked at, not the words that planned them, so that a study that grew by several commands, was
written as named conditions or was imported is recognised like any other.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ablate.analysis.compare import Group
from ablate.design.conditions import canonical, show
from ablate.ground.errors import ConfigError
from ablate.subject.factors import Factor, Factors, never_inert
from ablate.subject.interface import Subject
from ablate.subject.settings import SEED, Settings

MOST_CELLS = 4096  # of a grid; nobody reads the effects of a larger one
Level = tuple[Any, ...]
Values = Mapping[str, Any]  # of settings, by dotted name


@dataclass(frozen=True)
class Axis:
    """What varies as one: a factor, or several whose levels pair up.

    ``fields`` are its settings, and a level has a value for each. The first level is the one that the others
    are compared with. ``names`` are what users call the settings (by field); one without a name is not shown.
    """

    fields: tuple[str, ...]
    names: Mapping[str, str]
    levels: tuple[Level, ...]

    @cached_property
    def name(self) -> str:
        """``lr``, or ``width+depth`` where both vary together."""
        return "+".join(self.names.values())

    def label(self, level: Level) -> str:
        """``lr=0.1``, or ``width=8 depth=2``."""
        return " ".join(
            f"{name}={text}" for name, text in zip(self.names.values(), self._shown(level), strict=True)
        )

    def tick(self, level: Level) -> str:
        """The level alone: ``0.1``, or ``8+2``."""
        return "+".join(self._shown(level))

    def _shown(self, level: Level) -> list[str]:
        return [show(value) for field, value in zip(self.fields, level, strict=True) if field in self.names]

    def level(self, values: Values) -> Level:
        return tuple(values[field] for field in self.fields)

    def settings(self, level: Level) -> Values:
        return dict(zip(self.fields, level, strict=True))


@dataclass(frozen=True)
class Rules:
    """When settings cannot matter, as the subject's code says."""

    subject: Subject
    factors: tuple[Factor, ...]

    @classmethod
    def of(cls, subject: Subject, known: Factors) -> "Rules | None":
        """The rules of a subject's factors and of its user's own; None where there are none."""
        factors = tuple(known.rules_beside(known.described([])))
        return cls(subject, factors) if any(factor.inert is not never_inert for factor in factors) else None

    def canonical(self, values: Values) -> dict[str, Any] | None:
        """The equivalent settings that are trained; None for some that the subject does not know or allow."""
        try:
            config, _ = canonical(self.subject.configure(Settings(values)), self.factors)
        except ConfigError:
            return None
        return config.flat()


@dataclass(frozen=True)
class Cells:
    """The conditions of a study by their settings. ``base`` are the settings that nothing changes."""

    groups: Sequence[Group]
    axes: tuple[Axis, ...]
    base: Values
    rules: Rules | None

    @cached_property
    def _by_settings(self) -> dict[Level, Group]:
        return {_key(group.first.config): group for group in self.groups}

    def find(self, levels: Mapping[str, Level]) -> Group | None:
        """The condition with these levels (by the axis's name), or the one that is the same training."""
        values = dict(self.base)
        for axis in self.axes:
            values |= axis.settings(levels.get(axis.name, axis.levels[0]))
        found = self._by_settings.get(_key(values))
        if found is not None or self.rules is None:
            return found
        trained = self.rules.canonical(values)
        return None if trained is None else self._by_settings.get(_key(trained))

    def changes(self, group: Group) -> dict[str, Level]:
        """The level of each axis, by its name, in which a condition differs from the first levels."""
        found = {axis.name: axis.level(group.first.config) for axis in self.axes}
        return {axis.name: found[axis.name] for axis in self.axes if found[axis.name] in axis.levels[1:]}

    @property
    def n_cells(self) -> int:
        return math.prod(len(axis.levels) for axis in self.axes)

    def grid(self) -> Iterator[tuple[tuple[Level, ...], Group | None]]:
        """Every combination of the levels, the last axis varying fastest, and the condition of each."""
        names = [axis.name for axis in self.axes]
        for combination in itertools.product(*(axis.levels for axis in self.axes)):
            yield combination, self.find(dict(zip(names, combination, strict=True)))

    def is_full(self) -> bool:
        """Whether every combination has a condition."""
        return self.n_cells <= MOST_CELLS and all(group is not None for _, group in self.grid())

    def label(self, combination: Sequence[Level]) -> str:
        """A cell as a condition is named: by what it changes of the first levels."""
        changed = [
            axis.label(level)
            for axis, level in zip(self.axes, combination, strict=True)
            if level != axis.levels[0]
        ]
        return " ".join(changed) or "baseline"


def _key(values: Values) -> Level:
    return tuple(value for name, value in sorted(values.items()) if name != SEED)


def read_cells(groups: Sequence[Group], reference: Group, rules: Rules | None) -> Cells:
    """What varies among the conditions; their levels are compared with those of ``reference``.

    A setting has a level only where it can matter: where the product of all values has gaps, those that stand
    for "inert" are left out, if there are ``rules`` that say when that is.
    """
    axes = tuple(_axes(groups, reference))
    plain = Cells(groups, axes, reference.first.config, None)
    if rules is None or plain.is_full():
        return plain
    return _where_it_matters(plain, reference, rules)


def _axes(groups: Sequence[Group], reference: Group) -> Iterator[Axis]:
    configs = [group.first.config for group in groups]
    names = _factor_names(groups)
    varied = [name for name in configs[0] if name != SEED and len({config[name] for config in configs}) > 1]
    varied.sort(key=lambda field: list(names).index(field) if field in names else len(names))
    while varied:
        fields = tuple(field for field in varied if _pair_up(varied[0], field, configs))
        varied = [field for field in varied if field not in fields]
        levels = [tuple(config[field] for field in fields) for config in (reference.first.config, *configs)]
        named = {field: names[field] for field in fields if field in names}
        yield Axis(fields, named or {field: field for field in fields}, tuple(dict.fromkeys(levels)))


def _pair_up(one: str, other: str, configs: Sequence[Values]) -> bool:
    """Whether each value of one setting goes with one of the other, and the reverse."""
    pairs = {(config[one], config[other]) for config in configs}
    return len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs})


def _factor_names(groups: Sequence[Group]) -> dict[str, str]:
    """The factor of each setting, in the order of a condition's factors."""
    fields = groups[0].first.subject.fields
    found: dict[str, str] = {}
    for name in groups[0].first.condition:
        field = fields.get(name) or _field_of(name, groups)
        if field is not None:
            found.setdefault(field, name)
    return found


def _field_of(name: str, groups: Sequence[Group]) -> str | None:
    """The setting that a factor of the user's own sets: the one of its name, or that always equals it."""
    runs = [group.first for group in groups]
    if name in runs[0].config:
        return name
    same = (
        field
        for field in runs[0].config
        if all(name in run.condition and run.config[field] == run.condition[name] for run in runs)
    )
    return next(same, None)


def _where_it_matters(plain: Cells, reference: Group, rules: Rules) -> Cells:
    """The same with the levels that each axis has where it matters; an axis with one such level is none."""
    base = dict(reference.first.config)
    axes = []
    for axis in plain.axes:
        levels = tuple(level for level in axis.levels if _matters(axis, level, plain.groups, rules))
        if len(levels) > 1:
            axes.append(Axis(axis.fields, axis.names, levels))
        elif levels:
            base |= axis.settings(levels[0])
    return Cells(plain.groups, tuple(axes), base, rules)


def _matters(axis: Axis, level: Level, groups: Sequence[Group], rules: Rules) -> bool:
    """Whether some condition that has this level would be another training with another one."""
    own = axis.settings(level)
    for group in groups:
        values = group.first.config
        if any(values[field] != value for field, value in own.items()):
            continue
        others = (axis.settings(other) for other in axis.levels if other != level)
        if any(rules.canonical({**values, **other}) != rules.canonical(values) for other in others):
            return True
    return False
