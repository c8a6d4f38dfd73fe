"""A run's description in MLflow: what it is, what it scored, and how that compares; a user's own stays."""

from typing import Any

import pytest
from mlflow import MlflowClient

from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker
from tests.fabricate import make_run
from tests.tracking.runs import begin, finish, grl_run, shown

NOTE = "mlflow.note.content"


def note(tracker: Tracker, folder: RunFolder) -> str:
    mlflow_run_id = tracker.ship(folder)
    return str(shown(tracker, mlflow_run_id).data.tags[NOTE])


def scored(store: Store, run: Any, **metrics: float) -> RunFolder:
    return finish(begin(store, run), metrics=metrics)


@pytest.fixture
def folder(store: Store) -> RunFolder:
    scored(store, make_run("baseline", 0), scene_micro_f=0.8, event_micro_f=0.45)
    return scored(store, grl_run(), scene_micro_f=0.812, event_micro_f=0.4)


def test_three_lines_say_what_it_is_what_it_scored_and_how_that_compares(
    tracker: Tracker, folder: RunFolder
) -> None:
    lines = note(tracker, folder).split("  \n")
    assert lines[0].startswith("**grl_s1**, seed 0: tasks = both, ")
    assert lines[1:] == [
        "scene micro F 81.2 %, event micro F 40.0 %.",
        "Beside baseline with seed 0: scene micro F +1.2 points, event micro F -5.0 points.",
    ]


def test_the_baseline_says_that_it_is_the_baseline(store: Store, tracker: Tracker) -> None:
    folder = scored(store, make_run("baseline", 0), scene_micro_f=0.8)
    assert note(tracker, folder).endswith("The baseline, which the others are compared with.")


def test_without_a_baseline_nothing_is_said_of_one(store: Store, tracker: Tracker) -> None:
    folder = scored(store, grl_run(), scene_micro_f=0.8)
    assert note(tracker, folder).split("  \n")[1:] == ["scene micro F 80.0 %."]


def test_it_is_completed_once_the_baseline_has_finished(store: Store, tracker: Tracker) -> None:
    baseline = begin(store, make_run("baseline", 0))
    folder = scored(store, grl_run(), scene_micro_f=0.5)
    assert note(tracker, folder).endswith("To be compared with baseline with seed 0.")
    finish(baseline, metrics={"scene_micro_f": 0.75})
    tracker.ship(baseline)
    assert tracker.ship_all([baseline, folder]) == Shipped(sent=1, current=1, pending=0)
    assert note(tracker, folder).endswith("Beside baseline with seed 0: scene micro F -25.0 points.")
    assert tracker.ship_all([baseline, folder]) == Shipped(sent=0, current=2, pending=0)


def test_what_a_user_has_written_stays(tracker: Tracker, folder: RunFolder) -> None:
    mlflow_run_id = tracker.ship(folder)
    MlflowClient(tracker.uri).set_tag(mlflow_run_id, NOTE, "the one for the slides")
    assert tracker.ship_all([folder]) == Shipped(sent=0, current=1, pending=0)
    assert note(tracker, folder) == "the one for the slides"


def test_a_failed_run_says_why(store: Store, tracker: Tracker) -> None:
    folder = begin(store, grl_run())
    folder.fail("CUDA out of memory\nand more of it")
    assert note(tracker, folder).split("  \n")[1] == "Failed: CUDA out of memory."
