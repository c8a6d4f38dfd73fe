"""``ablate grid`` from the outside: real workers, a real MLflow store, and real controllers where one dies.

One worker is enough where it is not said that there are more: each imports torch, which takes it seconds.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.files import read_json
from tests.command import SMALL, ablate, output_of, start

TWO_WORKERS = ["--workers", "2"]
INLINE = ["--launcher", "inline"]  # what is tested happens before or after the training
# What controllers and workers do with each other is the same for any subject; this one starts at once.
WALK = ["grid", "--subject", Path(__file__).parents[1] / "launch" / "walk.py"]


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Path:
    """A store without studies, of which MLflow has made its part already."""
    return made(tmp_path / "store", empty_database)


def made(store: Path, database: Path) -> Path:
    store.mkdir()
    shutil.copy(database, store / "mlflow.db")
    return store


def words(data: Path, *arguments: object) -> list[object]:
    """One seed, unless the arguments say otherwise."""
    return ["grid", "--data", data, "--seeds", "1", *SMALL, *arguments]


def grid(store: Path, data: Path, *arguments: object, code: int = 0) -> str:
    return output_of(*words(data, *arguments), store=store, code=code)


def status_of(store: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(output_of("status", "--format", "json", store=store))
    return content


def runs_of(store: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads(output_of("runs", "--format", "json", store=store))["runs"]
    return content


def results(store: Path) -> dict[str, dict[str, Any]]:
    """Run id -> its result, without what time measured."""
    return {
        path.parent.name: {key: value for key, value in read_json(path).items() if key != "duration_s"}
        for path in sorted(store.glob("runs/*/result.json"))
    }


def stamps(store: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob("runs/*/result.json")}


def workers(folder: Path) -> set[int]:
    """Process ids of the workers whose store is the folder or in it."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"ablate.worker" in (process / "cmdline").read_bytes()
            if is_worker and f"ABLATE_STORE={folder}".encode() in (process / "environ").read_bytes():
                found.add(int(process.name))
        except OSError:
            continue
    return found


@pytest.fixture
def no_worker_stays(tmp_path: Path) -> Iterator[None]:
    yield
    assert_workers_leave(tmp_path)


