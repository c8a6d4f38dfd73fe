"""A study whose MLflow goes away: real commands, real servers, real silence.

What a single lost request does is in ``tests/tracking/test_faults.py``; what an outage of a minute costs is
measured by ``benchmarks/outage.py``.
"""

import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ablate.store import Store
from ablate.tracking.server import free_port, server, wait_until_up
from tests.command import SMALL, ablate, start

HOST = "127.0.0.1"
GRID = ["grid", "--factors", "shuffle", "--seeds", "1", "--workers", "1", *SMALL, "--set", "kernels=plain"]


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[int]:
    """The process group of a real server on ``folder/served.db``."""
    log = folder / "server.log"
    with server(f"sqlite:///{folder / 'served.db'}", folder / "served", HOST, port, log) as child:
        wait_until_up(child, f"http://{HOST}:{port}", log)
        yield child.pid


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not true() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true(), process.communicate(timeout=60)


def n_finished(store: Path) -> int:
    return len(Store(store).finished_runs())


def shown(database: Path) -> dict[str, list[tuple[str, list[int]]]]:
    """Run id -> status and epochs of each MLflow run that shows it."""
    found: dict[str, list[tuple[str, list[int]]]] = {}
    with closing(sqlite3.connect(database)) as connection:
        marked = connection.execute(
            "SELECT value, run_uuid, status FROM runs JOIN tags USING (run_uuid) "
            "WHERE key = 'ablate.run_id' AND lifecycle_stage = 'active'"
        ).fetchall()
        for run_id, mlflow_run_id, status in marked:
            epochs = connection.execute(
                "SELECT step FROM metrics WHERE run_uuid = ? AND key = 'curves/loss' ORDER BY step",
                (mlflow_run_id,),
            )
            found.setdefault(run_id, []).append((status, [step for (step,) in epochs]))
    return found


def expected(store: Path) -> dict[str, list[tuple[str, list[int]]]]:
    """Every run finished, with its two epochs, once."""
    return {folder.run_id: [("FINISHED", [1, 2])] for folder in Store(store).study_runs("grid")}


def test_a_server_that_falls_silent_costs_the_study_nothing(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent from the first run to long after the last; what it is asked meanwhile it does in the end."""
    port = free_port(HOST, 5800)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
    store = tmp_path / "store"
    with mlflow_server(tmp_path, port) as group:
        process = start(*GRID, "--data", tiny_data, store=store)
        wait_until(lambda: n_finished(store) >= 1, process)
        os.killpg(group, signal.SIGSTOP)
        wait_until(lambda: n_finished(store) == 3, process)
        trained_at = time.monotonic()
        output, errors = process.communicate(timeout=60)
        assert time.monotonic() - trained_at < 40  # three silences of 5 s, and the final table
        assert process.returncode == 0, errors
        assert "training goes on" in output
        assert "`ablate sync` sends the rest" in output
        os.killpg(group, signal.SIGCONT)
        ablate("sync", store=store)
        ablate("sync", store=store)  # the server has done by now what the study had asked
        assert shown(tmp_path / "served.db") == expected(store)


def test_a_server_that_comes_up_half_way_is_told_everything(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(HOST, 5850)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
    store = tmp_path / "store"
    process = start(*GRID, "--data", tiny_data, "--set", "optim.epochs=40", store=store)
    wait_until(lambda: n_finished(store) >= 1, process)
    with mlflow_server(tmp_path, port):
        output, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
        assert "connection refused; training goes on" in output
        assert "ablate sync" not in output
        complete = [("FINISHED", list(range(1, 41)))]
        assert list(shown(tmp_path / "served.db").values()) == [complete] * 3


def test_ctrl_c_does_not_wait_for_a_silent_server(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{silent.getsockname()[1]}")
        process = start(*GRID, "--data", tiny_data, "--set", "optim.epochs=5000", store=tmp_path)
        histories = tmp_path / "runs"
        wait_until(lambda: any(histories.glob("*/history.jsonl")), process)
        pressed_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert time.monotonic() - pressed_at < 30
        assert process.returncode == 130, errors
        assert "`ablate sync` sends the rest" in output
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    ablate("sync", store=tmp_path)
    ((run,),) = shown(tmp_path / "mlflow.db").values()
    assert run[0] == "KILLED"


def test_a_database_that_another_process_keeps_locked_costs_the_study_nothing(
    tmp_path: Path, tiny_data: Path
) -> None:
    ablate(*GRID, "--data", tiny_data, store=tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        output = ablate(*GRID, "--data", tiny_data, "--seeds", "2", store=tmp_path)
        assert "another process keeps the database locked; training goes on" in output
        assert "3 runs are not shown in full" in output
        other.execute("ROLLBACK")
    assert "3 runs sent, 3 up to date" in ablate("sync", store=tmp_path)
    assert shown(tmp_path / "mlflow.db") == expected(tmp_path)


def test_a_database_that_is_none_is_told_before_anything_is_trained(tmp_path: Path, tiny_data: Path) -> None:
    (tmp_path / "mlflow.db").write_text("hello" * 100)
    process = start(*GRID, "--data", tiny_data, store=tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    (sentence,) = errors.splitlines()
    assert "cannot be read as a database" in sentence
    assert "move the file away and run `ablate sync`" in sentence
    assert not list(tmp_path.glob("runs/*/state.json"))
