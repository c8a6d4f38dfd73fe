"""What tracking asks of an MLflow, be it a database that we open or a server."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, TypeVar

from ablate.tracking.address import is_server
from ablate.tracking.credentials import needs_other_way
from ablate.tracking.database import Listed
from ablate.tracking.descriptions import DIGEST_TAG, is_ours
from ablate.tracking.owner import Owner, is_marked
from ablate.tracking.projection import NOTE_TAG, RUN_ID_TAG, Point

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
    location: str
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


class Connection(ABC):
    """One MLflow. Every method can raise one of ``failures``."""

    failures: ClassVar[tuple[type[Exception], ...]]

    @classmethod
    @abstractmethod
    def open(cls, uri: str) -> "Connection": ...

    @staticmethod
    @abstractmethod
    def is_refusal(error: Exception) -> bool:
        """Whether MLflow does not take the content, however often it is asked."""

    def experiment(
        self, owner: Owner, study: str, artifacts: str | None, tags: Mapping[str, str]
    ) -> tuple[str, str]:
        """Id and name of the study's experiment. It is created, or restored from MLflow's bin, if need be."""
        tags = {**owner.tags(study), **tags}
        found = self._find_experiment(owner, study)
        if found is None:
            is_taken = self.experiment_named(study) is not None
            name = owner.other_name(study) if is_taken else study
            try:
                return self.create_experiment(name, artifacts, tags), name
            except Exception:  # created by another machine meanwhile, or else there is none now either
                found = self._find_experiment(owner, study)
                if found is None:
                    raise
        if not found.is_active:
            self.restore_experiment(found.identifier)
        self._complete_tags(found, tags)
        return found.identifier, found.name

    def _find_experiment(self, owner: Owner, study: str) -> Listed | None:
        """The one that is marked as the study's, else one of its name that is nobody's yet."""
        marked = self.experiments_marked(study)
        own = [found for found in marked if owner.owns(found.tags, found.location)]
        if own:
            return min(own, key=lambda found: (not found.is_active, found.created_ms))
        named = self.experiment_named(study)
        return named if named is not None and self._is_free(named, owner, study) else None

    def _is_free(self, experiment: Listed, owner: Owner, study: str) -> bool:
        """Whether an experiment may become the study's: it is no other's, and holds no runs of others."""
        marks = owner.tags(study)
        tags = experiment.tags
        if any(tags.get(name, value) != value for name, value in marks.items()):
            return False
        if not owner.owns({**tags, **marks}, experiment.location):
            return False
        return is_marked(tags) or not self.has_runs(experiment.identifier)

    def _complete_tags(self, experiment: Listed, tags: Mapping[str, str]) -> None:
        """Add what is missing, and bring our description up to date; one that is a user's stays theirs."""
        there = experiment.tags
        described = (NOTE_TAG, DIGEST_TAG)
        missing = {name: tags[name] for name in tags if name not in there and name not in described}
        # The tags are set one by one: where the second was cut off, the description is the new one already.
        if is_ours(there) or there[NOTE_TAG] == tags.get(NOTE_TAG):
            missing |= {
                name: tags[name] for name in described if name in tags and there.get(name) != tags[name]
            }
        self.tag_experiment(experiment.identifier, missing)

    def log(
        self,
        mlflow_run_id: str,
        points: Iterable[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """Points in the given order, params and tags, in as few calls as MLflow's limits allow."""
        batches = zip_longest(
            _chunks(list(points), METRICS_PER_CALL),
            _chunks(list(params.items()), PARAMS_PER_CALL),
            _chunks(list(tags.items()), TAGS_PER_CALL),
            fillvalue=(),
        )
        for some_points, some_params, some_tags in batches:
            self.log_batch(mlflow_run_id, some_points, dict(some_params), dict(some_tags))

    @abstractmethod
    def experiments_marked(self, study: str) -> list[Listed]:
        """The experiments of all stores that show a study of that name, those in MLflow's bin too."""

    @abstractmethod
    def experiment_named(self, name: str) -> Listed | None: ...

    @abstractmethod
    def create_experiment(self, name: str, artifacts: str | None, tags: Mapping[str, str]) -> str:
        """Returns its id. ``artifacts`` is where its files go; None leaves that to a server."""

    @abstractmethod
    def restore_experiment(self, experiment: str) -> None: ...

    @abstractmethod
    def delete_experiment(self, experiment: str) -> None:
        """Into MLflow's bin."""

    @abstractmethod
    def tag_experiment(self, experiment: str, tags: Mapping[str, str]) -> None: ...

    @abstractmethod
    def has_runs(self, experiment: str) -> bool:
        """Whether the experiment holds any run, be it in MLflow's bin."""

    @abstractmethod
    def everything(self, experiment: str) -> Iterator[Shown]:
        """All runs of an experiment that were not deleted, asked for page by page."""

    @abstractmethod
    def find(self, experiment: str, run_id: str) -> list[Shown]:
        """The MLflow runs marked as the one of ``run_id``, oldest first: none, one, or doubles of it."""

    @abstractmethod
    def create(self, experiment: str, name: str, tags: Mapping[str, str], start_ms: int) -> Shown:
        """A new MLflow run, which has its tags from its first moment."""

    @abstractmethod
    def knows(self, mlflow_run_id: str) -> bool:
        """Whether MLflow has the run, be it in its bin."""

    @abstractmethod
    def log_batch(
        self,
        mlflow_run_id: str,
        points: Sequence[Point],
        params: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        """As ``log``, within MLflow's limits."""

    @abstractmethod
    def log_dataset(self, mlflow_run_id: str, name: str, digest: str, path: Path) -> None:
        """The data set as an input of the run, by name and digest; no array is read."""

    @abstractmethod
    def upload(self, shown: Shown, files: Sequence[Path]) -> None:
        """The files as the run's, by their names. Raises an error when they are not there afterwards.

        MLflow's own client looks at no more than the status of an answer, and a sign-in page says 200 to all.
        """

    @abstractmethod
    def download(self, shown: Shown, name: str) -> bytes:
        """A file of the run."""

    @abstractmethod
    def remove(self, shown: Shown, name: str) -> None:
        """A file of the run."""

    @abstractmethod
    def delete_tag(self, mlflow_run_id: str, name: str) -> None: ...

    @abstractmethod
    def delete(self, mlflow_run_id: str) -> None: ...

    @abstractmethod
    def set_status(self, mlflow_run_id: str, status: str, ended_ms: int | None) -> None: ...


def kind_of(uri: str) -> type[Connection]:
    """Imported late: MLflow's own client takes two seconds, which most commands need not spend."""
    if is_server(uri) and not needs_other_way():
        from ablate.tracking.rest import Server

        return Server
    from ablate.tracking.client import Client

    return Client


def marked(run_id: str) -> str:
    """MLflow's filter for the runs of ``run_id``."""
    return f"tags.`{RUN_ID_TAG}` = '{run_id}'"


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
