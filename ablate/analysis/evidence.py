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
from ablate.record.rundir import RunFolder
from ablate.subject.interface import Card
from ablate.subject.registry import open_if_there
from ablate.subject.scores import shares, slug

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Confusions:
    """A square matrix of each condition as shares of its rows, averaged over its seeds."""

    name: str
    labels: tuple[str, ...]
    matrices: dict[str, Matrix]


def mean_confusions(groups: Sequence[Group]) -> list[Confusions]:
    """One for each square matrix. Conditions with other labels than the first that has it are left out."""
    names = dict.fromkeys(name for group in groups for run in group.finished() for name in run.matrices)
    found = (_mean_confusion(name, groups) for name in names)
    return [confusions for confusions in found if confusions is not None]


def _mean_confusion(name: str, groups: Sequence[Group]) -> Confusions | None:
    counted = {
        group.name: [run.matrices[name] for run in group.finished() if name in run.matrices]
        for group in groups
    }
    counted = {group: matrices for group, matrices in counted.items() if matrices}
    first = next(iter(counted.values()))[0]
    if first["rows"] != first["columns"]:
        return None
    alike = {
        group: matrices
        for group, matrices in counted.items()
        if all((each["rows"], each["columns"]) == (first["rows"], first["columns"]) for each in matrices)
    }
    means = {group: _mean_shares(matrices) for group, matrices in alike.items()}
    return Confusions(name, tuple(first["rows"]), means)


def _mean_shares(matrices: Sequence[Mapping[str, Any]]) -> Matrix:
    """The row of a class that occurs in no seed is NaN."""
    stacked = np.stack([shares(matrix["counts"]) for matrix in matrices])
    mean: Matrix = np.ma.masked_invalid(stacked).mean(axis=0).filled(np.nan)
    return mean


@dataclass(frozen=True)
class ClassScores:
    """The mean of a family of metrics for each class in each condition; None where undefined."""

    family: str
    classes: tuple[str, ...]
    scores: dict[str, list[float | None]]


def class_scores(groups: Sequence[Group], family: str) -> ClassScores | None:
    """Of a family such as ``event_f/*``; None when no condition has it.

    Conditions with other classes than the first that has it are left out.
    """
    prefix = family.removesuffix("*")
    finished = [(group, group.finished()[0]) for group in groups if group.finished()]
    of = [(group, run, [name for name in run.metrics if name.startswith(prefix)]) for group, run in finished]
    of = [(group, run, names) for group, run, names in of if names]
    if not of:
        return None
    _, first, names = of[0]
    scores = {
        group.name: [_mean(list(group.scores(name).values())) for name in names]
        for group, _, theirs in of
        if theirs == names
    }
    labels = _labels_by_slug(first.runs[0].tables)
    classes = [name.removeprefix(prefix) for name in names]
    return ClassScores(family, tuple(labels.get(name, name) for name in classes), scores)


def _labels_by_slug(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the tables of a run call the classes that metrics name by their slugs."""
    return {
        slug(row[0]): row[0]
        for table in tables.values()
        for row in table["rows"]
        if row and isinstance(row[0], str)
    }


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


NO_CURVES = ("epoch", "seconds")
MOST_CURVES = 6  # in one panel


def learning(groups: Sequence[Group], folders: Mapping[str, RunFolder]) -> dict[str, Learning]:
    """The curves of the finished seeds of each condition. ``folders`` are by run id."""
    histories = {group.name: [_history(seed, folders) for seed in group.finished()] for group in groups}
    names = curve_names(groups[0].first.subject, [each for seeds in histories.values() for each in seeds])
    found = {name: curves(seeds, names) for name, seeds in histories.items()}
    return {name: each for name, each in found.items() if each is not None}


def _history(seed: RunRecord, folders: Mapping[str, RunFolder]) -> History:
    """That of a run; of folds, the mean over them of each epoch and value that all of them have."""
    histories = [folders[run.run_id].history() for run in seed.runs]
    if len(histories) == 1:
        return histories[0]
    epochs = [{row["epoch"]: row for row in history} for history in histories]
    together = [
        [rows[epoch] for rows in epochs] for epoch in epochs[0] if all(epoch in rows for rows in epochs)
    ]
    return [
        {
            name: _mean([row[name] for row in rows])
            for name in rows[0]
            if all(row.get(name) is not None for row in rows)
        }
        for rows in together
    ]


def curve_names(card: Card, histories: Sequence[History]) -> dict[str, str]:
    """Title -> name in the history: those that the subject wants drawn, else the first of all."""
    subject = open_if_there(card.spec)
    if subject is not None and subject.curves:
        return dict(subject.curves)
    names = dict.fromkeys(
        name
        for history in histories
        for row in history
        for name, value in row.items()
        if value is not None and name not in NO_CURVES
    )
    return {name.replace("_", " "): name for name in list(names)[:MOST_CURVES]}


def curves(histories: Sequence[History], names: Mapping[str, str]) -> Learning | None:
    """Curves by title, a history for each seed; None when none was recorded."""
    values = {title: _values(histories, name) for title, name in names.items()}
    found = {title: each for title, each in values.items() if each is not None}
    return Learning(found) if found else None


def _values(histories: Sequence[History], key: str) -> Matrix | None:
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
    """The setting that a factor sets: known, or for a user's own the one that always equals it."""
    card = runs[0].subject if runs else Card("unknown")
    if factor in card.fields:
        return card.fields[factor]
    if factor in card.settings:
        return factor
    same = [name for name in card.settings if all(run.config[name] == run.condition[factor] for run in runs)]
    return same[0] if same else factor


def _labels(runs: Sequence[RunRecord], factor: str) -> list[str]:
    """What tells the lines apart: the other factors in which they differ, else the settings."""
    values = [{**run.config, **run.condition, "data": run.dataset_name} for run in runs]
    shown_by_factor = {
        field for run in runs[:1] for name, field in run.subject.fields.items() if name != field
    }
    hidden = {factor, _field(factor, runs), "seed"} | shown_by_factor
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