def assert_workers_leave(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while workers(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers(folder) == set()


@pytest.mark.usefixtures("no_worker_stays")
def test_the_same_command_trains_nothing_and_a_level_more_only_what_it_adds(
    tmp_path: Path, tiny_data: Path
) -> None:
    levels = ["--levels", "grl_pos=none,S1"]
    first = ablate(*words(tiny_data, "--factors", "grl_pos", *levels, *TWO_WORKERS), store=tmp_path)
    assert "2 conditions x 1 seed = 2 runs" in first
    assert "2 pending" in first
    before = stamps(tmp_path)
    assert len(before) == 2

    again = grid(tmp_path, tiny_data, "--factors", "grl_pos", *levels)
    assert "2 finished" in again
    assert stamps(tmp_path) == before

    more = grid(tmp_path, tiny_data, *levels, "--levels", "lambda=0,1")
    assert "1 pending, 2 finished" in more
    assert "lambda=0 -> baseline" in more
    after = stamps(tmp_path)
    assert len(after) == 3
    assert before.items() <= after.items()

    runs = runs_of(tmp_path)
    assert [run["name"] for run in runs] == ["baseline", "grl_pos=S1", "grl_pos=S1 lambda=0"]
    assert all(run["state"] == "finished" and run["mlflow_run_id"] for run in runs)
    assert all(0 <= run["metrics"]["scene_micro_f"] <= 1 for run in runs)
    assert status_of(tmp_path)["counts"] == {"finished": 3}


@pytest.mark.usefixtures("no_worker_stays")
def test_a_killed_controller_costs_nothing(tmp_path: Path, empty_database: Path) -> None:
    arguments = [*WALK, "--levels", "step=1,2,3", "--seeds", "1", "--workers", "1"]
    undisturbed = made(tmp_path / "undisturbed", empty_database)
    output_of(*arguments, store=undisturbed)
    store = made(tmp_path / "disturbed", empty_database)
    controller = start(*arguments, store=store)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 500 for path in store.glob("runs/*/history.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    controller.kill()
    controller.communicate()
    assert len(results(store)) < 3, "the controller was killed too late to disturb anything"
    assert_workers_leave(tmp_path)  # ``tests/faults`` types the command again before they have

    assert "interrupted" in output_of(*arguments, store=store)
    assert results(store) == results(undisturbed)
    for path in store.glob("runs/*/history.jsonl"):
        epochs = [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
        assert epochs == list(range(1, 21))


@pytest.mark.usefixtures("no_worker_stays")
def test_ctrl_c_saves_every_run_and_the_same_command_goes_on(store: Path) -> None:
    arguments = ["--seeds", "2", *TWO_WORKERS, "--levels", "epochs=2000"]
    controller = start(*WALK, *arguments, store=store)
    deadline = time.monotonic() + 120
    while len(list(store.glob("runs/*/history.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(controller.pid, signal.SIGINT)
    output, errors = controller.communicate(timeout=60)
    assert controller.returncode == 130
    assert "Traceback" not in errors
    assert "the same command goes on from where the runs were last saved" in output
    assert len(list(store.glob("runs/*/checkpoint.zip"))) == 2
    assert status_of(store)["counts"] == {"interrupted": 2}


@pytest.mark.usefixtures("no_worker_stays")
def test_a_worker_that_is_asked_to_stop_costs_nothing(store: Path) -> None:
    """As a job scheduler does that takes a machine away."""
    arguments = ["--seeds", "2", *TWO_WORKERS, "--levels", "pause=0.4"]
    controller = start(*WALK, *arguments, store=store)
    deadline = time.monotonic() + 120
    while len(list(store.glob("runs/*/history.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(workers(store).pop(), signal.SIGTERM)
    output, errors = controller.communicate(timeout=240)
    assert controller.returncode == 0, output + errors
    assert output.count("the run will be resumed") == 1
    assert sorted(read_json(path)["attempt"] for path in store.glob("runs/*/state.json")) == [1, 2]


def test_a_failed_run_is_reported_and_the_others_go_on(store: Path, tiny_data: Path) -> None:
    levels = ["--levels", "alpha=1e39,1e-4"]  # more than a float can hold
    output = grid(store, tiny_data, *levels, *INLINE, code=1)
    assert "FAILED: NotConverged" in output
    assert len(stamps(store)) == 1
    status = status_of(store)
    assert status["counts"] == {"finished": 1, "failed": 1}
    (failed,) = [run for run in status["runs"] if run["state"] == "failed"]
    assert failed["cause"].startswith("NotConverged")

    closing = output[output.index("1 of 2 runs failed:") :]
    assert f"log: {store / 'runs' / failed['run_id'] / 'log.txt'}" in closing
    assert (
        "    | ablate.ground.errors.NotConverged: the loss or a weight is no longer finite in epoch 1"
        in closing
    )

    again = grid(store, tiny_data, *levels, *INLINE, code=1)
    assert "1 finished, 1 failed" in again
    assert "--retry" in again
    assert "FAILED: NotConverged" in grid(store, tiny_data, *levels, "--retry", *INLINE, code=1)


def test_fail_fast_trains_nothing_after_a_failure(store: Path, tiny_data: Path) -> None:
    levels = ["--levels", "alpha=1e39,1e-4,1e-3", "--fail-fast"]
    output = grid(store, tiny_data, *levels, code=1)
    assert "a run has failed; the others save where they are (--fail-fast)" in output
    status = status_of(store)
    assert status["counts"] == {"failed": 1, "pending": 2}


def test_a_dry_run_writes_nothing(tmp_path: Path, tiny_data: Path) -> None:
    store = tmp_path / "store"
    output = output_of(
        *["grid", "--factors", "grl_pos,lambda", "--levels", "lambda=0.1,1,10", "--data", tiny_data],
        *["--profile", "paper", "--seeds", "3", "--dry-run", "--format", "json"],
        store=store,
    )
    plan = json.loads(output)
    assert plan["n_conditions"] == 13
    assert len(plan["runs"]) == 39
    assert len({run["run_id"] for run in plan["runs"]}) == 39
    assert {run["state"] for run in plan["runs"]} == {"pending"}
    assert plan["runs"][1]["condition"]["grl_pos"] == "S1"
    assert [cell["same_as"] for cell in plan["collapsed"]] == ["baseline", "baseline"]
    assert not store.exists()


def test_two_controllers_share_a_study_and_train_no_run_twice(store: Path) -> None:
    arguments = ["--seeds", "4", "--levels", "step=1,2", "--workers", "1", "--set", "epochs=3"]
    controllers = [start(*WALK, *arguments, store=store) for _ in range(2)]
    outputs = [controller.communicate(timeout=240) for controller in controllers]
    assert [controller.returncode for controller in controllers] == [0, 0], outputs
    attempts = [read_json(path)["attempt"] for path in store.glob("runs/*/state.json")]
    assert attempts == [1] * 8
    assert len({run["mlflow_run_id"] for run in runs_of(store)}) == 8


def test_without_its_server_a_study_completes_and_sync_makes_up_for_it(
    store: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port: nobody listens
    output = grid(store, tiny_data, "--levels", "lambda=1", *INLINE)
    assert "connection refused; training goes on" in output
    assert len(stamps(store)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "1 run sent" in output_of("sync", store=store)
    assert "1 up to date" in output_of("sync", store=store)


def test_a_calibration_measures_this_machine_and_a_dry_run_uses_it(tmp_path: Path, tiny_data: Path) -> None:
    arguments = ["--levels", "lambda=1", "--format", "json"]
    measured = json.loads(grid(tmp_path, tiny_data, *arguments, "--calibrate"))
    assert measured["estimated_seconds_by_workers"].keys() == {"1"}
    assert measured["suggested_workers"] == 1
    assert stamps(tmp_path) == {}
    planned = json.loads(grid(tmp_path, tiny_data, *arguments, "--dry-run"))
    assert planned["estimated_seconds"] == measured["estimated_seconds"] > 1
