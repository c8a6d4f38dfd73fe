"""What each command prints with ``--format json``: one document a class, from which ``docs/json.md`` is made.

A field that is taken away or means something else makes a new version of its schema; a field more does not.
A command makes its document of the class and hands it to ``console.print_json``::

    print_json(Status(schema="ablate.status/1", study=name, ...))

Numbers that are not finite are null. Whatever else a command has to say goes to standard error.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict  # which pydantic needs before Python 3.12

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


class Written(TypedDict):
    """A file to start from: `ablate study --init`, `ablate subject --init`."""

    schema: Literal["ablate.written/1"]
    file: str


class StudyFile(TypedDict):
    """A study file that a name finds."""

    name: str
    file: str
    comes_with_ablate: bool


class Studies(TypedDict):
    """The study files that there are: `ablate study` without a name."""

    schema: Literal["ablate.studies/1"]
    studies: Sequence[StudyFile]


class Subject(TypedDict):
    """What a module says, and whether a run of it succeeds and survives an interruption: `ablate subject`."""

    schema: Literal["ablate.subject/1"]
    file: str
    name: str
    version: Annotated[str, "the digest of its code"]
    ok: bool
    settings: Annotated[Mapping[str, Any], "each setting, and what it is without a change"]
    factors: Sequence[str]
    metrics: Annotated[Mapping[str, str], "max or min, whichever is better"]
    profiles: Mapping[str, Mapping[str, Any]]


class Cancelled(TypedDict):
    """What has become of a study's training: `ablate cancel`."""

    schema: Literal["ablate.cancel/1"]
    study: str
    saved: Annotated[int, "runs that were under way and have saved where they are"]
    withdrawn: Annotated[int, "runs taken from the queue"]
    problems: Annotated[Sequence[str], "what Slurm said against it"]
    under_way: Annotated[int, "runs that have not ended; with any, the exit code is 1"]
    hosts: Annotated[Sequence[str], "where these are"]


class Synced(TypedDict):
    """What MLflow lacked of a study: `ablate sync`."""

    schema: Literal["ablate.sync/1"]
    study: str
    sent: Annotated[int, "runs that were not there, or not in full"]
    up_to_date: int
    not_begun: int
    uri: Annotated[str, "MLflow's address, without a password"]
    experiment: Annotated[str, "what MLflow calls the study"]
    notes: Sequence[str]


class Imported(TypedDict):
    """A study of runs that were trained elsewhere: `ablate import`."""

    schema: Literal["ablate.import/1"]
    study: str
    source: str
    new: int
    same: Annotated[int, "runs that were there already"]
    replaced: int
    n_conditions: NotRequired[Annotated[int, "of a table's"]]
    baseline: NotRequired[Annotated[str | None, "of a table"]]
    notes: Sequence[str]


class RunOfStudy(TypedDict):
    """Which run it is."""

    run_id: str
    name: Annotated[str | None, "of its condition"]
    seed: int | None
    fold: NotRequired[Annotated[int, "of a study in folds"]]


class FailedRun(RunOfStudy):
    """A run that failed."""

    message: Annotated[str | None, "what was raised, or what ended it"]
    ended_at: Annotated[float | None, "seconds since 1970"]
    attempt: int
    host: str | None
    job: str | None
    log: str | None


class FailureGroup(TypedDict):
    """Runs that failed of the same."""

    cause: Annotated[str, "error, memory, killed, machine or tracker"]
    message: str
    where: Annotated[str | None, "place in the code that raised it"]
    n_runs: int
    runs: Sequence[FailedRun]
    log_tail: Annotated[Sequence[str], "of the last of them"]
    retry: Annotated[Sequence[str], "commands that train them again"]


class Failures(TypedDict):
    """What a study's runs failed of: `ablate failures`."""

    schema: Literal["ablate.failures/1"]
    study: str
    store: str
    n_runs: int
    n_failed: int
    groups: Sequence[FailureGroup]


class Work(RunOfStudy):
    """What a worker does."""

    host: str | None
    pid: int | None
    job: str | None
    attempt: int
    epoch: int
    n_epochs: int | None
    seconds: Annotated[float | None, "since it began"]
    curves: Annotated[Mapping[str, float | None], "last values"]


class ChangedRun(RunOfStudy):
    """A run whose state has changed."""

    state: str
    cause: str | None


class FailuresSeen(TypedDict):
    """Runs that failed of the same."""

    cause: str
    message: str
    where: str | None
    n_runs: int
    runs: Annotated[Mapping[str, str], "seeds of each condition"]
    retry: Annotated[str | None, "the command that trains them again"]


