"""A study asked for: its factors and levels, its design, its seeds; and the runs that follow from it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.design.conditions import (
    Collapsed,
    Condition,
    Excluded,
    check_size,
    conditions,
    excluded_cells,
)
from ablate.design.designs import Design
from ablate.design.folds import check_folds, n_folds
from ablate.design.layout import Layout, Split, split
from ablate.design.runs import Run, SubjectRef
from ablate.design.typed import Typed, TypedGrid, read_layout
from ablate.ground.errors import ConfigError, StudyError, brief, shown
from ablate.subject.factors import Factor, Factors
from ablate.subject.interface import Dataset, Subject
from ablate.subject.settings import Config, Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def is_study_name(name: str) -> bool:
    """Whether ``name`` can be the name of a file everywhere."""
    return _NAME.fullmatch(name) is not None


def check_study_name(name: str) -> None:
    """Raises StudyError when ``name`` cannot be a study's."""
    if not is_study_name(name):
        raise StudyError(
            f"study name '{brief(name)}': use letters, digits, '_', '-' and '.', beginning with a letter or "
            "digit"
        )


DEFAULT_SEEDS = 3


@dataclass(frozen=True)
class Study:
    """What the user asked for, resolved: every condition once, and the seeds of each.

    ``excluded`` cells are left out on purpose. ``named`` says that the user named the conditions.
    ``expected`` is what the data must have for it, as the subject puts it. ``designs`` has the design of each
    grid, the main one first, none where conditions are named. ``remarks`` are what has to be known of all.
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
    designs: tuple[Design, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def n_folds(self) -> int:
        """How often each seed of a condition is trained, each time without another fold; 0 without folds."""
        return n_folds(self.subject, self.base)

    def runs(self, dataset: Dataset) -> list[Run]:
        """All runs, the conditions of one seed and fold together: every prefix of the list is balanced."""
        runs = [run_of(condition, self.subject, dataset).in_folds() for condition in self.conditions]
        folds = list(zip(*runs, strict=True))
        return [run.with_seed(seed) for seed in self.seeds for fold in folds for run in fold]


def run_of(condition: Condition, subject: Subject, dataset: Dataset) -> Run:
    """The run of a condition with the seed that its configuration has."""
    return Run(
        Settings(condition.config.flat()),
        dataset,
        condition.name,
        condition.levels,
        SubjectRef(subject.name, subject.version),
        tuple(subject.scoring),
        subject.lean,
        subject.folds,
        subject.metered,
    )


def plan_study(
    name: str,
    subject: Subject,
    base: Config,
    factors: Sequence[str],
    levels: Mapping[str, Sequence[str]],
    *,
    design: Design = "full",
    also: Sequence[TypedGrid] = (),
    zips: Sequence[tuple[str, ...]] = (),
    full: Mapping[str, str] | None = None,
    exclude: Sequence[str] = (),
    seeds: int | None = None,
    known: Factors | None = None,
    reference: Config | None = None,
) -> Study:
    """Resolve what a user typed. A factor given levels need not be named in ``factors`` as well.

    ``levels`` maps a factor's name to its levels as text. ``also`` are more grids, ``zips`` factors that vary
    together, ``full`` the levels of the full system, ``exclude`` filters of what is left out. ``seeds`` is
    their number, 3 unless given or levels of ``seed`` name them. ``known`` are the subject's factors and
    those of plugins. ``reference`` is what the conditions are named against: the base of the study that this
    one extends, or its own.

    Raises ConfigError with every unknown factor and bad level at once.
    """
    known = known or subject.known_factors
    known.check_settled(base)
    typed = Typed([TypedGrid(design, factors, levels), *also], zips, full or {}, exclude)
    layout, named_seeds = _read(typed, known, seeds)
    chosen_seeds = range(DEFAULT_SEEDS if seeds is None else seeds) if named_seeds is None else named_seeds
    check_size(layout.size(base), len(chosen_seeds), n_folds(subject, base))
    parts = split(layout.cells(base), layout.exclusions)
    _check_exclusions(parts, layout)
    study = study_of(name, subject, base, layout, parts, known, list(chosen_seeds), reference)
    return replace(
        study, expected=(*expected_of_base(subject, base), *expected_of_levels(subject, _levels_of(layout)))
    )


def _levels_of(layout: Layout) -> Iterator[tuple[Factor, Any]]:
    return (
        (factor, level)
        for grid in layout.grids
        for factor in grid.factors
        for level in grid.levels[factor.name]
    )


def expected_of_levels(subject: Subject, pairs: Iterable[tuple[Factor, Any]]) -> list[Any]:
    """What the data must have for these levels of factors."""
    return [
        each
        for factor, level in dict.fromkeys(pairs)
        for each in subject.expects(f"factor '{factor.name}'", field=factor.field, level=level)
    ]


def _read(typed: Typed, known: Factors, seeds: int | None) -> tuple[Layout, list[int] | None]:
    """The layout and the seeds named in it; what is wrong with ``seeds`` is told with all else."""
    problems: list[str] = []
    if seeds is not None and "seed" in {*typed.grids[0].factors, *typed.grids[0].levels}:
        problems.append(f"--seeds {seeds} and levels of the factor 'seed' contradict each other; give one")
    elif seeds is not None and seeds < 1:
        problems.append(f"--seeds {seeds}: at least one seed is needed")
    try:
        layout, named_seeds = read_layout(typed, known)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from None
    if problems:
        raise ConfigError(problems)
    return layout, named_seeds


def _check_exclusions(parts: Split, layout: Layout) -> None:
    """Raises ConfigError for an exclusion that excludes nothing, and when all are excluded."""
    problems = [
        f"--exclude {shown(layout.exclusions[place].why)}: excludes no combination; leave it out, or mend it"
        for place in parts.idle
    ]
    if not parts.kept:
        problems.append("every combination is excluded; leave an --exclude out, or mend it")
    if problems:
        raise ConfigError(problems)


def study_of(
    name: str,
    subject: Subject,
    base: Config,
    layout: Layout,
    parts: Split,
    known: Factors,
    seeds: list[int],
    reference: Config | None = None,
) -> Study:
    """The study of a layout's cells: ``parts`` says which are trained and which are left out."""
    found, collapsed = conditions(parts.kept, base, layout.factors, known, reference)
    check_folds(subject, base, found)
    excluded = excluded_cells(parts.excluded, reference or base, layout.factors, known)
    return Study(
        name,
        subject,
        list(layout.factors),
        found,
        collapsed,
        seeds,
        base,
        excluded,
        designs=layout.designs,
        remarks=(*known.settled_remarks, *layout.remarks(base)),
    )


def expected_of_base(subject: Subject, base: Config) -> list[Any]:
    """What the data must have for the settings of every run."""
    return [
        each
        for name, value in base.flat().items()
        for each in subject.expects(f"setting '{name}'", field=name, level=value)
    ]


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
