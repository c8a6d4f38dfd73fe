"""One run folder against one MLflow run: what is missing is added, what is there is left alone.

The order of the writes is what makes it safe to cut off: the run is born with its tag; artifacts go before
the tag that counts the attempt; the status goes last. A run whose status and attempt agree with the folder's
is therefore complete.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.design.runs import Run
from ablate.ground.errors import StoreError
from ablate.record.rundir import DAMAGED, RunFolder, State, Status
from ablate.subject.interface import NO_DATA, Card
from ablate.tracking import projection
from ablate.tracking.artifacts import write_artifacts
from ablate.tracking.baselines import Baselines
from ablate.tracking.descriptions import Beside, describe, description_tags, is_ours
from ablate.tracking.projection import ATTEMPT_TAG, CAUSE_TAG, NAME_TAG, NOTE_TAG, STATUS, Point

if TYPE_CHECKING:
    from ablate.tracking.connection import Connection, Shown


@dataclass(frozen=True)
class Record:
    """What a run folder holds at one moment.

    ``search_tags`` are what a search says of the run, ``beside`` is what it is compared with.
    """

    folder: RunFolder
    run: Run
    status: Status
    history: list[dict[str, Any]]
    result: dict[str, Any] | None
    card: Card
    search_tags: Mapping[str, str] = field(default_factory=dict)
    beside: Beside | None = None

    @classmethod
    def read(
        cls,
        folder: RunFolder,
        card: Card,
        search_tags: Mapping[str, str] | None = None,
        baselines: Baselines | None = None,
    ) -> "Record":
        # The state first: the history and the result are then at least as far as it says.
        status = folder.status()
        if status.state is State.DAMAGED:  # what MLflow shows of it was sent before
            raise StoreError(f"{folder.path}: {status.cause}; it {DAMAGED}")
        finished = status.state is State.FINISHED
        result = folder.result() if finished else None
        if result is not None:
            result = {**result, "metrics": {**folder.rescored(), **result["metrics"]}}
        run = folder.run()
        beside = None if baselines is None else baselines.beside(run.seed, run.fold)
        return cls(folder, run, status, folder.history(), result, card, search_tags or {}, beside)

    @property
    def is_ended(self) -> bool:
        return self.status.state is not State.RUNNING

    @property
    def ended_ms(self) -> int | None:
        """None while the run goes on. When its worker was killed, the end is when that was noticed."""
        return _milliseconds(self.status.ended_at or time.time()) if self.is_ended else None

    def description(self) -> str:
        scores = None if self.result is None else self.result["metrics"]
        return describe(self.run, self.status, scores, self.beside, self.card.metrics)

    def points(self, start_ms: int) -> list[Point]:
        return projection.points(self.history, self.result, start_ms, self.card.metrics)


def reconcile(client: "Connection", experiment: str, record: Record, noted: str | None) -> tuple[str, bool]:
    """The id of the MLflow run that shows the record, and whether anything had to be written.

    ``noted`` is the id that it had the last time, if known. A run whose curves or scores are not the
    folder's (it was trained again elsewhere than on a CPU, or with other code) is replaced by a new one,
    for MLflow cannot take points back; what users have called it and noted of it goes along.
    """
    shown = find_one(client, experiment, record.run.run_id, noted)
    contradicts = shown is not None and _contradicts(shown, record.points(shown.start_ms))
    replaced = shown if contradicts else None
    is_new = shown is None or replaced is not None
    if shown is None or replaced is not None:
        shown = _create(client, experiment, record, replaced)
    if replaced is not None:
        client.delete(replaced.mlflow_run_id)
    changed = _complete(client, shown, record, noted)
    return shown.mlflow_run_id, is_new or changed


def find_one(client: "Connection", experiment: str, run_id: str, noted: str | None = None) -> "Shown | None":
    """The MLflow run of ``run_id``; of doubles the one that is ``noted``, while the others are deleted.

    When the answer to a creation was lost, the server may carry it out at any later time, even after we have
    looked for the run in vain and created another.
    """
    found = client.find(experiment, run_id)
    found.sort(key=lambda shown: shown.mlflow_run_id != noted)
    for double in found[1:]:
        client.delete(double.mlflow_run_id)
    return found[0] if found else None


def _contradicts(shown: "Shown", points: list[Point]) -> bool:
    return any(shown.contradicts(point) for point in points if point.key not in projection.TIMINGS)


def _create(client: "Connection", experiment: str, record: Record, replaced: "Shown | None") -> "Shown":
    users = {} if replaced is None else projection.users_tags(replaced.tags)
    name = users.pop(NAME_TAG, record.run.title)
    if replaced is not None and is_ours(replaced.tags):
        users.pop(NOTE_TAG, None)
    tags = {**users, **projection.birth_tags(record.run)}
    return client.create(experiment, name, tags, _milliseconds(record.status.started_at))


@dataclass(frozen=True)
class _Lack:
    """What an MLflow run does not show of a record, or shows and should not."""

    is_settled: bool  # its status and its artifacts are this attempt's
    dataset: bool
    points: list[Point]
    params: dict[str, str]
    tags: dict[str, str]
    stale_cause: bool

    @classmethod
    def of(cls, shown: "Shown", record: Record, points: list[Point], noted: str | None) -> "_Lack":
        """``points`` are the record's, ``noted`` is the id of the MLflow run that showed it the last time."""
        status, dataset = record.status, record.run.dataset
        tags = {
            **projection.tags(record.run, status, record.result),
            **record.search_tags,
            **description_tags(record.description(), shown.tags),
        }
        params = projection.params(record.run, record.result, record.card)
        # A database that was away while another stood in for it has lost its artifacts to that one.
        was_replaced = noted not in (None, shown.mlflow_run_id)
        is_settled = shown.status == STATUS[status.state] and shown.tags.get(ATTEMPT_TAG) == tags[ATTEMPT_TAG]
        return cls(
            is_settled and not was_replaced,
            dataset.digest not in (NO_DATA, *shown.dataset_digests),
            [point for point in points if shown.lacks(point)],
            {name: value for name, value in params.items() if name not in shown.params},
            {name: value for name, value in tags.items() if shown.tags.get(name) != value},
            CAUSE_TAG in shown.tags and status.state in (State.RUNNING, State.FINISHED),
        )

    def __bool__(self) -> bool:
        return bool(self.points or self.params or self.tags) or not self.is_settled


