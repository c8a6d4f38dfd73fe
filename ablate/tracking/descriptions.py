"""What MLflow says of a run in words: its condition, what it scored, and how that compares.

It is the run's description, which users may write as well: one that somebody has rewritten stays theirs.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ablate.design.conditions import show
from ablate.design.runs import Run
from ablate.record.rundir import Status
from ablate.subject.metrics import Metric, Metrics, brief_value
from ablate.tracking.projection import NOTE_TAG

DIGEST_TAG = "ablate.description"  # of the description as we wrote it

Scores = Mapping[str, float | None]


@dataclass(frozen=True)
class Beside:
    """The baseline's name, and what it scored with the run's seed and fold; None while that is unknown."""

    name: str
    scores: Scores | None


def description_tags(text: str, shown: Mapping[str, str]) -> dict[str, str]:
    """The tags that show the text; none where a user's own description is shown."""
    return {NOTE_TAG: text, DIGEST_TAG: _digest(text)} if is_ours(shown) else {}


def is_ours(shown: Mapping[str, str]) -> bool:
    """Whether no user has written the description among a run's tags, or changed a word of it."""
    return NOTE_TAG not in shown or shown.get(DIGEST_TAG) == _digest(shown[NOTE_TAG])


def literal(text: str) -> str:
    """Text of users as text, not as Markdown."""
    return "".join(f"\\{letter}" if letter in "\\*_`<>[]#|" else letter for letter in text)


def describe(run: Run, status: Status, scores: Scores | None, beside: Beside | None, units: Metrics) -> str:
    """Three lines in Markdown; two where nothing is there to compare with.

    ``scores`` are those of a finished run.
    """
    condition = ", ".join(f"{name} = {show(level)}" for name, level in run.condition.items())
    lines = [
        f"**{run.name}**, {_replicate(run)}" + (f": {condition}." if condition else "."),
        _scored(status, scores, units),
    ]
    if beside is not None:
        lines.append(_compared(run, scores, beside, units))
    return "  \n".join(lines)  # two blanks before its end break a line in Markdown


def _replicate(run: Run) -> str:
    return f"seed {run.seed}" + ("" if run.fold is None else f", fold {run.fold}")


def _scored(status: Status, scores: Scores | None, units: Metrics) -> str:
    if scores is None:
        why = f": {status.cause.splitlines()[0]}" if status.cause else ""
        return f"{str(status.state).capitalize()}{why}."
    found = {name: value for name in units.headline(list(scores)) if (value := scores[name]) is not None}
    text = ", ".join(
        f"{units.label(name)} {brief_value(units.of(name), value)}" for name, value in found.items()
    )
    return f"{text or 'Finished without a score'}."


def _compared(run: Run, scores: Scores | None, beside: Beside, units: Metrics) -> str:
    if run.name == beside.name:
        return "The baseline, which the others are compared with."
    than = f"{beside.name} with {_replicate(run)}"
    if scores is None or beside.scores is None:
        return f"To be compared with {than}."
    names = [
        name
        for name in units.headline(list(scores))
        if scores[name] is not None and beside.scores.get(name) is not None
    ]
    differences = ", ".join(
        f"{units.label(name)} {_difference(units.of(name), (scores[name] or 0) - (beside.scores[name] or 0))}"
        for name in names
    )
    return f"Beside {than}: {differences or 'no score in common'}."


def _difference(metric: Metric, value: float) -> str:
    """``+1.2 points``, ``-0.013 dB``: of fractions in percentage points."""
    if metric.is_fraction:
        return f"{round(100 * value, 1) + 0.0:+.1f} points"
    return f"{value + 0.0:+.4g} {metric.unit}".rstrip()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
