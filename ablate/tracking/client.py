"""The few calls to MLflow that tracking makes. The only module that imports it."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

# Before the import, which reads some of them. A value that the user has set stays.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # It logs what it raises too, with its traceback: a page for a database that is locked for a moment.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
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
from requests import RequestException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

from ablate.tracking.database import is_made, making, migrate, sqlite_file  # noqa: E402
from ablate.tracking.owner import STUDY_TAG, Owner, is_marked  # noqa: E402
from ablate.tracking.projection import RUN_ID_TAG, Point  # noqa: E402

# Whatever a server or database can do wrong. OSError: a full disk, an artifact folder without permission.
FAILURES = (MlflowException, SQLAlchemyError, RequestException, OSError)

DOUBLES = 100  # of one run; one each time that the answer to its creation is lost

METRICS_PER_CALL = 900  # MLflow takes 1000 metrics, params and tags together
PARAMS_PER_CALL = 50
TAGS_PER_CALL = 50

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Shown:
    """What MLflow holds of a run. ``last`` is the step and value of each metric's last point."""

    mlflow_run_id: str
    status: str
    start_ms: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    last: Mapping[str, tuple[int, float]]
    dataset_digests: tuple[str, ...]

    def lacks(self, point: Point) -> bool:
        return point.key not in self.last or point.step > self.last[point.key][0]

    def contradicts(self, point: Point) -> bool:
        """Whether another value is shown for the same metric and step, if that is the metric's last."""
        step, value = self.last.get(point.key, (None, math.nan))
        if step != point.step or (math.isnan(value) and math.isnan(point.value)):
            return False
        return not math.isclose(value, point.value, rel_tol=1e-9, abs_tol=1e-12)


