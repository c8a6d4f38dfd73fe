"""From the cells of a design to conditions: the collapse of what cannot differ, and names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.ground.errors import ConfigError
from ablate.subject.factors import Factor, Factors
from ablate.subject.settings import Config

BASELINE = "baseline"
MOST_RUNS = 100_000  # of one study; planning as many takes seconds


@dataclass(frozen=True)
class Collapsed:
    """A cell of the design that is not trained, because another one is the same training."""

    name: str
    same_as: str
    why: str


@dataclass(frozen=True)
class Excluded:
    """A cell of the design that is not trained, because the study leaves it out."""

    name: str
    why: str


@dataclass(frozen=True)
class Condition:
    """One level for each factor. ``config`` carries the study's base seed; runs replace it."""

    name: str
    config: Config
    levels: dict[str, Any]


def check_size(n_conditions: int, n_seeds: int, n_folds: int = 0) -> None:
    """Raises ConfigError for a study of more runs than can be planned, before they are listed."""
    if n_conditions * n_seeds * max(1, n_folds) > MOST_RUNS:
        folds = f" x {n_folds:,} folds" if n_folds else ""
        raise ConfigError(
            f"{n_conditions:,} conditions x {n_seeds:,} seeds{folds} are more than the {MOST_RUNS:,} runs "
            "that a study can have; name fewer factors, levels or seeds"
        )


def canonical(config: Config, rules: Sequence[Factor]) -> tuple[Config, list[str]]:
    """``config`` with every inert factor at the level that says so, and why each was changed.

    Equivalent configurations have one canonical form, which is its own canonical form.
    """
    reasons: list[str] = []
    for _ in range(len(rules) + 1):  # each round settles at least one of them for good
        before = config
        for factor in rules:
            inert = factor.inert_for(config)
            if inert is not None:
                reasons.append(f"{factor.name}={show(factor.level(config))} is inert: {inert.why}")
                config = config.override({factor.field: inert.instead})
        if config == before:
            return config, reasons
    raise ConfigError(f"the rules of these factors contradict each other: {'; '.join(reasons[-2:])}")


def conditions(
    cells: Sequence[Config],
    base: Config,
    varied: Sequence[Factor],
    known: Factors,
    reference: Config | None = None,
) -> tuple[list[Condition], list[Collapsed]]:
    """The conditions of a design's cells, each once, and the cells that collapsed into one of them.

    Conditions are named by what they change of ``reference``, or of ``base`` without one.
    """
    described = known.described(varied)
    rules = known.rules_beside(described)
    base_canonical, _ = canonical(reference or base, rules)
    found: dict[Config, Condition] = {}
    collapsed: list[Collapsed] = []
    for cell in cells:
        config, reasons = canonical(cell, rules)
        name = condition_name(config, base_canonical, described)
        if config not in found:
            found[config] = Condition(name, config, {f.name: f.level(config) for f in described})
            if not reasons:
                continue
        if reasons:
            raw = condition_name(cell, reference or base, described)
            if raw != name:
                collapsed.append(Collapsed(raw, name, "; ".join(reasons)))
    return list(found.values()), collapsed


def excluded_cells(
    cells: Sequence[tuple[Config, str]], base: Config, varied: Sequence[Factor], known: Factors
) -> list[Excluded]:
    """Cells that a study leaves out and why, by name."""
    described = known.described(varied)
    return [Excluded(condition_name(cell, base, described), why) for cell, why in cells]


def named_condition(
    name: str,
    base: Config,
    levels: Mapping[str, Any],
    varied: Sequence[Factor],
    known: Factors,
) -> tuple[Condition, list[str]]:
    """The condition that a study calls ``name``: ``base`` with ``levels`` (setting -> level), canonical.

    With it, why levels were changed that are inert.
    """
    described = known.described(varied)
    config, reasons = canonical(base.override(levels), known.rules_beside(described))
    return Condition(name, config, {factor.name: factor.level(config) for factor in described}), reasons


def condition_name(config: Config, base: Config, factors: Sequence[Factor]) -> str:
    """``baseline``, or the levels that differ from the base: ``grl_pos=S1 shuffle=scene``."""
    differing = [
        f"{factor.name}={show(factor.level(config))}"
        for factor in factors
        if factor.level(config) != factor.level(base)
    ]
    return " ".join(differing) or BASELINE


def show(level: Any) -> str:
    """A level as a user would type it (``0.1``, ``1``, ``S1``); distinct levels show distinctly."""
    return str(level).removesuffix(".0")
