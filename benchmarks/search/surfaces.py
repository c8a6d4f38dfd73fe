"""Surfaces whose best is known, with settings, curves and noise as a training has them, as subjects."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import ablate
from ablate.design.runs import Run

NOISE = 0.01  # standard deviation of a score, as of a seed; the searches see it, the tables do not
EPOCHS = 27


class Config(ablate.Config):
    x: float = 1.0
    y: float = 0.5
    z: float = 0.5
    kind: str = "plain"
    strength: float = ablate.setting(1.0, gt=0)


def _strength_is_inert(config: Config) -> ablate.Inert | None:
    if config.kind != "sharp" and config.strength != 1.0:
        return ablate.Inert(1.0, "only the sharp kind has a strength")
    return None


def _never(_config: Config, _run: ablate.Training) -> ablate.Scores:
    raise AssertionError("these trainings are a formula")


SUBJECT = ablate.Subject(
    "surface",
    Config,
    _never,
    metrics=[ablate.Metric("score", select=True)],
    factors=[
        ablate.Factor("kind", "kind", ("plain", "soft", "sharp")),
        ablate.Factor("strength", "strength", (), "", _strength_is_inert, "kind is not sharp"),
    ],
)

Level = Callable[[str], Any]  # the level of a setting, by its name


@dataclass(frozen=True)
class Surface:
    """What is searched over, and the score of a condition without noise: 0 where it is best, else less.

    ``epochs_to_learn`` is in how many epochs the distance from the last score falls to 1 / e.
    ``is_found`` says whether a condition is the one that was to be found.
    """

    name: str
    ranges: Sequence[str]
    score: Callable[[Level], float]
    levels: Mapping[str, Sequence[str]]
    is_found: Callable[[Level], bool]
    epochs_to_learn: Callable[[Level], float] = lambda _: 3.0

    def noisy(self, run: Run) -> float:
        return self.score(run.config.get) + NOISE * _noise(run, 0)

    def curve(self, run: Run) -> list[float]:
        """The score after each epoch; the last one is ``noisy``."""
        to_learn = self.epochs_to_learn(run.config.get)
        last = self.noisy(run)
        return [
            last - math.exp(-epoch / to_learn) + (NOISE * _noise(run, epoch) if epoch < EPOCHS else 0.0)
            for epoch in range(1, EPOCHS + 1)
        ]


def _noise(run: Run, epoch: int) -> float:
    return float(np.random.default_rng(zlib.crc32(f"{run.run_id} {epoch}".encode())).standard_normal())


def _smooth(of: Level) -> float:
    return -float((math.log10(of("x")) + 1) ** 2 / 4 + (of("y") - 0.7) ** 2 + (of("z") - 0.2) ** 2 / 2)


def _rugged(of: Level) -> float:
    """Rastrigin's function of three numbers, with nine valleys along each axis."""
    offsets = [8 * of("x") - 2.4, 8 * of("y") - 5.6, 8 * of("z") - 1.6]
    return -sum(each**2 + 3 * (1 - math.cos(2 * math.pi * each)) for each in offsets) / 40


def _conditional(of: Level) -> float:
    """Of three kinds the one with a strength is the best near a strength of 3, and the worst elsewhere."""
    distance = math.log10(of("strength") / 3)
    kinds = {"plain": -0.3, "soft": -0.2, "sharp": -0.5 * (1 - math.exp(-4 * distance**2))}
    return kinds[of("kind")] - float((of("y") - 0.7) ** 2)


def _is_within_a_factor_of_two(of: Level) -> bool:
    return of("kind") == "sharp" and abs(math.log2(of("strength") / 3)) <= 1


SURFACES = [
    Surface("smooth", ("x=0.001:10:log", "y=0:1", "z=0:1"), _smooth, {}, lambda of: _smooth(of) > -0.02),
    Surface("rugged", ("x=0:1", "y=0:1", "z=0:1"), _rugged, {}, lambda of: _rugged(of) > -0.15),
    Surface(
        "conditional",
        ("strength=0.01:100:log", "y=0:1"),
        _conditional,
        {"kind": ("plain", "soft", "sharp")},
        _is_within_a_factor_of_two,
    ),
]

# The same smooth surface, learnt at one pace by all; and at a pace of its own by each condition, so that
# curves cross: what is best learns at a third of the pace of what is worst.
CURVES = [
    Surface("one pace", SURFACES[0].ranges, _smooth, {}, SURFACES[0].is_found, lambda _: 3.0),
    Surface(
        "the best are slow",
        SURFACES[0].ranges,
        _smooth,
        {},
        SURFACES[0].is_found,
        lambda of: 2 + 4 * math.exp(4 * _smooth(of)),
    ),
]