class Client:
    """One connection. Every method can raise one of FAILURES."""

    def __init__(self, mlflow: MlflowClient) -> None:
        self._mlflow = mlflow

    @classmethod
    def open(cls, uri: str) -> "Client":
        """Opening an absent database creates it. Raises StoreError for one that cannot be migrated."""
        file = sqlite_file(uri)
        if file is not None and not is_made(file):
            with making(file) as draft:
                MlflowClient(draft).search_experiments(max_results=1)
        try:
            return cls(MlflowClient(uri))
        except MlflowException as error:
            if file is None or "out-of-date database schema" not in str(error):
                raise
        migrate(uri)
        return cls(MlflowClient(uri))

    def experiment(
        self, owner: Owner, study: str, artifacts: str | None, tags: Mapping[str, str]
    ) -> tuple[str, str]:
        """Id and name of the study's experiment. It is created, or restored from MLflow's bin, if need be."""
        tags = {**owner.tags(study), **tags}
        found = self._find_experiment(owner, study)
        if found is None:
            is_taken = self._mlflow.get_experiment_by_name(study) is not None
            name = owner.other_name(study) if is_taken else study
            try:
                return str(self._mlflow.create_experiment(name, artifacts, tags=tags)), name
            except MlflowException:  # created by another machine meanwhile, or else there is none now either
                found = self._find_experiment(owner, study)
                if found is None:
                    raise
        if found.lifecycle_stage == LifecycleStage.DELETED:
            self._mlflow.restore_experiment(found.experiment_id)
        self._complete_tags(found, tags)
        return str(found.experiment_id), str(found.name)

    def _find_experiment(self, owner: Owner, study: str) -> Experiment | None:
        """The one that is marked as the study's, else one of its name that is nobody's yet."""
        marked = self._mlflow.search_experiments(
            ViewType.ALL, filter_string=f"tags.`{STUDY_TAG}` = '{study}'"
        )
        own = [found for found in marked if owner.owns(found.tags, found.artifact_location)]
        if own:
            return min(own, key=lambda found: (found.lifecycle_stage, found.creation_time))  # "active" first
        named = self._mlflow.get_experiment_by_name(study)
        return named if named is not None and self._is_free(named, owner, study) else None

    def _is_free(self, experiment: Experiment, owner: Owner, study: str) -> bool:
        """Whether an experiment may become the study's: it is no other's, and holds no runs of others."""
        marks = owner.tags(study)
        tags = experiment.tags
        if any(tags.get(name, value) != value for name, value in marks.items()):
            return False
        if not owner.owns({**tags, **marks}, experiment.artifact_location):
            return False
        return is_marked(tags) or not self._mlflow.search_runs(
            [experiment.experiment_id], run_view_type=ViewType.ALL, max_results=1
        )

    def _complete_tags(self, experiment: Experiment, tags: Mapping[str, str]) -> None:
        """Add what is missing; a description that somebody has rewritten stays theirs."""
        for name, value in tags.items():
            if name not in experiment.tags:
                self._mlflow.set_experiment_tag(experiment.experiment_id, name, value)

    def tag_experiment(self, experiment: str, tags: Mapping[str, str]) -> None:
        for name, value in tags.items():
            self._mlflow.set_experiment_tag(experiment, name, value)

    def create(self, experiment: str, name: str, tags: Mapping[str, str], start_ms: int) -> Shown:
        """A new MLflow run, which has its tags from its first moment."""
        return _shown(self._mlflow.create_run(experiment, start_ms, dict(tags), name))

    def find(self, experiment: str, run_id: str) -> list[Shown]:
        """The MLflow runs marked as the one of ``run_id``: none, one, or doubles of it."""
        runs = self._mlflow.search_runs(
            [experiment],
            f"tags.`{RUN_ID_TAG}` = '{run_id}'",
            max_results=DOUBLES,
            order_by=["attributes.start_time ASC"],
        )
        return [_shown(run) for run in runs]

    def knows(self, mlflow_run_id: str) -> bool:
        """Whether MLflow has the run, be it in its bin."""
        try:
            self._mlflow.get_run(mlflow_run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return True

    def log(
        self,
        mlflow_run_id: str,
        points: Iterable[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Points in the given order, params and tags, in as few calls as MLflow's limits allow."""
        metrics = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
        batches = zip_longest(
            _chunks(metrics, METRICS_PER_CALL),
            _chunks([Param(name, value) for name, value in params.items()], PARAMS_PER_CALL),
            _chunks([RunTag(name, value) for name, value in tags.items()], TAGS_PER_CALL),
            fillvalue=(),
        )
        for some_metrics, some_params, some_tags in batches:
            self._mlflow.log_batch(mlflow_run_id, some_metrics, some_params, some_tags)

    def log_dataset(self, mlflow_run_id: str, name: str, digest: str, path: Path) -> None:
        """The data set as an input of the run, by name and digest; no array is read."""
        dataset = Dataset(name, digest, "local", json.dumps({"uri": str(path)}))
        context = [InputTag("mlflow.data.context", "training")]
        self._mlflow.log_inputs(mlflow_run_id, [DatasetInput(dataset, context)])

    def upload(self, mlflow_run_id: str, folder: Path) -> None:
        """The files of the folder. Raises OSError when they are not there afterwards.

        MLflow looks at no more than the status of the answer, and a sign-in page says 200 to everything.
        """
        self._mlflow.log_artifacts(mlflow_run_id, str(folder))
        there = {file.path: file.file_size for file in self._mlflow.list_artifacts(mlflow_run_id)}
        lost = [file.name for file in folder.iterdir() if there.get(file.name) != file.stat().st_size]
        if lost:
            raise OSError(f"the artifacts {', '.join(sorted(lost))} did not arrive in full")

    def upload_file(self, mlflow_run_id: str, file: Path) -> None:
        self._mlflow.log_artifact(mlflow_run_id, str(file))

    def delete_tag(self, mlflow_run_id: str, name: str) -> None:
        self._mlflow.delete_tag(mlflow_run_id, name)

    def delete(self, mlflow_run_id: str) -> None:
        self._mlflow.delete_run(mlflow_run_id)

    def set_status(self, mlflow_run_id: str, status: str, ended_ms: int | None) -> None:
        if ended_ms is None:
            self._mlflow.update_run(mlflow_run_id, status)
        else:
            self._mlflow.set_terminated(mlflow_run_id, status, ended_ms)


def is_refusal(error: Exception) -> bool:
    """Whether MLflow does not take the content, however often it is asked."""
    return isinstance(error, MlflowException) and error.error_code == "INVALID_PARAMETER_VALUE"


def _shown(run: Run) -> Shown:
    # Of the public views of a run's metrics, the protocol message is the one that has their steps.
    last = {metric.key: (int(metric.step), metric.value) for metric in run.data.to_proto().metrics}
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return Shown(
        run.info.run_id,
        run.info.status,
        run.info.start_time,
        run.data.params,
        run.data.tags,
        last,
        tuple(item.dataset.digest for item in inputs),
    )


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
