"""``ablate gc`` and MLflow's own database: files of lost runs go, experiments stay."""

import shutil

from mlflow import MlflowClient

from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking import Tracker
from tests.command import ablate_here as ablate
from tests.fabricate import add_runs
from tests.tracking.runs import finished, grl_run
from tests.upkeep.test_garbage import age


def test_files_of_a_deleted_run_go_and_a_forgotten_study_s_experiment_stays(store: Store) -> None:
    kept, lost = finished(store, grl_run(0)), finished(store, grl_run(1))
    add_runs(store, "study", [kept.run()])
    tracker = Tracker(store, "study")
    shown, deleted = _ship(tracker, kept), _ship(tracker, lost)
    MlflowClient(tracker.uri).delete_run(deleted)
    shutil.rmtree(lost.path)
    age(store.artifacts)
    assert "files of MLflow runs that are gone       1" in ablate("gc", "--dry-run", store=store)
    ablate("gc", "--yes", store=store)
    assert [path.name for path in (store.artifacts / "study").iterdir()] == [shown]
    output = ablate("gc", "--study", "study", "--yes", store=store)
    experiment = MlflowClient(tracker.uri).get_experiment_by_name("study")
    assert output.endswith(f"mlflow experiments delete --experiment-id {experiment.experiment_id}\n")
    assert (store.artifacts / "study" / shown / "artifacts" / "weights.safetensors").exists()


def _ship(tracker: Tracker, folder: RunFolder) -> str:
    mlflow_run_id = tracker.ship(folder)
    assert mlflow_run_id is not None
    return mlflow_run_id
