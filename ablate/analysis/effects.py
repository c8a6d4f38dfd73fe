"""The effects of what a study varies, and how they depend on each other.

What can be said depends on which conditions there are (``ablate.analysis.contrasts``):

    grid     every combination of the levels: main effects, interactions of pairs, shares of variance
    both     the effect of each factor alone and in company, and their difference
    ladder   the effect of each step, which depends on the order of the steps

Every effect is a contrast: a sum of conditions' scores with weights that sum to zero. It is taken within each
seed first, since what a seed does to all conditions cancels, and then tested over seeds as any paired
difference (``ablate.analysis.intervals``). p-values are adjusted over all effects of a metric (Holm).

All effects of a metric are over the same seeds: those in which every condition has a value.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.analysis.compare import Group, choose_metrics, group_runs, named, require_finished
from ablate.analysis.contrasts import Column, Contrast, Kind, Plan, Trace, plan_contrasts
from ablate.analysis.grids import MOST_CELLS, Axis, Cells, Rules, read_cells
from ablate.analysis.intervals import Difference, Summary, holm, paired_difference, summarise
from ablate.analysis.query import RunRecord, units_of
from ablate.analysis.tables import missing_notes, seed_list
from ablate.analysis.variance import variance_shares
from ablate.design.conditions import BASELINE
from ablate.ground.errors import StudyError
from ablate.ground.wording import some
from ablate.record.searches import SearchFolder
from ablate.record.store import Store
from ablate.subject.factors import Factors
from ablate.subject.interface import Subject
from ablate.subject.metrics import Metrics

LEAST_SEEDS = 2
CERTAIN = 0.05  # of an adjusted p
MOST_NAMED = 5  # cells or conditions in one sentence


@dataclass(frozen=True)
class Effect:
    """One contrast over seeds; ``p_holm`` is adjusted over all of its metric."""

    difference: Difference
    p_holm: float | None

    @property
    def is_certain(self) -> bool:
        return self.p_holm is not None and self.p_holm < CERTAIN


@dataclass(frozen=True)
class Row:
    """What changes, such as ``lr=0.1`` or ``lr=0.1 x width=8``, the factors of it, and its effects."""

    label: str
    factors: tuple[str, ...]
    effects: Mapping[Column, Effect]


@dataclass(frozen=True)
class Line:
    """Means over seeds along the levels of a factor, at one level of another."""

    label: str
    scores: tuple[Summary, ...]


@dataclass(frozen=True)
class Interaction:
    """Two factors that depend on each other: their cells' means, and the smallest adjusted p."""

    metric: str
    factor: str
    other: str
    ticks: tuple[str, ...]
    lines: tuple[Line, ...]
    p: float


@dataclass(frozen=True)
class MetricEffects:
    """The effects on one metric over ``seeds``.

    ``shares`` (of a grid only) say of what the variance of the scores consists: each factor, each pair, what
    is beyond pairs, and the seeds' noise; they sum to 1, and are empty where all scores are the same.
    ``interactions`` are those that are certain, to be drawn.
    """

    metric: str
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    shares: Mapping[str, float]
    interactions: tuple[Interaction, ...]


@dataclass(frozen=True)
class Effects:
    """The effects of a study. ``left_out`` has a sentence on each metric that some condition lacks.

    ``groups`` are the conditions that are contrasted, and ``n_others`` how many the study has beside them.
    ``stand_ins`` maps cells of the grid to the condition that is the same training.
    """

    study: str
    kind: Kind
    columns: tuple[Column, ...]
    axes: tuple[Axis, ...]
    metrics: tuple[MetricEffects, ...]
    groups: tuple[Group, ...]
    n_others: int
    stand_ins: Mapping[str, str]
    left_out: tuple[str, ...]
    units: Metrics

    @property
    def interactions(self) -> list[Interaction]:
        """Those of all metrics, the most certain first."""
        return sorted(
            (each for metric in self.metrics for each in metric.interactions), key=lambda each: each.p
        )


def refuse_search(store: Store, study: str) -> None:
    """Raises StudyError for the study of a search: what it finds important is no effect."""
    if SearchFolder.of(store, study).exists():
        raise StudyError(
            f"study '{study}' is a search: it chose its own conditions by their scores, so differences among "
            "them are no effects; train a grid of the settings in question, with seeds that the search has "
            "not seen, and ask for its effects"
        )