class Look(TypedDict):
    """A study under way; without --once a document in a line for each change: `ablate watch`."""

    schema: Literal["ablate.watch/1"]
    study: str
    store: str
    at: Annotated[float, "seconds since 1970"]
    n_runs: int
    n_ended: int
    counts: Annotated[Mapping[str, int], "runs in each state"]
    share: Annotated[float, "of the training that is done"]
    seconds_left: float | None
    is_over: bool
    works: Sequence[Work]
    runs: Annotated[Sequence[ChangedRun], "those that have changed since the document before"]
    failures: Sequence[FailuresSeen]


class BundleWritten(TypedDict):
    """A study as one file: `ablate bundle STUDY FILE`."""

    schema: Literal["ablate.bundle-written/1"]
    study: str
    file: str
    bytes: int
    sha256: str
    states: Annotated[Mapping[str, int], "runs in each state"]
    notes: Annotated[Sequence[str], "what is not in it"]


class PackedFile(TypedDict):
    """A file of a bundle."""

    size: int
    sha256: str


class BundleChecked(TypedDict):
    """A bundle that is whole: `ablate bundle --check FILE`."""

    schema: Literal["ablate.bundle-checked/1"]
    file: str
    bytes: int
    sha256: str
    records: Annotated[int, "version of its records"]
    ablate: Annotated[str, "version that has written it"]
    study: str
    states: Annotated[Mapping[str, int], "runs in each state"]
    weights: bool
    scores: bool
    notes: Sequence[str]
    files: Mapping[str, PackedFile]


class Circumstance(TypedDict):
    """Something that a run was made by."""

    name: str
    was: str
    here: str
    same: bool


class ReproducedScore(TypedDict):
    """A score of both trainings."""

    name: str
    was: float | None
    now: float | None
    spread: Annotated[float | None, "standard deviation over the seeds of the condition"]
    same: bool
    near: bool


class Parting(TypedDict):
    """Where curves part."""

    epoch: int
    curve: str
    was: float | None
    now: float | None


class Reproduction(TypedDict):
    """A run trained again: `ablate reproduce`."""

    schema: Literal["ablate.reproduce/1"]
    run_id: str
    study: str
    device: str
    circumstances: Sequence[Circumstance]
    exact: Annotated[bool, "whether the same bits can be expected"]
    n_epochs: Annotated[int, "that were compared"]
    parted: Parting | None
    scores: Sequence[ReproducedScore]
    counts: Annotated[Sequence[str], "matrices and tables that differ"]
    files: Annotated[Mapping[str, bool], "whether each has the same bytes"]
    agrees: Annotated[bool, "if not, the exit code is 1"]
    verdict: str


class RunRow(RunState):
    """A run, and what it scored."""

    dataset: DatasetName
    metrics: Annotated[Mapping[str, float | None], "as stored; null where undefined"]
    mlflow_run_id: str | None
    duration_s: float | None
    log: str | None


class Runs(TypedDict):
    """A study's runs: `ablate runs`."""

    schema: Literal["ablate.runs/1"]
    study: str
    remark: NotRequired[Annotated[str, "how the conditions were chosen, where a search chose them"]]
    runs: Sequence[RunRow]


class Run(TypedDict):
    """Everything of one run; scores as stored, times in seconds: `ablate show`."""

    schema: Literal["ablate.run/1"]
    run_id: str
    study: str
    name: str
    condition: Levels
    seed: int
    fold: NotRequired[int]
    n_folds: NotRequired[int]
    state: str
    cause: str | None
    failure: Annotated[Mapping[str, Any] | None, "what a failed run has failed of"]
    attempt: Annotated[int, "how often it was begun"]
    host: str | None
    pid: int | None
    device: str | None
    job: Annotated[str | None, "of a cluster"]
    started_at: Annotated[float | None, "seconds since 1970"]
    ended_at: Annotated[float | None, "seconds since 1970"]
    duration_s: float | None
    dataset: Mapping[str, str | None]
    config: Annotated[Mapping[str, Any], "every setting by its dotted name"]
    metrics: Mapping[str, float | None]
    tables: Mapping[str, Any]
    matrices: Mapping[str, Any]
    facts: Mapping[str, Any]
    unread: Annotated[Sequence[str], "settings that the training has never read"]
    remarks: Mapping[str, Any]
    n_epochs: int
    history_tail: Annotated[Sequence[Mapping[str, Any]], "the last epochs"]
    versions: Mapping[str, str]
    made: Annotated[Mapping[str, Any], "by which code, processor, threads and system"]
    files: Mapping[str, str]
    mlflow: Mapping[str, Any] | None
    pictures: NotRequired[Sequence[str]]


class Log(TypedDict):
    """A log of a run, or of the job that has trained it."""

    name: str
    path: str
    lines: Sequence[str]


