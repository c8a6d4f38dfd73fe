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
