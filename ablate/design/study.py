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
from ablate.design.runs import Run, SubjectRef
from ablate.ground.errors import ConfigError, StudyError, brief, shown
from ablate.subject.factors import Factor, Factors
from ablate.subject.interface import Dataset, Subject
from ablate.subject.settings import Config, Settings

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

    ``excluded`` cells are left out on purpose. ``named`` says that the user named the conditions.
    ``expected`` is what the data must have for it, as the subject puts it.
    """

    name: str
    subject: Subject
    factors: list[Factor]
    conditions: list[Condition]
    collapsed: list[Collapsed]
    seeds: list[int]
    base: Config
    excluded: list[Excluded] = field(default_factory=list)
    named: bool = False
    expected: tuple[Any, ...] = ()

    def runs(self, dataset: Dataset) -> list[Run]:
        """All runs, the conditions of one seed together, so that every prefix of the list is balanced."""
        ref, scoring = SubjectRef(self.subject.name, self.subject.version), tuple(self.subject.scoring)
        runs = [
            Run(Settings(condition.config.flat()), dataset, condition.name, condition.levels, ref, scoring)
            for condition in self.conditions
        ]
        return [run.with_seed(seed) for seed in self.seeds for run in runs]


def plan_study(
    name: str,
    subject: Subject,
    base: Config,
    factors: Sequence[str],
    levels: Mapping[str, Sequence[str]],
    *,
    design: Design = "full",
    seeds: int | None = None,
    known: Factors | None = None,
    reference: Config | None = None,
) -> Study:
    """Resolve what a user typed. A factor given levels need not be named in ``factors`` as well.

    ``levels`` maps a factor's name to its levels as text. ``seeds`` is their number, 3 unless given or levels
    of ``seed`` name them. ``known`` are the subject's factors and those of plugins. ``reference`` is what
    the conditions are named against: the base of the study that this one extends, or its own.
    Raises ConfigError with every unknown factor and bad level at once.
    """
    known = known or subject.known_factors
    problems: list[str] = []
    varied: list[Factor] = []
    parsed: dict[str, list[Any]] = {}
    for factor_name in dict.fromkeys([*factors, *levels]):
        try:
            factor = known.find(factor_name)
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
            parsed[factor.name], bad = _parse_levels(known, factor, texts)
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
    found, collapsed = conditions(design, base, varied, parsed, known, reference=reference)
    expected = [
        each
        for factor in varied
        for level in parsed[factor.name]
        for each in subject.expects(f"factor '{factor.name}'", field=factor.field, level=level)
    ]
    return Study(
        name,
        subject,
        varied,
        found,
        collapsed,
        chosen_seeds,
        base,
        expected=(*expected_of_base(subject, base), *expected),
    )


def expected_of_base(subject: Subject, base: Config) -> list[Any]:
    """What the data must have for the settings of every run."""
    return [
        each
        for name, value in base.flat().items()
        for each in subject.expects(f"setting '{name}'", field=name, level=value)
    ]


def _parse_levels(known: Factors, factor: Factor, texts: Sequence[str] | None) -> tuple[list[Any], list[str]]:
    """The levels, each once, in the order given, and a sentence for each that is not one."""
    if texts is None:
        return list(factor.levels), []
    problems: list[str] = []
    values: list[Any] = []
    for text in texts:
        try:
            values.append(known.parse(factor, text))
        except ConfigError as error:
            problems += error.problems
    return list(dict.fromkeys(values)), problems


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
