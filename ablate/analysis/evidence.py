"""What the pictures of a study show, worked out from its runs: numbers only, no drawing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ablate.analysis.compare import Group
from ablate.analysis.figures import Curve, Learning, Matrix
from ablate.analysis.intervals import summarise
from ablate.analysis.query import RunRecord
from ablate.design.conditions import show
from ablate.mtl.config import FIELDS
from ablate.mtl.factors import FACTORS
from ablate.mtl.metrics.scores import recall_matrix, slugs
from ablate.record.rundir import RunFolder

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Confusions:
    """The recall matrix of each condition, averaged over its seeds. Rows true, columns predicted."""

    scenes: tuple[str, ...]
    matrices: dict[str, Matrix]


def mean_confusions(groups: Sequence[Group]) -> Confusions | None:
    """None when no condition classifies scenes. Conditions on other scenes than the first are left out."""
    counted = [
        (group.name, [run for run in group.finished() if run.scene_confusion is not None]) for group in groups
    ]
    counted = [(name, runs) for name, runs in counted if runs]
    if not counted:
        return None
    scenes = counted[0][1][0].scenes
    matrices = {name: _mean_recalls(runs) for name, runs in counted if runs[0].scenes == scenes}
    return Confusions(scenes, matrices)


def _mean_recalls(runs: Sequence[RunRecord]) -> Matrix:
    """The row of a scene that occurs in no seed is NaN."""
    matrices = [recall_matrix(np.array(run.scene_confusion, dtype=np.int64)) for run in runs]
    mean: Matrix = np.ma.masked_invalid(np.stack(matrices)).mean(axis=0).filled(np.nan)
    return mean


@dataclass(frozen=True)
class ClassScores:
    """The mean F of each event in each condition, fractions; None where undefined."""

    events: tuple[str, ...]
    scores: dict[str, list[float | None]]


def class_scores(groups: Sequence[Group]) -> ClassScores | None:
    """None when no condition detects events. Conditions on other events than the first are left out."""
    counted = [(group, group.finished()) for group in groups]
    counted = [(group, runs) for group, runs in counted if runs and runs[0].event_counts is not None]
    if not counted:
        return None
    events = counted[0][1][0].events
    names = [f"event_f/{name}" for name in slugs(events)]
    scores = {
        group.name: [_mean(list(group.scores(name).values())) for name in names]
        for group, runs in counted
        if runs[0].events == events
    }
    return ClassScores(events, scores)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


LOSSES = {"scene loss": "loss_scene", "event loss": "loss_event"}


def learning(groups: Sequence[Group], folders: Mapping[str, RunFolder]) -> dict[str, Learning]:
    """The losses per epoch of the finished runs of each condition. ``folders`` are by run id."""
    curves = {}
    for group in groups:
        found = losses([folders[run.run_id].history() for run in group.finished()])
        if found is not None:
            curves[group.name] = found
    return curves


def losses(histories: Sequence[History]) -> Learning | None:
    """The losses of the tasks that were trained, a history for each seed; None when none was recorded."""
    tasks = {title: _losses(histories, key) for title, key in LOSSES.items()}
    found = {title: values for title, values in tasks.items() if values is not None}
    return Learning(found) if found else None


def _losses(histories: Sequence[History], key: str) -> Matrix | None:
    """(n_seeds, n_epochs), NaN after the end of a shorter seed; None when nothing was recorded."""
    rows = [[row[key] for row in history if row.get(key) is not None] for history in histories]
    rows = [row for row in rows if row]
    if not rows:
        return None
    values = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in enumerate(rows):
        values[place, : len(row)] = row
    return values


@dataclass(frozen=True)
class FactorCurves:
    """Lines over one numeric factor: metric -> lines. ``single`` are conditions without a neighbour level."""

    factor: str
    metrics: dict[str, list[Curve]]


MIN_LEVELS = 3  # two levels are a difference, which the forest plot shows better


def factor_curves(groups: Sequence[Group], metrics: Sequence[str]) -> list[FactorCurves]:
    """For each factor with at least three numeric levels: the metrics over it, a line for each other level.

    Conditions that have no neighbour along the factor, such as the baseline of a study of lambda, are on no
    line.
    """
    found = []
    for factor in dict.fromkeys(name for group in groups for name in group.first.condition):
        lines = _lines(groups, factor)
        if lines:
            curves = {metric: _curves(lines, factor, metric) for metric in metrics}
            found.append(FactorCurves(factor, {name: lines for name, lines in curves.items() if lines}))
    return found


def _lines(groups: Sequence[Group], factor: str) -> dict[str, list[Group]]:
    """Label -> the conditions along the factor, by rising level, that are the same in all else."""
    numeric = [group for group in groups if _is_level(group.first.condition.get(factor))]
    field = _field(factor, [group.first for group in numeric])
    lines: dict[tuple[Any, ...], list[Group]] = {}
    for group in numeric:
        config = {name: value for name, value in group.first.config.items() if name not in ("seed", field)}
        lines.setdefault((group.first.dataset_digest, *config.items()), []).append(group)
    long = [
        sorted(line, key=lambda group: float(group.first.condition[factor]))
        for line in lines.values()
        if len(line) >= MIN_LEVELS
    ]
    return dict(zip(_labels([line[0].first for line in long], factor), long, strict=True))


def _is_level(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _field(factor: str, runs: Sequence[RunRecord]) -> str:
    """The setting that a factor sets: known for ours, and for a user's own the one that always equals it."""
    if factor in FACTORS:
        return FACTORS[factor].field
    if factor in FIELDS:
        return factor
    same = [name for name in FIELDS if all(run.config[name] == run.condition[factor] for run in runs)]
    return same[0] if same else factor


def _labels(runs: Sequence[RunRecord], factor: str) -> list[str]:
    """What tells the lines apart: the other factors in which they differ, else the settings."""
    values = [{**run.config, **run.condition, "data": run.dataset_name} for run in runs]
    hidden = {factor, _field(factor, runs), "seed"} | {factor.field for factor in FACTORS.values()}
    names = [
        name
        for name in dict.fromkeys(name for row in values for name in row)
        if name not in hidden and len({show(row.get(name)) for row in values}) > 1
    ]
    labels = [", ".join(f"{name}={show(row.get(name))}" for name in names) for row in values]
    return [label or f"over {factor}" for label in labels]


def _curves(lines: Mapping[str, Sequence[Group]], factor: str, metric: str) -> list[Curve]:
    curves = []
    for label, line in lines.items():
        points = [(group, list(group.scores(metric).values())) for group in line]
        points = [(group, scores) for group, scores in points if scores]
        if len(points) > 1:
            levels = tuple(float(group.first.condition[factor]) for group, _ in points)
            curves.append(Curve(label, levels, tuple(summarise(scores) for _, scores in points)))
    return curves
