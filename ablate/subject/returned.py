"""What a training returned, checked before it is recorded."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.ground.errors import ConfigError, brief, shown
from ablate.ground.records import LARGEST
from ablate.ground.wording import enumerate_names, suggest
from ablate.subject.metrics import Metrics
from ablate.subject.scores import Matrix, Scores, Table

RETURN = "return ablate.Scores(accuracy=0.9), or a dict such as {'accuracy': 0.9}"


def checked(result: Any, metrics: Metrics) -> Scores:
    """The scores that a training returned, which records can hold.

    Raises ConfigError with every problem: nothing or something else was returned, a metric that is not a
    finite number, one that is not declared where any is, one that is declared and missing, a matrix or table
    whose parts do not fit. None is a metric that is undefined for this run.
    """
    scores = _scores(result)
    problems = [*_metric_problems(scores, metrics), *_shape_problems(scores), *_fact_problems(scores)]
    if problems:
        raise ConfigError([f"train returned {problem}" for problem in problems])
    return scores


def is_metric_name(name: str, *, family: bool = False) -> bool:
    """Whether records, MLflow and the command line can hold a metric's name, or that of a family."""
    stem = name.removesuffix("/*") if family else name
    return re.fullmatch(r"[\w.\-/ ]*\w", stem) is not None


def _scores(result: Any) -> Scores:
    if isinstance(result, Scores):
        scores = result
    elif result is None:
        raise ConfigError(f"train returned nothing; {RETURN}")
    elif isinstance(result, Mapping):
        scores = _from_mapping(result)
    else:
        raise ConfigError(f"train returned {shown(result)}; {RETURN}")
    # Labels can be anything that can be gone through, even once.
    scores.matrices = {name: _whole(matrix) for name, matrix in scores.matrices.items()}
    return scores


def _from_mapping(result: Mapping[Any, Any]) -> Scores:
    problems = []
    values: dict[str, Any] = {}
    for name, value in result.items():
        try:
            number = value if value is None or isinstance(value, (Matrix, Table)) else float(value)
        except (TypeError, ValueError, OverflowError):
            problems.append(f"train returned {shown(name)}: {shown(value)}, which is not a number")
        else:
            values[str(name)] = number
    if problems:
        raise ConfigError(problems)
    return Scores(values)


def _whole(matrix: Matrix) -> Matrix:
    columns = None if matrix.columns is None else list(matrix.columns)
    return Matrix(list(matrix.labels), [list(row) for row in matrix.counts], columns)


def _metric_problems(scores: Scores, metrics: Metrics) -> Iterator[str]:
    declared = {metric.name for metric in metrics}
    single = [metric.name for metric in metrics if not metric.is_family]
    if not scores.metrics:
        yield f"no metric; {RETURN}"
        return
    for name, value in scores.metrics.items():
        if value is not None and not abs(value) <= LARGEST:
            yield f"{brief(name)} = {value:g}, which is no result; None says that a metric is undefined"
        if not is_metric_name(name):
            yield f"metric '{brief(name)}'; a name is made of letters, digits, spaces and _ - . /"
        elif declared and name not in declared and f"{name.partition('/')[0]}/*" not in declared:
            yield f"metric '{brief(name)}', which is not declared{suggest(name, declared)}"
    missing = [name for name in single if name not in scores.metrics]
    if missing:
        yield f"no {enumerate_names(missing)}, which the subject declares; None says that one is undefined"


def _shape_problems(scores: Scores) -> Iterator[str]:
    for name, matrix in scores.matrices.items():
        n_columns = len(matrix.labels if matrix.columns is None else matrix.columns)
        if len(matrix.counts) != len(matrix.labels) or any(len(row) != n_columns for row in matrix.counts):
            shape = f"{len(matrix.counts)} x {len(matrix.counts[0]) if len(matrix.counts) else 0}"
            yield f"matrix '{brief(name)}' of {shape} counts for {len(matrix.labels)} x {n_columns} labels"
        elif odd := [count for row in matrix.counts for count in row if not _is_count(count)]:
            yield f"matrix '{brief(name)}' with {shown(odd[0])}, which is no count; counts are whole numbers"
    for name, table in scores.tables.items():
        if any(len(row) != len(table.columns) for row in table.rows):
            yield f"table '{brief(name)}' with a row that has not {len(table.columns)} cells, one a column"


def _is_count(value: Any) -> bool:
    try:
        return bool(int(value) == value and value >= 0)
    except (TypeError, ValueError, OverflowError):
        return False


def _fact_problems(scores: Scores) -> Iterator[str]:
    for name, value in scores.facts.items():
        plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
        scores.facts[name] = plain
        if not (plain is None or isinstance(plain, (str, bool, int, float))):
            yield f"fact '{brief(str(name))}' = {shown(value)}; facts are numbers, text, yes or no"
        elif isinstance(plain, float) and not math.isfinite(plain):
            yield f"fact '{brief(str(name))}' = {plain}; leave out what is no number"
