"""``ablate rescore``, on a real study: two conditions, one of them without events, two seeds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ablate.mtl import keeping
from ablate.record.store import Store
from ablate.tracking import Tracker
from tests.command import SMALL, ablate_here, answer
from tests.tracking.runs import shown

GRID = ("grid", "both", "--factors", "tasks", "--levels", "tasks=both,scene", "--seeds", "2")


@pytest.fixture(scope="module")
def trained(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    shutil.copy(empty_database, store.database)
    ablate_here(*GRID, "--data", tiny_data, *SMALL, "--launcher", "inline", store=store)
    return store


@pytest.fixture
def store(trained: Store, tmp_path: Path) -> Store:
    """A copy of the trained store to change."""
    shutil.copytree(trained.root, tmp_path / "store")
    return Store(tmp_path / "store")


def metrics(store: Store) -> list[dict[str, float | None]]:
    """Those that were added to each run with events."""
    return [folder.rescored() for folder in store.study_runs("both") if folder.rescored()]


def test_scores_are_added_without_training_and_only_once(store: Store) -> None:
    said = ablate_here("rescore", "both", "--metrics", "psds1,event_f_collar", store=store)
    assert said.startswith("both: 2 runs scored in ")
    assert "2 without events" in said
    assert "ablate compare both --metrics psds1,event_micro_f_collar" in said
    assert [set(found) >= {"psds1", "event_macro_f_collar"} for found in metrics(store)] == [True, True]
    again = ablate_here("rescore", "both", "--metrics", "psds1,event_f_collar", store=store)
    assert again.startswith("both: 0 runs scored in ")
    assert "2 had the scores already" in again


def test_compare_show_and_mlflow_have_the_scores(store: Store) -> None:
    ablate_here("rescore", "both", "--metrics", "psds1,event_f", "--median", "0.5", store=store)
    names = "psds1.median_0.5s,event_micro_f.median_0.5s"
    table = json.loads(ablate_here("compare", "both", "--metrics", names, "--format", "json", store=store))
    assert set(table["metrics"]) == set(names.split(","))
    folder = next(folder for folder in store.study_runs("both") if folder.rescored())
    found = folder.rescored()
    page = json.loads(ablate_here("show", folder.run_id, "--format", "json", store=store))
    assert page["metrics"]["psds1.median_0.5s"] == found["psds1.median_0.5s"]
    tracker = Tracker(store, "both")
    mlflow_run_id = tracker.ship(folder)
    assert mlflow_run_id is not None
    in_mlflow = shown(tracker, mlflow_run_id).data.metrics
    assert in_mlflow["event_micro_f.median_0.5s"] == pytest.approx(found["event_micro_f.median_0.5s"])


def test_the_report_has_a_table_of_them(store: Store, tmp_path: Path) -> None:
    heading = "Scores that were asked for when the runs had finished"
    ablate_here("report", "both", "-o", tmp_path / "before.html", store=store)
    assert heading not in (tmp_path / "before.html").read_text()
    ablate_here("rescore", "both", "--metrics", "psds1,event_f_collar", store=store)
    ablate_here("report", "both", "-o", tmp_path / "after.html", store=store)
    page = (tmp_path / "after.html").read_text()
    assert heading in page
    assert "event micro F collar" in page
    assert "event F collar car" not in page  # the classes have no columns


def test_runs_that_have_kept_nothing_are_scored_by_their_weights(trained: Store, store: Store) -> None:
    for folder in store.study_runs("both"):
        for name in ("outputs.npz", "items.npz"):
            (folder.path / name).unlink(missing_ok=True)
    said, _ = answer("rescore", "both", "--metrics", "event_f", "--again", store=store.root)
    assert "2 runs had kept no scores of frames: their networks were asked again" in said
    for folder, other in zip(store.study_runs("both"), trained.study_runs("both"), strict=True):
        before, now = keeping.read(other.path), keeping.read(folder.path)
        if now is None:
            continue
        assert before is not None
        for one, two in zip(before.recordings, now.recordings, strict=True):
            assert one.log_odds is not None
            assert two.log_odds is not None
            np.testing.assert_allclose(one.log_odds, two.log_odds, atol=2e-3)
        items = folder.items()
        assert items is not None
        assert "scene_micro_f" in items.metrics


def test_thresholds_are_tuned_on_what_the_run_was_trained_on(store: Store) -> None:
    ablate_here("rescore", "both", "--metrics", "event_f", "--threshold", "tuned", store=store)
    assert all("event_micro_f.tuned" in found for found in metrics(store))
    kept = [
        keeping.read(folder.path, "development.npz")
        for folder in store.study_runs("both")
        if folder.rescored()
    ]
    names = {recording.name for each in kept if each is not None for recording in each.recordings}
    assert len(names) == 4
    assert all(name.startswith("audio/development-") for name in names)


def test_thresholds_of_a_fold_are_tuned_on_the_other_folds(tiny_data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    words = ("grid", "folds", "--levels", "grl_pos=none", "--seeds", "1", "--folds", "2")
    ablate_here(*words, "--data", tiny_data, *SMALL, "--launcher", "inline", store=store)
    ablate_here("rescore", "folds", "--metrics", "event_f", "--threshold", "tuned", store=store)
    first, second = store.study_runs("folds")
    assert "event_micro_f.tuned" in first.rescored()
    assert not (first.path / "development.npz").exists()  # its network was not asked about its training data
    (second.path / "outputs.npz").unlink()
    again = ("rescore", "folds", "--metrics", "event_f", "--threshold", "tuned", "--again")
    said, errors = answer(*again, "--workers", "1", store=store.root, code=1)
    assert f"run {second.run_id} has kept no scores, and thresholds of another fold are tuned on" in errors
    assert said.startswith("folds: 1 run scored in ")  # whose own scores its network has said again


def test_a_damaged_run_is_named_and_the_others_are_scored(store: Store) -> None:
    damaged, whole = [
        folder for folder in store.study_runs("both") if "event_micro_f" in folder.result()["metrics"]
    ]
    (damaged.path / "outputs.npz").write_bytes(b"nothing")
    said, errors = answer("rescore", "both", "--metrics", "psds1", store=store.root, code=1)
    assert said.startswith("both: 1 run scored in ")
    assert f"{damaged.path / 'outputs.npz'}: damaged" in errors
    assert "remove it, and score the run again" in errors
    assert "psds1" in whole.rescored()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--metrics", "psds3"], "--metrics: unknown 'psds3'; did you mean 'psds2'?"),
        (["--metrics", ","], "--metrics: name some of event_f, event_f_segment"),
        (["--threshold", "2"], "--threshold '2': give a probability above 0 and below 1, or 'tuned'"),
        (["--threshold", "best"], "--threshold 'best': give a probability"),
    ],
)
def test_bad_input_is_a_sentence(words: list[str], sentence: str, trained: Store) -> None:
    _, errors = answer("rescore", "both", *words, store=trained.root, code=2)
    assert sentence in errors


def test_other_subjects_have_nothing_to_score_again(tmp_path: Path) -> None:
    script = tmp_path / "train.sh"
    script.write_text("echo '{\"accuracy\": 0.5}'\n")
    words = ("grid", "--script", f"sh {script} {{lr}}", "--metric", "accuracy:max", "--levels", "lr=1")
    answer(*words, "--study", "mine", "--launcher", "inline", store=tmp_path / "store")
    _, errors = answer("rescore", "mine", store=tmp_path / "store", code=2)
    assert "ablate rescore is for networks of the built-in subject" in errors


def test_lean_runs_keep_no_scores_of_frames(tiny_data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    words = ("grid", "lean", "--levels", "seed=0", "--data", tiny_data, *SMALL)
    plan = ablate_here(*words, "--dry-run", store=store)
    assert "of scores of frames for ablate rescore; --no-scores: none" in plan
    trained = ablate_here(*words, "--no-scores", "--launcher", "inline", store=store)
    assert "scores of frames" not in trained
    (folder,) = store.study_runs("lean")
    assert keeping.read(folder.path) is None
    assert folder.items() is not None
