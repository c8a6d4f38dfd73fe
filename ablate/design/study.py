"""A study asked for: its factors and levels, its design, its seeds; and the runs that follow from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.design.conditions import (
    Collapsed,
    Condition,
    Design,
    Excluded,
    check_size,
    conditions,
    n_cells,
)
from ablate.design.runs import Dataset, Run
from ablate.ground.errors import ConfigError, StudyError, brief, shown
from ablate.mtl.config import RunConfig, suggest
from ablate.mtl.factors import FACTORS, Factor, find_factor
from ablate.mtl.named_classes import LEFT_OUT, ClassNames, left_out

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def check_study_name(name: str) -> None:
    """Raises StudyError when ``name`` cannot be the name of a file everywhere."""
    if not _NAME.fullmatch(name):
        raise StudyError(
            f"study name '{brief(name)}': use letters, digits, '_', '-' and '.', beginning with a letter or "
            "digit"
        )


DEFAULT_SEEDS = 3


@dataclass(frozen=True)
class Study:
    """What the user asked for, resolved: every condition once, and the seeds of each.

    ``excluded`` cells are left out on purpose. ``named`` says that the user named the conditions. ``classes``
    are those that the data must have.
    """

    name: str
    factors: list[Factor]
    conditions: list[Condition]
    collapsed: list[Collapsed]
    seeds: list[int]
    excluded: list[Excluded] = field(default_factory=list)
    named: bool = False
    base: RunConfig = field(default_factory=RunConfig)
    classes: tuple[ClassNames, ...] = ()

    def runs(self, dataset: Dataset) -> list[Run]:
        """All runs, the conditions of one seed together, so that every prefix of the list is balanced."""
        return [
            Run(condition.config, dataset, condition.name, condition.levels).with_seed(seed)
            for seed in self.seeds
            for condition in self.conditions
        ]


def plan_study(
    name: str,
    base: RunConfig,
    factors: Sequence[str],
    levels: Mapping[str, Sequence[str]],
    *,
    design: Design = "full",
    seeds: int | None = None,
    table: Mapping[str, Factor] = FACTORS,
    reference: RunConfig | None = None,
) -> Study:
    """Resolve what a user typed. A factor given levels need not be named in ``factors`` as well.

    ``levels`` maps a factor's name to its levels as text. ``seeds`` is their number, 3 unless given or levels
    of ``seed`` name them. ``reference`` is what the conditions are named against: the base of the study that
    this one extends, or its own.
    Raises ConfigError with every unknown factor and bad level at once.
    """
    problems: list[str] = []
    varied: list[Factor] = []
    parsed: dict[str, list[Any]] = {}
    for factor_name in dict.fromkeys([*factors, *levels]):
        try:
            factor = find_factor(factor_name, table)
        except ConfigError as error:
            problems += error.problems
            continue
        texts = levels.get(factor_name)
        if factor.name in parsed:
            problems.append(f"factor '{factor.name}' is given twice")
        elif texts is None and not factor.levels:
            problems.append(f"factor '{factor.name}' has no default levels; add --levels {factor.name}=A,B")
        else:
            varied.append(factor)
            parsed[factor.name], bad = _parse_levels(factor, texts)
            problems += bad
    if "seed" in parsed and seeds is not None:
        problems.append(f"--seeds {seeds} and levels of the factor 'seed' contradict each other; give one")
    elif seeds is not None and seeds < 1:
        problems.append(f"--seeds {seeds}: at least one seed is needed")
    if problems:
        raise ConfigError(problems)
    n_seeds = DEFAULT_SEEDS if seeds is None else seeds
    named_seeds = parsed.pop("seed", None)
    check_size(n_cells(design, parsed), n_seeds if named_seeds is None else len(named_seeds))
    chosen_seeds = list(range(n_seeds)) if named_seeds is None else named_seeds
    varied = [factor for factor in varied if factor.name != "seed"]
    found, collapsed = conditions(design, base, varied, parsed, table, reference=reference)
    classes = [left_out(f"setting '{LEFT_OUT}'", base.labels.without)] + [
        left_out(f"factor '{factor.name}'", level)
        for factor in varied
        if factor.field == LEFT_OUT
        for level in parsed[factor.name]
    ]
    return Study(name, varied, found, collapsed, chosen_seeds, base=base, classes=tuple(classes))


def _parse_levels(factor: Factor, texts: Sequence[str] | None) -> tuple[list[Any], list[str]]:
    """The levels, each once, in the order given, and a sentence for each that is not one."""
    if texts is None:
        return list(factor.levels), []
    problems: list[str] = []
    values: list[Any] = []
    for text in texts:
        try:
            values.append(parse_level(factor, text))
        except ConfigError as error:
            problems += error.problems
    return list(dict.fromkeys(values)), problems


def parse_level(factor: Factor, text: str) -> Any:
    """A level from its text. Raises ConfigError that names the factor and, for words, the nearest level."""
    try:
        return factor.parse(text)
    except ConfigError as error:
        hint = (
            suggest(text, map(str, factor.levels))
            if factor.levels and isinstance(factor.level(RunConfig()), str)
            else ""
        )
        raise ConfigError(
            [f"factor '{factor.name}': {problem}{hint}" for problem in error.problems]
        ) from None


def parse_levels(items: Sequence[str]) -> dict[str, list[str]]:
    """``["lambda=0,1", "lambda=10"]`` -> ``{"lambda": ["0", "1", "10"]}``. Raises ConfigError."""
    problems: list[str] = []
    levels: dict[str, list[str]] = {}
    for item in items:
        name, equals, text = item.partition("=")
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not (name.strip() and equals and values):
            problems.append(f"--levels {shown(item)}: write FACTOR=LEVEL,LEVEL such as lambda=0.1,1,10")
        else:
            levels.setdefault(name.strip(), []).extend(values)
    if problems:
        raise ConfigError(problems)
    return levels


def parse_settings(items: Sequence[str]) -> dict[str, str]:
    """``["optim.lr=1e-3"]`` -> ``{"optim.lr": "1e-3"}``; the last value wins. Raises ConfigError."""
    pairs = [item.partition("=") for item in items]
    problems = [
        f"--set {shown(item)}: write NAME=VALUE such as optim.epochs=5"
        for item, (name, _, value) in zip(items, pairs, strict=True)
        if not (name.strip() and value.strip())
    ]
    if problems:
        raise ConfigError(problems)
    return {name.strip(): value.strip() for name, _, value in pairs}
