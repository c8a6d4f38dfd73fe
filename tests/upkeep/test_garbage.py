"""What no study needs goes; nothing else does, whatever happens meanwhile."""

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.design.runs import Run
from ablate.ground.errors import StudyError
from ablate.ground.leases import Holder
from ablate.mtl.trainer import CHECKPOINT
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.subject.interface import Dataset
from ablate.upkeep.garbage import Garbage, Kind, collect, find_garbage, finished_seconds
from tests.fabricate import add_runs, fabricate_run, fabricate_study, make_run
from tests.upkeep.conftest import contents
from tests.upkeep.test_records import training

HEX = "0123456789abcdef" * 2
AGE_S = 2 * 3600

ROOT = Path(__file__).parents[2]


def age(path: Path, seconds: float = AGE_S) -> Path:
    """Make a file or folder look as if it was written long ago."""
    then = time.time() - seconds
    for place in [*path.rglob("*"), path] if path.is_dir() else [path]:
        os.utime(place, (then, then), follow_symlinks=False)
    return path


def found(store: Store, forget: str | None = None) -> list[tuple[Kind, str]]:
    return [(item.kind, str(item.path.relative_to(store.root))) for item in find_garbage(store, forget).items]


@pytest.fixture
def unreferenced(store: Store, dataset: Dataset) -> RunFolder:
    """An old finished run that no study refers to."""
    folder = fabricate_run(store, make_run("baseline", 9, dataset=dataset))
    age(folder.path)
    return folder


def test_a_store_in_use_has_no_garbage(store: Store) -> None:
    assert find_garbage(store) == Garbage()


def test_an_absent_store_has_none_either(tmp_path: Path) -> None:
    assert find_garbage(Store(tmp_path / "absent")) == Garbage()
    assert not (tmp_path / "absent").exists()


def test_a_run_of_no_study_goes(store: Store, unreferenced: RunFolder) -> None:
    shown = find_garbage(store)
    (item,) = shown.items
    assert (item.kind, item.path) == (Kind.RUN, unreferenced.path)
    assert item.n_bytes == sum(file.stat().st_size for file in unreferenced.path.iterdir())
    assert len(list(finished_seconds(shown.items))) == 1
    before = contents(store.root)
    done = collect(store, shown)
    assert (done.items, done.notes) == (shown.items, [])
    kept = {name for name in before if not name.startswith(f"runs/{unreferenced.run_id}")}
    assert {name for name in contents(store.root) if ".lock" not in name} == {
        name for name in kept if ".lock" not in name
    }


def test_a_lease_that_a_vanished_run_left_goes(store: Store) -> None:
    folder = store.runs / HEX[:16]
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "lock.1").touch()
    age(folder)
    assert found(store) == [(Kind.RUN, f"runs/{folder.name}")]
    collect(store, find_garbage(store))
    assert not folder.exists()


def test_a_young_run_may_be_one_that_is_just_planned(store: Store, unreferenced: RunFolder) -> None:
    os.utime(unreferenced.path / "config.json")
    garbage = find_garbage(store)
    assert garbage.items == []
    assert "is younger than an hour" in garbage.notes[0]


def test_a_run_that_is_being_trained_stays(store: Store, unreferenced: RunFolder) -> None:
    shown = find_garbage(store)
    with training(unreferenced) as process:
        age(unreferenced.path)
        garbage = find_garbage(store)
        assert garbage.items == []
        assert f"process {process.pid} on" in garbage.notes[0]
        assert collect(store, shown).items == []
    assert (unreferenced.path / "result.json").exists()


