"""The designs: which cells of a grid are trained, as changes of the baseline.

A design combines axes. An axis is a factor, or several that vary together; each of its steps sets a level of
each of its factors. What a design leaves alone stays as in the baseline.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Design = Literal["full", "ofat", "leave-one-out", "both", "ladder"]
Step = Mapping[str, Any]  # the settings that a step along an axis, or a cell, replaces: dotted name -> level


@dataclass(frozen=True)
class Axis:
    """What varies as one. ``base`` has the baseline's levels, whether or not they are one of ``steps``.

    ``inside`` is the step that the full system has; None where the design needs no full system.
    """

    steps: tuple[Step, ...]
    base: Step
    inside: Step | None = None

    @property
    def others(self) -> list[Step]:
        """The steps that change the baseline."""
        return [step for step in self.steps if step != self.base]


def _full(axes: Sequence[Axis]) -> Iterator[Step]:
    """Every combination, the last axis varying fastest."""
    for combination in itertools.product(*(axis.steps for axis in axes)):
        yield _merged(combination)


def _ofat(axes: Sequence[Axis]) -> Iterator[Step]:
    """The baseline, then each other step alone."""
    yield {}
    for axis in axes:
        yield from axis.others


def _leave_one_out(axes: Sequence[Axis]) -> Iterator[Step]:
    """The baseline, the full system, then the full system with one axis at a time back at the baseline's."""
    inside = [axis.inside or {} for axis in axes]
    yield {}
    yield _merged(inside)
    for place in range(len(axes)):
        yield _merged([*inside[:place], *inside[place + 1 :]])


def _both(axes: Sequence[Axis]) -> Iterator[Step]:
    """Each axis alone, and each left out: its effect alone and in company stand side by side."""
    yield from _ofat(axes)
    yield from _leave_one_out(axes)


def _ladder(axes: Sequence[Axis]) -> Iterator[Step]:
    """The baseline, then one axis more at each step, in their order."""
    for height in range(len(axes) + 1):
        yield _merged([axis.inside or {} for axis in axes[:height]])


def _merged(steps: Sequence[Step]) -> Step:
    return {name: level for step in steps for name, level in step.items()}


def _n_steps(axes: Sequence[Axis]) -> int:
    return sum(len(axis.steps) for axis in axes)


@dataclass(frozen=True)
class Rule:
    """A design: its cells, how many they are at most, and whether it asks for a full system."""

    cells: Callable[[Sequence[Axis]], Iterator[Step]]
    size: Callable[[Sequence[Axis]], int]
    needs_full: bool = False


DESIGNS: Mapping[Design, Rule] = {
    "full": Rule(_full, lambda axes: math.prod(len(axis.steps) for axis in axes)),
    "ofat": Rule(_ofat, lambda axes: 1 + _n_steps(axes)),
    "leave-one-out": Rule(_leave_one_out, lambda axes: 2 + len(axes), needs_full=True),
    "both": Rule(_both, lambda axes: 2 + _n_steps(axes) + len(axes), needs_full=True),
    "ladder": Rule(_ladder, lambda axes: 1 + len(axes), needs_full=True),
}
