"""What MLflow shows of a run folder, as plain data: a name, params, tags and metric points."""

import getpass
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.design.conditions import show
from ablate.design.runs import Run
from ablate.record.rundir import State, Status
from ablate.record.searches import Plan
from ablate.subject.interface import Card
from ablate.subject.metrics import ENERGY, Metrics, energy_in

# The tag by which a run is found again when the folder's own note of it is lost.
RUN_ID_TAG = "ablate.run_id"
ATTEMPT_TAG = "ablate.attempt"
CAUSE_TAG = "ablate.cause"
SEARCH_TAG = "ablate.search"

# What users write in MLflow's page: a run's name, and its description.
NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"
OUR_TAGS = ("ablate.", "version.", "mlflow.")

# The name of the run that holds a study's report, and what its RUN_ID_TAG says: no run id looks like it.
REPORT = "report"
KIND_TAG = "ablate.kind"

STATUS = {
    State.RUNNING: "RUNNING",
    State.FINISHED: "FINISHED",
    State.FAILED: "FAILED",
    State.INTERRUPTED: "KILLED",
    State.PRUNED: "KILLED",
}

# Measured by a clock or a meter: other numbers when the same training is done again are no contradiction.
TIMINGS = ("curves/seconds", "duration_s", ENERGY.name)

TAG_LIMIT = 5000  # characters; MLflow refuses tags beyond 8000


@dataclass(frozen=True)
class Point:
    """One value of one metric. MLflow calls the epoch its step."""

    key: str
    value: float
    step: int
    timestamp_ms: int


def params(run: Run, result: dict[str, Any] | None, card: Card) -> dict[str, str]:
    """What the runs table can be filtered and grouped by: the condition first, then what is the same in all.

    A factor is shown by its name (``lambda``), and any other setting by its dotted name (``optim.lr``).
    """
    as_factors = {field for name, field in card.fields.items() if name in run.condition}
    replicate = {"seed": run.seed} | ({} if run.fold is None else {"fold": run.fold})
    content = {"condition": run.name, **replicate, **run.condition, "run_id": run.run_id}
    content |= {
        name: value
        for name, value in run.config.flat().items()
        if name not in as_factors and name not in content
    }
    if result is not None:
        facts = {name: value for name, value in result["facts"].items() if name not in TIMINGS}
        content |= {name: value for name, value in facts.items() if name not in content}
    return {_key(name): show(value) for name, value in content.items()}


def birth_tags(run: Run) -> dict[str, str]:
    """What a run in MLflow is created with, so that it can be found whatever happens next."""
    return {RUN_ID_TAG: run.run_id, "mlflow.source.name": "ablate", "mlflow.source.type": "LOCAL", **_user()}


def users_tags(shown: Mapping[str, str]) -> dict[str, str]:
    """Of a run's tags those that are the users': its name, its description, and all that is not of a tool."""
    kept = (NAME_TAG, NOTE_TAG)
    return {name: value for name, value in shown.items() if name in kept or not name.startswith(OUR_TAGS)}


def report_tags() -> dict[str, str]:
    """What the run that holds the report is created with."""
    source = {"mlflow.source.name": "ablate", "mlflow.source.type": "LOCAL"}
    return {RUN_ID_TAG: REPORT, KIND_TAG: REPORT, **source, **_user()}


def tags(run: Run, status: Status, result: dict[str, Any] | None) -> dict[str, str]:
    """Where the numbers come from, and why they stopped coming."""
    content: dict[str, Any] = {
        "ablate.condition_id": run.condition_id,
        ATTEMPT_TAG: status.attempt,
        "ablate.host": status.host,
    }
    if status.state in (State.FAILED, State.INTERRUPTED, State.PRUNED) and status.cause:
        content[CAUSE_TAG] = status.cause
    if result is not None:
        content["ablate.device"] = result["device"]
        content |= {f"version.{name}": version for name, version in result["versions"].items()}
    return {_key(name): str(value)[:TAG_LIMIT] for name, value in content.items() if value is not None}


def search_tags(trial: int, plan: Plan) -> dict[str, str]:
    """What a search says of a run of one of its trials."""
    options = ", ".join(f"{name}={value}" for name, value in plan.sampler_options.items())
    return {
        "ablate.trial": str(trial),
        "ablate.sampler": plan.sampler,
        "ablate.sampler_options": options,
        "ablate.search_seed": str(plan.seed),
        "ablate.scored_on": "evaluation data" if plan.on_evaluation else "held-out data",
        "version.optuna": plan.optuna,
    }


def points(
    history: list[dict[str, Any]], result: dict[str, Any] | None, start_ms: int, metrics: Metrics
) -> list[Point]:
    """The curves, in the order of the epochs, then the scores.

    Curves have a prefix, which makes them a section of MLflow's charts, the first one by the alphabet. Scores
    have step 0: MLflow then draws them as bars, one a run, rather than as lines of one point. Times count the
    seconds of training from the start of the MLflow run, not of this attempt, so that the same row is the
    same point however often it is shipped.
    """
    found: list[Point] = []
    time_ms = float(start_ms)
    for row in history:
        time_ms += 1000 * (row.get("seconds") or 0.0)
        epoch = int(row["epoch"])
        curves = {f"curves/{name}": value for name, value in row.items() if name != "epoch"}
        found += [Point(key, value, epoch, int(time_ms)) for key, value in _numbers(curves)]
    if result is not None:
        scores = {**energy_in(result["facts"]), **result["metrics"], "duration_s": result["duration_s"]}
        shown = {name: value for name, value in scores.items() if _is_shown(name, metrics)}
        found += [Point(key, value, 0, int(time_ms)) for key, value in _numbers(shown)]
    return found


def _is_shown(name: str, metrics: Metrics) -> bool:
    """Of scores per class only some are metrics: 29 charts can be read, 87 cannot. Tables have the rest."""
    return "/" not in name or metrics.of(name).chart


def _numbers(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Valid names and numbers; None is left out. MLflow reads infinity back as 1.8e308, so it becomes NaN."""
    for name, value in values.items():
        if value is not None:
            number = float(value)
            yield _key(name), math.nan if math.isinf(number) else number


def _key(name: str) -> str:
    """``name`` as MLflow accepts it. Ours are valid; those of a plugin need not be."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def _user() -> dict[str, str]:
    try:
        return {"mlflow.user": getpass.getuser()}
    except (KeyError, OSError):  # a container's user without a name
        return {}