def effects(
    records: Sequence[RunRecord],
    study: str,
    subject: Subject | None,
    *,
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
    known: Factors | None = None,
    command: str = "",
) -> list[Effects]:
    """The effects of what varies among a study's runs: one for each design that its conditions complete.

    ``subject`` says which settings cannot matter under which others; None where its code is gone. ``known``
    are its factors and its user's own. ``baseline`` is the condition whose levels others are compared with;
    by default the one called "baseline", else the first. ``command`` is what planned the study.

    Raises StudyError when no run has finished, the conditions are none of the designs above, or fewer than
    two seeds are in all of them; ConfigError for an unknown metric.
    """
    require_finished(records, study)
    groups = group_runs(records)
    _require_one_data_set(groups, study)
    rules = None if subject is None else Rules.of(subject, known or subject.known_factors)
    cells = read_cells(groups, _reference(groups, baseline), rules)
    if not cells.axes:
        raise StudyError(f"study '{study}' varies nothing among these runs: there is no effect to speak of")
    plans = plan_contrasts(cells)
    if not plans:
        raise StudyError(_gaps(cells, study, command, subject is None))
    _require_seeds(plans[0].groups, study, command)
    asked, units = choose_metrics(records, study, metrics), units_of(records)
    return [_of_plan(plan, cells, study, asked, units) for plan in plans]


def _of_plan(plan: Plan, cells: Cells, study: str, asked: Sequence[str], units: Metrics) -> Effects:
    undefined = {metric: _undefined(plan.groups, metric) for metric in asked}
    left_out = [f"{units.label(metric)} is left out: {why}." for metric, why in undefined.items() if why]
    if len(left_out) == len(asked):
        raise StudyError([f"study '{study}': {sentence}" for sentence in left_out])
    return Effects(
        study=study,
        kind=plan.kind,
        columns=plan.columns,
        axes=cells.axes,
        metrics=tuple(_of_metric(plan, cells.axes, metric) for metric in asked if not undefined[metric]),
        groups=tuple(plan.groups),
        n_others=len(cells.groups) - len(plan.groups),
        stand_ins=plan.stand_ins,
        left_out=tuple(left_out),
        units=units,
    )


def _reference(groups: Sequence[Group], baseline: str | None) -> Group:
    found = named(groups, BASELINE if baseline is None else baseline)
    return found[0] if found else groups[0]


def _require_one_data_set(groups: Sequence[Group], study: str) -> None:
    names = dict.fromkeys(f"{group.first.dataset_name} ({group.first.dataset_digest})" for group in groups)
    if len(names) > 1:
        raise StudyError(
            f"study '{study}' has runs on {len(names)} data sets, {', '.join(names)}; choose one with "
            '--where "dataset_digest = ..."'
        )


# The numbers of one metric.


def _of_metric(plan: Plan, axes: Sequence[Axis], metric: str) -> MetricEffects:
    scores = {group.first.condition_id: group.scores(metric) for group in plan.groups}
    seeds = sorted(set.intersection(*(set(each) for each in scores.values())))
    differences = [_difference(contrast, scores, seeds) for contrast in plan.contrasts]
    adjusted = holm([difference.p for difference in differences])
    effects = [Effect(*each) for each in zip(differences, adjusted, strict=True)]
    rows = [
        Row(label, parts[0][0].factors, {contrast.column: effect for contrast, effect in parts})
        for label, group in itertools.groupby(
            zip(plan.contrasts, effects, strict=True), key=lambda each: each[0].label
        )
        if (parts := list(group))
    ]
    return MetricEffects(
        metric=metric,
        seeds=tuple(seeds),
        rows=tuple(rows),
        shares=_shares(plan, axes, scores, seeds),
        interactions=tuple(_interactions(plan, metric, rows, scores, seeds)),
    )


Scores = Mapping[str, Mapping[int, float]]  # by condition id and seed


def _difference(contrast: Contrast, scores: Scores, seeds: Sequence[int]) -> Difference:
    """What has a positive weight less what has a negative one, within each seed."""
    above = {seed: _weighted(contrast, scores, seed, 1) for seed in seeds}
    below = {seed: _weighted(contrast, scores, seed, -1) for seed in seeds}
    found = paired_difference(above, below)
    assert found is not None, "contrasts are over seeds that all conditions have"
    return found


def _weighted(contrast: Contrast, scores: Scores, seed: int, sign: int) -> float:
    return math.fsum(
        abs(weight) * scores[group.first.condition_id][seed]
        for group, weight in contrast.weights
        if weight * sign > 0
    )


