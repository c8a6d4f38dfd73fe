"""A sync that need not ask MLflow: only while neither the study nor MLflow's file has changed at all."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ablate.record.store import Store
from ablate.tracking import Shipped, Tracker, unchanged
from tests.command import ablate_here
from tests.tracking.runs import begin, finish, finished, grl_run, run_ids

CLOCK_S = 0.011  # the kernel's clock for files goes on every 10 ms at least


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the two seconds in which a change might not show."""
    monkeypatch.setattr(unchanged, "TICK_S", 0.0)


@pytest.fixture
def shown(store: Store) -> Store:
    """A store whose two runs MLflow is known to show."""
    finished(store, grl_run(0))
    finished(store, grl_run(1))
    assert sync(store) == Shipped(sent=2, current=0, pending=0)
    assert as_before(store) is None  # the file has changed since the runs were compared with it
    time.sleep(CLOCK_S)
    assert sync(store) == Shipped(sent=0, current=2, pending=0)
    assert as_before(store) == Shipped(sent=0, current=2, pending=0)
    return store


def sync(store: Store) -> Shipped:
    tracker = Tracker(store, "study")
    tracker.prepare()
    return tracker.ship_all(store.study_runs("study"))


def as_before(store: Store) -> Shipped | None:
    return Tracker(store, "study").as_before(store.study_runs("study"))


def deleted(store: Store) -> None:
    tracker = Tracker(store, "study")
    MlflowClient(tracker.uri).delete_run(run_ids(tracker)[0])


def named(store: Store) -> None:
    tracker = Tracker(store, "study")
    MlflowClient(tracker.uri).set_tag(run_ids(tracker)[0], "mlflow.runName", "mine")


def emptied(store: Store) -> None:
    with closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute("DELETE FROM latest_metrics")


def gone(store: Store) -> None:
    store.database.unlink()


def replaced(store: Store) -> None:
    copy = store.database.with_name("copy.db")
    shutil.copy2(store.database, copy)
    copy.rename(store.database)


def scored_later(store: Store) -> None:
    store.study_runs("study")[0].add_scores({"later": 0.5}, None)


def noted_otherwise(store: Store) -> None:
    store.study_runs("study")[0].mlflow_file.write_text("{}")


def renamed(store: Store) -> None:
    file = store.root / "studies" / "study.json"
    file.write_text(file.read_text().replace('"grl_s1"', '"grl_s2"'))


@pytest.mark.parametrize(
    "change", [deleted, named, emptied, gone, replaced, scored_later, noted_otherwise, renamed]
)
def test_after_any_change_all_is_compared_again(change: Callable[[Store], None], shown: Store) -> None:
    change(shown)
    assert as_before(shown) is None


def test_what_a_user_deletes_in_mlflow_is_added_again(shown: Store) -> None:
    deleted(shown)
    assert sync(shown) == Shipped(sent=1, current=1, pending=0)


def test_a_moved_store_is_compared_again(shown: Store, tmp_path: Path) -> None:
    """MLflow's addresses are those of the former place, and mended first."""
    assert as_before(Store(shown.root.rename(tmp_path / "moved"))) is None


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"digest": 1}', "\0"])
def test_a_damaged_note_says_nothing(content: str, shown: Store) -> None:
    (shown.study_folder("study") / "shown.json").write_text(content)
    assert as_before(shown) is None


def test_a_server_is_asked_each_time(shown: Store) -> None:
    tracker = Tracker(shown, "study", "http://127.0.0.1:9")
    assert tracker.as_before(shown.study_runs("study")) is None


def test_nothing_is_noted_while_a_run_is_under_way(store: Store) -> None:
    """Its worker may die without a trace in any file, and MLflow would still call it running."""
    folder = begin(store, grl_run(), epochs=1)
    with folder.claim():
        assert sync(store).sent == 1
        time.sleep(CLOCK_S)
        assert sync(store).current == 1
        assert as_before(store) is None
    finish(folder)
    time.sleep(CLOCK_S)
    assert sync(store).sent == 1


def test_nothing_is_noted_of_what_has_just_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "TICK_S", 2.0)
    finished(store)
    sync(store)
    assert sync(store).current == 1
    assert as_before(store) is None


def test_the_command_says_the_same_without_mlflow(shown: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """``Tracker.prepare`` is what imports MLflow."""
    (shown.study_folder("study") / "shown.json").write_text("{}")
    compared = ablate_here("sync", "study", store=shown)
    time.sleep(CLOCK_S)
    monkeypatch.setattr(Tracker, "prepare", None)
    assert ablate_here("sync", "study", store=shown) == compared
    noted = json.loads((shown.study_folder("study") / "shown.json").read_text())
    assert (noted["current"], noted["pending"]) == (2, 0)