def shows_all(shown: "Shown", record: Record, noted: str | None) -> bool:
    """Whether the MLflow run shows the record, and nothing else."""
    points = record.points(shown.start_ms)
    lack = _Lack.of(shown, record, points, noted)
    return not (lack or lack.dataset or lack.stale_cause or _contradicts(shown, points))


def _complete(client: "Connection", shown: "Shown", record: Record, noted: str | None) -> bool:
    """Write what the MLflow run lacks; returns whether it lacked anything."""
    mlflow_run_id = shown.mlflow_run_id
    lack = _Lack.of(shown, record, record.points(shown.start_ms), noted)
    tags = lack.tags
    if record.is_ended and not lack.is_settled:
        tags = {**tags, **_upload(client, shown, record)}
    if lack.dataset:
        dataset = record.run.dataset
        client.log_dataset(mlflow_run_id, dataset.name, dataset.digest, dataset.path)
    if lack.points or lack.params or tags:
        client.log(mlflow_run_id, lack.points, lack.params, tags)
    if lack.stale_cause:
        client.delete_tag(mlflow_run_id, CAUSE_TAG)
    if not lack.is_settled:
        client.set_status(mlflow_run_id, STATUS[record.status.state], record.ended_ms)
    return bool(lack)


def _upload(client: "Connection", shown: "Shown", record: Record) -> dict[str, str]:
    """Returns the tags by which MLflow knows the tables among the files."""
    with tempfile.TemporaryDirectory(prefix="ablate-") as name:
        tags = write_artifacts(record.folder, record.status, record.run.title, Path(name))
        client.upload(shown, sorted(Path(name).iterdir()))
    return tags


def _milliseconds(seconds: float | None) -> int:
    return round(1000 * (seconds or 0.0))