def _shares(plan: Plan, axes: Sequence[Axis], scores: Scores, seeds: Sequence[int]) -> dict[str, float]:
    if not plan.grid:
        return {}
    values = np.array([[scores[group.first.condition_id][seed] for seed in seeds] for group in plan.grid])
    shape = [*(len(axis.levels) for axis in axes), len(seeds)]
    return variance_shares(values.reshape(shape), [axis.name for axis in axes])


def _interactions(
    plan: Plan, metric: str, rows: Sequence[Row], scores: Scores, seeds: Sequence[int]
) -> list[Interaction]:
    """The interactions that are certain in some of their levels."""
    found = []
    for factors, trace in plan.traces.items():
        tests = [row.effects[plan.columns[-1]] for row in rows if row.factors == factors]
        p = min((test.p_holm for test in tests if test.is_certain and test.p_holm is not None), default=None)
        if p is not None:
            found.append(_interaction(metric, trace, p, scores, seeds))
    return found


def _interaction(metric: str, trace: Trace, p: float, scores: Scores, seeds: Sequence[int]) -> Interaction:
    lines = [
        Line(label, tuple(_mean(groups, scores, seeds) for groups in points))
        for label, points in trace.lines.items()
    ]
    return Interaction(metric, trace.factor, trace.other, trace.ticks, tuple(lines), p)


def _mean(groups: Sequence[Group], scores: Scores, seeds: Sequence[int]) -> Summary:
    """Over seeds, of the mean of the conditions within each."""
    return summarise(
        [
            math.fsum(scores[group.first.condition_id][seed] for group in groups) / len(groups)
            for seed in seeds
        ]
    )


# What stands in the way, in words.


def _undefined(groups: Sequence[Group], metric: str) -> str:
    """Why a metric has no effects; empty where it has."""
    scores = {group.name: group.scores(metric) for group in groups}
    common = set.intersection(*(set(each) for each in scores.values()))
    if len(common) >= LEAST_SEEDS:
        return ""
    without = [name for name, each in scores.items() if not each]
    if without:
        return f"it has no value in {some(without, MOST_NAMED)}"
    return f"fewer than {LEAST_SEEDS} seeds have a value of it in every condition"


def _require_seeds(groups: Sequence[Group], study: str, command: str) -> None:
    """Raises StudyError unless two seeds have finished in all conditions."""
    finished = [{run.seed for run in group.finished()} for group in groups]
    common = sorted(set.intersection(*finished))
    if len(common) >= LEAST_SEEDS:
        return
    have = f"they share {seed_list(common)}" if common else "they share none"
    missing = missing_notes((group.name, group.missing()) for group in groups)
    again = f"`{command}` trains what is missing" if command else "import or train what is missing"
    hint = f"{' '.join(missing[:MOST_NAMED])} {again}" if missing else "plan more with --seeds"
    raise StudyError(
        f"study '{study}': effects need at least {LEAST_SEEDS} seeds that all {len(groups)} conditions have, "
        f"and {have}. {hint[0].upper()}{hint[1:]}"
    )


def _gaps(cells: Cells, study: str, command: str, without_code: bool) -> str:
    """Which combinations a study lacks, and what to type."""
    axes = " x ".join(f"{axis.name} ({len(axis.levels)})" for axis in cells.axes)
    if cells.n_cells > MOST_CELLS:
        return (
            f"study '{study}': the {cells.n_cells:,} combinations of {axes} are more than can be analysed; "
            "choose a part with --where"
        )
    missing = [cells.label(levels) for levels, group in cells.grid() if group is None]
    gone = (
        " The subject's code is gone, which could tell what is the same training as another combination."
        if without_code
        else ""
    )
    return (
        f"study '{study}' is neither a full grid nor of the design both or ladder: of the {cells.n_cells} "
        f"combinations of {axes}, {len(missing)} are missing: {some(missing, MOST_NAMED)}.{gone} "
        f"{_what_to_type(command)} `ablate compare` has each condition beside the baseline"
    )


def _what_to_type(command: str) -> str:
    part = "hoose a part that is complete with --where."
    designed = re.sub(r" --design[ =]\S+", "", command)
    if command.startswith("ablate grid ") and designed != command:
        return f"`{designed} --design full` trains them, --design both fewer; or c{part}"
    if command.startswith("ablate study "):
        return f'With factors, design = "full" in the study file trains them, "both" fewer; or c{part}'
    return f"C{part}"
