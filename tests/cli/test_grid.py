"""``ablate grid`` from the outside: real processes, a real MLflow store."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.ground.files import read_json
from ablate.record.store import Store
from tests.command import SMALL, ablate, ablate_here, start


def grid(store: Path, data: Path, *arguments: object, code: int = 0) -> str:
    return ablate("grid", "--data", data, "--seeds", "1", *SMALL, *arguments, store=store, code=code)


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
    deadline = time.monotonic() + 20
    while workers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers(tmp_path) == set()


@pytest.mark.usefixtures("no_worker_stays")
def test_the_same_command_trains_nothing_and_a_level_more_only_what_it_adds(
    tmp_path: Path, tiny_data: Path
) -> None:
    first = grid(tmp_path, tiny_data, "--factors", "grl_pos", "--levels", "grl_pos=none,S1")
    assert "2 conditions x 1 seed = 2 runs" in first
    assert "2 pending" in first
    before = stamps(tmp_path)
    assert len(before) == 2

    again = grid(tmp_path, tiny_data, "--factors", "grl_pos", "--levels", "grl_pos=none,S1")
    assert "2 finished" in again
    assert stamps(tmp_path) == before

    more = grid(tmp_path, tiny_data, "--levels", "grl_pos=none,S1", "--levels", "lambda=0,1")
    assert "1 pending, 2 finished" in more
    assert "lambda=0 -> baseline" in more
    after = stamps(tmp_path)
    assert len(after) == 3
    assert before.items() <= after.items()

    runs = json.loads(ablate("runs", "--format", "json", store=tmp_path))["runs"]
    assert [run["name"] for run in runs] == ["baseline", "grl_pos=S1", "grl_pos=S1 lambda=0"]
    assert all(run["state"] == "finished" and run["mlflow_run_id"] for run in runs)
    assert all(0 <= run["metrics"]["scene_micro_f"] <= 1 for run in runs)
    status = json.loads(ablate("status", "--format", "json", store=tmp_path))
    assert status["counts"] == {"finished": 3}


@pytest.mark.usefixtures("no_worker_stays")
def test_a_killed_controller_costs_nothing(tmp_path: Path, tiny_data: Path) -> None:
    arguments = ["--factors", "shuffle", "--levels", "optim.epochs=40"]
    grid(tmp_path / "undisturbed", tiny_data, *arguments)
    store = tmp_path / "disturbed"
    controller = start(
        "grid", "--data", tiny_data, "--seeds", "1", *SMALL, *arguments, "--workers", "1", store=store
    )
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 2000 for path in store.glob("runs/*/history.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    controller.kill()
    controller.communicate()
    assert len(results(store)) < 3, "the controller was killed too late to disturb anything"

    assert "interrupted" in grid(store, tiny_data, *arguments)
    assert results(store) == results(tmp_path / "undisturbed")
    for path in store.glob("runs/*/history.jsonl"):
        epochs = [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
        assert epochs == list(range(1, 41))


@pytest.mark.usefixtures("no_worker_stays")
def test_ctrl_c_saves_every_run_and_the_same_command_goes_on(tmp_path: Path, tiny_data: Path) -> None:
    arguments = ["--levels", "optim.epochs=2000"]
    controller = start("grid", "--data", tiny_data, "--seeds", "2", *SMALL, *arguments, store=tmp_path)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/history.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(controller.pid, signal.SIGINT)
    output, errors = controller.communicate(timeout=60)
    assert controller.returncode == 130
    assert "Traceback" not in errors
    assert "the same command goes on from where the runs were last saved" in output
    assert len(list(tmp_path.glob("runs/*/checkpoint.pt"))) == 2
    status = json.loads(ablate("status", "--format", "json", store=tmp_path))
    assert status["counts"] == {"interrupted": 2}


@pytest.mark.usefixtures("no_worker_stays")
def test_a_worker_that_is_asked_to_stop_costs_nothing(tmp_path: Path, tiny_data: Path) -> None:
    """As a job scheduler does that takes a machine away."""
    arguments = ["grid", "--data", tiny_data, "--seeds", "2", *SMALL, "--levels", "optim.epochs=150"]
    controller = start(*arguments, store=tmp_path)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/history.jsonl"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(workers(tmp_path).pop(), signal.SIGTERM)
    output, errors = controller.communicate(timeout=240)
    assert controller.returncode == 0, output + errors
    assert output.count("the run will be resumed") == 1
    assert sorted(read_json(path)["attempt"] for path in tmp_path.glob("runs/*/state.json")) == [1, 2]


def test_a_failed_run_is_reported_and_the_others_go_on(tmp_path: Path, tiny_data: Path) -> None:
    levels = ["--levels", "alpha=1e-4,1e39"]  # more than a float can hold
    output = grid(tmp_path, tiny_data, *levels, code=1)
    assert "FAILED: NotConverged" in output
    assert len(stamps(tmp_path)) == 1
    status = json.loads(ablate("status", "--format", "json", store=tmp_path))
    assert status["counts"] == {"finished": 1, "failed": 1}
    (failed,) = [run for run in status["runs"] if run["state"] == "failed"]
    assert failed["cause"].startswith("NotConverged")

    closing = output[output.index("1 run failed:") :]
    assert f"log: {tmp_path / 'runs' / failed['run_id'] / 'log.txt'}" in closing
    assert (
        "    | ablate.ground.errors.NotConverged: the loss or a weight is no longer finite in epoch 1"
        in closing
    )

    again = grid(tmp_path, tiny_data, *levels, code=1)
    assert "1 finished, 1 failed" in again
    assert "--retry" in again
    assert "FAILED: NotConverged" in grid(tmp_path, tiny_data, *levels, "--retry", code=1)


def test_fail_fast_trains_nothing_after_a_failure(tmp_path: Path, tiny_data: Path) -> None:
    levels = ["--levels", "alpha=1e39,1e-4,1e-3", "--workers", "1", "--fail-fast"]
    output = grid(tmp_path, tiny_data, *levels, code=1)
    assert "a run has failed; the others save where they are (--fail-fast)" in output
    status = json.loads(ablate("status", "--format", "json", store=tmp_path))
    assert status["counts"] == {"failed": 1, "pending": 2}


def test_a_dry_run_writes_nothing(tmp_path: Path, tiny_data: Path) -> None:
    store = tmp_path / "store"
    output = ablate(
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


def test_two_controllers_share_a_study_and_train_no_run_twice(tmp_path: Path, tiny_data: Path) -> None:
    arguments = ["grid", "--data", tiny_data, "--seeds", "4", *SMALL, "--levels", "grl_pos=none,S1"]
    controllers = [start(*arguments, "--workers", "1", store=tmp_path) for _ in range(2)]
    outputs = [controller.communicate(timeout=240) for controller in controllers]
    assert [controller.returncode for controller in controllers] == [0, 0], outputs
    attempts = [read_json(path)["attempt"] for path in tmp_path.glob("runs/*/state.json")]
    assert attempts == [1] * 8
    runs = json.loads(ablate("runs", "--format", "json", store=tmp_path))["runs"]
    assert len({run["mlflow_run_id"] for run in runs}) == 8


def test_without_its_server_a_study_completes_and_sync_makes_up_for_it(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port: nobody listens
    output = grid(tmp_path, tiny_data, "--levels", "lambda=1")
    assert "connection refused; training goes on" in output
    assert len(stamps(tmp_path)) == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "1 run sent" in ablate("sync", store=tmp_path)
    assert "1 up to date" in ablate("sync", store=tmp_path)


def test_a_calibration_measures_this_machine_and_a_dry_run_uses_it(tmp_path: Path, tiny_data: Path) -> None:
    arguments = ["--data", tiny_data, "--seeds", "1", *SMALL, "--levels", "lambda=1", "--workers", "1"]
    measured = json.loads(ablate("grid", *arguments, "--calibrate", "--format", "json", store=tmp_path))
    assert measured["estimated_seconds_by_workers"].keys() == {"1"}
    assert measured["suggested_workers"] == 1
    assert stamps(tmp_path) == {}
    planned = ablate_here("grid", *arguments, "--dry-run", "--format", "json", store=Store(tmp_path))
    assert json.loads(planned)["estimated_seconds"] == measured["estimated_seconds"] > 1
