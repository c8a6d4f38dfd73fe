"""A study whose MLflow goes away: real commands, real servers, real silence.

What a single lost request does is in ``tests/tracking/test_faults.py``; what an outage of a minute costs is
measured by ``benchmarks/outage.py``.
"""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.record.store import Store
from ablate.tracking import Tracker
from ablate.tracking.server import free_port, server, wait_until_up
from tests.command import SMALL, answer, output_of, start
from tests.fabricate import add_runs, make_run
from tests.tracking.proxy import HOST, proxy

# Of three runs of two epochs each: the network's, and of a walk, whose worker starts in no time.
NETWORK = ["--factors", "shuffle", "--seeds", "1", *SMALL, "--set", "kernels=plain"]
WALK = [
    *("--subject", str(Path(__file__).parents[1] / "launch" / "walk.py"), "--levels", "step=1,2,3"),
    *("--seeds", "1", "--set", "epochs=2"),
]


@dataclass(frozen=True)
class Served:
    """A real server, its process group and its database."""

    port: int
    group: int
    database: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    database, log, port = folder / "served.db", folder / "server.log", free_port(HOST, 5800)
    shutil.copy(empty_database, database)
    with server(f"sqlite:///{database}", folder / "artifacts", HOST, port, log) as child:
        wait_until_up(child, f"http://{HOST}:{port}", log)
        yield Served(port, child.pid, database)


def grid(study: str, store: Path, *words: object) -> subprocess.Popen[str]:
    return start("grid", study, *words, "--workers", "1", store=store)


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not true() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true(), process.communicate(timeout=60)


def n_finished(store: Path) -> int:
    return len(Store(store).finished_runs())


def shown(database: Path, study: str, curve: str = "x") -> dict[str, list[tuple[str, list[int]]]]:
    """Run id -> status, and epochs of the curve, of each MLflow run that shows it."""
    found: dict[str, list[tuple[str, list[int]]]] = {}
    with closing(sqlite3.connect(database)) as connection:
        marked = connection.execute(
            "SELECT tags.value, run_uuid, status FROM runs JOIN tags USING (run_uuid) "
            "JOIN experiments USING (experiment_id) WHERE tags.key = 'ablate.run_id' "
            "AND experiments.name = ? AND runs.lifecycle_stage = 'active'",
            (study,),
        ).fetchall()
        for run_id, mlflow_run_id, status in marked:
            epochs = connection.execute(
                "SELECT step FROM metrics WHERE run_uuid = ? AND key = ? ORDER BY step",
                (mlflow_run_id, f"curves/{curve}"),
            )
            found.setdefault(run_id, []).append((status, [step for (step,) in epochs]))
    return found


def complete(store: Path, study: str) -> dict[str, list[tuple[str, list[int]]]]:
    """Every run finished, with its two epochs, once."""
    return {folder.run_id: [("FINISHED", [1, 2])] for folder in Store(store).study_runs(study)}


def test_a_server_that_falls_silent_costs_the_study_nothing(
    served: Served, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent from the first run to long after the last; what it is asked meanwhile it does in the end."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{served.port}")
    process = grid("silent", tmp_path, *NETWORK, "--data", tiny_data)
    wait_until(lambda: n_finished(tmp_path) >= 1, process)
    os.killpg(served.group, signal.SIGSTOP)
    try:
        wait_until(lambda: n_finished(tmp_path) == 3, process)
        trained_at = time.monotonic()
        output, errors = process.communicate(timeout=60)
    finally:
        os.killpg(served.group, signal.SIGCONT)
    assert time.monotonic() - trained_at < 40  # three silences of 5 s, and the final table
    assert process.returncode == 0, errors
    assert "training goes on" in output
    assert "`ablate sync` sends the rest" in output
    output_of("sync", "silent", store=tmp_path)
    output_of("sync", "silent", store=tmp_path)  # the server has done by now what the study had asked
    assert shown(served.database, "silent", "loss") == complete(tmp_path, "silent")


def test_a_server_that_comes_up_half_way_is_told_everything(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(HOST, 5850)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{port}")
    process = grid("late", tmp_path, *WALK)
    wait_until(lambda: n_finished(tmp_path) >= 1, process)
    with proxy(served.port, port):
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "connection refused; training goes on" in output
    assert "ablate sync" not in output
    assert shown(served.database, "late") == complete(tmp_path, "late")


def test_ctrl_c_does_not_wait_for_a_silent_server(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with socket.create_server((HOST, 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{HOST}:{silent.getsockname()[1]}")
        process = grid("stopped", tmp_path, *WALK, "--set", "epochs=5000")
        wait_until(lambda: any(tmp_path.glob("runs/*/history.jsonl")), process)
        pressed_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert time.monotonic() - pressed_at < 30
    assert process.returncode == 130, errors
    assert "`ablate sync` sends the rest" in output
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    output_of("sync", store=tmp_path)
    (((status, epochs),),) = shown(tmp_path / "mlflow.db", "stopped").values()
    assert status == "KILLED"
    assert epochs == list(range(1, len(epochs) + 1))


def test_a_database_that_another_process_keeps_locked_costs_the_study_nothing(
    tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    add_runs(Store(tmp_path), "another", [make_run()])
    Tracker(Store(tmp_path), "another").prepare()
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        process = grid("locked", tmp_path, *WALK)
        output, errors = process.communicate(timeout=120)
        other.execute("ROLLBACK")
    assert process.returncode == 0, errors
    assert "another process keeps the database locked; training goes on" in output
    assert "3 runs are not shown in full" in output
    assert "3 runs sent, 0 up to date" in output_of("sync", store=tmp_path)
    assert shown(tmp_path / "mlflow.db", "locked") == complete(tmp_path, "locked")


def test_a_database_that_is_none_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("hello" * 100)
    _, errors = answer("grid", "damaged", *WALK, store=tmp_path, code=2)
    (sentence,) = errors.splitlines()
    assert "cannot be read as a database" in sentence
    assert "move the file away and run `ablate sync`" in sentence
    assert not list(tmp_path.glob("runs/*/state.json"))
