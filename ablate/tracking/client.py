"""MLflow's own client: of the databases that we open, and of servers with a log-in that only it knows.

The only module that imports MLflow, with ``models``.
"""

import json
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# Before the import, which reads some of them. A value that the user has set stays.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # It logs what it raises too, with its traceback: a page for a database that is locked for a moment.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # With the default of 7, one call to a server that is away blocks for four minutes. And a call that is
    # repeated when only its answer was lost creates a second run.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    LifecycleStage,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: E402
from requests import RequestException  # noqa: E402
from sqlalchemy import Engine, event  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from ablate.ground.files import flush_content, flush_names  # noqa: E402
from ablate.tracking.connection import (  # noqa: E402
    DOUBLES,
    Connection,
    Shown,
    marked,
)
from ablate.tracking.database import Listed, is_made, making, migrate, sqlite_file  # noqa: E402
from ablate.tracking.owner import STUDY_TAG, local_folder  # noqa: E402
from ablate.tracking.projection import Point  # noqa: E402

# Whatever a server or database can do wrong. OSError: a full disk, an artifact folder without permission.
FAILURES = (MlflowException, SQLAlchemyError, RequestException, OSError)

PAGE = 1000  # runs of one answer


@event.listens_for(Engine, "connect")
def _keep_what_is_committed(connection: object, _record: object) -> None:
    """What a database has committed stays committed, whenever the machine loses power.

    By default SQLite may undo its last transaction then, since the removal of its journal is not flushed.
    What a run folder notes of what MLflow shows would be wrong.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = EXTRA")


@contextmanager
def _silence() -> Iterator[None]:
    """MLflow logs that it makes tables, where it was imported before this module."""
    log = logging.getLogger("mlflow")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


class Client(Connection):
    """One connection of MLflow's own client."""

    failures = FAILURES

    def __init__(self, mlflow: MlflowClient) -> None:
        self._mlflow = mlflow

    @classmethod
    def open(cls, uri: str) -> "Client":
        """Opening an absent database creates it. Raises StoreError for one that cannot be migrated."""
        file = sqlite_file(uri)
        if file is not None and not is_made(file):
            with making(file) as draft, _silence():
                MlflowClient(draft).search_experiments(max_results=1)
        try:
            return cls(MlflowClient(uri))
        except MlflowException as error:
            if file is None or "out-of-date database schema" not in str(error):
                raise
        migrate(uri)
        return cls(MlflowClient(uri))

    @staticmethod
    def is_refusal(error: Exception) -> bool:
        return isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE"

    def experiments_marked(self, study: str) -> list[Listed]:
        found = self._mlflow.search_experiments(ViewType.ALL, filter_string=f"tags.`{STUDY_TAG}` = '{study}'")
        return [_listed(experiment) for experiment in found]

    def experiment_named(self, name: str) -> Listed | None:
        found = self._mlflow.get_experiment_by_name(name)
        return None if found is None else _listed(found)

    def create_experiment(self, name: str, artifacts: str | None, tags: Mapping[str, str]) -> str:
        return str(self._mlflow.create_experiment(name, artifacts, tags=dict(tags)))

    def restore_experiment(self, experiment: str) -> None:
        self._mlflow.restore_experiment(experiment)

    def delete_experiment(self, experiment: str) -> None:
        self._mlflow.delete_experiment(experiment)

    def tag_experiment(self, experiment: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._mlflow.set_experiment_tag(experiment, name, value)

    def has_runs(self, experiment: str) -> bool:
        return bool(self._mlflow.search_runs([experiment], run_view_type=ViewType.ALL, max_results=1))

    def create(self, experiment: str, name: str, tags: Mapping[str, str], start_ms: int) -> Shown:
        return _shown(self._mlflow.create_run(experiment, start_ms, dict(tags), name))

    def everything(self, experiment: str) -> Iterator[Shown]:
        token: str | None = None
        while token != "":
            page = self._mlflow.search_runs([experiment], max_results=PAGE, page_token=token)
            yield from map(_shown, page)
            token = page.token or ""

    def find(self, experiment: str, run_id: str) -> list[Shown]:
        runs = self._mlflow.search_runs(
            [experiment], marked(run_id), max_results=DOUBLES, order_by=["attributes.start_time ASC"]
        )
        return [_shown(run) for run in runs]

    def knows(self, mlflow_run_id: str) -> bool:
        try:
            self._mlflow.get_run(mlflow_run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def log_batch(
        self,
        mlflow_run_id: str,
        points: Sequence[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        self._mlflow.log_batch(
            mlflow_run_id,
            [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points],
            [Param(name, value) for name, value in params.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )

    def log_dataset(self, mlflow_run_id: str, name: str, digest: str, path: Path) -> None:
        dataset = Dataset(name, digest, "local", json.dumps({"uri": str(path)}))
        context = [InputTag("mlflow.data.context", "training")]
        self._mlflow.log_inputs(mlflow_run_id, [DatasetInput(dataset, context)])

    def upload(self, shown: Shown, files: Sequence[Path]) -> None:
        # Not by the client, which asks for the run again for each file.
        repository = get_artifact_repository(shown.location, self._mlflow.tracking_uri)
        for file in files:
            repository.log_artifact(str(file))  # type: ignore[no-untyped-call]
        there = {file.path: file.file_size for file in repository.list_artifacts()}
        lost = [file.name for file in files if there.get(file.name) != file.stat().st_size]
        if lost:
            raise OSError(f"the artifacts {', '.join(sorted(lost))} did not arrive in full")
        folder = local_folder(shown.location)
        if folder is not None:
            _flush(folder, [file.name for file in files])

    def download(self, shown: Shown, name: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            return Path(self._mlflow.download_artifacts(shown.mlflow_run_id, name, folder)).read_bytes()

    def remove(self, shown: Shown, name: str) -> None:
        files = get_artifact_repository(shown.location, self._mlflow.tracking_uri)
        files.delete_artifacts(name)  # type: ignore[no-untyped-call]

    def delete_tag(self, mlflow_run_id: str, name: str) -> None:
        self._mlflow.delete_tag(mlflow_run_id, name)

    def delete(self, mlflow_run_id: str) -> None:
        self._mlflow.delete_run(mlflow_run_id)

    def set_status(self, mlflow_run_id: str, status: str, ended_ms: int | None) -> None:
        if ended_ms is None:
            self._mlflow.update_run(mlflow_run_id, status)
        else:
            self._mlflow.set_terminated(mlflow_run_id, status, ended_ms)


def _flush(folder: Path, names: Sequence[str]) -> None:
    """Returns when a run's artifacts are on the disk, as they must be before the run is said to have ended.

    So must be their names, that of their folder, ``<experiment>/<run>/artifacts``, and that of the run.
    """
    for name in names:
        flush_content(folder / name)
    for changed in (folder, *folder.parents[:2]):
        flush_names(changed)


def _listed(experiment: Experiment) -> Listed:
    return Listed(
        str(experiment.experiment_id),
        str(experiment.name),
        experiment.artifact_location or "",
        experiment.lifecycle_stage != LifecycleStage.DELETED,
        experiment.tags,
        experiment.creation_time or 0,
    )


def _shown(run: Run) -> Shown:
    # Of the public views of a run's metrics, the protocol message is the one that has their steps.
    last = {metric.key: (int(metric.step), metric.value) for metric in run.data.to_proto().metrics}
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Shown(
        run.info.run_id,
        run.info.status,
        run.info.start_time,
        run.info.artifact_uri,
        run.data.params,
        run.data.tags,
        last,
        tuple(item.dataset.digest for item in inputs),
    )
