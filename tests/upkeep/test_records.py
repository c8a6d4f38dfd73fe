"""The records of studies and runs, and the processes that train them."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ablate.design.runs import Run
from ablate.ground.leases import LEASE_S
from ablate.record.decision import decision_file
from ablate.record.rundir import RunFolder, State
from ablate.record.store import Store
from ablate.upkeep.findings import Level
from ablate.upkeep.processes import check_training, is_orphan
from ablate.upkeep.records import check_failed, check_runs, check_studies
from tests.fabricate import fabricate_run
from tests.upkeep.conftest import Find

PLANNED_WITH = "ablate grid"

HOLD = """
import sys, time
from pathlib import Path
from ablate.record.rundir import RunFolder
folder = RunFolder(Path(sys.argv[1]))
with folder.claim():
    folder.begin()
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def training(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a run."""
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def here(store: Store) -> str:
    """What commands say of the store."""
    return "" if store.root == Path("mlruns") else f" --store {store.root}"


def test_a_damaged_decision_is_a_problem(find: Find, store: Store) -> None:
    file = decision_file(store, "first")
    file.parent.mkdir()
    file.write_text("{}")
    damaged, studies = find(check_studies, at_least=Level.OK)
    assert (damaged.level, studies.level) == (Level.PROBLEM, Level.OK)
    assert damaged.text.startswith(f"{file}: is damaged; its plan and looks are lost")


def test_a_good_store_says_how_far_it_is(find: Find) -> None:
    (studies,) = find(check_studies, at_least=Level.OK)
    assert (studies.level, studies.text) == (Level.OK, "1 study: first")
    (runs,) = find(check_runs, at_least=Level.OK)
    assert (runs.level, runs.text) == (Level.OK, "1 pending, 1 finished, 1 failed")


def test_an_unreadable_study_is_named_with_what_planned_it(store: Store, find: Find, here: str) -> None:
    file = store.root / "studies" / "first.json"
    file.write_text(file.read_text()[:-3])
    (finding,) = find(check_studies)
    assert finding.level is Level.PROBLEM
    assert finding.text.startswith(f"{file}: unreadable (")
    assert finding.commands == (f"mv {file} {file}.damaged", PLANNED_WITH + here)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"schema": 2, "base": 1, "runs": [], "commands": 1, "details": 0}']
)
def test_a_study_that_is_something_else(store: Store, find: Find, text: str) -> None:
    (store.root / "studies" / "first.json").write_text(text)
    (finding,) = find(check_studies)
    assert "first.json: unreadable (" in finding.text


@pytest.mark.parametrize("schema", [{}, {"schema": 1}, {"schema": 3}])
def test_a_study_of_another_version_is_told_apart_from_a_damaged_one(
    store: Store, find: Find, schema: dict[str, int]
) -> None:
    file = store.root / "studies" / "first.json"
    study = {name: value for name, value in json.loads(file.read_text()).items() if name != "schema"}
    file.write_text(json.dumps(study | schema))
    (finding,) = find(check_studies)
    assert "first.json: written by a version of ablate with other records; use a new --store" in finding.text


def test_every_damaged_run_is_named(store: Store, runs: list[Run], find: Find, here: str) -> None:
    folders = [store.folder(run.run_id) for run in runs]
    (folders[0].path / "result.json").write_text("{")
    (folders[1].path / "config.json").write_text("{")
    for file in folders[2].path.iterdir():
        file.unlink()
    folders[2].path.rmdir()
    gone, first, second = find(check_runs)
    assert gone.text == f"gone: 1 run folder: {folders[2].path}"
    assert gone.commands == (PLANNED_WITH + here,)
    for finding, folder in ((first, folders[0]), (second, folders[1])):
        assert finding.level is Level.PROBLEM
        assert str(folder.path) in finding.text
        assert finding.commands == (f"mv {folder.path} {folder.path}.damaged", PLANNED_WITH + here)


def test_runs_of_another_schema_are_told_apart_from_damaged_ones(
    store: Store, runs: list[Run], find: Find, here: str
) -> None:
    file = store.folder(runs[0].run_id).path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 0}))
    (finding,) = find(check_runs)
    assert finding.text == (
        "written with another schema than 2, which this version reads: "
        f"1 run: {runs[0].run_id}; plan them anew in a new store"
    )
    assert finding.commands == (f"mv {store.root} {store.root}.old", PLANNED_WITH + here)


def test_failed_runs_say_why_and_how_to_try_again(runs: list[Run], find: Find, here: str) -> None:
    (finding,) = find(check_failed)
    assert finding.level is Level.WARNING
    assert finding.text == f"baseline, seed 1 ({runs[1].run_id}): out of memory"
    assert finding.commands == (f"ablate show {runs[1].run_id}{here}", f"{PLANNED_WITH}{here} --retry")


def test_a_run_in_training_names_its_process(store: Store, runs: list[Run], find: Find) -> None:
    with training(store.folder(runs[2].run_id)) as process:
        (finding,) = find(check_training, at_least=Level.OK)
    assert finding.level is Level.OK
    assert finding.text == (
        f"process {process.pid} on {socket.gethostname()} trains baseline, seed 2 ({runs[2].run_id})"
    )


def test_a_run_whose_process_was_killed_is_resumed_by_the_same_command(
    store: Store, runs: list[Run], find: Find, here: str
) -> None:
    with training(store.folder(runs[2].run_id)):
        pass
    (finding,) = find(check_training)
    assert finding.text == (
        "interrupted, and resumed by typing the command again: "
        f"baseline, seed 2 ({runs[2].run_id}): its worker died"
    )
    assert finding.commands == (PLANNED_WITH + here,)


def test_a_silent_process_of_another_host(store: Store, runs: list[Run], find: Find) -> None:
    folder = fabricate_run(store, runs[2], state=State.INTERRUPTED)
    folder.begin()
    claim = folder.path / "lock.7"
    claim.write_text(json.dumps({"host": "other", "kernel": "another kernel", "pid": 5}))
    os.utime(claim, (time.time() - 0.7 * LEASE_S,) * 2)
    (finding,) = find(check_training)
    assert "process 5 on other was last heard of 84 s ago; after 120 s another may" in finding.text
    assert finding.commands == ("ssh other ps -fp 5",)
    os.utime(claim)
    assert find(check_training) == []


def test_a_worker_without_a_controller_is_an_orphan() -> None:
    code = "import time; print('up', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, "ablate.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"up\n"
        assert not is_orphan(worker.pid)
        worker.stdin.close()  # as when the controller has died
        assert is_orphan(worker.pid)
        worker.kill()
    assert not is_orphan(worker.pid)
    assert not is_orphan(os.getpid())
