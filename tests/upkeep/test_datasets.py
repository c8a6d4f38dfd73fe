"""The data of runs that are not finished."""

import fcntl
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.design.runs import Run
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.upkeep.datasets import check_data
from ablate.upkeep.findings import Level
from ablate.upkeep.inventory import Inventory
from tests.fabricate import fabricate_study, make_run
from tests.upkeep.conftest import Find


def test_data_that_are_there_and_whole(find: Find, dataset: Dataset) -> None:
    (finding,) = find(check_data, at_least=Level.OK)
    assert finding.level is Level.OK
    assert finding.text == f"{dataset.path} is whole, and what 2 runs not finished were planned with"


@pytest.fixture
def waiting(tmp_path: Path) -> Store:
    return Store(tmp_path / "waiting")


def check(store: Store, dataset: Dataset) -> list[tuple[Level, str, tuple[str, ...]]]:
    """What is found when a run waits for these data."""
    from ablate.record.rundir import State

    fabricate_study(store, "study", [make_run(dataset=dataset)], state=State.PENDING)
    return [(found.level, found.text, found.commands) for found in check_data(Inventory(store))]


def test_data_that_are_gone(waiting: Store, tmp_path: Path, dataset: Dataset) -> None:
    ((level, text, commands),) = check(waiting, replace(dataset, path=tmp_path / "gone" / "prepared"))
    assert level is Level.PROBLEM
    assert f"{tmp_path}/gone/prepared: no such folder" in text
    assert commands == (f"ablate grid --store {waiting.root} --data DIR",)


def test_data_of_the_store_are_made_again_by_the_study(waiting: Store, dataset: Dataset) -> None:
    ((level, text, commands),) = check(
        waiting, replace(dataset, path=waiting.data / "embedded-v1" / "prepared")
    )
    assert (level, commands) == (Level.WARNING, (f"ablate grid --store {waiting.root}",))
    assert "the study's command makes these data again" in text


def test_data_that_have_changed(waiting: Store, dataset: Dataset) -> None:
    ((level, text, _commands),) = check(waiting, replace(dataset, digest="d1"))
    assert level is Level.PROBLEM
    assert f"holds other data (digest {dataset.digest}) than 1 run were planned with (d1)" in text


def test_finished_runs_need_no_data(waiting: Store, dataset: Dataset) -> None:
    run: Run = make_run(dataset=replace(dataset, path=Path("gone")))
    fabricate_study(waiting, "study", [run])
    (finding,) = check_data(Inventory(waiting))
    assert finding.text == "no run is waiting for data"


def test_what_a_killed_preparation_left(waiting: Store, dataset: Dataset, tmp_path: Path) -> None:
    shutil.copytree(dataset.path, tmp_path / "mine" / "prepared")
    half = tmp_path / "mine" / ".prepared.new"
    half.mkdir()
    own = replace(dataset, path=tmp_path / "mine" / "prepared")
    with half.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [level for level, _, _ in check(waiting, own)] == [Level.OK]
    _good, (level, _text, commands) = check(waiting, own)
    assert (level, commands) == (Level.WARNING, (f"rm -r {half}",))


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ("mlruns/data/embedded-v1/prepared", "embedded-v1/prepared"),
        ("/moved/store/data/tut-0a1b2c3d", "tut-0a1b2c3d"),
        ("/home/me/tut/prepared", None),
    ],
)
def test_the_place_in_a_store_that_was_moved(waiting: Store, recorded: str, found: str | None) -> None:
    place = waiting.place_of(Dataset("name", "d1", Path(recorded)))
    assert place == (None if found is None else waiting.data / found)