def test_a_run_that_is_claimed_between_the_look_and_the_removal_stays(
    store: Store, unreferenced: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look is blind here, as if the claim came just after it."""
    shown = find_garbage(store)
    with training(unreferenced):
        age(unreferenced.path)

        def blind(_folder: RunFolder) -> Holder | None:
            return None

        monkeypatch.setattr(RunFolder, "holder", blind)
        done = collect(store, shown)
    assert done.items == []
    assert done.notes == [
        f"{unreferenced.path} is left: run {unreferenced.run_id} is being trained by another process"
    ]
    assert (unreferenced.path / "result.json").exists()


def test_a_run_that_a_study_takes_up_meanwhile_stays(store: Store, unreferenced: RunFolder) -> None:
    shown = find_garbage(store)
    add_runs(store, "second", [unreferenced.run()])
    assert collect(store, shown).items == []
    assert unreferenced.path.exists()


def test_a_study_that_waits_for_the_removal_has_its_folders(store: Store, unreferenced: RunFolder) -> None:
    """A command that was planning when its folder went makes it again."""
    run = unreferenced.run()
    code = """
import sys
from pathlib import Path
from ablate.record.rundir import RunFolder
from ablate.record.store import Store
from tests.fabricate import add_runs
run = RunFolder(Path(sys.argv[2])).run()
print("read", flush=True)
add_runs(Store(Path(sys.argv[1])), "second", [run])
"""
    command = [sys.executable, "-c", code, str(store.root), str(unreferenced.path)]
    with store.planning():
        planning = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert planning.stdout is not None
        assert planning.stdout.readline() == "read\n"
        time.sleep(0.3)
        assert planning.poll() is None
        shutil.rmtree(unreferenced.path)
    planning.communicate(timeout=60)
    assert planning.returncode == 0
    assert store.folder(run.run_id).run().run_id == run.run_id
    assert store.folder(run.run_id).status().state is State.PENDING


def test_nothing_goes_that_an_unreadable_study_may_refer_to(store: Store, unreferenced: RunFolder) -> None:
    (store.root / "studies" / "second.json").write_text("{")
    garbage = find_garbage(store)
    assert garbage.items == []
    assert "run folders and data are left alone, as a study cannot be read" in garbage.notes[0]
    assert unreferenced.path.exists()


def test_what_is_no_run_folder_stays(store: Store) -> None:
    (store.runs / "notes").mkdir()
    age(store.runs / "notes")
    assert found(store) == []


def test_a_finished_run_needs_no_checkpoint(store: Store, runs: list[Run]) -> None:
    for run in runs:
        (store.folder(run.run_id).path / CHECKPOINT).write_bytes(b"c" * 100)
    finished = store.folder(runs[0].run_id)
    shown = find_garbage(store)
    assert [(item.kind, item.path, item.n_bytes) for item in shown.items] == [
        (Kind.CHECKPOINT, finished.path / CHECKPOINT, 100)
    ]
    collect(store, shown)
    assert [bool(store.folder(run.run_id).checkpoints()) for run in runs] == [False, True, True]


def test_temporary_files_go_after_an_hour(store: Store, runs: list[Run]) -> None:
    folder = store.folder(runs[0].run_id).path
    old = [
        store.root / f".mlflow.lock.{HEX}",
        store.root / "studies" / f".first.json.{HEX}",
        store.study_folder("first") / f".decision.json.{HEX}",
        folder / f".state.json.{HEX}",
    ]
    store.study_folder("first").mkdir()
    young, other = folder / f".result.json.{HEX}", folder / ".hidden"
    for file in (*old, young, other):
        file.touch()
    for file in (*old, other):
        age(file)
    assert {item.path for item in find_garbage(store).items} == set(old)
    collect(store, find_garbage(store))
    assert [file.exists() for file in (*old, young, other)] == [False, False, False, False, True, True]


# --------------------------------------------------------------------------------------------------- data


@pytest.fixture
def own_data(store: Store, dataset: Dataset) -> Path:
    """A data set in the store, older than an hour, that no run was planned on."""
    folder = store.data / "embedded-v0"
    shutil.copytree(dataset.path.parent, folder)
    manifest = folder / "prepared" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"digest": "another"}))
    return age(folder)


def test_data_of_no_run_go(store: Store, own_data: Path) -> None:
    (store.data / "notes").mkdir()
    age(store.data / "notes")
    garbage = find_garbage(store)
    assert [(item.kind, item.path) for item in garbage.items] == [(Kind.DATA, own_data)]
    assert garbage.notes == [f"{store.data}/notes is no data set and is left alone"]
    collect(store, garbage)
    assert [path.name for path in store.data.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    "recorded", ["mlruns/data/embedded-v0/prepared", "/before/data/embedded-v0/prepared"]
)
def test_data_of_a_run_stay_also_when_the_store_was_moved(
    store: Store, own_data: Path, dataset: Dataset, recorded: str
) -> None:
    fabricate_study(store, "second", [make_run(dataset=replace(dataset, digest="d", path=Path(recorded)))])
    assert own_data.exists()
    assert found(store) == []


def test_data_stay_while_it_is_not_known_what_runs_need(
    store: Store, own_data: Path, runs: list[Run]
) -> None:
    (store.folder(runs[2].run_id).path / "config.json").write_text("{")
    garbage = find_garbage(store)
    assert garbage.items == []
    assert "data are left alone, as a run's cannot be told" in garbage.notes[0]
    assert own_data.exists()


def test_half_made_data_go_unless_they_are_being_made(store: Store) -> None:
    new, old, generating = (
        store.data / name for name in (".tut-1.new", "demo/.prepared.old", "demo/.generating")
    )
    for path in (new, old, generating):
        path.mkdir(parents=True)
        (path / "file").touch()
    lock = store.data / "demo" / ".lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        age(store.data)
        assert found(store) == [
            (Kind.HALF_MADE, "data/.tut-1.new"),
            (Kind.HALF_MADE, "data/demo/.prepared.old"),
        ]
    assert len(found(store)) == 3
    collect(store, find_garbage(store))
    assert [path.exists() for path in (new, old, generating)] == [False, False, False]


# -------------------------------------------------------------------------------------------------- MLflow


def write_database(store: Store) -> None:
    with sqlite3.connect(store.database) as database:
        database.execute("CREATE TABLE experiments (experiment_id, lifecycle_stage)")
        database.execute("CREATE TABLE runs (run_uuid, lifecycle_stage, experiment_id)")
        database.executemany("INSERT INTO experiments VALUES (?, ?)", [(1, "active"), (2, "deleted")])
        rows = [("a" * 32, "active", 1), ("b" * 32, "deleted", 1), ("c" * 32, "deleted", 2)]
        database.executemany("INSERT INTO runs VALUES (?, ?, ?)", rows)
    database.close()


@pytest.fixture
def artifacts(store: Store) -> Callable[[str], Path]:
    """The files of MLflow runs: shown, deleted, of a deleted experiment, of no run, of another database."""
    for letter in "abcde":
        folder = store.artifacts / "first" / (letter * 32) / "artifacts"
        folder.mkdir(parents=True)
        (folder / "weights.safetensors").write_bytes(b"w" * 10)
    age(store.artifacts)
    return lambda letter: store.artifacts / "first" / (letter * 32)


def test_files_of_runs_that_mlflow_has_lost_go(
    store: Store, artifacts: Callable[[str], Path], runs: list[Run]
) -> None:
    write_database(store)
    note = {"first": {"uri": "sqlite:////other.db", "mlflow_run_id": "e" * 32}}
    store.folder(runs[0].run_id).mlflow_file.write_text(json.dumps(note))
    shown = find_garbage(store)
    assert [(item.kind, item.path, item.n_bytes) for item in shown.items] == [
        (Kind.ARTIFACTS, artifacts("b"), 10),
        (Kind.ARTIFACTS, artifacts("d"), 10),
    ]
    collect(store, shown)
    assert [artifacts(letter).exists() for letter in "abcde"] == [True, False, True, False, True]


@pytest.mark.parametrize("content", [None, b"garbage" * 100])
@pytest.mark.usefixtures("artifacts")
def test_files_stay_when_the_database_does_not_tell(store: Store, content: bytes | None) -> None:
    if content is not None:
        store.database.write_bytes(content)
    garbage = find_garbage(store)
    assert garbage.items == []
    assert garbage.notes == [
        f"{store.artifacts} is left alone, as {store.database} does not tell what MLflow shows of it"
    ]


# ------------------------------------------------------------------------------------------------- studies


def test_forgetting_a_study_takes_only_what_no_other_needs(store: Store, runs: list[Run]) -> None:
    add_runs(store, "second", [*runs[1:], make_run("other", 5, dataset=runs[0].dataset)])
    shown = find_garbage(store, forget="first")
    assert [item.path.name for item in shown.items] == [runs[0].run_id]  # however young
    collect(store, shown, forget="first")
    assert store.study_names() == ["second"]
    assert {path.name for path in store.runs.iterdir()} == {
        folder.run_id for folder in store.study_runs("second")
    }


def test_an_unreadable_study_can_be_forgotten(store: Store, unreferenced: RunFolder) -> None:
    (store.root / "studies" / "second.json").write_text("{")
    shown = find_garbage(store, forget="second")
    collect(store, shown, forget="second")
    assert store.study_names() == ["first"]
    assert not unreferenced.path.exists()


def test_a_study_that_is_being_trained_is_not_forgotten(store: Store, runs: list[Run]) -> None:
    shown = find_garbage(store, forget="first")
    with (
        training(store.folder(runs[2].run_id)) as process,
        pytest.raises(StudyError, match=f"study first is being trained by process {process.pid} on"),
    ):
        collect(store, shown, forget="first")
    assert store.study_names() == ["first"]
    assert len(store.study_runs("first")) == len(list(store.runs.iterdir())) == 3


# ------------------------------------------------------------------------------------------ links, and kills


def test_links_are_neither_followed_nor_removed(
    store: Store, unreferenced: RunFolder, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    unreferenced.path.rename(outside)
    unreferenced.path.symlink_to(outside)
    age(unreferenced.path)
    inside = fabricate_run(store, make_run("baseline", 8)).path
    (inside / "away").symlink_to(outside)
    age(inside)
    shown = find_garbage(store)
    assert [item.path for item in shown.items] == [inside]
    before = contents(outside)
    collect(store, shown)
    assert not inside.exists()
    assert contents(outside) == before
    assert unreferenced.path.is_symlink()


def test_a_folder_of_runs_on_another_disk_is_left_alone(
    store: Store, unreferenced: RunFolder, tmp_path: Path
) -> None:
    store.runs.rename(tmp_path / "scratch")
    store.runs.symlink_to(tmp_path / "scratch")
    garbage = find_garbage(store)
    assert garbage.items == []
    assert garbage.notes == [f"{store.runs} is a link; what it leads to is left alone"]
    assert unreferenced.path.exists()


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from ablate.record.store import Store
from ablate.upkeep.garbage import collect, find_garbage
store = Store(Path(sys.argv[1]))
shown = find_garbage(store)
shutil.rmtree = lambda *_arguments, **_options: os.kill(os.getpid(), signal.SIGKILL)
collect(store, shown)
"""


def test_a_killed_removal_leaves_trash_that_the_next_one_takes(store: Store, unreferenced: RunFolder) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not unreferenced.path.exists()
    assert len(store.finished_runs()) == 1  # trash is no run
    ((kind, path),) = found(store)
    assert (kind, path.startswith("runs/.gc-")) == (Kind.TRASH, True)
    collect(store, find_garbage(store))
    assert found(store) == []
    assert len(list(store.runs.iterdir())) == 3