class Logs(TypedDict):
    """A run's logs: `ablate show RUN --log`."""

    schema: Literal["ablate.logs/1"]
    run_id: str
    logs: Sequence[Log]


class DiffOf(TypedDict):
    """Two runs side by side: `ablate diff`."""

    schema: Literal["ablate.diff/1"]
    runs: Annotated[Sequence[Mapping[str, Any]], "both: run id, study, name, seed, state"]
    settings: Annotated[Mapping[str, Sequence[Any]], "those that differ, of the first and the second"]
    metrics: Annotated[Mapping[str, Any], "values of both, and second minus first"]


class Comparison(TypedDict):
    """A study's conditions over their seeds: `ablate compare`."""

    schema: Literal["ablate.comparison/1"]
    study: str
    baseline: str | None
    interval: Annotated[str, "how intervals were made: t, percentile or bca"]
    over: NotRequired[Annotated[str, "items or both, where intervals are of other items too"]]
    items: NotRequired[Any]
    gaps: NotRequired[Sequence[Any]]
    metrics: Sequence[str]
    folds: NotRequired[Any]
    conditions: Annotated[Sequence[Mapping[str, Any]], "mean, SD, n, CI and difference of each metric"]
    looked: NotRequired[Annotated[Mapping[str, Any], "with how many seeds the study was looked at before"]]


class Layout(TypedDict):
    """A published table with the study's scores beside it: `ablate compare --layout`."""

    schema: Literal["ablate.layout/1"]
    study: str
    source: str | None
    datasets: Sequence[str]
    metrics: Sequence[str]
    conditions: Sequence[Mapping[str, Any]]
    left_out: Sequence[str]
    replication: Sequence[Mapping[str, Any]]


class Claims(TypedDict):
    """The verdict on each claim: `ablate claims`."""

    schema: Literal["ablate.claims/1"]
    study: str
    confidence: float
    claims: Annotated[Sequence[Mapping[str, Any]], "each with its verdict, sentence and comparisons"]
    looked: NotRequired[Mapping[str, Any]]


class Effects(TypedDict):
    """What each factor does: `ablate effects`."""

    schema: Literal["ablate.effects/1"]
    study: str
    confidence: float
    parts: Annotated[Sequence[Mapping[str, Any]], "one a design"]


class Noise(TypedDict):
    """How much a baseline's scores differ between seeds: `ablate noise`."""

    schema: Literal["ablate.noise/1"]
    study: str
    baselines: Annotated[Mapping[str, Sequence[Mapping[str, Any]]], "for each metric, mean, SD and range"]


class Decision(TypedDict):
    """A plan of looks and its verdicts; for a plan alone, what it would train: `ablate decide`."""

    schema: Literal["ablate.decision/1"]
    study: str
    digest: Annotated[str, "of the plan"]
    frozen_on: str
    plan: Mapping[str, Any]
    trained_before: Mapping[str, int]
    looked_before: Sequence[int]
    looks: Sequence[Mapping[str, Any]]
    verdicts: Annotated[Mapping[str, str], "by claim: supported, refuted, too small to matter, undecided"]
    runs: Annotated[Mapping[str, int], "needed, and the most that could have been"]
    stopped: NotRequired[Annotated[str | None, "why it has ended before its last look"]]
    is_frozen: NotRequired[bool]
    most_to_train: NotRequired[int]
    estimated_seconds: NotRequired[float | None]


class Search(TypedDict):
    """A search's trials, the best of them, and what these were worth anew: `ablate search`."""

    schema: Literal["ablate.search/1"]
    study: str
    plan: Mapping[str, Any]
    trials: Sequence[Mapping[str, Any]]
    best: Annotated[Sequence[int], "trials by their numbers, the best first"]
    front: NotRequired[Annotated[Sequence[int], "of two objectives: the Pareto front"]]
    hypervolume: NotRequired[Sequence[float]]
    anew: NotRequired[Annotated[Mapping[str, Any], "study, seeds, and the gains beside the baseline"]]


class Finding(TypedDict):
    """One thing that a check has found."""

    level: Annotated[str, "ok, warning or problem"]
    check: str
    text: str
    commands: Annotated[Sequence[str], "that mend it"]


class Doctor(TypedDict):
    """What is wrong here; with a problem, the exit code is 1: `ablate doctor`."""

    schema: Literal["ablate.doctor/1"]
    store: str
    ok: bool
    checks: Sequence[Finding]


class Garbage(TypedDict):
    """What no study needs: `ablate gc`."""

    schema: Literal["ablate.garbage/1"]
    store: str
    bytes: int
    items: Annotated[Sequence[Mapping[str, Any]], "kind, path and bytes of each"]
    notes: Sequence[str]
    removed: bool
