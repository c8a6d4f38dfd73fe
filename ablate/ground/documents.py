"""What each command prints with ``--format json``: one document a class, from which ``docs/json.md`` is made.

A field that is taken away or means something else makes a new version of its schema; a field more does not.
A command makes its document of the class and hands it to ``console.print_json``::

    print_json(Status(schema="ablate.status/1", study=name, ...))

Numbers that are not finite are null. Whatever else a command has to say goes to standard error.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypedDict

Levels = Annotated[Mapping[str, Any], "the level of each factor"]


class RunState(TypedDict):
    """A run, and how far it is."""

    run_id: str
    name: Annotated[str, "of its condition"]
    condition: Levels
    seed: int
    fold: NotRequired[Annotated[int, "of a study in folds"]]
    state: Annotated[str, "pending, running, finished, failed, interrupted, pruned or damaged"]
    cause: Annotated[str | None, "why it failed or stopped"]


class Jobs(TypedDict):
    """A study's jobs of a cluster."""

    name: str
    queued_runs: Annotated[int, "runs that wait for a job"]
    logs: Annotated[str, "folder of the jobs' logs"]
    running: NotRequired[int]
    waiting: NotRequired[int]
    reasons: NotRequired[Annotated[Sequence[str], "why jobs wait"]]
    problem: NotRequired[Annotated[str, "why nothing is known of the jobs"]]


class Status(TypedDict):
    """How far a study is: `ablate status`."""

    schema: Literal["ablate.status/1"]
    study: str
    store: Annotated[str, "its folder"]
    counts: Annotated[Mapping[str, int], "runs in each state"]
    hosts: Annotated[Mapping[str, int], "runs under way on each host"]
    jobs: Sequence[Jobs]
    runs: Sequence[RunState]


class Factor(TypedDict):
    """What can be varied."""

    name: str
    field: Annotated[str, "the setting that it sets"]
    levels: Annotated[Sequence[Any], "those that it has without --levels"]
    help: str
    inert_when: Annotated[str | None, "under which other levels it changes nothing"]


class Factors(TypedDict):
    """What can be varied: `ablate factors`."""

    schema: Literal["ablate.factors/1"]
    factors: Sequence[Factor]
    settings: Annotated[Mapping[str, Any], "each setting, and what it is without a change"]


class DatasetName(TypedDict):
    """Data that runs are trained on."""

    name: str
    digest: str


class NotTrained(TypedDict):
    """A combination that is not trained."""

    name: str
    why: str
    same_as: NotRequired[Annotated[str, "the condition that is the same training"]]


class Plan(TypedDict):
    """What a study wants and what is left to do, before (`--dry-run`, `--calibrate`) or after it was trained:
    `ablate grid`, `ablate study`.
    """

    schema: Literal["ablate.plan/1"]
    study: str
    dataset: DatasetName
    designs: Annotated[Sequence[str], "of each grid; none where conditions are named"]
    remarks: Sequence[str]
    n_conditions: int
    seeds: Sequence[int]
    n_folds: Annotated[int, "0 without folds"]
    counts: Annotated[Mapping[str, int], "runs in each state"]
    place: Annotated[str | None, "where runs train, where that is not this machine's cores alone"]
    kept_bytes: Annotated[float, "about how much will be kept for `ablate rescore`"]
    estimated_seconds: Annotated[float | None, "of all that is to be trained, where it is known"]
    estimated_seconds_by_workers: Mapping[int, float]
    suggested_workers: int | None
    runs: Sequence[RunState]
    excluded: Annotated[Sequence[NotTrained], "by the study's exclusions"]
    collapsed: Annotated[Sequence[NotTrained], "as they are the same training as another one"]


class Report(TypedDict):
    """A report that was written: `ablate report`."""

    schema: Literal["ablate.report/1"]
    study: str
    bytes: Annotated[int, "of the page"]
    pictures: Annotated[Sequence[str], "titles of what is drawn on it"]
    file: NotRequired[Annotated[str, "where the page is"]]
    figures: NotRequired[Annotated[Sequence[str], "files of the pictures (`--figures`)"]]
    mlflow: NotRequired[Annotated[str | None, "where MLflow shows it; null when it does not"]]


class SearchPlan(TypedDict):
    """What is to be searched: `ablate search --dry-run`."""

    schema: Literal["ablate.search-plan/1"]
    study: str
    trials: int
    trials_asked_before: int
    plan: Annotated[
        Mapping[str, Any], "objectives, space, sampler, pruner, seeds and what trials are scored on"
    ]
    remarks: Sequence[str]
    place: Annotated[str | None, "where runs train, where that is not this machine's cores alone"]
    estimated_seconds: float | None
