"""Run folders as workers leave them at each moment of a run's life, and what MLflow then shows."""

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from ablate.design.runs import Run
from ablate.mtl.scoring import WEIGHTS
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.tracking import Tracker
from tests.fabricate import add_runs, make_result, make_run

S1 = {"grl.position": "S1"}
CONDITION = {"tasks": "both", "alpha": 1e-4, "beta": 1.0, "shuffle": "none", "grl_pos": "S1", "lambda": 1.0}


def grl_run(seed: int = 0) -> Run:
    return make_run("grl_s1", seed, S1, CONDITION)


def row(epoch: int, seconds: float = 2.0) -> dict[str, Any]:
    """Epoch ``epoch`` of every fabricated run: the same numbers however often it is trained."""
    return {
        "epoch": epoch,
        "loss": 1 / epoch,
        "loss_scene": 2 / epoch,
        "loss_event": None,
        "grl_cosine": -1.0,
        "seconds": seconds,
    }


def begin(store: Store, run: Run, epochs: int = 0, study: str = "study") -> RunFolder:
    """A folder of a study's run under way, as long as the caller holds its lock."""
    add_runs(store, study, [run])
    folder = store.folder(run.run_id)
    folder.create(run)
    folder.begin()
    folder.write_history([row(epoch) for epoch in range(1, epochs + 1)])
    return folder


def finish(folder: RunFolder, epochs: int = 3, **changes: Any) -> RunFolder:
    """The run goes on from wherever it is, and finishes."""
    for epoch in range(len(folder.history()) + 1, epochs + 1):
        folder.append_history(row(epoch))
    (folder.path / WEIGHTS).write_bytes(b"weights")
    folder.log_file.write_text("trained\n")
    folder.write_result({**make_result(folder.run()), **changes})
    folder.end(State.FINISHED)
    return folder


def finished(store: Store, run: Run | None = None) -> RunFolder:
    return finish(begin(store, run or grl_run()))


def shown(tracker: Tracker, mlflow_run_id: str | None) -> MlflowRun:
    assert mlflow_run_id is not None
    return MlflowClient(tracker.uri).get_run(mlflow_run_id)


def curve(tracker: Tracker, mlflow_run_id: str | None, key: str) -> list[tuple[int, float]]:
    assert mlflow_run_id is not None
    points = MlflowClient(tracker.uri).get_metric_history(mlflow_run_id, key)
    return sorted((point.step, point.value) for point in points)


def all_points(tracker: Tracker, mlflow_run_id: str | None) -> dict[str, list[tuple[int, float]]]:
    keys = shown(tracker, mlflow_run_id).data.metrics
    return {key: curve(tracker, mlflow_run_id, key) for key in sorted(keys)}


def run_ids(tracker: Tracker, study: str = "study") -> list[str]:
    """The MLflow runs of the study's experiment that were not deleted."""
    client = MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name(study)
    return [found.info.run_id for found in client.search_runs([experiment.experiment_id])]


def files(tracker: Tracker, mlflow_run_id: str | None) -> set[str]:
    assert mlflow_run_id is not None
    return {file.path for file in MlflowClient(tracker.uri).list_artifacts(mlflow_run_id)}
